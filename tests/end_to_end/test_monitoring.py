"""`[[monitor]]`: processes that no unit has started, in the store and the charts of the run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

#: Tells that it runs; then it stays until its input ends.
STAY = "import sys; print(flush=True); sys.stdin.read() # {mark}"

#: Long enough to be looked at, however busy the machine is.
LIVE = 'command = ["sleep", "1"]'


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """A process that is not of the run: its pid, and a word of its command line."""
    mark = f"monitored-{os.getpid()}-{request.node.name}"
    # What stands behind the mark is what a pattern can come to no end with.
    command = [sys.executable, "-c", STAY.format(mark=mark), mark, "a" * 60]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid, mark
        process.communicate()


def samples(outcome: Outcome) -> list[tuple[str, int, int]]:
    database = Path(outcome.group["run_dir"], "Data.db")
    with closing(sqlite3.connect(database)) as opened:
        return list(opened.execute("SELECT Unit, Rss, Children FROM Samples ORDER BY rowid"))


def test_by_pid(workplace: Workplace, other: tuple[int, str]) -> None:
    tables = f'[[monitor]]\nname = "server"\npid = {other[0]}'
    workplace.group({"a": LIVE}, tables=tables)
    outcome = workplace.run("--html", "report.html")
    assert outcome.codes == []
    rows = [row for row in samples(outcome) if row[0] == "server"]
    assert rows
    assert all(rss > 1_000_000 and children == 0 for _, rss, children in rows)
    assert "server" in (workplace.folder / "report.html").read_text()


def test_by_a_pattern(workplace: Workplace, other: tuple[int, str]) -> None:
    tables = f'[[monitor]]\nname = "server"\nprocess = "# {other[1]}"'
    workplace.group({"a": LIVE}, tables=tables)
    outcome = workplace.run()
    assert outcome.exit_code == 0
    assert "server" in {row[0] for row in samples(outcome)}


def test_a_pattern_without_end_is_given_up(workplace: Workplace, other: tuple[int, str]) -> None:
    """The run goes on without it, and says so; another monitor is not touched."""
    endless = f"{other[1]} (a+)+b"
    tables = f"""
    [[monitor]]
    name = "server"
    pid = {other[0]}
    [[monitor]]
    name = "endless"
    process = '{endless}'
    """
    workplace.group({"a": LIVE}, tables=tables)
    outcome = workplace.run()
    assert outcome.exit_code == 0
    told = outcome.stdout + outcome.stderr
    assert f"group: monitor endless: its pattern {endless!r} took more than 1 s" in told
    assert "server" in {row[0] for row in samples(outcome)}


def test_what_was_never_seen_is_told(workplace: Workplace) -> None:
    """The runner itself is none of the processes, though the word is on its command line too."""
    tables = '[[monitor]]\nname = "server"\nprocess = "testrium-no-such-process"'
    workplace.group({"a": LIVE}, tables=tables)
    outcome = workplace.run("--grep", "testrium-no-such-process|")
    assert outcome.exit_code == 0
    told = outcome.stdout + outcome.stderr
    assert "group: monitor server: no such process was seen" in told
    assert {row[0] for row in samples(outcome)} <= {"a"}
