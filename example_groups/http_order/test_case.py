"""What the probes cannot tell: asked of the running store, when the circuit is complete."""

from wire import call


def test_store_has_every_order_with_its_amount() -> None:
    stored = {order["id"]: order["amount"] for order in call("store", "/list", None)}
    assert stored == {f"order-{number:02}": 10 * number for number in range(1, 21)}
