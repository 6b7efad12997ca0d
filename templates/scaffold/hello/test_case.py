"""Two units and a command that has to go there and back.

Testrium runs each function in a process of its own. The units talk over a real socket; their
probes say what happened, and config.toml says what must have happened.
"""

import os
import socket

import testrium


def target() -> None:
    """Answer every command with the same text in capitals."""
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_INBOX"])
    with socket.create_server(("127.0.0.1", port)) as server:
        me.probe("ready")  # the first probe: source starts after it (ready_event)
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as wire:
            for line in wire:
                key, text = line.split()
                # A Receive says that it has arrived, under the key that came with it.
                me.receive("command-received", key=key, text=text)
                me.send("answer-sent", key=key, text=text)
                print(key, text.upper(), file=wire, flush=True)


def source() -> None:
    """Send three commands, each under a key that identifies it on its whole way."""
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_TARGET_INBOX"])
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        connection.makefile("rw") as wire,
    ):
        for number, text in enumerate(["open", "read", "close"], start=1):
            # The key: a text that travels with the message, such as the number of an order.
            key = f"command-{number}"
            # A Send says that a message leaves this unit: emit it before you send.
            me.send("command-sent", key=key, text=text)
            print(key, text, file=wire, flush=True)
            answered, answer = wire.readline().split()
            assert answer == text.upper()
            me.receive("answer-received", key=answered, text=text)
    me.probe("finished")
