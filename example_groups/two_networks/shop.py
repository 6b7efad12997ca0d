"""A clerk who sends orders, and a warehouse that packs them."""

import os
import socket

import testrium

ORDERS = 20


def clerk() -> None:
    """Send each order to where the warehouse is."""
    me = testrium.unit()
    address = os.environ["TESTRIUM_ADDRESS_WAREHOUSE"]
    port = int(os.environ["TESTRIUM_PORT_WAREHOUSE_ORDERS"])
    with socket.create_connection((address, port)) as wire, wire.makefile("rw") as lines:
        for number in range(ORDERS):
            key = f"order-{number}"
            me.send("ordered", key=key)
            print(key, file=lines, flush=True)
            me.receive("delivered", key=lines.readline().strip())


def warehouse() -> None:
    """Pack what is ordered; all addresses are served, as the clerk comes from elsewhere."""
    me = testrium.unit()
    with socket.create_server(("", int(os.environ["TESTRIUM_PORT_ORDERS"]))) as server:
        while True:
            wire, _ = server.accept()
            with wire, wire.makefile("rw") as lines:
                for line in lines:
                    me.receive("packed", key=line.strip())
                    print(line.strip(), file=lines, flush=True)
