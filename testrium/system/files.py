"""Files opened, written and locked with care: units may put something else in their place."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from testrium.errors import InfraError

#: What this system has of them: never wait for the other end of a pipe, change no line ends.
_ALWAYS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, or of the null device; what is made is for its owner only.

    Raises OSError, also where it is something else.
    """
    try:
        fd = os.open(path, flags | _ALWAYS, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe without a reader
            raise _irregular(path) from error
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode) or str(path) == os.devnull:
        if _ALWAYS & getattr(os, "O_NONBLOCK", 0):
            os.set_blocking(fd, True)  # programs that inherit it see what they are used to
        return fd
    os.close(fd)
    raise _irregular(path)


def read_regular(path: str | Path) -> BinaryIO:
    """The file, open for reading. Raises OSError, also for anything but a regular file."""
    return os.fdopen(open_regular(path), "rb")


def regular_text(path: str | Path, errors: str = "strict") -> str:
    """The text of the file, in UTF-8. Raises OSError as `open_regular`, and UnicodeDecodeError."""
    with read_regular(path) as file:
        return file.read().decode(errors=errors)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it; a disk may take a part first. Raises OSError."""
    while data:
        data = data[os.write(fd, data) :]


def after_hole(fd: int, offset: int) -> int:
    """Where written bytes begin from `offset` on: a sparse file may have terabytes of holes."""
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing comes behind it
            return os.fstat(fd).st_size
        return offset  # this file system does not tell


class LineDecoder:
    """Lines of a log as texts, while their bytes come in.

    A byte that does not fit into the encoding stays visible as `\\xff`. `rest` is what stands
    behind the last line's end.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        self.rest = ""

    def lines(self, data: bytes, *, final: bool = False) -> list[str]:
        """The lines that are complete now, without their ends; `final`: no more bytes follow."""
        if self._decoder is None:
            encoding = byte_order(self._encoding, data)
            self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
        text = self._decoder.decode(data, final)
        if self._encoding in _WITH_ORDER:  # each start of a program may begin with the mark
            text = text.replace("\ufeff", "")
        *lines, self.rest = (self.rest + text).split("\n")
        return [line.rstrip("\r") for line in lines]


#: Encodings whose first bytes say in which order the others stand.
_WITH_ORDER = {"utf-16": codecs.BOM_UTF16_BE, "utf-32": codecs.BOM_UTF32_BE}


def byte_order(encoding: str, data: bytes) -> str:
    """The encoding of data that may begin in the midst of a file, without its mark."""
    if (big := _WITH_ORDER.get(encoding)) is None:
        return encoding
    return f"{encoding}-{'be' if data.startswith(big) else 'le'}"


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """Some lines of a log as a text; a byte that does not fit stays visible as `\\xff`."""
    text = data.decode(byte_order(encoding, data), errors="backslashreplace")
    return text.replace("\ufeff", "") if encoding in _WITH_ORDER else text


def split_lines(data: bytes, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines of a log, each with its number of bytes, its end included.

    In an encoding with wide characters that number is right where all are of one width.
    """
    if (end := "\n".encode(byte_order(encoding, data))) == b"\n":
        for line in data.split(b"\n"):
            yield len(line) + 1, decoded(line, encoding)
        return
    for text in decoded(data, encoding).split("\n"):
        yield (len(text) + 1) * len(end), text


def _irregular(path: str | Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))


_MODE = 0o600

_NO_TERMINAL = getattr(os, "O_NOCTTY", 0)

#: Who may put a link there that is followed: the user, and who can do everything anyway.
_OURS = (os.geteuid(), 0) if hasattr(os, "geteuid") else (0,)

#: As many links in a row as Linux follows.
_MOST_LINKS = 40


@contextlib.contextmanager
def replacing(path: Path, *, among_units: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` once its block has ended without an exception.

    A special file (`/dev/stdout`, a pipe) is written to directly. But where it lies
    `among_units`, what a unit has put there is replaced, whatever it is. Missing folders are made.

    Raises InfraError where the file cannot be written.
    """
    with _told(path):
        place = path if among_units else _place(path)
        if not among_units and _is_special(place):
            with os.fdopen(os.open(place, os.O_WRONLY | _NO_TERMINAL), "wb") as special:
                yield special
            return
        try:
            half, descriptor = _unfinished(place)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
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
        if _is_special(path):  # the target of a link in /proc is not a path
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


def lock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file for this descriptor; it ends when that is closed.

    Raises:
        OSError: another has it, and `wait` is false.
    """
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the text: on Windows a locked one cannot be read.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock the folder; waits for other holders of the lock."""
    if sys.platform == "win32":  # a folder cannot be opened there
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)
