"""Places orders until it has lived through an outage."""

import http.client
import os
import time

import testrium

PAUSE_S = 0.02


def place(order: str) -> bool:
    """Ask once; False when the shop did not answer."""
    shop = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ["TESTRIUM_PORT_SHOP_HTTP"]), timeout=5
    )
    try:
        shop.request("PUT", f"/orders/{order}")
        return shop.getresponse().status == 204
    except (OSError, http.client.HTTPException):
        return False
    finally:
        shop.close()


def main() -> None:
    me = testrium.unit()
    number = 0
    disconnected = False
    while not disconnected:
        number += 1
        order = f"order-{number}"
        me.send("ordered", key=order)
        while not place(order):
            if not disconnected:
                disconnected = True
                me.probe("disconnected")
            time.sleep(PAUSE_S)
        if disconnected:
            me.probe("reconnected")
        me.receive("confirmed", key=order)
        time.sleep(PAUSE_S)
