"""Where the threads of a Python unit were, in a few lines from the dump of its interpreter."""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path
from typing import NamedTuple

from testrium.run.folder import last_lines
from testrium.system.safe_open import read_regular

#: As faulthandler writes them; since Python 3.14 with the thread's name.
_THREAD = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])? \(most recent call f")

_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')

#: Frames that are told of one thread, the innermost first, and threads of one unit.
_MOST_FRAMES = 3

_MOST_THREADS = 8

#: A dump has at most so many lines: 100 threads of 100 frames.
_MOST_LINES = 10_000

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
    threads = _last_dump(last_lines(stacks, _MOST_LINES, _LIMIT))
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
        if (head := _THREAD.match(line)) is not None:
            found.append((head[1], head[2] or "", []))
        elif found and (frame := _FRAME.match(line)) is not None:
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
