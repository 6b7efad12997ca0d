"""A history that is damaged, foreign, locked, old, or written by several at once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testrium.errors import InfraError
from testrium.history import database
from testrium.history.database import FILE, VERSION, History, append_run
from testrium.results import Measure
from testrium.words import Verdict
from tests.record.conftest import checkout_result, stored_run


def set_aside(state_folder: Path, label: str) -> Path:
    (aside,) = (
        p for p in state_folder.glob(f"{FILE}.{label}-*") if p.suffix not in ("-wal", "-shm")
    )
    return aside


def test_a_file_that_is_not_a_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("this is not a database, " * 100)
    notices = append_run(tmp_path, stored_run("r1"))

    assert len(notices) == 1
    assert "set aside" in notices[0]
    assert set_aside(tmp_path, "damaged").read_text().startswith("this is not")
    with History(tmp_path) as opened:
        assert [one.run for one in opened.list_runs()] == ["r1"]
        assert opened.notices == ()


def test_a_new_file_waits_for_no_disk(tmp_path: Path) -> None:
    off, normal = 0, 1  # https://sqlite.org/pragma.html#pragma_synchronous
    for expected in (off, normal):
        opened = database.connect(tmp_path / FILE)
        assert opened.execute("PRAGMA synchronous").fetchone()[0] == expected
        opened.close()


def test_damage_that_shows_while_appending_is_set_aside(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        for number in range(200):
            opened.append(stored_run(f"r{number}"))
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)  # all but the page that says what it is
    (tmp_path / FILE).write_bytes(data)
    notices = append_run(tmp_path, stored_run("new"))

    assert len(notices) == 1
    assert "damaged" in notices[0]
    with History(tmp_path) as opened:
        assert [one.run for one in opened.list_runs()] == ["new"]


def test_of_two_runs_that_meet_damage_one_sets_it_aside(tmp_path: Path) -> None:
    append_run(tmp_path, stored_run("r1"))
    with History(tmp_path) as late:
        late._database.close()
        late._begin_anew()  # it met damage that is mended by now

        assert late.notices == ()
        assert [one.run for one in late.list_runs()] == ["r1"]


def test_a_newer_history_is_set_aside_whole(tmp_path: Path) -> None:
    append_run(tmp_path, stored_run("r1"))
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    (notice,) = append_run(tmp_path, stored_run("r2"))

    assert f"it has version {VERSION + 1}, this Testrium knows {VERSION}" in notice
    aside = sqlite3.connect(set_aside(tmp_path, f"version-{VERSION + 1}"))
    assert aside.execute("SELECT run FROM runs").fetchall() == [("r1",)]
    aside.close()


def test_another_program_s_database_is_set_aside(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE runs (mine)")
    other.commit()
    other.close()
    (notice,) = append_run(tmp_path, stored_run("r1"))

    assert "it is not a history" in notice
    assert set_aside(tmp_path, "foreign").exists()


def test_an_empty_file_becomes_a_history(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()

    assert append_run(tmp_path, stored_run("r1")) == ()


def test_a_history_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (notice,) = append_run(tmp_path / "file", stored_run("r1"))

    assert notice.endswith("this run is not in it")
    with pytest.raises(InfraError, match="cannot be used"):
        History(tmp_path / "file")


def test_a_locked_history_is_a_notice_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.01)
    append_run(tmp_path, stored_run("r1"))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    (notice,) = append_run(tmp_path, stored_run("r2"))
    other.execute("ROLLBACK")
    other.close()

    assert "locked" in notice
    with History(tmp_path) as opened:
        assert [one.run for one in opened.list_runs()] == ["r1"]


def test_a_failed_append_leaves_nothing_behind(tmp_path: Path) -> None:
    append_run(tmp_path, stored_run("r1"))
    (notice,) = append_run(tmp_path, stored_run("r1", checkout_result(), checkout_result("second")))

    assert "UNIQUE" in notice
    with History(tmp_path) as opened:
        assert len(opened.results(run="r1")) == 1


# Several at once ---------------------------------------------------------------------------------


_WRITER = """
import sys
from pathlib import Path
from testrium.errors import ExitCode
from testrium.declared.groups import Group, Scenario
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict
from testrium.history.database import append_run

state, name, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
group = GroupResult(Scenario("g", Group("g", Path("g"), ()), ()), Verdict.PASS)
print("ready", flush=True)
sys.stdin.readline()
for index in range(number):
    result = RunResult(f"{name}-{index}", Verdict.PASS, ExitCode.SUCCESS, 1.0, (group, group))
    for notice in append_run(state, result):
        print(notice, flush=True)
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """From the very first: they make the same new database too."""
    number = 25
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), name, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(database.__file__).parents[2])},
        )
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    notices = [writer.communicate(timeout=60)[0] for writer in writers]

    assert notices == ["", "", ""]
    with History(tmp_path) as opened:
        runs = opened.list_runs(1000)
        assert len(runs) == 3 * number
        assert all(one.verdicts == {Verdict.PASS: 2} for one in runs)


def test_ten_thousand_results_are_listed_quickly(tmp_path: Path) -> None:
    groups = tuple(checkout_result(f"g{number}") for number in range(100))
    with History(tmp_path) as opened:
        for number in range(100):
            opened.append(stored_run(f"r{number:03}", *groups, started=number))
        started = time.process_time()
        assert len(opened.list_runs(100)) == 100
        assert len(opened.results(group="g7")) == 100
        assert len(opened.durations()) == 100
        assert time.process_time() - started < 0.5


# Older versions ----------------------------------------------------------------------------------


VERSION_1 = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, started REAL NOT NULL, duration_s REAL NOT NULL, verdict TEXT NOT NULL,
    exit_code INTEGER NOT NULL, revision TEXT, dirty INTEGER, command_line TEXT NOT NULL
) STRICT;
CREATE TABLE results (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    group_id TEXT NOT NULL, folder TEXT NOT NULL, mode TEXT NOT NULL, params TEXT NOT NULL,
    repeat INTEGER NOT NULL, verdict TEXT NOT NULL, duration_s REAL NOT NULL, root_code TEXT,
    root_where TEXT, average_latency_s REAL, percentiles TEXT NOT NULL
) STRICT;
CREATE INDEX results_of_group ON results (group_id, id);
CREATE INDEX results_of_run ON results (run);
CREATE INDEX runs_by_time ON runs (started);
INSERT INTO runs VALUES ('r1', 1000.0, 2.5, 'pass', 0, 'c0ffee', 0, 'testrium run');
INSERT INTO results VALUES
    (1, 'r1', 'g', 'g', 'DEBUG', '{}', 0, 'pass', 1.5, NULL, NULL, NULL,
     '{"command": {"p50_ms": 2.5, "p95_ms": null, "p99_ms": null, "max_ms": 4.0}}'),
    (2, 'r1', 'h', 'h', 'DEBUG', '{}', 0, 'skip', 0.0, NULL, NULL, NULL, '{}');
PRAGMA application_id = 0x54737448;
PRAGMA user_version = 1;
"""


def old_history(state_folder: Path) -> None:
    database = sqlite3.connect(state_folder / FILE)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(VERSION_1)
    database.close()


def shape(state_folder: Path) -> list[tuple[str, str, str]]:
    """All tables and indexes with their columns."""
    database = sqlite3.connect(state_folder / FILE)
    found = database.execute(
        "SELECT m.type, m.name, group_concat(c.name) FROM sqlite_schema AS m"
        " JOIN pragma_table_xinfo(m.name) AS c GROUP BY m.name ORDER BY m.name"
    ).fetchall()
    database.close()
    return found


def test_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    old_history(tmp_path)
    with History(tmp_path) as opened:
        skipped, result = opened.results()
        assert opened.notices == ()
        opened.append(stored_run("r2"))
        assert [one.run for one in opened.list_runs()] == ["r2", "r1"]
    assert skipped.measures == {}
    assert list(result.measures.values()) == [
        Measure("command.max", 4.0, "ms", "circuit"),
        Measure("command.p50", 2.5, "ms", "circuit"),
        Measure("duration", 1.5, "s", "group"),
    ]
    assert (result.machine, result.tags, result.tries) == (None, (), 1)
    new = tmp_path / "new"
    append_run(new, stored_run("r1"))
    assert shape(tmp_path) == shape(new)


def test_two_that_meet_version_1_do_it_once(tmp_path: Path) -> None:
    old_history(tmp_path)
    code = (
        "import sys; from pathlib import Path; from testrium.history.database import History\n"
        "with History(Path(sys.argv[1])) as h: print(len(h.results()), *h.notices)"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [child.communicate()[0] for child in children] == ["2\n"] * 4


def test_a_link_that_was_put_in_its_place_makes_no_file(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    state = tmp_path / "state"
    state.mkdir()
    (state / FILE).symlink_to(target)
    with History(state) as history:
        assert "set aside" in history.notices[0]
    assert not target.exists()
    assert not (state / FILE).is_symlink()
