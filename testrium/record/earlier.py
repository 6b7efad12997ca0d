"""The keys of earlier kept runs: what makes a key of this run a stale one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from testrium.record.runs import list_runs


def earlier_keys(run_folder: Path, database: Path) -> frozenset[str]:
    """All keys that the same group had in kept runs before this one.

    `run_folder` is `<state>/runs/<run>`, `database` the group's store in it. Stores that are
    missing or cannot be read are passed over: they only make the answer poorer.
    """
    import sqlite3

    keys: set[str] = set()
    state_folder = run_folder.parent.parent
    inside = database.relative_to(run_folder)
    for run in list_runs(state_folder):
        if run == run_folder:
            break
        store = run / inside
        if not store.exists():
            continue
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection,
        ):
            rows = connection.execute(
                "SELECT DISTINCT EventKey FROM Events WHERE EventKey IS NOT NULL"
            )
            keys.update(key for (key,) in rows)
    return frozenset(keys)
