"""Where reports go: chosen on the command line, and checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from testrium.errors import UsageError
from testrium.report.writer import STDOUT

_STDOUT_FILES = (STDOUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Choice(NamedTuple):
    """A report that the user asks for. `option` is how he did: `--json`, `--writer chat`."""

    option: str
    name: str
    target: str | None = None

    @property
    def on_stdout(self) -> bool:
        return self.target in _STDOUT_FILES


def check_targets(choices: Iterable[Choice], cwd: Path) -> None:
    """Raise UsageError where a report could not be written, or two would overwrite each other."""
    taken: dict[str, Choice] = {}
    for choice in choices:
        if choice.target is None:
            continue
        place = STDOUT
        if not choice.on_stdout:
            path = cwd / choice.target
            _check_file(choice, path)
            place = os.path.realpath(path)
        first = taken.setdefault(place, choice)
        if first is not choice and place != os.devnull:
            shown = "standard output" if place == STDOUT else choice.target
            raise UsageError(f"{first.option} and {choice.option} would both write to {shown}")


def _check_file(choice: Choice, path: Path) -> None:
    told = f"{choice.option}: cannot write {choice.target!r}"
    folder = path.parent
    if not choice.target:
        raise UsageError(f"{choice.option} needs the name of a file")
    if path.is_dir():
        raise UsageError(f"{told}: it is a folder")
    if not folder.is_dir():
        raise UsageError(f"{told}: there is no folder {str(folder)!r}")
    # A regular file is replaced by a new one; what is none (a pipe) is written to.
    replaced = folder if path.is_file() or not path.exists() else path
    if not os.access(replaced, os.W_OK | (os.X_OK if replaced is folder else 0)):
        raise UsageError(f"{told}: no permission to write to {str(replaced)!r}")
