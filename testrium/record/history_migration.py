"""From an older version of the history's tables to the present one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping

from testrium.measures import DURATION


def from_1(database: sqlite3.Connection) -> None:
    """Version 1 had percentiles as JSON in the results, and no other figures."""
    rows = database.execute(
        "SELECT id, duration_s, percentiles FROM results WHERE verdict <> 'skip'"
    ).fetchall()
    database.executemany(
        "INSERT OR IGNORE INTO measures VALUES (?, ?, ?, ?, ?, 'smaller', 1, NULL, NULL)",
        [measure for row in rows for measure in _measures(*row)],
    )
    database.execute("ALTER TABLE results DROP COLUMN percentiles")
    database.execute("ALTER TABLE results ADD COLUMN machine TEXT")


def _measures(
    result: int, duration_s: float, percentiles: str
) -> Iterator[tuple[int, str, float, str, str]]:
    yield result, DURATION, duration_s, "s", "group"
    for circuit, values in json.loads(percentiles).items():
        for name, value_ms in values.items():
            if value_ms is not None:
                measure = f"{circuit}.{name.removesuffix('_ms')}"
                yield result, measure, value_ms, "ms", "circuit"


#: Version -> what makes the next one of it, once all new tables are there.
STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: from_1}
