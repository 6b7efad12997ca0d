"""A shop, a worker and a store. Every process ends well, every log is clean, one order is gone."""

import os
import socket

import testrium


def read_lines(port: str, when_listening: str) -> list[list[str]]:
    """Everything that one sender has to say, split into words."""
    with socket.create_server(("127.0.0.1", int(os.environ[port]))) as server:
        testrium.unit().probe(when_listening)
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            return [line.split() for line in lines]


def write_lines(port: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(os.environ[port])))


def shop() -> None:
    me = testrium.unit()
    with write_lines("TESTRIUM_PORT_WORKER_TCP") as worker:
        for number in range(1, 21):
            key, amount = f"order-{number:02}", "1,250" if number == 13 else f"{number}0"
            me.send("ordered", key=key)
            worker.sendall(f"{key} {amount}\n".encode())
    me.probe("finished")


def worker() -> None:
    me = testrium.unit()
    orders = read_lines("TESTRIUM_PORT_TCP", "listening")
    with write_lines("TESTRIUM_PORT_STORE_TCP") as store:
        for key, amount in orders:
            me.receive("taken", key=key)
            try:
                cents = int(amount) * 100
            except ValueError:
                continue  # the fault: "1,250" is no number, and nobody is told
            store.sendall(f"{key} {cents}\n".encode())
    me.probe("finished")


def store() -> None:
    me = testrium.unit()
    for key, cents in read_lines("TESTRIUM_PORT_TCP", "listening"):
        me.receive("stored", key=key, cents=int(cents))
    me.probe("finished")
