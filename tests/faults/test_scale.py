"""Groups of many units: the runner's work grows with their number, not with its square.

Work is counted, in calls of the functions that run and record: a clock would measure the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

COUNTING = """
import os
import sys

calls = 0

def count(frame, event, arg):
    global calls
    if event == "call":
        file = frame.f_code.co_filename
        calls += "/testrium/run/" in file or "/testrium/record/" in file

def end(code):
    sys.setprofile(None)
    open("calls", "w").write(str(calls))
    leave(code)

leave, os._exit = os._exit, end
sys.setprofile(count)
from testrium.cli.start import start
start()
"""


def without_processes(number: int, count: int) -> str:
    """A tree below the first unit, which all need, and a last one that needs all."""
    if number == 0:
        return ""
    needed = {0, number // 2} if number < count - 1 else set(range(number))
    return f"unit_dependencies = {[f'u{other}' for other in sorted(needed)]}"


def short_processes(number: int, count: int) -> str:
    needed = f'unit_dependencies = ["u{(number - 1) // 2}"]\n' if number else ""
    return f'{needed}command = ["true"]\nstop = "self"'


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        (without_processes, (60, 120, 240)),
        pytest.param(short_processes, (20, 40, 80), marks=pytest.mark.soak),
    ],
)
def test_twice_the_units_are_twice_the_work(
    workplace: Workplace, keys: Callable[[int, int], str], sizes: tuple[int, int, int]
) -> None:
    calls = [counted(workplace, keys, size) for size in sizes]
    # What is added by n units to n, and by 2 n to 2 n; by a square it would be four times as much.
    assert calls[2] - calls[1] < 2.4 * (calls[1] - calls[0]), calls


def counted(workplace: Workplace, keys: Callable[[int, int], str], size: int) -> int:
    """The calls that the runner makes in a group of so many units."""
    units = {f"u{number}": keys(number, size) for number in range(size)}
    workplace.group(units, configs="timeout = 100\ngen-metrics = false", name=f"group-{size}")
    report = workplace.folder / "report.json"
    program = [sys.executable, "-c", COUNTING]
    process = workplace.start("run", f"group-{size}", "--json", str(report), program=program)
    outcome = workplace.finish(process, limit_s=100)
    assert outcome.exit_code == 0, outcome.stdout + outcome.stderr
    return int(Path(workplace.folder, "calls").read_text())


@pytest.mark.soak
def test_the_deadline_holds_while_many_are_started(workplace: Workplace) -> None:
    """One that lives on, and many more than can be started in the time."""
    units = {"a": 'command = ["sleep", "60"]\nstop = "self"'}
    units |= {f"u{number}": 'command = ["true"]' for number in range(1500)}
    workplace.group(units, configs="timeout = 2")
    outcome = workplace.run()
    assert outcome.exit_code == 1
    assert outcome.codes[0] == "hang a"
    states = [unit["state"] for unit in outcome.group["units"]]
    # The machine may be slow or fast, but no machine starts 1 500 processes in 2 s.
    assert states.count("created") > 0
    assert {finding["code"] for finding in outcome.group["findings"]} == {"hang", "notrun"}
    not_run = [one for one in outcome.group["findings"] if one["code"] == "notrun"]
    assert {finding["explained_by"] for finding in not_run} == {"hang a"}
