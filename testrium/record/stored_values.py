"""Values of a stored run that `${...}` of its checks name: ports, fields of probes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from testrium.errors import InfraError
from testrium.record.database import open_reader


def stored_ports(database: Path) -> Mapping[str, Mapping[str, int]]:
    """The ports that the units of a run had; {} where that was not stored. Raises InfraError."""
    rows = _query(database, "SELECT Value FROM Meta WHERE Name = 'ports'", ())
    return json.loads(rows[0][0]) if rows else {}


def probe_metadata(database: Path, unit: str, step: str) -> Mapping[str, Any] | None:
    """The metadata of the first such event of the last attempt; None where there is no event.

    Raises InfraError.
    """
    rows = _query(
        database,
        "SELECT Metadata FROM Events WHERE Unit = ? AND StepCompleted = ? AND coalesce(Attempt, 1)"
        " = coalesce((SELECT CAST(Value AS INTEGER) FROM Meta WHERE Name = 'attempt'), 1)"
        " ORDER BY ID LIMIT 1",
        (unit, step),
    )
    return None if not rows else json.loads(rows[0][0] or "{}")


def _query(database: Path, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with closing(open_reader(str(database))) as connection:
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise InfraError(f"cannot read {database}: {error}") from error
