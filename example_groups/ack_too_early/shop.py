"""Puts five orders into the queue and waits until all of them are confirmed."""

import os
import socket

import testrium

ORDERS = [f"order-{number}" for number in range(1, 6)]


def main():
    me = testrium.unit()
    broker = socket.create_connection(("127.0.0.1", int(os.environ["TESTRIUM_PORT_BROKER_TCP"])))
    with broker, broker.makefile("rw") as lines:
        for order in ORDERS:
            me.send("ordered", key=order)
            lines.write(f"put {order}\n")
            lines.flush()
        for _ in ORDERS:
            _, order = lines.readline().split()
            me.probe("confirmed", key=order)
