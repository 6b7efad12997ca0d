"""A hostile machine and hostile names: clocks, load, many units, other runs, tricks in names."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace
    from tests.faults.conftest import Soundness

PAIR = {
    "target": 'entrypoint = "test_case:target"\nready_event = "up"',
    "source": 'entrypoint = "test_case:source"\nunit_dependencies = ["target"]',
}
TALK = """
import time

def target():
    me = testrium.unit()
    me.probe("up")
    for number in range(20):
        me.wait_for("source:sent", key=f"k{number}", timeout=20)
        me.receive("received", key=f"k{number}")

def source():
    me = testrium.unit()
    for number in range(20):
        me.send("sent", key=f"k{number}")
        me.wait_for("target:received", key=f"k{number}", timeout=20)
"""
CIRCUIT = '[[circuits]]\nname = "c"\nroute = ["source:sent", "target:received"]\nkeys = "20"'

#: Steps the wall clock of the runner by an hour, and back, several times a second.
STEPPING = """
import time
real, real_ns = time.time, time.time_ns

def offset():
    return 3600 if int(time.monotonic() * 20) % 2 else -3600

time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
from testrium.cli.start import start
raise SystemExit(start())
"""


def test_a_wall_clock_that_is_stepped_changes_no_verdict(
    workplace: Workplace, sound: Soundness
) -> None:
    workplace.group(PAIR, TALK, tables=CIRCUIT)
    report = workplace.folder / "report.json"
    program = [sys.executable, "-c", STEPPING]
    outcome = workplace.finish(workplace.start("run", "--json", str(report), program=program))
    sound.of(outcome, 0)
    assert 0 <= outcome.report["duration_s"] < 600
    assert 0 <= outcome.group["circuits"][0]["p50_ms"] < 600_000


@pytest.fixture
def burners() -> Iterator[None]:
    """Programs that use every core, at the priority of everybody."""
    code = "while True: pass"
    count = 2 * (os.cpu_count() or 1)
    running = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(count)]
    yield
    for each in running:
        each.kill()
        each.wait()


@pytest.mark.usefixtures("burners")
def test_a_busy_machine_makes_nothing_fail(workplace: Workplace, sound: Soundness) -> None:
    for number in range(3):
        workplace.group(PAIR, TALK, tables=CIRCUIT, name=f"group-{number}")
    sound.of(workplace.run("-j", "3"), 0)


def test_two_runs_in_one_folder_do_not_disturb_each_other(
    workplace: Workplace, sound: Soundness
) -> None:
    workplace.group(PAIR, TALK, tables=CIRCUIT)
    runs = [
        workplace.start("run", "--json", str(workplace.folder / f"{number}.json"))
        for number in range(3)
    ]
    for process in runs:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr
    assert not workplace.survivors()
    assert len(list((workplace.folder / ".testrium" / "runs").iterdir())) == 3
    sound.of_stored()


@pytest.mark.soak
def test_five_thousand_units_can_be_declared(workplace: Workplace) -> None:
    units = {"unit-0": 'command = ["true"]'}
    off = 'command = ["true"]\nenabled = false\nports = ["p"]\nevents = ["e"]'
    units |= {f"unit-{number}": off for number in range(1, 5000)}
    workplace.group(units, configs="timeout = 20")
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0


def test_five_thousand_units_in_a_chain_are_checked(workplace: Workplace) -> None:
    units = {"unit-0": 'command = ["true"]'}
    units |= {
        f"unit-{number}": f'command = ["true"]\nunit_dependencies = ["unit-{number - 1}"]'
        for number in range(1, 5000)
    }
    workplace.group(units)
    outcome = workplace.finish(workplace.start("check"))
    assert (outcome.exit_code, outcome.stderr) == (0, "")


NAMES = [
    "a b",
    "-x",
    "$(touch pwned)",
    "x..",
    "new\nline",
    "[m]",
    "*",
    "a;b",
    "q'u",
    "\u202ex",
    "~",
]


def test_folders_may_be_called_anything(workplace: Workplace, sound: Soundness) -> None:
    for name in NAMES:
        workplace.group(
            {"a": 'entrypoint = "test_case:a"'},
            'def a():\n    testrium.unit().probe("done")\n',
            name=name,
        )
    outcome = workplace.run()
    sound.of(outcome, 0)
    runs = workplace.folder / ".testrium" / "runs"
    folders = [Path(group["run_dir"]) for group in outcome.report["groups"]]
    assert len(set(folders)) == len(NAMES)
    assert all(folder.is_relative_to(runs) and ".." not in folder.parts for folder in folders)
    assert not list(workplace.folder.rglob("pwned"))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("../evil", "[Configs]\nunits = ['../evil']"),
        ("..", "[Configs]\nunits = ['..']"),
        ("a/b", "[Configs]\nunits = ['a/b']"),
        ("/etc/passwd", "[Configs]\nunits = ['/etc/passwd']"),
        ("x" * 65, f"[Configs]\nunits = ['{'x' * 65}']"),
        ("", "[Configs]\nunits = ['']"),
    ],
)
def test_names_of_units_cannot_lead_elsewhere(workplace: Workplace, name: str, table: str) -> None:
    workplace.write(workplace.folder / "group" / "config.toml", table)
    workplace.write(workplace.folder / "group" / "units" / "a.toml", "[a]\ninit = 0")
    outcome = workplace.run()
    assert outcome.exit_code == 3
    assert "must be a name" in outcome.stderr
    assert not (workplace.folder / ".testrium").exists()


def test_what_a_unit_calls_itself_cannot_lead_elsewhere(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        textwrap.dedent(
            """
            import os
            def a():
                for name in ("../evil", "/etc/x", ".", "a b"):
                    try:
                        testrium.unit(name)
                    except ValueError:
                        continue
                    raise AssertionError(name)
                with open(os.environ["TESTRIUM_PROBES"], "a") as file:
                    file.write('{"step": "x", "unit": "../evil"}\\n')
                testrium.unit().probe("done")
            """
        ),
    )
    outcome = workplace.run()
    assert outcome.codes == ["gap a"]
    assert outcome.exit_code == 4
