"""A runner, a machine or an output that breaks is told, and holds nobody up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import DONE, PROBE

BREAKS = {
    "its store is deleted": """
        import os, time
        def a():
            me = testrium.unit()
            os.remove(os.environ["TESTRIUM_EVENT_DB"])
            me.probe("done")
            time.sleep(60)
        """,
    "its keeper is killed": """
        import os, signal, time
        def a():
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        """,
    "the supervisor is killed": """
        import os, pathlib, signal, time
        def a():
            keeper = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text()
            os.kill(int(keeper.rpartition(")")[2].split()[1]), signal.SIGKILL)
            time.sleep(60)
        """,
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_runner_ends_the_group_as_infra(workplace: Workplace, broken: str) -> None:
    workplace.group(
        {
            "a": 'entrypoint = "test_case:a"\nready_event = "up"',
            "b": 'entrypoint = "test_case:a"\nunit_dependencies = ["a"]',
        },
        BREAKS[broken],
        configs="timeout = 60",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 5
    assert outcome.codes[0] in ("infra group", "infra a")


def test_a_defect_of_the_runner_ends_the_group_as_infra(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:a"'}, "def a(): pass", configs="timeout = 60")
    workplace.write(
        workplace.folder / "broken.py",
        "from testrium.core import main\n"
        "from testrium.run.unit import RunningUnit\n"
        "async def fails(self): raise ValueError('never foreseen')\n"
        "RunningUnit.run_once = fails\n"
        "main()\n",
    )
    done = subprocess.run(
        [sys.executable, "broken.py", "run", "--json", "report.json"],
        cwd=workplace.folder,
        env=workplace.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5
    report = json.loads((workplace.folder / "report.json").read_text())
    [group] = report["groups"]
    assert group["findings"][0]["code"] == "infra"
    assert "ValueError: never foreseen (broken.py:3)" in group["findings"][0]["message"]


def test_a_unit_without_process_that_never_becomes_ready_blocks_no_other(
    workplace: Workplace,
) -> None:
    workplace.group(
        {
            "driver": 'ready_event = "up"\nevents = ["up"]',
            "a": 'entrypoint = "test_case:a"',
        },
        """
        def a():
            testrium.unit().probe("done")
        """,
        configs="timeout = 2",
    )
    outcome = workplace.run()
    assert "missing driver:up" in outcome.codes


def test_a_closed_standard_output_is_ignored(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a")}, DONE)
    shell = f"{sys.executable} -m testrium run --json report.json >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", shell],
        cwd=workplace.folder,
        env=workplace.env,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((workplace.folder / "report.json").read_text())["verdict"] == "pass"


def test_a_full_disk_under_the_output_is_told_in_a_line(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a")}, DONE)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "testrium", "list"],
            cwd=workplace.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_group_without_an_enabled_unit_is_skipped(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a") + "\nenabled = false"}, DONE)
    outcome = workplace.run()
    assert outcome.group["verdict"] == "skip"
    assert outcome.group["reason"] == "all of its units are disabled"
