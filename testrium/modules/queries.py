"""What the classic API reads from a Data.db, as its dictionaries."""

from __future__ import annotations

import gc
import json
import sqlite3
from typing import Any

from testrium.verify.correlation import Column, Pairing, pair

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
    where = f"EventType = ? AND EventKey <> '' AND {shown}"
    found = _pair(connection, where)
    return {
        "paired": found.paired,
        "orphan_sends": _at(connection, where, "Send", found.orphan_sends),
        "orphan_receives": _at(connection, where, "Receive", found.orphan_receives),
        "duplicate_keys": found.duplicates,
        "average_latency": found.average_latency_s or 0.0,
    }


def _pair(connection: sqlite3.Connection, where: str) -> Pairing:
    # Hundreds of thousands of lists and dictionaries are made, and none of them is garbage.
    collecting = gc.isenabled()
    gc.disable()
    try:
        sends, one_clock = _column(connection, where, "Send", "TimeNs")
        receives, also = _column(connection, where, "Receive", "TimeNs")
        if not (one_clock and also):  # then the wall clock has to do
            sends, _ = _column(connection, where, "Send", _WALL_NS)
            receives, _ = _column(connection, where, "Receive", _WALL_NS)
        return pair(sends, receives)
    finally:
        if collecting:
            gc.enable()


def _column(
    connection: sqlite3.Connection, where: str, kind: str, time: str
) -> tuple[Column, bool]:
    """The events of one type, and whether `TimeNs` of all is of the clock of the first event."""
    # As JSON, because a million cells fetched one by one take twice as long.
    *texts, others = connection.execute(
        "SELECT json_group_array(EventKey), json_group_array("  # noqa: S608 - constants of ours
        f"{time}), json_group_array(Unit), json_group_array(StepCompleted),"
        " total(TimeNs IS NULL OR Domain IS NOT (SELECT Domain FROM Events LIMIT 1))"
        f" FROM (SELECT * FROM Events WHERE {where} ORDER BY ID)",
        (kind,),
    ).fetchone()
    return Column(*map(json.loads, texts)), not others


def _at(
    connection: sqlite3.Connection, where: str, kind: str, positions: list[int]
) -> list[dict[str, Any]]:
    """The events at these positions of a column."""
    if not positions:
        return []
    rows = connection.execute(f"{_SELECT} FROM Events WHERE {where} ORDER BY ID", (kind,))
    wanted = set(positions)
    found = {position: row for position, row in enumerate(rows) if position in wanted}
    return [_event(found[position]) for position in positions]


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
