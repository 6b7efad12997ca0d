"""What checks look at, as it lies on disk: lines of files, ports, fields of probes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from testrium.errors import InfraError, TestriumError
from testrium.record.database import open_reader

#: What must be held in memory as a whole (JSON, two sides of a comparison) may be so large (bytes).
MOST_AT_ONCE = 64_000_000


class UnreadableError(TestriumError):
    """A file that a check looks at is no file, too large, or cannot be read."""


class FileLines:
    """The lines of a file, without their ends, read anew each time; bytes that are no UTF-8 stay
    visible as `\\xff`. Nothing is held in memory: logs may be large."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        try:
            with self._path.open("rb") as file:
                for line in file:
                    yield line.rstrip(b"\r\n").decode(errors="backslashreplace")
        except OSError as error:
            raise UnreadableError(f"{self._path} cannot be read: {error.strerror}") from error


def is_there(path: Path) -> bool:
    """Whether there is a file that can be read line by line: no folder, pipe or device.

    Raises UnreadableError where there is something else.
    """
    try:
        if not path.exists():
            return False
        if path.is_file():
            return True
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from error
    raise UnreadableError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}")


def whole_text(path: Path) -> str:
    """The text of a file that is not too large. Raises UnreadableError."""
    try:
        size = path.stat().st_size
        if size > MOST_AT_ONCE:
            raise UnreadableError(
                f"{path} has {size / 1e6:.0f} MB: more than {MOST_AT_ONCE / 1e6:.0f} MB"
                " are not compared"
            )
        return path.read_bytes().decode("utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error


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
