"""Files that a unit may have put something else in the place of: opened without being held up.

The folder of a run is also its units' to write to. A pipe that nobody reads, or a device without an
end, in the place of a log would hold up the runner or a keeper for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

#: What this system has of them: never wait for the other end of a pipe, change no line ends.
_ALWAYS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, or of the null device; what is made is for its owner only.

    Raises OSError, also where it is something else.
    """
    try:
        fd = os.open(path, flags | _ALWAYS, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise _irregular(path) from error
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode) or str(path) == os.devnull:
        if _ALWAYS & getattr(os, "O_NONBLOCK", 0):
            os.set_blocking(fd, True)  # programs that inherit it see what they are used to
        return fd
    os.close(fd)
    raise _irregular(path)


def read_regular(path: str | Path) -> BinaryIO:
    """The file, open for reading. Raises OSError, also where it is no regular file."""
    return os.fdopen(open_regular(path), "rb")


def regular_text(path: str | Path, errors: str = "strict") -> str:
    """The text of the file, in UTF-8. Raises OSError as `open_regular`, and UnicodeDecodeError."""
    with read_regular(path) as file:
        return file.read().decode(errors=errors)


def after_hole(fd: int, offset: int) -> int:
    """Where written bytes begin from `offset` on: a file may have terabytes that nobody wrote."""
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing comes behind it
            return os.fstat(fd).st_size
        return offset  # this file system does not tell


def _irregular(path: str | Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))
