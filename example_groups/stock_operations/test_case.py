"""A stock of items, as a service, and a client that compares it with a list."""

import json
import os
import socket

from hypothesis import strategies as st

import testrium
from testrium import testing
from reset import connected


def stock():
    me = testrium.unit()
    items, taken = [], []
    with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"]))) as server:
        me.probe("listens")
        while True:
            connection, _ = server.accept()
            for line in connection.makefile():
                key, operation, value = json.loads(line)
                if operation == "empty":
                    items, taken = [], []
                    connection.sendall(b"[]\n")
                    continue
                if operation == "put":
                    items.append(value)
                elif operation == "take" and items:
                    taken.append(items.pop(0))
                elif operation == "undo" and taken:
                    back = taken.pop()
                    if os.environ["FORGETS"] != "yes":
                        items.insert(0, back)
                me.receive("done", key=key)
                connection.sendall(json.dumps(items).encode() + b"\n")


OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 9)),
    st.tuples(st.just("take"), st.none()),
    st.tuples(st.just("undo"), st.none()),
)


@testing.generate(st.lists(OPERATIONS, max_size=20))
def client(operations):
    me = testrium.unit()
    me.probe("began", operations=len(operations))
    expected, taken = [], []
    with connected() as connection:
        answers = connection.makefile()
        for number, (operation, value) in enumerate(operations):
            key = f"o{number}"
            me.send("asked", key=key, operation=operation)
            connection.sendall(json.dumps([key, operation, value]).encode() + b"\n")
            items = json.loads(answers.readline())
            me.receive("answered", key=key)
            if operation == "put":
                expected.append(value)
            elif operation == "take" and expected:
                taken.append(expected.pop(0))
            elif operation == "undo" and taken:
                expected.insert(0, taken.pop())
            assert items == expected, f"after {operation}: {items}, expected {expected}"
