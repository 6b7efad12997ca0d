"""What every way of starting a unit has in common: its files, and words for what went wrong."""

from __future__ import annotations

import os
from pathlib import Path

from testrium.regular_files import open_regular
from testrium.run.protocol import Launch


class MachineError(Exception):
    """The fault is not the unit's."""


def open_private(path: Path) -> int:
    """Open a file for appending that only its owner may read. Raises MachineError."""
    try:
        return open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}") from error


def explain(error: OSError, launch: Launch) -> str:
    """Why the launch could not be done, as its description has it."""
    if not launch.cwd.is_dir():
        return f"cannot start in {launch.cwd}: no such folder"
    if launch.command is None:
        return f"cannot start {launch.entrypoint}: {error.strerror}"
    program = launch.command[0]
    match error:
        case FileNotFoundError() | NotADirectoryError() if "/" not in program:
            reason = "no such program on PATH"
        case FileNotFoundError() if (launch.cwd / program).exists():
            reason = "the interpreter in its first line does not exist"
        case FileNotFoundError():
            reason = "no such file"
        case PermissionError():
            reason = "it is not an executable file"
        case _:
            reason = error.strerror or str(error)
    return f"cannot start {program!r}: {reason}"
