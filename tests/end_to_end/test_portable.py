"""Whole runs on the way of macOS and Windows, as far as Linux can go it."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

CORPUS = Path(__file__).resolve().parents[1] / "corpus"

#: Round trip and services; a loss, a deadlock, a grandchild and a daemon that are left, a crash.
CASES = (
    "H01_round_trip",
    "H12_services_are_stopped",
    "F01_lost_message",
    "F24_late_segfault",
    "F26_deadlock",
    "F28_orphan_grandchild",
    "F29_daemon",
)


@pytest.fixture(autouse=True)
def portable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTRIUM_START_METHOD", "spawn")


@pytest.mark.parametrize("name", CASES)
def test_case_gets_its_verdict(name: str, testrium: str, judge: Any) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(CORPUS / "cases" / name, options)
    assert not outcome.problems, f"got {outcome.got} {outcome.problems}"


def test_it_is_the_other_way(workplace: Workplace) -> None:
    code = """
    import os
    def a():
        testrium.unit().probe("way", mark=os.environ["TESTRIUM_MARK"],
                              wire=os.environ["TESTRIUM_SOCKET"])
    def b():
        testrium.unit().wait_for("a:way", timeout=5)
        testrium.unit().probe("heard")
    def test_a_case():
        pass
    """
    workplace.group({"a": 'entrypoint = "test_case:a"', "b": 'entrypoint = "test_case:b"'}, code)
    outcome = workplace.run()
    assert outcome.codes == []
    assert [test["name"] for test in outcome.group["tests"]] == ["test_a_case"]
    [probe] = Path(outcome.group["run_dir"], "units", "a").glob("probes-*.jsonl")
    meta = json.loads(probe.read_text())["meta"]
    assert meta["mark"].partition(".")[2] == "1"
    assert meta["wire"].startswith("tcp:")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_runner_that_is_ended_leaves_nothing(
    workplace: Workplace, number: int, code: int
) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"', "b": 'command = ["sh", "-c", "sleep 1000 & wait"]'},
        """
        import pathlib, subprocess, time
        def a():
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            pathlib.Path("running").touch()
            time.sleep(1000)
        """,
    )
    running = workplace.folder / "group" / "running"
    runner = workplace.start("run")
    wait_until(running.exists)
    runner.send_signal(number)
    runner.wait()
    wait_until(lambda: not workplace.survivors())
    assert workplace.finish(runner).exit_code == code


def wait_until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    """Wait for what other processes do; only the limit is a time."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
