"""A keeper stops its unit, and nothing that the unit started outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.model import Leak
from testrium.run import linux
from testrium.run.supervision import Exit, Launch, Process, Supervisor

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder

Gone = Callable[[list[int]], None]

#: Says "ready" on stdout and waits for a signal.
WAIT = "import signal\ndef main():\n    print('ready')\n    while True: signal.pause()"

#: Leaves a process that has cut every tie: forked twice, its own session, no environment.
DAEMON = """
    import os, signal, sys
    def daemon():
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                os.write(writer, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "1000"], {})
            os._exit(0)
        pid = os.read(reader, 20).decode()
        os.wait()
        print(pid)
    def main():
        daemon()
    def stay():
        daemon()
        signal.pause()
"""


def lived(
    folder: UnitFolder, launch: Launch, story: Callable[[Process], Awaitable[None]] | None = None
) -> tuple[Exit, tuple[Leak, ...]]:
    """Start it, wait for its first line, go through the story; how it ended and what it left."""

    async def told(supervisor: Supervisor) -> tuple[Exit, tuple[Leak, ...]]:
        process = await supervisor.spawn(launch)
        if story is not None:
            await folder.wait_lines()
            await story(process)
        return await process.ended, await process.cleared

    return folder.run(told)


async def stop(process: Process) -> None:
    process.stop()


# Stopping --------------------------------------------------------------------------------------


def test_a_stopped_unit(folder: UnitFolder) -> None:
    end, leaks = lived(folder, folder.launch(WAIT), stop)
    assert (end.exit_code, end.signal, end.stopped, end.overdue) == (None, "SIGTERM", True, False)
    assert leaks == ()


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
    async def story(process: Process) -> None:
        process.stop("USR1", 60)

    end, _ = lived(folder, folder.launch(WAIT), story)
    assert end.signal == "SIGUSR1"


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
    while (entry := linux.process_entry(pid)) is not None and entry.alive:
        time.sleep(0.001)


def test_kill_takes_everything_and_blames_nobody(folder: UnitFolder, gone: Gone) -> None:
    async def story(process: Process) -> None:
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

    async def story(process: Process) -> None:
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

    async def story(process: Process) -> None:
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
    async def story(process: Process) -> None:
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


# What is left ----------------------------------------------------------------------------------


def test_a_daemon_is_found_and_ended(folder: UnitFolder, gone: Gone) -> None:
    end, leaks = lived(folder, folder.launch(DAEMON))
    pid = int(folder.text("source.out"))
    assert end.exit_code == 0
    assert leaks == (Leak(pid, "sleep 1000"),)
    gone([pid])


def test_a_forked_python_process_is_named_after_its_unit(folder: UnitFolder) -> None:
    code = "import os, signal\ndef main():\n    if os.fork() == 0: signal.pause()"
    _, [leak] = lived(folder, folder.launch(code))
    assert leak.command_line == "source: part:main"


def test_children_that_end_in_time_are_no_leak(folder: UnitFolder) -> None:
    code = """
        import os
        def main():
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.close(writer)
                os.read(reader, 1)       # until its parent is gone
                os._exit(0)
    """
    end, leaks = lived(folder, folder.launch(code))
    assert (end.exit_code, leaks) == (0, ())


def test_ordinary_children_go_with_a_stopped_unit(folder: UnitFolder) -> None:
    launch = folder.launch(command=["sh", "-c", "sleep 1000 & echo ready; wait"])
    end, leaks = lived(folder, launch, stop)
    assert (end.signal, leaks) == ("SIGTERM", ())


def test_zombies_are_no_leaks(folder: UnitFolder) -> None:
    code = "import os\ndef main():\n    if os.fork() == 0: os._exit(0)"
    assert lived(folder, folder.launch(code))[1] == ()


def test_a_chain_of_forks_is_caught(folder: UnitFolder) -> None:
    """Each process lives only until it has made the next."""
    code = """
        import os
        def main():
            print("ready")
            while True:
                if os.fork() != 0:
                    os._exit(0)
    """
    launch = folder.launch(code)
    end, leaks = lived(folder, launch)
    assert end.exit_code == 0
    assert {leak.command_line for leak in leaks} <= {"source: part:main", "[source: part:ma]", ""}


def leaders(keeper: int) -> int:
    """How many processes below a keeper lead a session."""
    return sum(os.getsid(entry.pid) == entry.pid for entry in linux.descendants(keeper))


def test_a_fork_bomb_is_caught(folder: UnitFolder) -> None:
    code = """
        import os, resource, signal
        def main():
            for _ in range(6):
                os.fork()
            os.setsid() if os.getpid() != os.getsid(0) else None
            signal.pause()
    """
    launch = folder.launch(code, grace_s=0.0)

    async def story(supervisor: Supervisor) -> int:
        process = await supervisor.spawn(launch)
        # All have left the session, or the signal to it would take some of them along.
        await folder.until(lambda: leaders(process.keeper) == 64)
        process.stop("KILL")
        await process.ended
        leaks = await process.cleared
        assert linux.process_entry(process.keeper) is None or not linux.descendants(process.keeper)
        return len(leaks)

    assert folder.run(story) == 63


def test_the_unit_dies_with_its_keeper(folder: UnitFolder, gone: Gone) -> None:
    """And with it what it has started; the keepers of the others go on."""
    ours = folder.launch(DAEMON, entrypoint="part:stay")
    other = folder.launch(command=["sh", "-c", "echo ready; sleep 60"], unit="other")

    async def story(supervisor: Supervisor) -> None:
        process, bystander = await asyncio.gather(supervisor.spawn(ours), supervisor.spawn(other))
        await folder.wait_lines(1, "other.out")
        [daemon] = map(int, await folder.wait_lines())
        os.kill(process.keeper, signal.SIGKILL)
        end = await process.ended
        assert end.infra == "the keeper of unit source was killed by SIGKILL"
        assert (end.exit_code, end.signal) == (None, None)
        assert await process.cleared == ()
        gone([process.pid, daemon])
        assert linux.process_entry(bystander.pid) is not None
        bystander.stop()
        assert (await bystander.ended).signal == "SIGTERM"

    folder.run(story)


# Faults ----------------------------------------------------------------------------------------


def test_a_crash_from_outside_is_nobodys_stop(folder: UnitFolder) -> None:
    async def crash(process: Process) -> None:
        assert await process.crash()

    end, leaks = lived(folder, folder.launch(WAIT), crash)
    assert (end.signal, end.stopped, end.overdue) == ("SIGKILL", False, False)
    assert leaks == ()


def test_a_crash_takes_the_children_of_the_session_along(folder: UnitFolder, gone: Gone) -> None:
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    children: list[int] = []

    async def crash(process: Process) -> None:
        children.extend(map(int, folder.lines()))
        assert await process.crash()

    _, leaks = lived(folder, folder.launch(command=command), crash)
    assert leaks == ()
    gone(children)


def test_a_paused_unit_goes_on_after_its_time(folder: UnitFolder) -> None:
    code = """
        import time
        def main():
            print("ready")
            last = time.monotonic()
            while (now := time.monotonic()) - last < 0.2:  # nothing but a stop takes so long
                last = now
    """

    async def pause(process: Process) -> None:
        assert await process.pause(300_000_000)

    end, _ = lived(folder, folder.launch(code), pause)
    assert (end.exit_code, end.stopped) == (0, False)


@pytest.mark.parametrize("command", [None, ["sh", "-c", "echo ready; sleep 1000"]])
def test_a_paused_unit_can_be_stopped(folder: UnitFolder, command: list[str] | None) -> None:
    async def pause_and_stop(process: Process) -> None:
        assert await process.pause(None)
        process.stop()

    launch = folder.launch(command=command) if command else folder.launch(WAIT)
    end, _ = lived(folder, launch, pause_and_stop)
    assert (end.signal, end.stopped) == ("SIGTERM", True)


def test_what_has_ended_cannot_be_struck(folder: UnitFolder) -> None:
    async def strike(process: Process) -> None:
        await process.ended
        assert not await process.crash()
        assert not await process.pause(None)

    end, _ = lived(folder, folder.launch("def main():\n    print('x')"), strike)
    assert end.exit_code == 0
