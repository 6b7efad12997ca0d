"""What the classic API reads from a Data.db, as its dictionaries."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

from testrium.record.database import collector_paused
from testrium.verify.correlations import KeyColumn, pair

#: The fields of a classic event, in their order.
FIELDS = ("ID", "Unit", "StepCompleted", "EventType", "EventKey", "Time", "Metadata")
_SELECT = "SELECT ID, Unit, StepCompleted, EventType, coalesce(EventKey, ''), Time, Metadata"


def list_events(
    connection: sqlite3.Connection, shown: str, unit: str | None
) -> list[dict[str, Any]]:
    """Events in order of time; `shown` is a condition in SQL, `unit` None for all units."""
    rows = connection.execute(
        f"{_SELECT} FROM Events WHERE {shown} AND (?1 IS NULL OR Unit = ?1) ORDER BY Time, ID",
        (unit,),
    )
    return [_event(row) for row in rows]


def correlate(connection: sqlite3.Connection, shown: str) -> dict[str, Any]:
    """The dictionary of `Events_Manager.correlate_send_receive`."""
    connection.execute("BEGIN")  # what other processes store meanwhile is not seen
    try:
        with collector_paused():
            sends, receives = _columns(connection, shown)
            found = pair(sends, receives)
        return {
            "paired": found.paired,
            "orphan_sends": _orphans(connection, shown, "Send", sends, found.orphan_sends),
            "orphan_receives": _orphans(
                connection, shown, "Receive", receives, found.orphan_receives
            ),
            "duplicate_keys": found.duplicates,
            "average_latency": found.average_latency_s or 0.0,
        }
    finally:
        connection.execute("ROLLBACK")


def _columns(connection: sqlite3.Connection, shown: str) -> tuple[KeyColumn, KeyColumn]:
    """All keyed Send and Receive events, with monotonic times if all are of one clock."""
    clocks, begin_ns, begin_wall_ns = connection.execute(
        "SELECT (SELECT count(*) FROM Domains), (SELECT TimeNs FROM Events LIMIT 1),"
        " (SELECT CAST(Time * 1e9 AS INTEGER) FROM Events LIMIT 1)"
    ).fetchone()
    places = _places(connection)
    # Times are counted from the first event: small numbers are read faster.
    if clocks == 1 and begin_ns is not None:
        sends, receives = _gather(connection, shown, places, f"TimeNs - {begin_ns}")
        # Rows that user code put there by hand may lack that time.
        if None not in sends.times and None not in receives.times:
            return sends, receives
    time = f"CAST(Time * 1e9 AS INTEGER) - {begin_wall_ns or 0}"
    return _gather(connection, shown, places, time)


def _places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every step and unit that has events, found by hopping through the index."""
    places: list[tuple[str, str]] = []
    step, unit = "", ""
    while True:
        found = (
            connection.execute(
                "SELECT StepCompleted, Unit FROM Events WHERE StepCompleted = ? AND Unit > ?"
                " ORDER BY Unit LIMIT 1",
                (step, unit),
            ).fetchone()
            or connection.execute(
                "SELECT StepCompleted, Unit FROM Events WHERE StepCompleted > ?"
                " ORDER BY StepCompleted, Unit LIMIT 1",
                (step,),
            ).fetchone()
        )
        if found is None:
            return places
        step, unit = found
        places.append(found)


def _gather(
    connection: sqlite3.Connection, shown: str, places: list[tuple[str, str]], time: str
) -> tuple[KeyColumn, KeyColumn]:
    """The Send and the Receive events, place by place and there by key.

    As JSON: fetching a hundred thousand cells one by one takes three times as long.
    """
    columns = {kind: KeyColumn([], [], [], []) for kind in ("Send", "Receive")}
    asked = [(step, unit, kind) for step, unit in places for kind in columns]
    statement = (
        f"SELECT json_group_array(EventKey), json_group_array({time})"  # noqa: S608
        " FROM Events INDEXED BY EventsByPlace"
        f" WHERE StepCompleted = ? AND Unit = ? AND EventKey > '' AND EventType = ? AND {shown}"
    )
    rows = _fetched_ahead(connection, statement, asked)
    known: dict[str, list[str]] = {}  # mostly, what is received is just what was sent
    for (step, unit, kind), (keys, times) in zip(asked, rows, strict=True):
        found = known[keys] if keys in known else known.setdefault(keys, json.loads(keys))
        column = columns[kind]
        column.keys.extend(found)
        column.times.extend(json.loads(times))
        column.units.extend([unit] * len(found))
        column.steps.extend([step] * len(found))
    return columns["Send"], columns["Receive"]


def _fetched_ahead(
    connection: sqlite3.Connection, statement: str, parameters: Sequence[tuple[str, ...]]
) -> Iterator[tuple[Any, ...]]:
    """The one row for each set of parameters, while a thread fetches the next one already.

    SQLite works without the interpreter's lock.
    """
    rows: SimpleQueue[tuple[Any, ...] | sqlite3.Error] = SimpleQueue()

    def fetch() -> None:
        try:
            for values in parameters:
                rows.put(connection.execute(statement, values).fetchone())
        except sqlite3.Error as error:
            rows.put(error)

    thread = Thread(target=fetch)
    thread.start()
    try:
        for _ in parameters:
            row = rows.get()
            if isinstance(row, sqlite3.Error):
                raise row
            yield row
    finally:
        thread.join()


def _orphans(
    connection: sqlite3.Connection, shown: str, kind: str, column: KeyColumn, positions: list[int]
) -> list[dict[str, Any]]:
    """The events at these positions, by key and then by time."""
    found = [
        connection.execute(
            f"{_SELECT} FROM Events WHERE StepCompleted = ? AND Unit = ? AND EventKey = ?"
            f" AND EventType = ? AND {shown} ORDER BY TimeNs, ID",
            (step, unit, key, kind),
        ).fetchall()
        for key, step, unit in dict.fromkeys(
            (column.keys[i], column.steps[i], column.units[i]) for i in positions
        )
    ]
    events = [_event(row) for rows in found for row in rows]
    return sorted(events, key=lambda event: (event["EventKey"], event["Time"], event["ID"]))


def _event(row: tuple[Any, ...]) -> dict[str, Any]:
    event = dict(zip(FIELDS, row, strict=True))
    event["Metadata"] = _metadata(row[-1])
    return event


def _metadata(text: str | None) -> dict[str, Any]:
    """Rows that user code put there by hand may hold anything."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
