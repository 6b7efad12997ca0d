"""Notice which files were written: inotify(7) where there is one, else by looking at them."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import select
import struct
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from testrium.record.probe_file import ProbeFile
from testrium.system import is_portable

if TYPE_CHECKING:  # the classic API is here too, in processes that have no loop
    import asyncio

_IN_MODIFY = 0x2

#: In a folder: something is made, moved to here, or written.
IN_FOLDER = 0x100 | 0x80 | _IN_MODIFY

_IN_Q_OVERFLOW = 0x4000

_IN_IGNORED = 0x8000

_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name behind it


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


#: Closed ones of this process, to be opened again: the kernel takes 6 ms to end one.
_idle: list[Inotify] = []
_idle_of = os.getpid()

#: How many are kept. A group opens fewer.
_MOST_IDLE = 4


class Inotify:
    """Tells which watched files were written. Its descriptor is readable when there is news."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._library = _library()
        self._numbers: set[int] = set()
        self._pid = os.getpid()  # a process that was forked must not end the watches of its parent

    @classmethod
    def open(cls) -> Inotify | None:
        """None without inotify, or where its limit is reached: then look at the files yourself."""
        global _idle_of  # noqa: PLW0603 - a process that was forked shares what its parent has open
        if is_portable():
            return None
        if _idle_of != os.getpid():
            _idle.clear()
            _idle_of = os.getpid()
        with contextlib.suppress(IndexError):
            return _idle.pop()
        fd = _library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return None if fd < 0 else cls(fd)

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int = _IN_MODIFY) -> int | None:
        """Watch a file, or a folder with IN_FOLDER; the number that `read` will tell.

        None where it cannot be watched.
        """
        number = int(self._library.inotify_add_watch(self._fd, os.fsencode(path), mask))
        if number < 0:
            return None
        self._numbers.add(number)
        return number

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
        """Watch nothing more. It is kept for the next one that is opened, or let go beside it."""
        if self._pid == _idle_of == os.getpid() and len(_idle) < _MOST_IDLE:
            for number in self._numbers:
                self._library.inotify_rm_watch(self._fd, number)
            self._numbers.clear()
            self.read()  # what was reported and not read
            _idle.append(self)
            return
        try:
            _thread.start_new_thread(os.close, (self._fd,))  # `threading` waits until it has begun
        except RuntimeError:  # this machine gives no more threads
            os.close(self._fd)


#: Seconds between looks at the files where nothing wakes the loop.
SWEEP_S = 0.02

#: The same where inotify does: a net for what it does not see (a file system of another host).
SAFETY_SWEEP_S = 0.5

#: At most this part of the loop's time goes into looking: there may be thousands of files.
SHARE = 0.05


class Watching:
    """Calls back with every file that was written, until it is closed."""

    def __init__(
        self, callback: Callable[[ProbeFile], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._callback = callback
        self._unseen: list[ProbeFile] = []  # files whose changes the kernel does not report
        self._by_number: dict[int, ProbeFile] = {}  # the number that inotify tells
        self._loop = loop
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fileno(), self._read_changes)
        self._sweep: asyncio.Handle = self._loop.call_soon(self._sweep_all)

    def add(self, file: ProbeFile) -> None:
        number = None if self._inotify is None else self._inotify.add(file.path)
        if number is not None:
            self._by_number[number] = file
            file.is_watched = True
        else:
            self._unseen.append(file)
            if len(self._unseen) == 1:
                self._sweep_after(SWEEP_S)
        if file.has_grown():  # before it was watched
            self._callback(file)

    def look(self) -> None:
        """Call back with all files that were written before this call."""
        if self._inotify is not None:
            self._read_changes()
        for file in self._unseen:
            if file.has_grown():
                self._callback(file)

    def close(self) -> None:
        self._sweep.cancel()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()

    def _read_changes(self) -> None:
        assert self._inotify is not None
        numbers = self._inotify.read()
        if numbers is None:
            for file in self._by_number.values():
                file.was_modified()
            self._look_at_all()
            return
        for number in numbers:
            if (written := self._by_number.get(number)) is not None:
                written.was_modified()
                self._callback(written)

    def _sweep_all(self) -> None:
        began = self._loop.time()
        self._look_at_all()
        cost_s = self._loop.time() - began
        self._sweep_after(max(SWEEP_S if self._unseen else SAFETY_SWEEP_S, cost_s / SHARE))

    def _sweep_after(self, pause_s: float) -> None:
        self._sweep.cancel()
        self._sweep = self._loop.call_later(pause_s, self._sweep_all)

    def _look_at_all(self) -> None:
        for file in (*self._by_number.values(), *self._unseen):
            if file.has_grown():
                self._callback(file)
