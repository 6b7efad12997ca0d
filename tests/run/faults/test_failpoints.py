"""A unit that a planned fault kills or pauses, as its keeper tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.run.supervisor.client import SupervisedProcess

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder
from tests.run.conftest import WAIT, Gone, lived


def test_a_crash_from_outside_is_not_a_stop(folder: UnitFolder) -> None:
    async def crash(process: SupervisedProcess) -> None:
        assert await process.signal("KILL")

    end, leaks = lived(folder, folder.launch(WAIT), crash)
    assert (end.signal, end.stopped, end.overdue) == ("SIGKILL", False, False)
    assert leaks == ()


def test_a_crash_takes_the_children_of_the_session_along(folder: UnitFolder, gone: Gone) -> None:
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    children: list[int] = []

    async def crash(process: SupervisedProcess) -> None:
        children.extend(map(int, folder.lines()))
        assert await process.signal("KILL")

    _, leaks = lived(folder, folder.launch(command=command), crash)
    assert leaks == ()
    gone(children)


def test_a_paused_unit_continues_after_its_time(folder: UnitFolder) -> None:
    code = """
        import time
        def main():
            print("ready")
            last = time.monotonic()
            while (now := time.monotonic()) - last < 0.2:  # nothing but a stop takes so long
                last = now
    """

    async def pause(process: SupervisedProcess) -> None:
        assert await process.pause(300_000_000)

    end, _ = lived(folder, folder.launch(code), pause)
    assert (end.exit_code, end.stopped) == (0, False)


@pytest.mark.parametrize("command", [None, ["sh", "-c", "echo ready; sleep 1000"]])
def test_a_paused_unit_can_be_stopped(folder: UnitFolder, command: list[str] | None) -> None:
    async def pause_and_stop(process: SupervisedProcess) -> None:
        assert await process.pause(None)
        process.stop()

    launch = folder.launch(command=command) if command else folder.launch(WAIT)
    end, _ = lived(folder, launch, pause_and_stop)
    assert (end.signal, end.stopped) == ("SIGTERM", True)


def test_what_has_ended_cannot_be_struck(folder: UnitFolder) -> None:
    async def strike(process: SupervisedProcess) -> None:
        await process.ended
        assert not await process.signal("KILL")
        assert not await process.pause(None)

    end, _ = lived(folder, folder.launch("def main():\n    print('x')"), strike)
    assert end.exit_code == 0
