"""`testrium watch`, `testrium up` and `run --hold`: for a person who looks on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testrium.cli.watching import touched
from testrium.declared.groups import Group
from tests.conftest import Workplace

SERVICE = (
    'command = ["sh", "-c", "echo listening; exec sleep 60"]\nstop = "runner"\nports = ["http"]\n'
)
SENDER = """
    def a():
        testrium.unit().probe("sent", key="k1")
"""


@pytest.mark.parametrize(
    ("changed", "failed", "run"),
    [
        (["one/units/a.toml"], [], ["one"]),
        (["one/test_case.py", "two/deep/x.txt"], [], ["one", "two"]),
        (["one/test_case.py", "two/config.toml"], ["two"], ["two", "one"]),
        (["fixtures/db.py"], ["three"], ["three", "one", "two"]),
        (["two/inner/test_case.py"], [], ["two"]),
    ],
)
def test_a_change_touches_the_groups_around_it(
    changed: list[str], failed: list[str], run: list[str]
) -> None:
    base = Path("/project")
    groups = [Group(name, base / name, ()) for name in ("one", "two", "three")]
    folders = touched({base / path for path in changed}, groups, failed)
    assert [folder.name for folder in folders] == run


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What a command prints, up to the line with this text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"ended without {text!r}: {lines}")


@pytest.fixture
def attended(workplace: Workplace) -> Workplace:
    """A workplace that is no build server."""
    workplace.env["CI"] = ""
    return workplace


@contextmanager
def start(workplace: Workplace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command, which does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "testrium", *arguments],
        cwd=workplace.folder,
        env=workplace.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    giving_up = threading.Timer(30, process.kill)
    giving_up.start()
    try:
        with process:
            yield process
    finally:
        giving_up.cancel()
        process.kill()


@pytest.mark.soak
def test_watching_runs_what_has_changed(attended: Workplace) -> None:
    folder = attended.group({"a": 'entrypoint = "test_case:a"'}, SENDER, name="one")
    attended.group({"a": 'entrypoint = "test_case:a"'}, SENDER, name="two")
    with start(attended, "watch") as process:
        assert "2 passed" in read_until(process, "watching for changes")
        (folder / "test_case.py").write_text("def a():\n    raise RuntimeError('now')\n")
        second = read_until(process, "watching for changes")
        assert "changed: test_case.py" in second
        assert "1 failed" in second
        assert "two" not in second
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
    assert attended.survivors() == []


@pytest.mark.soak
def test_a_group_is_up_until_it_is_interrupted(attended: Workplace) -> None:
    attended.group({"a": SERVICE, "b": 'entrypoint = "test_case:a"'}, SENDER, name="shop")
    with start(attended, "up", "shop") as process:
        shown = read_until(process, "  b  ")
        assert "shop is up; Ctrl-C stops it" in shown
        assert "a  running  pid " in shown
        assert "http 127.0.0.1:" in shown
        process.send_signal(signal.SIGINT)
        assert "1 passed" in read_until(process, "1 passed")
        assert process.wait(20) == 0
    assert attended.survivors() == []


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ('"b:sent", "a:got"', "lost at a:got"),
        pytest.param('"a:got"', "vacuous at c", marks=pytest.mark.soak),
    ],
)
def test_after_a_failure_units_are_held(attended: Workplace, route: str, found: str) -> None:
    tables = f'[verify]\nlinger = 0\n[[circuits]]\nname = "c"\nroute = [{route}]\n'
    units = {"a": SERVICE, "b": 'entrypoint = "test_case:a"'}
    attended.group(units, SENDER, name="shop", tables=tables)
    with start(attended, "run", "--hold", "--plain") as process:
        shown = read_until(process, "  b  ")
        assert "shop has failed; its units stay alive until Enter" in shown
        assert "a  running  pid " in shown
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert found in read_until(process, "1 failed")
        assert process.wait(20) == 1
    assert attended.survivors() == []


@pytest.mark.parametrize("command", [("watch",), ("up", "shop"), ("run", "--hold")])
def test_build_servers_are_refused(workplace: Workplace, command: tuple[str, ...]) -> None:
    workplace.group({"a": 'entrypoint = "test_case:a"'}, SENDER, name="shop")
    workplace.env["CI"] = "true"
    outcome = workplace.finish(workplace.start(*command))
    assert outcome.exit_code == 3
    assert "waits for a person, and CI=true is set" in outcome.stderr
