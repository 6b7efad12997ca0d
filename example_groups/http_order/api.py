"""The shop's front door: accepts an order and leaves the work to others."""

from typing import Any

import testrium
from wire import call, serve


def order(body: Any) -> dict[str, str]:
    testrium.unit().receive("accepted", key=body["id"], amount=body["amount"])
    call("order_queue", "/put", body)
    return {"status": "accepted"}


def main() -> None:
    serve({"/orders": order}, lambda: testrium.unit().probe("ready"))
