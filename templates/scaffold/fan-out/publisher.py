"""Waits until every subscriber is there, then tells all of them everything."""

import os
import socket

import testrium

SUBSCRIBERS = 3
NOTICES = 30


def main() -> None:
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_TOPIC"])
    with socket.create_server(("127.0.0.1", port)) as server:
        me.probe("listening")
        connections = [server.accept()[0] for _ in range(SUBSCRIBERS)]
    for number in range(1, NOTICES + 1):
        key, text = f"notice-{number:02}", f"article-{number}-sold"
        # The first probe of the route: a Send, emitted before the message leaves this unit. Its key
        # travels with the message, and every subscriber names it.
        me.send("published", key=key, text=text)
        for connection in connections:
            connection.sendall(f"{key} {text}\n".encode())
    for connection in connections:
        connection.close()
