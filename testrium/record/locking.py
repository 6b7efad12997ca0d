"""Locks on files that the system ends with the process that holds them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def lock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file for this descriptor; it ends when that is closed.

    Raises:
        OSError: another has it, and `wait` is false.
    """
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the text, as Windows lets nobody read a locked one.
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
    """Hold the folder alone; waits for others who do."""
    if sys.platform == "win32":  # a folder cannot be opened there
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)
