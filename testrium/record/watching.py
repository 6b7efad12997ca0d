"""Notices which probe files were written, in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from testrium.record.inotify import Inotify
from testrium.record.probefile import ProbeFile

#: Seconds between looks at the files where nothing wakes the loop.
SWEEP_S = 0.02
#: The same where inotify does: a net for what it does not see (a file system of another host).
SAFETY_SWEEP_S = 0.5
#: At most this part of the loop's time goes into looking: there may be thousands of files.
SHARE = 0.05


class Watching:
    """Calls back with every file that was written, until it is closed."""

    def __init__(self, callback: Callable[[ProbeFile], None]) -> None:
        self._callback = callback
        self._unseen: list[ProbeFile] = []  # files that nobody tells about
        self._by_number: dict[int, ProbeFile] = {}  # the number that inotify tells
        self._loop = asyncio.get_running_loop()
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fileno(), self._heed_news)
        self._sweep: asyncio.Handle = self._loop.call_soon(self._sweep_all)

    def add(self, file: ProbeFile) -> None:
        number = None if self._inotify is None else self._inotify.add(file.path)
        if number is not None:
            self._by_number[number] = file
        else:
            self._unseen.append(file)
            if len(self._unseen) == 1:
                self._sweep_after(SWEEP_S)
        if file.has_grown():  # before it was watched
            self._callback(file)

    def look(self) -> None:
        """Call back with all that was written before this call, as far as somebody tells."""
        if self._inotify is not None:
            self._heed_news()
        for file in self._unseen:
            if file.has_grown():
                self._callback(file)

    def close(self) -> None:
        self._sweep.cancel()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()

    def _heed_news(self) -> None:
        assert self._inotify is not None
        numbers = self._inotify.read()
        if numbers is None:
            self._look_at_all()
            return
        for number in numbers:
            if number in self._by_number:
                self._callback(self._by_number[number])

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
