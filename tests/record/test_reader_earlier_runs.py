from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from testrium.evidence import EarlierRun
from testrium.record.reader import earlier_runs

SENT = ("a", "sent", "Send")


def store(state: Path, run: str, group: str, *keys: str | None, cause: str | None = None) -> Path:
    database = state / "runs" / run / group / "Data.db"
    database.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE Events (Unit, StepCompleted, EventType, EventKey, Cause)")
        connection.executemany(
            "INSERT INTO Events VALUES (?, ?, ?, ?, ?)", [(*SENT, key, cause) for key in keys]
        )
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

    found = list(earlier_runs(tmp_path / "runs" / "20261121-000002-b", own))
    assert [run.keys for run in found] == [
        {SENT: frozenset({key})} for key in ("first", "repeat of the first", "zero", "one")
    ]


def test_earlier_tries_count_and_a_try_has_what_the_first_one_has(tmp_path: Path) -> None:
    store(tmp_path, "20261121-000001-a", "g", "before")
    store(tmp_path, "20261121-000002-b", "g", "first")
    store(tmp_path, "20261121-000002-b", "g~try2", "second")
    own = store(tmp_path, "20261121-000002-b", "g~try3", "own")
    store(tmp_path, "20261121-000002-b", "g+1", "repeat")
    store(tmp_path, "20261121-000002-b", "g+1~try2", "of the repeat")
    keys = [next(iter(run.keys[SENT])) for run in earlier_runs(own.parents[1], own)]
    assert keys == ["before", "first", "second"]
    own = own.parents[1] / "g+1~try2" / "Data.db"
    keys = [next(iter(run.keys[SENT])) for run in earlier_runs(own.parents[1], own)]
    assert keys == ["before", "first", "repeat", "second", "own"]


def test_a_store_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    store(tmp_path, "20261121-000001-a", "g", "good", cause='["before"]')
    store(tmp_path, "20261121-000001-b", "g", "bad", cause="[")
    broken = tmp_path / "runs" / "20261121-000000-a" / "g" / "Data.db"
    broken.parent.mkdir(parents=True)
    broken.write_text("no database" * 100)
    own = store(tmp_path, "20261121-000002-b", "g", "own")
    assert list(earlier_runs(own.parents[1], own)) == [
        EarlierRun({SENT: frozenset({"good"})}, (("good", "before"),))
    ]
