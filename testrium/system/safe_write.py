"""Files written whole or not at all, readable by their owner only, and never through a trap.

The folder may be one that others write to: the unfinished file has a name that cannot be foreseen
and must not have existed, and a link that somebody else has put in the file's place is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from testrium.errors import InfraError

_MODE = 0o600
_NO_TERMINAL = getattr(os, "O_NOCTTY", 0)
#: Who may put a link there that is followed: the user, and who can do everything anyway.
_OURS = (os.geteuid(), 0) if hasattr(os, "geteuid") else (0,)
#: As many links in a row as Linux follows.
_MOST_LINKS = 40


@contextlib.contextmanager
def replacing(path: Path, *, among_units: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` once its block has ended without an exception.

    What is no regular file (`/dev/stdout`, a pipe) is written to directly. But where it lies
    `among_units`, what a unit has put there is replaced, whatever it is. Missing folders are made.

    Raises InfraError where the file cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path if among_units else _place(path)
        if not among_units and _is_special(place):
            with os.fdopen(os.open(place, os.O_WRONLY | _NO_TERMINAL), "wb") as special:
                yield special
            return
        half, descriptor = _unfinished(place)
        try:
            with os.fdopen(descriptor, "wb") as whole:
                yield whole
            half.replace(place)
        except BaseException:
            with contextlib.suppress(OSError):
                half.unlink()
            raise


def write_text(path: Path, text: str, *, among_units: bool = False) -> None:
    """Write a text in UTF-8, as `replacing` does. Raises InfraError."""
    with replacing(path, among_units=among_units) as file:
        file.write(text.encode())


def open_new(path: Path) -> FileIO:
    """An empty file in the place of `path`, to be written while others read it; or a pipe there.

    Raises InfraError where the file cannot be written.
    """
    with _told(path):
        place = _place(path)
        if _is_special(place):
            return FileIO(os.open(place, os.O_WRONLY | _NO_TERMINAL), "wb")
        half, descriptor = _unfinished(place)
        try:
            half.replace(place)
        except OSError:
            os.close(descriptor)
            half.unlink()
            raise
        return FileIO(descriptor, "wb")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfraError(f"cannot write {path}: {error.strerror or error}") from error


def _place(path: Path) -> Path:
    """Where the user's own links lead; a link of another user leads nowhere."""
    for _ in range(_MOST_LINKS):
        try:
            state = path.lstat()
        except FileNotFoundError:
            return path
        if not stat.S_ISLNK(state.st_mode) or state.st_uid not in _OURS:
            return path
        if _is_special(path):  # what a link in /proc names is no path
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_special(place: Path) -> bool:
    """Whether this is neither a regular file, nor a folder, nor a link of another user."""
    try:
        if place.is_symlink() and place.lstat().st_uid not in _OURS:
            return False
        mode = place.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _unfinished(place: Path) -> tuple[Path, int]:
    half = place.with_name(f".{place.name[:200]}.{os.urandom(4).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return half, os.open(half, flags, _MODE)
