"""Orders twenty times, from four threads at once."""

from concurrent.futures import ThreadPoolExecutor

import testrium
from wire import call


def order(number: int) -> None:
    key, amount = f"order-{number:02}", 10 * number
    testrium.unit().send("ordered", key=key, amount=amount)
    answer = call("api", "/orders", {"id": key, "amount": amount})
    assert answer == {"status": "accepted"}


def main() -> None:
    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(order, range(1, 21)))
