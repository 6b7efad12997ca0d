from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from testrium.record.reader import earlier_keys


def store(state: Path, run: str, group: str, *keys: str | None) -> Path:
    database = state / "runs" / run / group / "Data.db"
    database.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE Events (EventKey TEXT)")
        connection.executemany("INSERT INTO Events VALUES (?)", [(key,) for key in keys])
    return database


@pytest.mark.parametrize("group", ["hello", "shop/cart[size=1,url=http-x]@INFO"])
def test_keys_of_earlier_runs_and_repeats_count(tmp_path: Path, group: str) -> None:
    store(tmp_path, "20261121-000001-a", group, "first", None)
    store(tmp_path, "20261121-000001-a", f"{group}+7", "repeat of the first")
    store(tmp_path, "20261121-000001-a", f"{group}-other", "of another group")
    store(tmp_path, "20261121-000002-b", group, "zero")
    store(tmp_path, "20261121-000002-b", f"{group}+1", "one")
    own = store(tmp_path, "20261121-000002-b", f"{group}+2", "own")
    store(tmp_path, "20261121-000002-b", f"{group}+3", "three")
    store(tmp_path, "20261121-000003-c", group, "later")

    assert earlier_keys(tmp_path / "runs" / "20261121-000002-b", own) == {
        "first",
        "repeat of the first",
        "zero",
        "one",
    }


def test_a_store_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    store(tmp_path, "20261121-000001-a", "g", "good")
    broken = tmp_path / "runs" / "20261121-000000-a" / "g" / "Data.db"
    broken.parent.mkdir(parents=True)
    broken.write_text("no database" * 100)
    own = store(tmp_path, "20261121-000002-b", "g", "own")
    assert earlier_keys(own.parents[1], own) == {"good"}
