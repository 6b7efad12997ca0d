"""Report files: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from testrium.errors import InfraError


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a report in UTF-8; `private` files are readable by their owner only.

    A regular file is replaced in one step, so that a reader never sees half of it. What is no
    regular file (`/dev/stdout`, a pipe) is written to; but a private file lies where units may
    write, and takes the place of whatever they have put there. Missing folders are made.

    Raises InfraError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if private:
            _replace(path, text, 0o600)
        elif path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as stream:
                stream.write(text)
        else:
            _replace(path.resolve(), text, 0o666)
    except OSError as error:
        raise InfraError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: Path, text: str, mode: int) -> None:
    # A name that nobody can foresee, and a file that did not exist: in a folder that others may
    # write to, they cannot put a link there that leads us to another file.
    half = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        half.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            half.unlink()
        raise
