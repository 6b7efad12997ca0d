"""Reading /proc: what it says, and where it says less."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from testrium.system import COMMAND_LINE_LIMIT, kernel


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with a child, which has a child."""
    script = "sh -c 'sleep 1000 & echo; wait' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        below = kernel.descendants(shell.pid)
        while kernel.command_line(below[-1].pid) != "sleep 1000":
            time.sleep(0.001)  # it was forked, and is about to become that
        yield shell
        for pid in (shell.pid, *(entry.pid for entry in below)):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("listed", [True, False], ids=["children files", "all of /proc"])
def test_descendants(
    family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    monkeypatch.setattr(kernel, "_HAS_CHILDREN_FILES", listed)
    child, grandchild = kernel.descendants(family.pid)
    assert (child.parent, grandchild.parent) == (family.pid, child.pid)
    assert kernel.command_line(grandchild.pid) == "sleep 1000"
    assert kernel.descendants(family.pid, spare={child.pid}) == []
    assert kernel.descendants(family.pid, spare={grandchild.pid}) == [child]


def test_more_children_than_fit_into_a_page() -> None:
    """The kernel gives a list of children a page at a time."""
    code = """
        import os, signal
        for _ in range(1100):
            if os.fork() == 0:
                signal.pause()
        print(flush=True)
        signal.pause()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        found = kernel.descendants(parent.pid)
        os.killpg(parent.pid, signal.SIGKILL)
    assert len(found) == 1100


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert kernel.process_entry(ended.pid) is None
    assert kernel.descendants(ended.pid) == []
    assert kernel.command_line(ended.pid) == ""
    assert not kernel.catches(ended.pid, signal.SIGINT)
    assert not kernel.handling(ended.pid, signal.SIGINT)


def test_long_command_lines_are_cut() -> None:
    command = [sys.executable, "-c", f"print(flush=True); input() #{'x' * 999}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert len(kernel.command_line(other.pid)) == COMMAND_LINE_LIMIT
        other.kill()


def test_handlers_and_pending_signals() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert kernel.catches(os.getpid(), signal.SIGUSR2)
        assert not kernel.handling(os.getpid(), signal.SIGUSR2)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        assert kernel.handling(os.getpid(), signal.SIGUSR2)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR2, before)
    assert not kernel.catches(os.getpid(), signal.SIGUSR2)


def test_ports_of_the_kernel_can_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 32_768 in kernel.ports_of_the_kernel()
    monkeypatch.setattr(kernel, "Path", lambda _: NoFolder())
    assert kernel.ports_of_the_kernel() == frozenset()


class NoFolder:
    """A folder in which no file can be read."""

    def __truediv__(self, name: str) -> NoFolder:
        return self

    def read_text(self, encoding: str) -> str:
        raise FileNotFoundError
