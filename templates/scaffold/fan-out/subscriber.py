"""One program, three units: `testrium.unit()` knows which one this process is."""

import os
import socket

import testrium


def main() -> None:
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_PUBLISHER_TOPIC"])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        me.probe("subscribed")
        with connection.makefile() as notices:
            for line in notices:
                key, text = line.split()
                me.receive("got", key=key, text=text)
    me.probe("finished")
