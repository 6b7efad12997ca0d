"""The keys of earlier kept runs: what makes a key of this run a stale one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from testrium.record.runs import list_runs

#: The name of the folder of a repeat: that of the first one, and its number.
_REPEAT = re.compile(r"(.*)\+([0-9]+)")


def earlier_keys(run_folder: Path, database: Path) -> frozenset[str]:
    """All keys that the same group, in the same mode, had before: in kept runs and earlier repeats.

    `run_folder` is `<state>/runs/<run>`, `database` the group's store in it. Stores that are
    missing or cannot be read are passed over: they only make the answer poorer.
    """
    import sqlite3

    keys: set[str] = set()
    for store in _earlier_stores(run_folder, database):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection,
        ):
            rows = connection.execute(
                "SELECT DISTINCT EventKey FROM Events WHERE EventKey IS NOT NULL"
            )
            keys.update(key for (key,) in rows)
    return frozenset(keys)


def _earlier_stores(run_folder: Path, database: Path) -> Iterator[Path]:
    own_name, own_number = _first_and_number(database.parent.name)
    around = database.parent.parent.relative_to(run_folder)
    for run in list_runs(run_folder.parent.parent):
        for store in sorted((run / around).glob(f"*/{database.name}")):
            name, number = _first_and_number(store.parent.name)
            if name == own_name and (run != run_folder or number < own_number):
                yield store
        if run == run_folder:
            break


def _first_and_number(name: str) -> tuple[str, int]:
    match = _REPEAT.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 0)
