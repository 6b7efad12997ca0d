"""What is kept of a failing group before its processes are stopped.

The folder of the run gets `diagnostics.txt`: the processes of every unit, where its threads are,
what it used and what it wrote last. All frames of a Python unit are in its `stacks.txt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from testrium.evidence import UnitState, Use
from testrium.run.folder import RunFolder, last_lines
from testrium.system.platform import system
from testrium.system.safe_open import open_regular

if TYPE_CHECKING:
    from testrium.run.supervisor.client import Process
    from testrium.system.processes import ProcessFigures

#: So long before a deadline the processes are looked at: then their keepers begin to stop them.
LOOK_AHEAD_S = 0.05

#: Seconds for looking at all processes: the loop has other things to do.
_LOOK_LIMIT_S = 0.5

_MOST_LINES = 15

#: What a terminal would obey, in texts of units.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Subject(Protocol):
    """A unit, as far as it is of interest here; without a process it has ended, or not begun."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> UnitState: ...

    @property
    def process(self) -> Process | None: ...

    @property
    def use(self) -> Use: ...


class Diagnostics:
    """The diagnostics of one group's run; does nothing unless `enabled`. No method ever raises.

    `hide` takes out of a line what must not be stored.
    """

    def __init__(self, folder: RunFolder, group_folder: Path, *, enabled: bool) -> None:
        self.hide: Callable[[str], str] = str
        self._folder = folder
        self._group_folder = group_folder
        self._enabled = enabled
        self._began = time.monotonic()
        self._subjects: list[Subject] = []
        self._reasons: list[str] = []
        self._looked: dict[str, tuple[float, list[str]]] = {}  # the time, the tree
        self._looked_at = 0.0

    @property
    def wanted(self) -> bool:
        """Whether units that are stopped now should tell their stacks first."""
        return bool(self._reasons)

    def add(self, subject: Subject) -> None:
        self._subjects.append(subject)

    def look(self) -> None:
        """Remember the processes as they are now: soon there may be none to look at."""
        now = time.monotonic()
        if not self._enabled or now - self._looked_at < LOOK_AHEAD_S:
            return
        for subject in self._subjects:
            if subject.process is not None and time.monotonic() < now + _LOOK_LIMIT_S:
                self._looked[subject.name] = (now, _tree(subject.process))
        self._looked_at = time.monotonic()  # not `now`: who else is due now need not look again

    def look_before(self, deadline_ns: int | None) -> asyncio.TimerHandle | None:
        """Look just before a deadline (CLOCK_MONOTONIC), where keepers stop units unasked."""
        if deadline_ns is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.call_at(deadline_ns / 1e9 - LOOK_AHEAD_S, self.look)

    def note(self, reason: str) -> None:
        """Something is wrong, and processes are going to be stopped."""
        if self._enabled:
            self.look()
            self._reasons.append(f"{time.monotonic() - self._began:.2f} s: {reason}")

    def write(self) -> None:
        """Describe all units, now that they have been stopped and the group has failed."""
        if self._reasons:
            text = "".join(f"{_visible(self.hide(line))}\n" for line in self._lines())
            with contextlib.suppress(OSError):
                _write_private(self._folder.diagnostics, text)

    def threads(self, unit: str) -> tuple[str, ...]:
        """Where the threads of a unit were when its stacks were written last, a line for each."""
        if not self._enabled:
            return ()
        from testrium.run.observe.stacks import threads_of

        return threads_of(self._folder.stacks(unit), self._group_folder)

    def _lines(self) -> Iterator[str]:
        yield "Times count from the start of the group."
        yield from self._reasons
        for subject in self._subjects:
            yield ""
            yield f"{subject.name}  {subject.state}{_used(subject.use)}"
            for title, lines in self._parts(subject):
                if lines:
                    yield f"  {title}"
                    yield from (f"    {line}" for line in lines)

    def _parts(self, subject: Subject) -> Iterator[tuple[str, Iterable[str]]]:
        name = subject.name
        if name in self._looked:
            at, tree = self._looked[name]
            yield f"processes, at {at - self._began:.2f} s", tree
        yield "threads (all their frames: stacks.txt)", self.threads(name)
        for title, file in (("stdout", self._folder.stdout), ("stderr", self._folder.stderr)):
            yield f"end of its {title}", last_lines(file(name), _MOST_LINES)


def _used(use: Use) -> str:
    figures = []
    if use.cpu_s is not None:
        figures.append(f"CPU {use.cpu_s:.2f} s")
    if use.max_rss is not None:
        figures.append(f"memory at most {use.max_rss / 1e6:.1f} MB")
    return f"  ({', '.join(figures)})" if figures else ""


def _tree(process: Process) -> list[str]:
    """The processes of a unit, children indented below their parents."""
    from testrium.system import processes  # psutil: only a failure is looked at so closely

    entries = processes.figures_of(system.unit_pids(process.pid, process.keeper))
    listed = {entry.pid for entry in entries}
    below: dict[int, list[ProcessFigures]] = {}
    for entry in entries:
        below.setdefault(entry.parent if entry.parent in listed else 0, []).append(entry)
    lines: list[str] = []
    pending = [(entry, 0) for entry in reversed(below.get(0, []))]
    while pending:
        entry, depth = pending.pop()
        lines.append(
            f"{'  ' * depth}{entry.pid} (parent {entry.parent}, {entry.state})"
            f"  CPU {entry.cpu_s:.2f} s, memory {entry.rss / 1e6:.1f} MB, threads {entry.threads},"
            f" files {processes.open_files(entry.pid)}  {processes.command_line(entry.pid)}"
        )
        pending += [(child, depth + 1) for child in reversed(below.get(entry.pid, []))]
    return lines


def _visible(line: str) -> str:
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", line)


def _write_private(path: Path, text: str) -> None:
    fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(fd, text.encode(errors="backslashreplace"))
    finally:
        os.close(fd)
