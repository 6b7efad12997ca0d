"""Records log sizes while probes come in, to order log lines and probes later.

Lines of a log have no time of their own. When events are stored, the sizes of the logs say which
lines were written by then: two system calls for each log, and nothing for who prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from testrium.checks.patterns import TookTooLongError, at_most
from testrium.errors import InfraError
from testrium.evidence import Event
from testrium.record.inotify import IN_FOLDER, Inotify
from testrium.run.folder import RunFolder
from testrium.system.files import LineDecoder, after_hole, read_regular

#: The units whose events came are looked at with every batch, all others at most this often, and
#: for at most this part of the time: there may be thousands.
OTHERS_NS = 20_000_000

SHARE = 0.05

#: Bytes by which the beginning of a watched log is known again.
_HEAD = 256

#: Seconds from one look at a log that is watched to the next.
WATCH_S = 0.01

#: More marks than this say no more to a reader.
MOST_MARKS = 5_000


class OutputMarks:
    """Marks of one group's run: (unit, time, bytes of stdout, bytes of stderr), where they grew."""

    def __init__(self, folder: RunFolder, units: Iterable[str]) -> None:
        self.marks: list[tuple[str, int, int, int]] = []
        self._logs = {unit: (str(folder.stdout(unit)), str(folder.stderr(unit))) for unit in units}
        self._sizes = dict.fromkeys(self._logs, (0, 0))
        self._files: dict[str, int] = {}  # path of a log -> its number in the file system
        #: unit, and what was done to its logs besides appending to them
        self.swapped: dict[tuple[str, str], None] = {}
        self._all_seen_ns = 0
        self._cost_ns = 0  # of a look at all
        self._watched: dict[int, str] = {}  # the number of a unit's folder -> the unit
        self._heads: dict[str, bytes] = {}  # the first bytes of watched logs
        self._inotify: Inotify | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def watch(self, units: Iterable[str]) -> None:
        """Look at the logs of these units whenever they are written.

        Else a log that is cut, and has grown to its size again at the next look, looks untouched.
        """
        wanted = [unit for unit in units if unit in self._logs]
        self._inotify = Inotify.open() if wanted else None
        for unit in wanted if self._inotify is not None else ():
            assert self._inotify is not None
            place = os.path.dirname(self._logs[unit][0])  # noqa: PTH120 - as it is given
            if (number := self._inotify.add(place, IN_FOLDER)) is not None:
                self._watched[number] = unit
        self._read_changes()

    def _read_changes(self) -> None:
        """Look, then let what comes pile up for a while: some units write without a pause."""
        if self._inotify is None:
            return
        loop, inotify = asyncio.get_running_loop(), self._inotify
        numbers = inotify.read()
        changed = self._watched if numbers is None else numbers & self._watched.keys()
        self._look_at({self._watched[number] for number in changed}, time.monotonic_ns())
        loop.remove_reader(inotify.fileno())
        loop.call_later(WATCH_S, self._read_more_changes)

    def _read_more_changes(self) -> None:
        if self._inotify is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._inotify.fileno(), self._read_changes)

    def see(self, events: tuple[Event, ...]) -> None:
        """These events were stored just now."""
        if len(self.marks) >= MOST_MARKS:
            return
        now_ns = time.monotonic_ns()
        if now_ns - self._all_seen_ns >= max(OTHERS_NS, self._cost_ns / SHARE):
            self.look()
        else:
            self._look_at({event.owner for event in events}, now_ns)

    def look(self) -> None:
        """Look at the logs of all units."""
        self._all_seen_ns = time.monotonic_ns()
        self._look_at(self._logs, self._all_seen_ns)
        self._cost_ns = time.monotonic_ns() - self._all_seen_ns

    def _look_at(self, units: Iterable[str], now_ns: int) -> None:
        for unit in units:
            if unit not in self._logs:
                continue
            stdout, stderr = self._logs[unit]
            seen = self._sizes[unit]
            sizes = self._size(unit, stdout, seen[0]), self._size(unit, stderr, seen[1])
            if sizes != self._sizes[unit]:
                self._sizes[unit] = sizes
                if len(self.marks) < MOST_MARKS:
                    self.marks.append((unit, now_ns, *sizes))

    def _begins_anew(self, unit: str, path: str) -> bool:
        """Whether a watched log has another beginning than before: it was cut and written again."""
        if unit not in self._watched.values():
            return False
        try:
            with read_regular(path) as file:
                head = file.read(_HEAD)
        except OSError:
            return False
        before = self._heads.get(path, b"")
        self._heads[path] = max(before, head, key=len)
        return not head.startswith(before[: len(head)])

    def _size(self, unit: str, path: str, seen: int) -> int:
        done = ""
        try:
            status = os.stat(path)  # noqa: PTH116 - with every batch; half the time of pathlib's
        except OSError:  # it was not started yet, or took its folder away
            if path in self._files:
                self.swapped[unit, f"{os.path.basename(path)} was removed or renamed"] = None  # noqa: PTH119
            return 0
        if self._files.setdefault(path, status.st_ino) != status.st_ino:
            done = "was replaced by another file"
        elif status.st_size < seen or self._begins_anew(unit, path):
            done = "was cut"
        if done:
            self.swapped[unit, f"{os.path.basename(path)} {done}"] = None  # noqa: PTH119
        return status.st_size


#: How long the search of what was read at once may take (seconds of CPU time). That is some
#: 100 KB, which an honest pattern searches in milliseconds.
LIMIT_S = 1.0


@contextmanager
def bounded(pattern: Callable[[], str]) -> Iterator[None]:
    """Limit a search of many lines: the limit costs microseconds, too much for each line.

    Args:
        pattern: says whose pattern is searched, and which.

    Raises:
        InfraError: it took too long.
    """
    try:
        with at_most(LIMIT_S):
            yield
    except TookTooLongError as error:
        raise InfraError(f"{pattern()} {error}: does it backtrack?") from error


#: Where nothing wakes the reader, it looks this often (seconds).
SWEEP_S = 0.02

_CHUNK = 1 << 18

#: A longer line is cut into lines of this many bytes.
LONGEST_LINE = 1 << 20

#: Gets complete lines without their ends, and a time (CLOCK_MONOTONIC) than which they are not
#: older. An InfraError of it ends the reading of the log.
LineReader = Callable[[list[str], int], None]


class LogTail:
    """What is new in a log from `offset` on, a chunk at a time."""

    def __init__(self, path: Path, offset: int, encoding: str) -> None:
        self.path = path
        self.offset = offset
        self.decoder = LineDecoder(encoding)
        self.at_end = True  # nothing was behind what was read last

    def next_lines(self) -> list[str] | None:
        """The lines that one more chunk completes; None where nothing is new. Raises InfraError."""
        self.at_end = True
        try:
            with read_regular(self.path) as file:
                self.offset = after_hole(file.fileno(), self.offset)
                file.seek(self.offset)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InfraError(f"cannot read {self.path}: {error.strerror}") from error
        self.offset += len(data)
        self.at_end = len(data) < _CHUNK
        return self.decoder.lines(data) if data else None


class _Log(LogTail):
    def __init__(
        self, path: Path, reader: LineReader, low_ns: int, offset: int, encoding: str
    ) -> None:
        super().__init__(path, offset, encoding)
        self.reader = reader
        self.low_ns = low_ns

    def read(self) -> bool:
        """Read one chunk of what is new; False when there was nothing."""
        before_ns = time.monotonic_ns()
        lines = self.next_lines()
        if lines is not None and len(self.decoder.rest) >= LONGEST_LINE:
            lines.append(self._take_rest())
        if lines:
            self.reader(lines, self.low_ns)
        if self.at_end and not self.decoder.rest:  # else what comes next is partly older
            self.low_ns = max(self.low_ns, before_ns)
        return lines is not None

    def finish(self) -> None:
        """There comes no more: what is left is a line."""
        while self.read():
            pass
        if (lines := self.decoder.lines(b"", final=True)) or self.decoder.rest:
            rest = [self._take_rest()] if self.decoder.rest else []
            self.reader([*lines, *rest], self.low_ns)

    def _take_rest(self) -> str:
        """The text behind the last line's end, as a line."""
        rest, self.decoder.rest = self.decoder.rest, ""
        return rest.rstrip("\r")


class Logs:
    """The logs of one group that are read live; an asynchronous context manager.

    `on_error` learns why a reader failed.
    """

    def __init__(self) -> None:
        self.on_error: Callable[[str], None] | None = None
        self._logs: dict[Path, _Log] = {}
        self._watched: dict[int, _Log] = {}
        self._inotify: Inotify | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for path in tuple(self._logs):
            self.finish(path)
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping

    def follow(
        self, path: Path, reader: LineReader, started_ns: int, encoding: str = "utf-8"
    ) -> None:
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
        log = self._logs[path] = _Log(path, reader, started_ns, offset, encoding)
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
        """Open a log only once it is read: opening and closing is not free."""
        self._inotify = Inotify.open()
        if self._inotify is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._inotify.fileno(), self._read_changes)

    def _read_changes(self) -> None:
        assert self._inotify is not None
        numbers = self._inotify.read()
        for number, log in self._watched.items():
            if numbers is None or number in numbers:
                self._read_on(log)

    def _read_on(self, log: _Log) -> None:
        """Read one chunk per turn of the loop: a unit that prints 50 MB blocks no other."""
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
