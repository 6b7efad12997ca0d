"""A price service and a client that asks it 500 times, one question after the other."""

import os
import socket

import testrium

LOOKUPS = 500


def prices() -> None:
    """Answer with a price. The connection's buffering is off: it would be most of the latency."""
    me = testrium.unit()
    with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"]))) as server:
        me.probe("listening")
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection, connection.makefile("rw") as wire:
                for line in wire:
                    key = line.strip()
                    me.probe("looked-up", key=key)
                    print(len(key) * 100, file=wire, flush=True)


def client() -> None:
    """Ask, wait for the answer, ask again. The percentiles come from the probes alone."""
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_PRICES_TCP"])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rw") as wire:
            for number in range(LOOKUPS):
                key = f"article-{number}"
                me.send("asked", key=key)
                print(key, file=wire, flush=True)
                price = int(wire.readline())
                me.receive("answered", key=key, price=price)
