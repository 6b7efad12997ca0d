"""The command in [ai]: real programs, that answer, fail, talk too much or never end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.judging.advice import MOST_BYTES, Adviser
from testrium.results import GroupResult
from testrium.words import Verdict

RESULT = GroupResult(Scenario("shop", Group("shop", Path("/shop"), ()), ()), Verdict.FAIL)


def ask(folder: Path, code: str, limit_s: float = 60, *, interrupt: bool = False) -> list[str]:
    """The answer, and the notices."""
    told: list[str] = []

    async def asking() -> str:
        interrupted = asyncio.Event()
        if interrupt:
            interrupted.set()
        adviser = Adviser((sys.executable, "-S", "-c", code), folder, limit_s)
        return await adviser.ask(RESULT, interrupted, told.append)

    return [asyncio.run(asking()), *told]


def test_it_gets_the_report_and_its_answer_is_kept(tmp_path: Path) -> None:
    code = (
        "import json, os, sys\n"
        "group = json.load(sys.stdin)\n"
        "print(group['id'], group['verdict'], os.getcwd())"
    )
    assert ask(tmp_path, code) == [f"shop fail {tmp_path}"]


def test_a_long_answer_is_cut(tmp_path: Path) -> None:
    (answer,) = ask(tmp_path, "print('x' * 1_000_000)")
    assert answer == "x" * MOST_BYTES


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print(1)\nraise SystemExit('no key')", "it ended with 1: no key"),
        ("import os\nos.kill(os.getpid(), 9)", "it ended with -9"),
        ("print()", "it printed nothing"),
    ],
)
def test_one_that_fails_costs_a_notice(tmp_path: Path, code: str, reason: str) -> None:
    assert ask(tmp_path, code) == ["", f"shop: [ai] {sys.executable} gave no answer: {reason}"]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    told: list[str] = []
    adviser = Adviser(("./explain",), tmp_path)
    assert asyncio.run(adviser.ask(RESULT, asyncio.Event(), told.append)) == ""
    assert told == ["shop: [ai] ./explain gave no answer: no such program"]


WAITS = """
import os, time
child = os.fork()
if child:
    with open("pids", "w") as file:
        file.write(f"{os.getpid()} {child}")
    os.rename("pids", "known")
while True:
    time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    for limit_s in (1, 30):  # on a busy machine a second is not enough to begin
        answer, notice = ask(tmp_path, WAITS, limit_s)
        assert (answer, notice.rpartition(": ")[2]) == ("", f"it was not done after {limit_s} s")
        if (tmp_path / "known").exists():
            break
    pids = [int(pid) for pid in (tmp_path / "known").read_text().split()]
    limit = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < limit:
        os.sched_yield()
    assert not any(map(is_alive, pids))


def test_an_interrupted_run_does_not_wait_for_it(tmp_path: Path) -> None:
    answer, notice = ask(tmp_path, WAITS, limit_s=3600, interrupt=True)
    assert (answer, notice.rpartition(": ")[2]) == ("", "the run was interrupted")
