"""Being woken when a file grows: inotify(7) of Linux, with nothing but ctypes."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading

from testrium.portability import is_portable

_IN_MODIFY = 0x2
#: In a folder: something is made, moved to here, or written.
IN_FOLDER = 0x100 | 0x80 | _IN_MODIFY
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name behind it


class Inotify:
    """Tells which watched files were written. Its descriptor is readable when there is news."""

    def __init__(self, fd: int, library: ctypes.CDLL) -> None:
        self._fd = fd
        self._library = library

    @classmethod
    def open(cls) -> Inotify | None:
        """None where there is no inotify, or no more of it: then look at the files yourself."""
        if is_portable():
            return None
        library = ctypes.CDLL(None, use_errno=True)
        fd = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return None if fd < 0 else cls(fd, library)

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int = _IN_MODIFY) -> int | None:
        """Watch a file, or a folder with IN_FOLDER; the number that `read` will tell.

        None where it cannot be watched.
        """
        number = self._library.inotify_add_watch(self._fd, os.fsencode(path), mask)
        return None if number < 0 else int(number)

    def read(self) -> set[int] | None:
        """The numbers of the files that were written; None when news were lost: it may be any."""
        written: set[int] = set()
        lost = False
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return None if lost else written
            position = 0
            while position < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size + length
                lost = lost or bool(mask & _IN_Q_OVERFLOW)
                if not mask & (_IN_Q_OVERFLOW | _IN_IGNORED):
                    written.add(number)

    def wait(self, timeout_s: float) -> bool:
        """Block until there is news; False when none came in time."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s * 1000)))

    def close(self) -> None:
        """Let go of it, beside what comes next: the kernel takes 6 ms to end all watches."""
        threading.Thread(target=os.close, args=(self._fd,), daemon=True).start()
