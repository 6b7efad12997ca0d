"""A keeper stops its unit, and tells its stacks."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.run.supervisor import keeper
from testrium.run.supervisor.client import Exit, Launch, SupervisedProcess, Supervisor
from testrium.system import kernel

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder
from tests.run.conftest import DAEMON, WAIT, Gone, lived, stop


def test_a_stopped_unit(folder: UnitFolder) -> None:
    end, leaks = lived(folder, folder.launch(WAIT), stop)
    assert (end.exit_code, end.signal, end.stopped, end.overdue) == (None, "SIGTERM", True, False)
    assert leaks == ()


def test_a_process_that_is_stopped_before_it_is_the_unit_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "_SILENCE_S", 0.02)
    ours, theirs = socket.socketpair()
    wire = theirs.fileno()
    with ours, subprocess.Popen(["sh", "-c", "kill -STOP $$"], pass_fds=(wire,)) as reserve:
        theirs.close()
        try:
            assert keeper._received(ours) == b""
        finally:
            reserve.kill()


def test_a_unit_may_end_well_when_it_is_stopped(folder: UnitFolder) -> None:
    code = """
        import signal, sys
        def main():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            print("ready")
            signal.pause()
    """
    end, _ = lived(folder, folder.launch(code), stop)
    assert (end.exit_code, end.stopped) == (0, True)


def test_who_ignores_the_signal_is_killed_after_the_grace(folder: UnitFolder) -> None:
    code = "import signal\nsignal.signal(15, signal.SIG_IGN)\n" + WAIT
    begun = time.monotonic()
    end, _ = lived(folder, folder.launch(code, grace_s=0.1), stop)
    assert (end.signal, end.stopped) == ("SIGKILL", True)
    assert time.monotonic() - begun >= 0.1


def test_another_signal_and_another_grace(folder: UnitFolder) -> None:
    async def story(process: SupervisedProcess) -> None:
        process.stop("USR1", 60)

    end, _ = lived(folder, folder.launch(WAIT), story)
    assert end.signal == "SIGUSR1"


def test_a_unit_may_have_a_deadline_in_a_year(folder: UnitFolder) -> None:
    launch = folder.launch(WAIT, deadline_ns=time.monotonic_ns() + 365 * 86400 * 10**9)
    end, _ = lived(folder, launch, stop)
    assert (end.signal, end.stopped, end.overdue) == ("SIGTERM", True, False)


def test_a_stopped_process_gets_the_signal_too(folder: UnitFolder) -> None:
    code = "import os\ndef main():\n    print('ready')\n    os.kill(os.getpid(), 19)"
    end, _ = lived(folder, folder.launch(code, grace_s=60), stop)
    assert end.signal == "SIGTERM"


def test_the_whole_session_is_signalled_once(folder: UnitFolder) -> None:
    """Children of the unit too, and jobs with process groups of their own."""
    code = """
        import os, signal
        def main():
            count = lambda *_: os.write(1, f"{name} got it\\n".encode())
            name = "unit"
            if os.fork() == 0:
                name = "child"
                if os.fork() == 0:
                    name = "job"
                    os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, count)
            print("ready")
            while True: signal.pause()
    """
    launch = folder.launch(code, grace_s=60)

    async def story(supervisor: Supervisor) -> list[str]:
        process = await supervisor.spawn(launch)
        await folder.wait_lines(3)
        process.stop()
        await folder.wait_lines(6)
        process.stop(grace_s=0)
        assert (await process.ended).signal == "SIGKILL"
        assert await process.cleared == ()
        return folder.lines()

    lines = folder.run(story)
    assert sorted(lines[:3]) == ["ready"] * 3
    assert sorted(lines[3:6]) == ["child got it", "job got it", "unit got it"]


def test_who_ended_before_was_not_stopped(folder: UnitFolder) -> None:
    launch = folder.launch(command=["true"])

    async def story(supervisor: Supervisor) -> Exit:
        process = await supervisor.spawn(launch)
        wait_for_end(process.pid)
        process.stop()
        return await process.ended

    end = folder.run(story)
    assert (end.exit_code, end.stopped) == (0, False)


def wait_for_end(pid: int) -> None:
    """Block, with the runner's loop, until the process runs no more."""
    while (entry := kernel.process_entry(pid)) is not None and entry.alive:
        time.sleep(0.001)


def test_kill_ends_everything_and_reports_no_leak(folder: UnitFolder, gone: Gone) -> None:
    async def story(process: SupervisedProcess) -> None:
        process.kill()

    launch = folder.launch(DAEMON, entrypoint="part:stay")
    end, leaks = lived(folder, launch, story)
    assert (end.signal, end.stopped, leaks) == ("SIGKILL", True, ())
    gone([int(folder.text("source.out"))])


# Time ------------------------------------------------------------------------------------------


def test_a_unit_that_is_overdue(folder: UnitFolder) -> None:
    launch = folder.launch(WAIT, deadline_ns=time.monotonic_ns() + 300_000_000)
    end, _ = lived(folder, launch)
    assert (end.signal, end.stopped, end.overdue) == ("SIGTERM", True, True)
    assert launch.deadline_ns is not None
    assert end.t_ns >= launch.deadline_ns


# Stacks ----------------------------------------------------------------------------------------


def test_stacks_are_told_even_in_a_deadlock(folder: UnitFolder) -> None:
    code = """
        import threading
        lock = threading.Lock()
        def waiter():
            lock.acquire()
        def main():
            lock.acquire()
            threading.Thread(target=waiter).start()
            print("ready")
            lock.acquire()
    """
    launch = folder.launch(code)

    async def story(process: SupervisedProcess) -> None:
        process.stop(stacks=True)
        await process.ended
        text = folder.text("source.stacks")
        assert "line 5 in waiter" in text
        assert "line 10 in main" in text
        assert "testrium" not in text

    lived(folder, launch, story)


def test_a_unit_that_is_woken_by_the_question_for_its_stacks_is_stopped(
    folder: UnitFolder, gone: Callable[[list[int]], None]
) -> None:
    """signal.pause() returns, the unit ends, and its child would be left behind."""
    code = """
        import signal, subprocess
        def main():
            print(subprocess.Popen(["sleep", "60"]).pid)
            signal.pause()
    """

    async def story(process: SupervisedProcess) -> None:
        process.stop(stacks=True)

    end, leaks = lived(folder, folder.launch(code), story)
    assert end.stopped
    assert leaks == ()
    gone([int(folder.text("source.out"))])
    assert "in main" in folder.text("source.stacks")


@pytest.mark.parametrize(
    "launched",
    [
        lambda folder: folder.launch(command=["sh", "-c", "echo ready; exec sleep 60"]),
        lambda folder: folder.launch(
            "import os\n"
            "def main():\n"
            "    print('ready', flush=True)\n"
            "    os.execlp('sleep', 'sleep', '60')\n"
        ),
    ],
    ids=["a command", "a Python unit that became a command"],
)
def test_what_knows_no_stacks_is_left_alone(
    folder: UnitFolder, launched: Callable[[UnitFolder], Launch]
) -> None:
    async def story(process: SupervisedProcess) -> None:
        program = Path(f"/proc/{process.pid}/comm")
        # Before its exec a signal would be Python's, and lost with it.
        await folder.until(lambda: program.read_text() == "sleep\n")
        process.stop("INT", stacks=True)

    assert lived(folder, launched(folder), story)[0].signal == "SIGINT"


def test_no_stacks_of_a_process_that_has_ended(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> None:
        process = await supervisor.spawn(folder.launch(command=["true"]))
        await process.cleared
        process.stop(stacks=True)

    folder.run(story)
