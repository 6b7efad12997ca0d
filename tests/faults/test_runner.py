"""The runner and its supervisor killed at any instant, and every way to interrupt them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace
    from tests.faults.conftest import Soundness

TALKERS = {
    "server": 'entrypoint = "test_case:serve"\nready_event = "up"',
    "client": 'entrypoint = "test_case:talk"\nunit_dependencies = ["server"]',
}
TALK = """
import os, signal, time

PAUSE_S = 0.0005

def serve():
    me = testrium.unit()
    if os.path.exists("daemon") and os.fork() == 0:
        os.setsid()
        time.sleep(60)
    me.probe("up")
    number = 0
    while True:
        number += 1
        me.receive("heard", key=f"{os.getpid()}-{number}", cause=["x"])
        time.sleep(PAUSE_S)

def talk():
    me = testrium.unit()
    open("talking", "w").close()
    for number in range(10**6):
        me.send("said", key=f"k{number}", size="x" * 50)
        time.sleep(PAUSE_S)
    time.sleep(60)
"""
OPEN = '[verify]\norphans = "allow"'

#: Seconds within which a start, and some of the run, take place.
INSTANTS_S = 0.6


def wait_until(holds: Callable[[], object], limit_s: float = 20) -> None:
    """Wait for what other processes do; only the limit is a time."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.timeout(3600)
def test_a_runner_that_is_killed_at_any_instant_leaves_nothing_and_loses_nothing(
    workplace: Workplace, sound: Soundness, rounds: Callable[[int, int], int]
) -> None:
    group = workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN)
    (group / "daemon").touch()
    instants = random.Random()
    for _ in range(rounds(8, 200)):
        shutil.rmtree(workplace.folder / ".testrium", ignore_errors=True)
        process = workplace.start("run")
        delay_s = instants.uniform(0, INSTANTS_S)
        time.sleep(delay_s)  # the instant, whatever has happened by then
        process.kill()
        process.communicate()
        wait_until(lambda: not workplace.survivors())
        check_what_is_left(workplace, sound, f"killed after {delay_s:.4f} s")


def check_what_is_left(workplace: Workplace, sound: Soundness, when: str) -> None:
    """What a killed runner left can be judged, and then every probe is stored."""
    runs = list((workplace.folder / ".testrium" / "runs").glob("*/group/Data.db"))
    done = workplace.finish(workplace.start("verify"))
    assert "Traceback" not in done.stdout + done.stderr, when
    assert done.exit_code in ((5,) if runs else (3, 5)), when  # 3: there is no run yet
    if runs:
        sound.of_stored()


def test_what_a_killed_runner_had_not_begun_is_never_a_pass(workplace: Workplace) -> None:
    well = "def a():\n    testrium.unit().probe('done')\n"
    workplace.group({"a": 'entrypoint = "test_case:a"'}, well, name="first")
    slow = workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN, name="second")
    process = workplace.start("run", "-j", "1")
    wait_until((slow / "talking").exists)
    process.kill()
    process.communicate()
    wait_until(lambda: not workplace.survivors())
    (run,) = (workplace.folder / ".testrium" / "runs").iterdir()
    for group, said in (
        ("second", "results that it had not started"),
        ("first", "before any group"),
    ):
        shutil.rmtree(run / group)
        outcome = workplace.finish(workplace.start("verify"))
        assert outcome.exit_code == 5
        assert said in outcome.stdout + outcome.stderr


@pytest.mark.timeout(3600)
def test_a_supervisor_that_is_killed_at_any_instant_ends_the_run(
    workplace: Workplace, sound: Soundness, rounds: Callable[[int, int], int]
) -> None:
    workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN)
    report = workplace.folder / "report.json"
    instants = random.Random()
    for _ in range(rounds(3, 50)):
        shutil.rmtree(workplace.folder / ".testrium", ignore_errors=True)
        report.unlink(missing_ok=True)
        process = workplace.start("run", "--json", str(report))
        time.sleep(instants.uniform(0.1, INSTANTS_S))
        kill_supervisor(process.pid)
        sound.of(workplace.finish(process), 5)


def kill_supervisor(runner: int) -> None:
    def found() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(runner).children()
            if "supervisor" in " ".join(child.cmdline())
        ]

    wait_until(found)
    found()[0].kill()


@pytest.mark.parametrize("times", [3, 10])
def test_however_often_it_is_interrupted_it_reports_once(
    workplace: Workplace, sound: Soundness, times: int
) -> None:
    group = workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN)
    report = workplace.folder / "report.json"
    process = workplace.start("run", "--json", str(report))
    wait_until((group / "talking").exists)
    for _ in range(times):
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    sound.of(workplace.finish(process), 130)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_hang_up_stops_everything_and_reports(
    workplace: Workplace, sound: Soundness, number: signal.Signals
) -> None:
    group = workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN)
    report = workplace.folder / "report.json"
    process = workplace.start("run", "--json", str(report))
    wait_until((group / "talking").exists)
    process.send_signal(number)
    sound.of(workplace.finish(process), 143)


def test_a_reader_that_goes_away_does_not_end_the_run(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import time
        def a():
            for _ in range(2000):
                print("x" * 200)
            open("printed", "w").close()
            testrium.unit().probe("done")
        """,
    )
    report = workplace.folder / "report.json"
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "testrium", "-v", "run", "--json", str(report)],
        cwd=workplace.folder,
        env=workplace.env,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    os.close(read)
    _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert process.returncode == 0
    assert json.loads(report.read_text())["verdict"] == "pass"
    assert not workplace.survivors()


def test_a_second_run_finds_its_way_after_a_killed_one(workplace: Workplace) -> None:
    group = workplace.group(TALKERS, TALK, configs="timeout = 50", tables=OPEN)
    process = workplace.start("run")
    wait_until((group / "talking").exists)
    process.kill()
    process.communicate()
    code = (group / "test_case.py").read_text()
    short = code.replace("10**6", "5").replace("sleep(60)", "sleep(0)")
    (group / "test_case.py").write_text(short)
    assert workplace.run().exit_code == 0
