"""What is interrupted or killed ends, and loses nothing."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import wait_for_file


def probes_of(run_dir: str, unit: str) -> list[str]:
    files = sorted(Path(run_dir, "units", unit).glob("probes-*.jsonl"))
    return [json.loads(line)["step"] for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_everything_and_reports(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import time
        def a():
            testrium.unit().probe("started")
            open("started", "w").close()
            time.sleep(60)
        """,
        configs="timeout = 60",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    process = workplace.start("run", "--json", str(workplace.folder / "report.json"))
    wait_for_file(group / "started")
    process.send_signal(number)
    outcome = workplace.finish(process, limit_s=20)
    assert outcome.exit_code == outcome.report["exit_code"] == code
    assert outcome.group["verdict"] == "error"
    assert (group / "cleaned").exists()


def test_a_second_interrupt_does_not_wait_for_the_grace(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"\ngrace = 60'},
        """
        import signal
        def a():
            signal.signal(signal.SIGTERM, lambda *_: open("asked", "w").close())
            testrium.unit().probe("started")
            open("started", "w").close()
            while True:
                signal.pause()
        """,
        configs="timeout = 120",
    )
    process = workplace.start("run")
    wait_for_file(group / "started")
    process.send_signal(signal.SIGINT)
    wait_for_file(group / "asked")
    process.send_signal(signal.SIGINT)
    assert workplace.finish(process, limit_s=30).exit_code == 130


def test_a_runner_that_is_killed_leaves_nothing(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import os, time
        def a():
            testrium.unit().probe("started")
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execve("/bin/sleep", ["sleep", "64.25"], {})
                os._exit(0)
            open("started", "w").close()
            time.sleep(60)
        """,
    )
    process = workplace.start("run")
    wait_for_file(group / "started")
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while workplace.survivors() or sleepers("64.25"):
        assert time.monotonic() < end, "something survived its runner"
        time.sleep(0.01)


def sleepers(seconds: str) -> list[int]:
    command = ["sleep", seconds]
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == command]


def test_a_probe_that_returned_survives_the_unit(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"\nexit = [0]\nin-except = "Resume"\nevents = ["last"]'},
        """
        import os, signal
        def a():
            me = testrium.unit()
            for number in range(500):
                me.probe("counted", number=number)
            me.probe("last")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash a"]
    assert len(probes_of(outcome.group["run_dir"], "a")) == 501
    assert outcome.group["required"]["missing"] == []


def test_a_large_run_is_judged_in_a_process_of_its_own(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"\nevents = ["last", "never"]'},
        """
        def a():
            me = testrium.unit()
            for number in range(20_000):
                me.probe("counted", number=number)
            me.probe("last")
        """,
        configs="timeout = 20",
        tables='[verify]\nlinger = "100ms"',
    )
    assert workplace.run().codes == ["missing a:never"]
