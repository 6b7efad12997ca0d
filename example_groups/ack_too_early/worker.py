"""Stores orders, and acknowledges each as soon as it has it: that is the bug."""

import os
import socket
import sqlite3
from pathlib import Path

import testrium


def main():
    me = testrium.unit()
    store = sqlite3.connect(Path(os.environ["TESTRIUM_RUN_DIR"], "orders.db"))
    store.execute("CREATE TABLE IF NOT EXISTS Orders (Name TEXT PRIMARY KEY)")
    broker = socket.create_connection(("127.0.0.1", int(os.environ["TESTRIUM_PORT_BROKER_TCP"])))
    me.probe("ready")
    with broker, broker.makefile("rw") as lines:
        while True:
            lines.write("take\n")
            lines.flush()
            order = lines.readline().strip()
            lines.write(f"ack {order}\n")
            lines.flush()
            me.receive("taken", key=order)
            with store:
                added = store.execute("INSERT OR IGNORE INTO Orders VALUES (?)", (order,)).rowcount
            if added:  # else it was delivered a second time
                me.probe("stored", key=order)
