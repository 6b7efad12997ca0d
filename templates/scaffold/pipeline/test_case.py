"""Three stages that pass records on over sockets, a line of JSON each."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any, TextIO

import testrium

RECORDS = 50


def extract() -> None:
    """Read the source and send every record to the next stage."""
    me = testrium.unit()
    with following("transform") as wire:
        for number in range(1, RECORDS + 1):
            record = {"id": number, "name": f"article {number}"}
            # The first probe: a Send says that a message leaves this unit. The key is what every
            # stage can tell of a record: here its number.
            me.send("read", key=f"record-{number:02}", id=number)
            write(record, wire)


def transform() -> None:
    """Change each record, and pass it on."""
    me = testrium.unit()
    with following("load") as wire:
        for record in incoming():
            record["name"] = record["name"].title()
            me.probe("changed", key=f"record-{record['id']:02}", id=record["id"])
            write(record, wire)


def load() -> None:
    """Store what comes; here in a file of the run's folder."""
    me = testrium.unit()
    file = os.path.join(os.environ["TESTRIUM_RUN_DIR"], "records.jsonl")
    with open(file, "w", encoding="utf-8") as store:
        for record in incoming():
            write(record, store)
            me.receive("stored", key=f"record-{record['id']:02}", id=record["id"])
    me.probe("finished")


def test_all_records_are_in_the_file() -> None:
    """Runs when the circuit is complete."""
    file = os.path.join(os.environ["TESTRIUM_RUN_DIR"], "records.jsonl")
    with open(file, encoding="utf-8") as store:
        names = [json.loads(line)["name"] for line in store]
    assert names == [f"Article {number}" for number in range(1, RECORDS + 1)]


def incoming() -> Iterator[Any]:
    """The records that the stage before sends to this unit's port, until it hangs up."""
    port = int(os.environ["TESTRIUM_PORT_TCP"])
    with socket.create_server(("127.0.0.1", port)) as server:
        testrium.unit().probe("listening")
        connection, _ = server.accept()
        with connection, connection.makefile(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def following(unit: str) -> TextIO:
    """Where to write for the stage after this one."""
    port = int(os.environ[f"TESTRIUM_PORT_{unit.upper()}_TCP"])
    connection = socket.create_connection(("127.0.0.1", port))
    with connection:  # the file keeps it open until it is closed itself
        return connection.makefile("w", encoding="utf-8")


def write(record: Any, file: TextIO) -> None:
    """One record on one line, at once."""
    print(json.dumps(record), file=file, flush=True)
