"""Keeps the orders that were worked off, and tells which ones it has."""

from typing import Any

import testrium
from wire import serve

ORDERS: dict[str, Any] = {}


def put(order: Any) -> None:
    testrium.unit().receive("stored", key=order["id"], amount=order["amount"])
    ORDERS[order["id"]] = order


def listing(_: Any) -> list[Any]:
    return sorted(ORDERS.values(), key=lambda order: str(order["id"]))


def main() -> None:
    serve({"/put": put, "/list": listing}, lambda: testrium.unit().probe("ready"))
