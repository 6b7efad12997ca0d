"""Code that may take its process down, or keep it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from testrium.judging.workers import LostError, call_isolated


def test_what_comes_back() -> None:
    assert call_isolated(partial(max, 3, 7), 60) == 7
    assert call_isolated(os.getpid, 60) != os.getpid()


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (partial(signal.raise_signal, signal.SIGSEGV), "its process ended with SIGSEGV"),
        (partial(os._exit, 3), "its process ended with exit code 3"),
        (partial(os._exit, 0), "its process ended with exit code 0"),
    ],
)
def test_one_that_ends_its_process(work: partial[None], reason: str) -> None:
    with pytest.raises(LostError, match=reason):
        call_isolated(work, 60)


def test_one_that_never_returns() -> None:
    began = time.monotonic()
    with pytest.raises(LostError, match=r"took longer than 0\.2 s"):
        call_isolated(partial(time.sleep, 600), 0.2)
    assert time.monotonic() - began < 300


def signal_keeper(number: int) -> None:
    os.kill(os.getppid(), number)
    time.sleep(600)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent is a keeper only there")
@pytest.mark.parametrize(
    ("number", "limit_s", "reason"),
    [(signal.SIGKILL, 60, "ended with SIGKILL"), (signal.SIGSTOP, 0.2, "took longer")],
)
def test_one_that_attacks_its_keeper(number: int, limit_s: float, reason: str) -> None:
    with pytest.raises(LostError, match=reason):
        call_isolated(partial(signal_keeper, number), limit_s)


def leave(path: str) -> int:
    """Start a process that outlives this one, in a session of its own."""
    left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path(path).write_text(str(left.pid))
    return left.pid


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/stat").exists()


def test_what_it_leaves_behind_is_told_and_ended(tmp_path: Path) -> None:
    told: list[str] = []
    pid = call_isolated(partial(leave, str(tmp_path / "pid")), 60, told.append)
    assert told == [f"pid {pid}: sleep 1000"]
    assert is_gone(pid)


def leave_and_wait(path: str) -> None:
    leave(path)
    time.sleep(600)


def test_all_of_it_ends_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(LostError, match="took longer"):
        call_isolated(partial(leave_and_wait, str(tmp_path / "pid")), 2)
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_all_of_it_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    code = (
        "from functools import partial\n"
        "from testrium.judging.workers import call_isolated\n"
        "from tests.judging.test_workers import leave_and_wait\n"
        f"call_isolated(partial(leave_and_wait, {str(tmp_path / 'pid')!r}), 60)"
    )
    waiting = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.005)
    waiting.kill()
    waiting.wait()
    pid = int((tmp_path / "pid").read_text())
    while not is_gone(pid):
        assert time.monotonic() < end
        time.sleep(0.005)
