"""What psutil tells of processes, against what they and the kernel say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testrium.system import COMMAND_LINE_LIMIT, kernel, processes
from testrium.system.platform import system


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while processes.command_line(process.pid) != "sleep 1000" or not _is_asleep(process.pid):
            time.sleep(0.001)  # it is about to become that, and to load its libraries
        yield process
        process.kill()


def _is_asleep(pid: int) -> bool:
    figures = processes.figures(pid)
    return figures is not None and figures.state == "sleeping"


def test_figures_are_what_a_process_says_of_itself() -> None:
    own = processes.figures(os.getpid())
    assert own is not None
    assert own.alive
    assert own.parent == os.getppid()
    times = os.times()
    assert own.cpu_s == pytest.approx(times.user + times.system, abs=0.1)
    assert own.waited_cpu_s == pytest.approx(times.children_user + times.children_system, abs=0.1)
    assert own.rss > 10_000_000


def test_a_name_cannot_confuse_the_reader() -> None:
    """A process may call itself `) Z 1 1`."""
    code = "open('/proc/self/comm', 'w').write(') Z 1 1'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told, listed = processes.figures(other.pid), kernel.process_entry(other.pid)
        other.kill()
    assert told is not None
    assert listed is not None
    assert (told.alive, told.parent) == (listed.alive, listed.parent) == (True, os.getpid())


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        zombie = processes.figures(ended.pid)
    assert zombie is not None
    assert not zombie.alive


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert processes.figures(ended.pid) is None
    assert processes.tree(ended.pid) == []
    assert processes.command_line(ended.pid) == ""
    assert processes.environment(ended.pid) == {}
    assert processes.outputs(ended.pid) == ()
    assert processes.open_files(ended.pid) == 0
    assert processes.kill_if(ended.pid, lambda: True)


def test_what_a_process_has(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.open_files(sleeper.pid) == 3
    assert processes.environment(sleeper.pid)["PATH"] == os.environ["PATH"]
    assert sleeper.pid in processes.pids()
    assert sleeper.pid in processes.tree(os.getpid())
    assert sleeper.pid in system.unit_pids(sleeper.pid, os.getpid())
    assert {os.getpid(), os.getppid()} <= processes.this_and_above()


def test_where_the_output_of_a_process_goes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(["sleep", "1000"], stdout=file) as other:
        assert str(log) in processes.outputs(other.pid)
        other.kill()


def test_long_command_lines_are_cut() -> None:
    command = [sys.executable, "-c", f"print(flush=True); input() #{'x' * 999}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert len(processes.command_line(other.pid)) == COMMAND_LINE_LIMIT
        other.kill()


def test_a_process_is_killed_if_it_is_still_the_one_that_was_meant(
    sleeper: subprocess.Popen[bytes],
) -> None:
    assert processes.kill_if(sleeper.pid, lambda: False)
    assert sleeper.poll() is None
    assert processes.kill_if(sleeper.pid, lambda: True)
    assert sleeper.wait() == -signal.SIGKILL
