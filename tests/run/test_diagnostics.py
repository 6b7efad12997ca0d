"""What is kept of a failing group before its processes are stopped."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.model import UnitState, Use
from testrium.run import diagnostics
from testrium.run.diagnostics import Diagnostics
from testrium.run.folder import RunFolder
from testrium.run.supervision import Process, Supervisor

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
    process: Process | None = None
    use: Use = Use()  # noqa: RUF009 - frozen


def told(
    folder: UnitFolder,
    story: Callable[[Diagnostics, Actor], Awaitable[None]],
    *,
    enabled: bool = True,
) -> str:
    """Run the story with a unit that is in a deadlock; returns what was kept."""
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

    folder.run(live)
    return run.diagnostics.read_text() if run.diagnostics.exists() else ""


def test_everything_is_in_one_readable_file(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        await kept.collect("source", "source hangs")
        (thread,) = kept.threads("source")
        assert thread == "main thread at part.py:8 in hold: lock.acquire(), called at part.py:10"

    text = told(folder, story)
    head, *lines = text.splitlines()
    assert head.endswith("after the start: source hangs")
    assert "source  running  (CPU 0.25 s, memory at most 12.3 MB)" in lines
    assert "    main thread at part.py:8 in hold: lock.acquire(), called at part.py:10" in lines
    unit, child = (line for line in lines if "(parent " in line)
    assert unit.endswith("source: part:main")
    assert child.endswith("sleep 60")
    assert child.startswith("      "), "below its parent"
    assert "    ready \\x1b[2J" in lines, "no terminal obeys what a unit wrote"


def test_nobody_else_may_read_it(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        await kept.collect("source", "source hangs")

    told(folder, story)
    assert (folder.path / "run" / "diagnostics.txt").stat().st_mode & 0o777 == 0o600


def test_a_unit_that_is_gone_is_shown_as_it_was_seen_last(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(kept: Diagnostics, actor: Actor) -> None:
        kept.look()
        assert actor.process is not None
        actor.process.kill()
        await actor.process.cleared
        actor.process = None
        await kept.collect("source", "source was stopped")

    assert "sleep 60" in told(folder, story)


def test_one_unit_is_described_once_and_not_too_many(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        for about in ("a", "a", "b", "c", "d"):
            await kept.collect(about, f"because of {about}")

    text = told(folder, story)
    sections = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("== ")]
    assert sections == ["a", "b", "c"]


def test_nothing_is_kept_where_it_is_switched_off(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        kept.look()
        await kept.collect("source", "source hangs")
        assert kept.threads("source") == ()

    assert told(folder, story, enabled=False) == ""


def test_a_folder_that_cannot_be_written_fails_nothing(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, _: Actor) -> None:
        (folder.path / "run" / "diagnostics.txt").mkdir()
        await kept.collect("source", "source hangs")
        (folder.path / "run" / "diagnostics.txt").rmdir()

    assert told(folder, story) == ""


def test_units_that_do_not_answer_take_no_more_than_a_second(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "_STACKS_LIMIT_S", 0.05)

    async def story(kept: Diagnostics, actor: Actor) -> None:
        async def never(_: Process) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Process, "dump_stacks", never)
        began = time.monotonic()
        await kept.collect("source", "source hangs")
        assert time.monotonic() - began < 1

    assert "source: part:main" in told(folder, story)


def test_a_stopped_unit_is_shown_as_stopped(folder: UnitFolder) -> None:
    async def story(kept: Diagnostics, actor: Actor) -> None:
        assert actor.process is not None
        os.kill(actor.process.pid, 19)
        await kept.collect("source", "source hangs")

    text = told(folder, story)
    assert ", T)" in text or ", t)" in text
    assert Path(folder.path, "run", "diagnostics.txt").exists()
