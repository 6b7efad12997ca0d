"""Follows the output of units while they run: for log probes, and for `-v`.

Every byte is read once. Lines are complete: a line without its end waits for it, or for the end of
the process, or until it is too long to be kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from testrium.errors import InfraError
from testrium.record.inotify import Inotify
from testrium.regular_files import after_hole, read_regular

#: Where nothing wakes the reader, it looks this often (seconds).
SWEEP_S = 0.02
_CHUNK = 1 << 18

#: Of a longer line each so many bytes are a line.
LONGEST_LINE = 1 << 20

#: Gets complete lines without their ends, and a time (CLOCK_MONOTONIC) than which they are not
#: older. An InfraError of it ends the reading of the log.
LineReader = Callable[[list[str], int], None]


class _Log:
    def __init__(self, path: Path, reader: LineReader, low_ns: int, offset: int) -> None:
        self.path = path
        self.reader = reader
        self.low_ns = low_ns
        self.offset = offset
        self.rest = b""

    def read(self) -> bool:
        """Read one chunk of what is new; False when there was nothing."""
        try:
            with read_regular(self.path) as file:
                self.offset = after_hole(file.fileno(), self.offset)
                file.seek(self.offset)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InfraError(f"cannot read {self.path}: {error.strerror}") from error
        read_ns = time.monotonic_ns()
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) >= LONGEST_LINE:
            lines.append(self.rest)
            self.rest = b""
        if lines:
            self._tell(lines)
        self.low_ns = read_ns
        return bool(data)

    def finish(self) -> None:
        """There comes no more: what is left is a line."""
        while self.read():
            pass
        if self.rest:
            rest, self.rest = self.rest, b""
            self._tell([rest])

    def _tell(self, lines: list[bytes]) -> None:
        texts = [line.rstrip(b"\r").decode(errors="backslashreplace") for line in lines]
        self.reader(texts, self.low_ns)


class Logs:
    """The logs of one group that somebody reads; an asynchronous context manager.

    `on_error` is told why a reader failed.
    """

    def __init__(self) -> None:
        self.on_error: Callable[[str], None] | None = None
        self._logs: dict[Path, _Log] = {}
        self._watched: dict[int, _Log] = {}
        self._inotify: Inotify | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path in tuple(self._logs):
            self.finish(path)
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping

    def follow(self, path: Path, reader: LineReader, started_ns: int) -> None:
        """Call `reader` for every line that is written from now on. The file is made if needed.

        `started_ns` is when the process was started: its lines are not older. Raises InfraError.
        """
        if (known := self._logs.get(path)) is not None:  # the next start of the same unit
            known.reader, known.low_ns = reader, started_ns
            return
        if not self._logs:
            self._open()
        try:
            path.touch(mode=0o600)
            offset = path.stat().st_size
        except OSError as error:
            raise InfraError(f"cannot read {path}: {error.strerror}") from error
        log = self._logs[path] = _Log(path, reader, started_ns, offset)
        number = self._inotify.add(str(path)) if self._inotify is not None else None
        if number is not None:
            self._watched[number] = log
        elif self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())

    def finish(self, path: Path) -> None:
        """The process that writes this log has ended: read the rest of it."""
        if (log := self._logs.get(path)) is not None:
            with self._guarded(log):
                log.finish()

    def _open(self) -> None:
        """Only once somebody reads a log: opening and closing is not free."""
        self._inotify = Inotify.open()
        if self._inotify is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._inotify.fileno(), self._heed_news)

    def _heed_news(self) -> None:
        assert self._inotify is not None
        numbers = self._inotify.read()
        for number, log in self._watched.items():
            if numbers is None or number in numbers:
                self._read_on(log)

    def _read_on(self, log: _Log) -> None:
        """One chunk per turn of the loop: a unit that prints 50 MB holds up nobody."""
        with self._guarded(log):
            if log.read():
                asyncio.get_running_loop().call_soon(self._read_on, log)

    @contextlib.contextmanager
    def _guarded(self, log: _Log) -> Iterator[None]:
        try:
            yield
        except InfraError as error:
            log.reader = _ignore
            if self.on_error is not None:
                self.on_error(str(error))

    async def _sweep(self) -> None:
        """For file systems that do not tell: look at every log again and again."""
        while True:
            for log in self._logs.values():
                self._read_on(log)
            await asyncio.sleep(SWEEP_S)


def _ignore(_lines: list[str], _low_ns: int) -> None:
    pass
