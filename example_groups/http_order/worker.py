"""Works off the queue, one order after the other, for as long as it is left alive."""

import testrium
from wire import call


def main() -> None:
    me = testrium.unit()
    me.probe("ready")
    while True:
        order = call("order_queue", "/take", None)
        me.receive("taken", key=order["id"], amount=order["amount"])
        call("store", "/put", order)
