"""Nothing that a unit started outlives it: its keeper finds it and ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from testrium.evidence import Leak
from testrium.run.supervisor.client import Supervisor
from testrium.system import kernel

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder
from tests.run.conftest import DAEMON, Gone, lived, stop


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


def test_children_that_end_in_time_are_not_leaks(folder: UnitFolder) -> None:
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


def test_zombies_are_not_leaks(folder: UnitFolder) -> None:
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
    return sum(os.getsid(entry.pid) == entry.pid for entry in kernel.descendants(keeper))


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
        assert kernel.process_entry(process.keeper) is None or not kernel.descendants(
            process.keeper
        )
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
        assert kernel.process_entry(bystander.pid) is not None
        bystander.stop()
        assert (await bystander.ended).signal == "SIGTERM"

    folder.run(story)
