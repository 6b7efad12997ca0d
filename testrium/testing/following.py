"""The lines of a file that grows: each byte is read once; what is no UTF-8 does no harm."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from testrium.checks.comparison import shown
from testrium.checks.patterns import compiled

#: Bytes that are read at once.
_CHUNK = 1 << 18
_LAST_LINES = 5


class Log:
    """Files that are read on from where the last reading ended; a file need not exist yet.

    A line is complete when its end was written. `wait_for_log` of a Log goes on behind the line
    that it found last.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._offsets = dict.fromkeys(paths, 0)
        self._rests = dict.fromkeys(paths, b"")
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
            for path, rest in self._rests.items():
                if rest:
                    self._rests[path] = b""
                    line = _text(rest)
                    self._last.append(line)
                    yield line

    def last_seen(self) -> str:
        """What was seen last, for a message."""
        lines = [*self._last, *(_text(rest) for rest in self._rests.values() if rest)]
        if not lines and not any(path.exists() for path in self.paths):
            return f"there is no {' and no '.join(map(str, self.paths))}"
        if not lines:
            return "nothing was written yet"
        return "the last lines were:\n" + "\n".join(f"  | {shown(line)}" for line in lines)

    def _read(self, path: Path) -> bool:
        """Read a chunk; False where there was nothing new."""
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < self._offsets[path]:  # it was emptied: a new one begins
                    self._offsets[path], self._rests[path] = 0, b""
                file.seek(self._offsets[path])
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return False
        self._offsets[path] += len(data)
        *lines, self._rests[path] = (self._rests[path] + data).split(b"\n")
        self._waiting.extend(map(_text, lines))
        return bool(data)


class Search:
    """Looks for a pattern in new lines, and for those that mean failure."""

    def __init__(self, pattern: str, errors: Sequence[str], *, literal: bool) -> None:
        self._pattern = _compiled(pattern, literal=literal)
        self._errors = [_compiled(error, literal=literal) for error in errors]

    def found(self, log: Log, *, final: bool = False) -> re.Match[str] | str | None:
        """The first match, or the line that means failure; None where there is neither."""
        for line in log.lines(final=final):
            if match := self._pattern.search(line):
                return match
            if any(error.search(line) for error in self._errors):
                return line
        return None


def _compiled(text: str, *, literal: bool) -> re.Pattern[str]:
    return re.compile(re.escape(text)) if literal else compiled(text)


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="backslashreplace")
