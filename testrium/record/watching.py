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


class Watching:
    """Calls back with every file that was written, until it is closed."""

    def __init__(self, callback: Callable[[ProbeFile], None]) -> None:
        self._callback = callback
        self._files: list[ProbeFile] = []
        self._by_number: dict[int, ProbeFile] = {}  # the number that inotify tells
        self._loop = asyncio.get_running_loop()
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fileno(), self._heed_news)
        self._sweep = self._loop.call_soon(self._sweep_all)

    def add(self, file: ProbeFile) -> None:
        self._files.append(file)
        number = None if self._inotify is None else self._inotify.add(file.path)
        if number is not None:
            self._by_number[number] = file
        self._sweep_all()  # at the pace that this file needs

    def close(self) -> None:
        self._sweep.cancel()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()

    def _heed_news(self) -> None:
        assert self._inotify is not None
        numbers = self._inotify.read()
        if numbers is None:
            self._look()
            return
        for number in numbers:
            if number in self._by_number:
                self._callback(self._by_number[number])

    def _sweep_all(self) -> None:
        self._sweep.cancel()
        self._look()
        pace_s = SAFETY_SWEEP_S if len(self._by_number) == len(self._files) else SWEEP_S
        self._sweep = self._loop.call_later(pace_s, self._sweep_all)

    def _look(self) -> None:
        for file in self._files:
            if file.size() != file.offset:
                self._callback(file)
