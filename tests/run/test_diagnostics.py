"""What is kept of a failing group before its processes are stopped."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from testrium.evidence import UnitState, Use
from testrium.run.diagnostics import Diagnostics
from testrium.run.folder import RunFolder
from testrium.run.supervisor.client import SupervisedProcess, Supervisor
from testrium.system.kernel import command_line, descendants, process_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.run.conftest import UnitFolder

LOCKED = """
    import subprocess, threading
    lock = threading.Lock()
    def hold():
        with lock:
            subprocess.Popen(["sleep", "60"])
            print("ready \\x1b[2J")
            lock.acquire()
    def main():
        hold()
"""


@dataclass
class Actor:
    """A unit as diagnostics see it."""

    name: str = "source"
    state: UnitState = UnitState.RUNNING
    process: SupervisedProcess | None = None
    use: Use = Use()  # noqa: RUF009 - frozen
    encoding: str = "utf-8"


def told(
    folder: UnitFolder,
    story: Callable[[Diagnostics, Actor], Awaitable[None]],
    *,
    enabled: bool = True,
) -> str:
    """Run the story with a unit that is in a deadlock; returns what was kept once it is stopped."""
    run = RunFolder(folder.path / "run")
    run.create(("source",))
    actor = Actor(use=Use(cpu_s=0.25, max_rss=12_300_000))
    launch = folder.launch(LOCKED, stdout=run.stdout("source"), stacks=run.stacks("source"))

    async def live(supervisor: Supervisor) -> None:
        kept = Diagnostics(run, folder.path, enabled=enabled)
        kept.add(actor)
        actor.process = await supervisor.spawn(launch)
        await folder.until(lambda: b"\n" in run.stdout("source").read_bytes())
        await story(kept, actor)
        process, actor.process = actor.process, None
        process.stop(stacks=kept.wanted)
        await process.cleared
        kept.write()

    folder.run(live)
    return run.diagnostics.read_text() if run.diagnostics.is_file() else ""


async def hangs(kept: Diagnostics, _: Actor) -> None:
    kept.note("source hangs")


@pytest.mark.unmeasured
def test_everything_is_in_one_readable_file(folder: UnitFolder) -> None:
    _, reason, _, *lines = told(folder, hangs).splitlines()
    assert reason.endswith(" s: source hangs")
    assert lines[0] == "source  running  (CPU 0.25 s, memory at most 12.3 MB)"
    assert "    main thread at part.py:8 in hold: lock.acquire(), called at part.py:10" in lines
    unit, child = (line for line in lines if "(parent " in line)
    assert unit.endswith("source: part:main")
    assert "sleep" in child
    assert child.startswith("      "), "below its parent"
    assert "    ready \\x1b[2J" in lines, "no terminal obeys what a unit wrote"


def test_other_users_cannot_read_it(folder: UnitFolder) -> None:
    told(folder, hangs)
    assert (folder.path / "run" / "diagnostics.txt").stat().st_mode & 0o777 == 0o600


def test_a_unit_that_is_gone_is_shown_as_it_was_seen_last(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, actor: Actor) -> None:
        assert actor.process is not None
        keeper = actor.process.keeper
        await folder.until(lambda: any("sleep" in command_line(e.pid) for e in descendants(keeper)))
        kept.look()
        actor.process.kill()
        await actor.process.cleared
        kept.note("source was stopped")

    assert "sleep" in told(folder, story)


def test_all_reasons_are_told(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        kept.note("one")
        kept.note("two")

    lines = told(folder, story).splitlines()
    assert [line.partition(" s: ")[2] for line in lines[1:3]] == ["one", "two"]


def test_where_nothing_is_wrong_nothing_is_kept(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        kept.look()
        assert not kept.wanted

    assert told(folder, story) == ""
    assert (folder.path / "run" / "units" / "source" / "stacks.txt").read_text() == ""


def test_nothing_is_kept_where_it_is_switched_off(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        kept.note("source hangs")
        assert not kept.wanted
        assert kept.threads("source") == ()

    assert told(folder, story, enabled=False) == ""


def test_a_folder_that_cannot_be_written_fails_nothing(folder: UnitFolder) -> None:
    (folder.path / "run" / "diagnostics.txt").mkdir(parents=True)
    assert told(folder, hangs) == ""


@pytest.mark.unmeasured
def test_a_stopped_unit_is_shown_as_stopped(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, actor: Actor) -> None:
        assert actor.process is not None
        pid = actor.process.pid
        os.kill(pid, signal.SIGSTOP)
        await folder.until(lambda: (entry := process_entry(pid)) is not None and entry.state == "T")
        kept.note("source hangs")

    assert ", stopped)" in told(folder, story)
