"""Which frame of a Python traceback is the user's: what is below it is how libraries work."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence
from pathlib import PurePath

#: The standard library, installed packages, and what has no file: `<frozen importlib._bootstrap>`.
_LIBRARY = re.compile(
    r"<(?!stdin>|string>).*>$|.*[/\\](?:[Ll]ib[/\\]python3\.\d+t?|site-packages|dist-packages)[/\\]"
    r"|.*[/\\]Python3?\d*[/\\]Lib[/\\]"
)

#: As this package was imported: in a checkout it is no installed package.
_OURS = str(PurePath(__file__).parent / "_").removesuffix("_")

_HEAD = "Traceback (most recent call last):"

_FRAME = re.compile(r'  File "(?P<file>.*)", line \d+')


def is_library(file: str) -> bool:
    """Whether the file of a frame belongs to a library, as far as its path tells."""
    return _LIBRARY.match(file) is not None or file.startswith(_OURS)


def deepest_own(files: Sequence[str]) -> int | None:
    """The index of the user's frame that was called last; the last of all if none is the user's.

    `files` are those of the frames, the outermost first. None where there are no frames.
    """
    own = [index for index, file in enumerate(files) if not is_library(file)]
    return own[-1] if own else len(files) - 1 if files else None


def where_raised(error: BaseException) -> str:
    """` (file.py:12)`: the line of the user that raised or called what raised; "" if there is none.

    A file below the current folder is told as seen from there.
    """
    frames = traceback.extract_tb(error.__traceback__)
    index = deepest_own([frame.filename for frame in frames])
    if index is None or is_library(frames[index].filename):
        return ""
    file = frames[index].filename.removeprefix(os.path.join(os.getcwd(), ""))  # noqa: PTH109, PTH118
    return f" ({file}:{frames[index].lineno})"


def without_ours(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines of a traceback without what this package did for the user's call that failed.

    Else the last lines, which reports show, would hide which call that was.
    """
    kept: list[str] = []
    frames: list[tuple[str, int]] = []  # the file of each, and where it begins in `kept`

    def end_traceback() -> None:
        files = [file for file, _ in frames]
        own = deepest_own(files)
        if own is not None and not is_library(files[own]):
            ours = (begin for file, begin in frames[own + 1 :] if file.startswith(_OURS))
            if (begin := next(ours, None)) is not None:
                del kept[begin:]
        frames.clear()

    inside = False
    for line in lines:
        if inside and not line.startswith("  "):
            inside = False
            end_traceback()
        if line == _HEAD:
            inside = True
        elif inside and (match := _FRAME.match(line)) is not None:
            frames.append((match["file"], len(kept)))
        kept.append(line)
    if inside:
        end_traceback()
    return tuple(kept)
