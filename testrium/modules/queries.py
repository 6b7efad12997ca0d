"""What the classic API reads from a Data.db, as its dictionaries."""

from __future__ import annotations

import gc
import json
import sqlite3
from typing import Any

from testrium.pairing import Column, pair

#: The fields of a classic event, in their order.
FIELDS = ("ID", "Unit", "StepCompleted", "EventType", "EventKey", "Time", "Metadata")
_SELECT = "SELECT ID, Unit, StepCompleted, EventType, coalesce(EventKey, ''), Time, Metadata"
_WALL_NS = "CAST(Time * 1e9 AS INTEGER)"


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
    # Hundreds of thousands of strings and dictionaries are made, and none of them is garbage.
    collecting = gc.isenabled()
    gc.disable()
    try:
        sends, receives = _columns(connection, shown)
        found = pair(sends, receives)
    finally:
        if collecting:
            gc.enable()
    return {
        "paired": found.paired,
        "orphan_sends": _orphans(connection, shown, "Send", sends, found.orphan_sends),
        "orphan_receives": _orphans(connection, shown, "Receive", receives, found.orphan_receives),
        "duplicate_keys": found.duplicates,
        "average_latency": found.average_latency_s or 0.0,
    }


def _columns(connection: sqlite3.Connection, shown: str) -> tuple[Column, Column]:
    """All keyed Send and Receive events, with monotonic times if all are of one clock."""
    (clocks,) = connection.execute("SELECT count(*) FROM Domains").fetchone()
    places = _places(connection)
    if clocks == 1:
        sends = _column(connection, shown, places, "Send", "TimeNs")
        receives = _column(connection, shown, places, "Receive", "TimeNs")
        # Rows that user code put there by hand may lack that time.
        if None not in sends.times and None not in receives.times:
            return sends, receives
    return (
        _column(connection, shown, places, "Send", _WALL_NS),
        _column(connection, shown, places, "Receive", _WALL_NS),
    )


def _places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every step and unit that has events, found by hopping through the index."""
    places: list[tuple[str, str]] = []
    step, unit = "", ""
    while True:
        found = connection.execute(
            "SELECT StepCompleted, Unit FROM Events WHERE StepCompleted = ? AND Unit > ?"
            " ORDER BY Unit LIMIT 1",
            (step, unit),
        ).fetchone() or connection.execute(
            "SELECT StepCompleted, Unit FROM Events WHERE StepCompleted > ?"
            " ORDER BY StepCompleted, Unit LIMIT 1",
            (step,),
        ).fetchone()
        if found is None:
            return places
        step, unit = found
        places.append(found)


def _column(
    connection: sqlite3.Connection,
    shown: str,
    places: list[tuple[str, str]],
    kind: str,
    time: str,
) -> Column:
    """The events of one type, place by place and there by key.

    As JSON: fetching a hundred thousand cells one by one takes three times as long.
    """
    column = Column([], [], [], [])
    for step, unit in places:
        keys, times = connection.execute(
            f"SELECT json_group_array(EventKey), json_group_array({time})"  # noqa: S608
            " FROM Events INDEXED BY EventsByPlace"
            f" WHERE StepCompleted = ? AND Unit = ? AND EventKey > '' AND EventType = ? AND {shown}",
            (step, unit, kind),
        ).fetchone()
        if len(keys) > len("[]"):
            found = json.loads(keys)
            column.keys.extend(found)
            column.times.extend(json.loads(times))
            column.units.extend([unit] * len(found))
            column.steps.extend([step] * len(found))
    return column


def _orphans(
    connection: sqlite3.Connection, shown: str, kind: str, column: Column, positions: list[int]
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
