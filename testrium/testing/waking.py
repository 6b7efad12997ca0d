"""What wakes a wait and what ends it: new lines of a file, the end of a process or of a unit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn, Protocol

from testrium.checks.comparison import shown
from testrium.checks.patterns import compiled
from testrium.errors import TestriumError
from testrium.probe import environment as names
from testrium.probe.waiting import ENDED, connected
from testrium.system.files import LineDecoder


class UnitEnd:
    """Learns when a unit has ended for good; outside of a run it never does."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._how: str | None = None
        self._answer = b""
        self._wire: socket.socket | None = None
        address = os.environ.get(names.SOCKET)
        if not address:
            return
        question = {"op": "end", "unit": unit, "asker": os.environ.get(names.UNIT, "")}
        try:
            self._wire = connected(address)
            self._wire.sendall(json.dumps(question).encode() + b"\n")
            self._wire.setblocking(False)
        except OSError:
            self._how = ENDED

    def fileno(self) -> int | None:
        """Readable when there is an answer; None where there will be none."""
        return None if self._wire is None else self._wire.fileno()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def described_end(self) -> str | None:
        """In words, "unit api ended with exit code 3"; None while it has not ended for good."""
        while self._how is None and self._wire is not None:
            try:
                part = self._wire.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            self._answer += part
            if not part:
                self._how = ENDED
            elif self._answer.endswith(b"\n"):
                self._how = json.loads(self._answer).get("end", ENDED)
        return self._how

    def last_output(self) -> str:
        """What the unit wrote last, for a message; "" where it has no output."""

        try:
            log = unit_log(self._unit)
        except (RuntimeError, ValueError):
            return ""
        return log.last_output()


#: Where nothing wakes us, we look again after a pause that grows from the first to the second (s).
_PAUSES_S = (0.002, 0.05)

#: Some file systems take a watch and tell nothing of what another machine has written.
_SAFETY_S = 0.5


class Ending(Protocol):
    """What ends, and can tell how; a `Process` is one."""

    pid: int

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""

    def described_end(self) -> str:
        """In words: "server ended with exit code 3"."""

    def last_output(self) -> str:
        """What it wrote last, for a message."""


class WaitError(TestriumError):
    """What was waited for did not come; the message tells what was seen last."""

    __module__ = "testrium.testing"


class WaitTimeoutError(WaitError, TimeoutError):
    """It did not come in time."""

    __module__ = "testrium.testing"


class ProcessEndedError(WaitError):
    """The process from which it should have come has ended."""

    __module__ = "testrium.testing"


class ErrorLineError(WaitError):
    """A line matches one of the patterns that mean failure."""

    __module__ = "testrium.testing"


class Waking:
    """Blocks until something may have changed.

    Args:
        timeout: seconds; None for ever.
        process: one whose end ends the wait: an `Ending`, a unit, or the number of any process.
        files: files, there or not, that wake when they are written or made.
    """

    def __init__(
        self, timeout: float | None, process: Ending | UnitEnd | int | None, what: str
    ) -> None:
        self.process = process
        self._timeout = timeout
        self._what = what
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._poll = select.poll()
        self._watched = False  # whether files wake us
        self._inotify_fd: int | None = None
        self._pause_s = _PAUSES_S[0]

    def left_s(self) -> float | None:
        """Seconds until the wait is over; None: it never is."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    def wait(self, seen: str | None = "") -> None:
        """Return when it is worth looking again.

        Args:
            seen: what was seen last, for the message. None: the last look was before the time was
                over, so do not give up before the next one.

        Raises:
            WaitTimeoutError: the time is over.
        """
        left = self.left_s()
        if seen is not None and left is not None and left <= 0:
            raise WaitTimeoutError(
                _sentence(f"{self._what} did not come within {self._timeout:g} s", seen)
            )
        pause = self._nap()
        limit = pause if left is None else min(max(left, 0), pause)
        for fd, _ in self._poll.poll(limit * 1000 + 1):
            if fd == self._inotify_fd:
                with contextlib.suppress(BlockingIOError):
                    os.read(fd, 65536)

    def wait_readable(self, fd: int) -> None:
        """Return when `fd` can be read.

        Raises:
            WaitTimeoutError: the time is over.
            ProcessEndedError: the process ended first.
        """
        self._poll.register(fd, select.POLLIN)
        try:
            while True:
                left = self.left_s()
                if left is not None and left <= 0:
                    self.wait()  # raises
                ready = [one for one, _ in self._poll.poll(None if left is None else left * 1000)]
                if fd in ready:
                    return
                if self.is_over():
                    self.raise_ended()
        finally:
            self._poll.unregister(fd)

    def is_over(self) -> bool:
        """Whether the process, where there is one, has ended: look once more, then give up."""
        if self.process is None:
            return False
        if isinstance(self.process, int):
            return not _is_alive(self.process)
        if isinstance(self.process, UnitEnd):
            return self.process.described_end() is not None
        return self.process.exit_code is not None

    def raise_ended(self, seen: str = "") -> NoReturn:
        """Give up. Raises ProcessEndedError."""
        if self.process is None or isinstance(self.process, int):
            ended = f"process {self.process} ended"
        else:
            ended = self.process.described_end() or "its unit ended"
            output = self.process.last_output()
            seen = seen if output in seen else f"{seen}; {output}" if seen else output
        raise ProcessEndedError(_sentence(f"{self._what} did not come: {ended}", seen))

    def _nap(self) -> float:
        """How long nothing needs to be looked at, unless something wakes us."""
        if self._watched:
            return _SAFETY_S
        pause = self._pause_s
        self._pause_s = min(2 * pause, _PAUSES_S[1])
        return pause

    def _watch_process(self, stack: ExitStack) -> None:
        if self.process is None:
            return
        if isinstance(self.process, UnitEnd):
            stack.callback(self.process.close)
            if (wire := self.process.fileno()) is not None:
                self._poll.register(wire, select.POLLIN)
            return
        pid = self.process if isinstance(self.process, int) else self.process.pid
        # It is gone already, or this system cannot: then it is looked at in the pauses.
        with contextlib.suppress(OSError, AttributeError):
            fd = os.pidfd_open(pid)
            stack.callback(os.close, fd)
            self._poll.register(fd, select.POLLIN)

    def _watch_files(self, files: Iterable[Path], stack: ExitStack) -> None:
        from testrium.record.inotify import IN_FOLDER, Inotify

        inotify = Inotify.open()
        if inotify is None:
            return
        stack.callback(os.close, inotify.fileno())
        self._inotify_fd = inotify.fileno()
        # Their folders: a file may be made, moved to its place, or replaced.
        folders = {path.parent for file in files for path in (file, file.resolve())}
        numbers = [inotify.add(str(folder), IN_FOLDER) for folder in folders]
        self._watched = None not in numbers
        if self._watched:
            self._poll.register(inotify.fileno(), select.POLLIN)


@contextmanager
def waking(
    what: str,
    timeout: float | None,
    process: Ending | str | int | None = None,
    files: Iterable[Path] = (),
) -> Iterator[Waking]:
    """What wakes a wait for `what`, for as long as it lasts; a `process` that is text is a unit."""
    ending = UnitEnd(process) if isinstance(process, str) else process
    wakes = Waking(timeout, ending, what)
    with ExitStack() as stack:
        wakes._watch_process(stack)  # noqa: SLF001 - the two are one thing
        if files := tuple(files):
            wakes._watch_files(files, stack)  # noqa: SLF001
        yield wakes


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # One that has ended is there until its parent has asked for its exit code.
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file,  # noqa: PTH123
    ):
        return file.read().rpartition(")")[2].split()[0] not in "ZX"
    return True


def _sentence(message: str, seen: str) -> str:
    return f"{message}; {seen}" if seen else message


#: Bytes that are read at once.
_CHUNK = 1 << 18

_LAST_LINES = 5


class Log:
    """Files that are read on from where the last reading ended; a file need not exist yet.

    A line is complete when its end was written. `wait_for_log` of a Log continues behind the line
    that it found last.
    """

    def __init__(self, *paths: Path, encoding: str = "utf-8") -> None:
        self.paths = paths
        self.encoding = encoding
        self._offsets = dict.fromkeys(paths, 0)
        self._decoders = {path: LineDecoder(encoding) for path in paths}
        self._waiting: deque[str] = deque()  # lines that were read, and not yet looked at
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def lines(self, *, final: bool = False) -> Iterator[str]:
        """The lines that were not looked at yet; `final`: an unfinished one counts too."""
        while True:
            while self._waiting:
                line = self._waiting.popleft()
                self._last.append(line)
                yield line
            if not any([self._read(path) for path in self.paths]):  # noqa: C419 - read them all
                break
        if final:
            for decoder in self._decoders.values():
                if decoder.rest:
                    line, decoder.rest = decoder.rest.rstrip("\r"), ""
                    self._last.append(line)
                    yield line

    def last_output(self) -> str:
        """Read all that was written; its end, for a message."""
        deque(self.lines(), maxlen=0)
        return self.last_seen()

    def last_seen(self) -> str:
        """What was seen last, for a message."""
        rests = (decoder.rest for decoder in self._decoders.values())
        lines = [*self._last, *filter(None, rests)]
        if not lines and not any(path.exists() for path in self.paths):
            do = "does" if len(self.paths) == 1 else "do"
            return f"{' and '.join(map(str, self.paths))} {do} not exist"
        if not lines:
            return "nothing was written yet"
        return "the last lines were:\n" + "\n".join(f"  | {shown(line)}" for line in lines)

    def _read(self, path: Path) -> bool:
        """Read a chunk; False where there was nothing new."""
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < self._offsets[path]:  # it was emptied: a new one begins
                    self._offsets[path], self._decoders[path] = 0, LineDecoder(self.encoding)
                file.seek(self._offsets[path])
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return False
        self._offsets[path] += len(data)
        self._waiting.extend(self._decoders[path].lines(data))
        return bool(data)


def unit_log(unit: str) -> Log:
    """The output of a unit of this run. Raises ValueError, RuntimeError as `unit_logs`."""
    from testrium.testing.files import unit_encoding, unit_logs

    return Log(*unit_logs(unit).values(), encoding=unit_encoding(unit))


class LogSearch:
    """Looks for a pattern in new lines, and for those that mean failure."""

    def __init__(
        self,
        pattern: str,
        errors: Sequence[str],
        ignored: Sequence[str] = (),
        count: int = 1,
        *,
        literal: bool,
    ) -> None:
        self._left = count
        self._ignored = [_compiled(text, literal=literal) for text in ignored]
        self._pattern = _compiled(pattern, literal=literal)
        self._errors = [_compiled(error, literal=literal) for error in errors]

    def found(self, log: Log, *, final: bool = False) -> re.Match[str] | str | None:
        """The match that is enough, or the line that means failure; None where there is neither."""
        for line in log.lines(final=final):
            if any(ignored.search(line) for ignored in self._ignored):
                continue
            if match := self._pattern.search(line):
                self._left -= 1
                if self._left <= 0:
                    return match
                continue
            if any(error.search(line) for error in self._errors):
                return line
        return None


def _compiled(text: str, *, literal: bool) -> re.Pattern[str]:
    return re.compile(re.escape(text)) if literal else compiled(text)
