import os
import socket

import testrium


def client() -> None:
    with socket.create_connection(("127.0.0.1", int(os.environ["COUNTER_PORT"]))) as connection:
        count = int(connection.makefile().readline())
    testrium.unit().probe("answered", count=count, counter=os.environ["COUNTER_PID"])
