"""Where the threads of a Python unit were, in a few lines from the dump of its interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from testrium.errors import InfraError
from testrium.evidence import UnitState, Use
from testrium.run.folder import RunFolder, last_lines
from testrium.system.files import read_regular, write_text
from testrium.system.platform import system
from testrium.tuples import NamedTuple

if TYPE_CHECKING:
    from testrium.run.supervisor.client import SupervisedProcess
    from testrium.system.processes import ProcessFigures

#: As faulthandler writes them; since Python 3.14 with the thread's name.
_THREAD = r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])? \(most recent call f"

_FRAME = r'  File "(.*)", line (\d+) in (.*)'

#: Frames that are shown of one thread, the innermost first, and threads of one unit.
_MOST_FRAMES = 3

_MOST_THREADS = 8

#: How many lines a dump has at most: 100 threads of 100 frames.
_MOST_STACK_LINES = 10_000

_MOST_COLUMNS = 80

_LIMIT = 1 << 20

#: Testrium's own frames: a unit that waits for a probe hangs where it asked for it.
_OWN = f"{Path(__file__).parents[2]}{os.sep}"


class _Frame(NamedTuple):
    file: str
    line: int
    function: str


def threads_of(stacks: Path, folder: Path) -> tuple[str, ...]:
    """A line for each thread in the last dump of the file, its innermost user frames first.

    `folder` is the group's: its frames are the user's, and so is what does not come with Python or
    with an installed package. Threads in the same place are one line.
    """
    threads = _last_dump(last_lines(stacks, _MOST_STACK_LINES, _LIMIT))
    places: dict[str, list[str]] = {}
    for number, (name, frames) in enumerate(threads):
        # The interpreter lists its newest thread first and the main thread last.
        main = number == len(threads) - 1
        told = "main thread" if main else f"thread {name}" if name else "a thread"
        places.setdefault(_place(frames, folder), []).append(told)
    lines = [f"{_named(names)} at {place}" for place, names in reversed(places.items()) if place]
    return tuple(lines[:_MOST_THREADS])


def _named(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{len(names)} threads" + (", the main thread too," if "main thread" in names else "")


def _last_dump(lines: tuple[str, ...]) -> list[tuple[str, list[_Frame]]]:
    """The name and the frames of each thread; every dump ends with the main thread."""
    found: list[tuple[str, str, list[_Frame]]] = []
    for line in lines:
        if (head := re.match(_THREAD, line)) is not None:
            found.append((head[1], head[2] or "", []))
        elif found and (frame := re.match(_FRAME, line)) is not None:
            found[-1][2].append(_Frame(frame[1], int(frame[2]), frame[3]))
    ends = [number for number, thread in enumerate(found) if thread[0] == found[-1][0]]
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    return [(name, frames) for _, name, frames in found[begin:]]


def _place(frames: list[_Frame], folder: Path) -> str:
    """`test_case.py:33 in transfer: with second:`, then from where it was called."""
    own = [frame for frame in frames if _is_users(frame, folder)] or frames[:1]
    if not own:
        return ""
    inner, *callers = own[:_MOST_FRAMES]
    source = _source(inner)
    told = f"{_short(inner, folder)} in {inner.function}" + (f": {source}" if source else "")
    return told + "".join(f", called at {_short(frame, folder)}" for frame in callers)


def _is_users(frame: _Frame, folder: Path) -> bool:
    if frame.file.startswith(f"{folder}{os.sep}"):
        return True
    foreign = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<frozen ", _OWN)
    return not frame.file.startswith(foreign)


def _short(frame: _Frame, folder: Path) -> str:
    file = frame.file.removeprefix(f"{folder}{os.sep}")
    return f"{file}:{frame.line}"


def _source(frame: _Frame) -> str:
    try:
        with read_regular(frame.file) as file:  # which file, the unit's own text says
            text = file.read(_LIMIT).decode(errors="replace")
        line = text.splitlines()[frame.line - 1]
    except (OSError, IndexError):
        return ""
    return line.strip()[:_MOST_COLUMNS]


#: So long before a deadline the processes are looked at: then their keepers begin to stop them.
LOOK_AHEAD_S = 0.05

#: Seconds for looking at all processes: the loop has other things to do.
_LOOK_LIMIT_S = 0.5

_MOST_LINES = 15

#: What a terminal would obey, in texts of units.
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"


class Subject(Protocol):
    """A unit, as far as it is of interest here; without a process it has ended, or not begun."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> UnitState: ...

    @property
    def process(self) -> SupervisedProcess | None: ...

    @property
    def use(self) -> Use: ...

    @property
    def encoding(self) -> str: ...


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
        self._asking: set[asyncio.Task[None]] = set()

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
            if subject.process is None or time.monotonic() >= now + _LOOK_LIMIT_S:
                continue
            if subject.process.is_remote:
                self._look_there(subject.name, subject.process, now)
            else:
                self._looked[subject.name] = (now, _tree(subject.process))
        self._looked_at = time.monotonic()  # not `now`: who else is due now need not look again

    def _look_there(self, name: str, process: SupervisedProcess, now: float) -> None:
        """The same on another host: it is asked before the process is stopped."""

        async def ask() -> None:
            with contextlib.suppress(InfraError):
                entries, _ = await process.figures()
                details = {entry.pid: (entry.files, entry.command_line) for entry in entries}
                self._looked[name] = (now, _tree_of(entries, details.__getitem__))

        task = asyncio.ensure_future(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

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
            with contextlib.suppress(InfraError):
                write_text(self._folder.diagnostics, text, among_units=True)

    def threads(self, unit: str) -> tuple[str, ...]:
        """Where the threads of a unit were when its stacks were written last, a line for each."""
        return threads_of(self._folder.stacks(unit), self._group_folder) if self._enabled else ()

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
            lines = last_lines(file(name), _MOST_LINES, encoding=subject.encoding)
            yield f"end of its {title}", lines


def _used(use: Use) -> str:
    figures = []
    if use.cpu_s is not None:
        figures.append(f"CPU {use.cpu_s:.2f} s")
    if use.max_rss is not None:
        figures.append(f"memory at most {use.max_rss / 1e6:.1f} MB")
    return f"  ({', '.join(figures)})" if figures else ""


def _tree(process: SupervisedProcess) -> list[str]:
    """The processes of a unit, children indented below their parents."""
    from testrium.system import processes  # psutil: only a failure is looked at so closely

    entries = processes.figures_of(system.unit_pids(process.pid, process.keeper))
    return _tree_of(entries, lambda pid: (processes.open_files(pid), processes.command_line(pid)))


def _tree_of(
    entries: Sequence[ProcessFigures], details: Callable[[int], tuple[int, str]]
) -> list[str]:
    """`details` gives the open files and the command line of a process."""
    listed = {entry.pid for entry in entries}
    below: dict[int, list[ProcessFigures]] = {}
    for entry in entries:
        below.setdefault(entry.parent if entry.parent in listed else 0, []).append(entry)
    lines: list[str] = []
    pending = [(entry, 0) for entry in reversed(below.get(0, []))]
    while pending:
        entry, depth = pending.pop()
        files, command_line = details(entry.pid)
        lines.append(
            f"{'  ' * depth}{entry.pid} (parent {entry.parent}, {entry.state})"
            f"  CPU {entry.cpu_s:.2f} s, memory {entry.rss / 1e6:.1f} MB, threads {entry.threads},"
            f" files {files}  {command_line}"
        )
        pending += [(child, depth + 1) for child in reversed(below.get(entry.pid, []))]
    return lines


def _visible(line: str) -> str:
    line = re.sub(_CONTROLS, lambda found: f"\\x{ord(found[0]):02x}", line)
    return line.encode(errors="backslashreplace").decode()  # a file's name may be in any bytes
