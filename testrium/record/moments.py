"""How a stored run went: states of units, their logs and when these grew. For reports."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from testrium.errors import InfraError
from testrium.evidence import LogPiece, Moments, OutputMark, Sample, StateChange, StoredLog
from testrium.record.database import open_reader
from testrium.regular_files import read_regular

#: Of a log that is longer, this much of its beginning and of its end is read (bytes).
HEAD = 1 << 17
TAIL = 3 << 17

_SAMPLES = (
    "SELECT Unit, Start, TimeNs, CpuS, CpuPercent, Rss, Threads, Fds, Children"
    " FROM Samples ORDER BY TimeNs"
)


def load_moments(database: Path) -> Moments:
    """What is known; a run of an earlier version has less. Raises InfraError."""
    with closing(open_reader(str(database))) as connection:
        try:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            known = {name for (name,) in tables}
            return Moments(
                _states(connection) if "UnitStates" in known else (),
                _outputs(connection),
                tuple(Sample(*row) for row in connection.execute(_SAMPLES)),
            )
        except (sqlite3.Error, ValueError) as error:
            raise InfraError(f"cannot read {database}: {error}") from error


def _states(connection: sqlite3.Connection) -> tuple[StateChange, ...]:
    rows = connection.execute("SELECT Unit, State, TimeNs FROM UnitStates ORDER BY ID")
    return tuple(StateChange(*row) for row in rows)


def _outputs(connection: sqlite3.Connection) -> tuple[OutputMark, ...]:
    row = connection.execute("SELECT Value FROM Meta WHERE Name = 'outputs'").fetchone()
    return () if row is None else tuple(OutputMark(*mark) for mark in json.loads(row[0]))


def load_logs(run_dir: Path, units: Iterable[str]) -> tuple[StoredLog, ...]:
    """What these units wrote; streams that are empty or gone are left out."""
    logs = []
    for unit in units:
        for stream in ("stdout", "stderr"):
            try:
                log = _read_log(run_dir / "units" / unit / f"{stream}.log", unit, stream)
            except OSError:
                continue
            if log.size:
                logs.append(log)
    return tuple(logs)


def _read_log(path: Path, unit: str, stream: str) -> StoredLog:
    with read_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= HEAD + TAIL:
            return StoredLog(unit, stream, size, (LogPiece(0, file.read(size)),))
        head = file.read(HEAD)
        head = head[: head.rfind(b"\n") + 1]
        file.seek(size - TAIL)
        tail = file.read(TAIL)
        begin = tail.find(b"\n") + 1
        return StoredLog(
            unit, stream, size, (LogPiece(0, head), LogPiece(size - TAIL + begin, tail[begin:]))
        )
