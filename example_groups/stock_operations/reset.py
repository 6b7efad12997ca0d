"""What `testrium generate` calls between two examples; without Hypothesis it starts faster."""

import os
import socket


def connected():
    """A connection to the stock."""
    return socket.create_connection(("127.0.0.1", int(os.environ["TESTRIUM_PORT_STOCK_TCP"])))


def empty():
    with connected() as connection:
        connection.sendall(b'["", "empty", null]\n')
        connection.makefile().readline()
