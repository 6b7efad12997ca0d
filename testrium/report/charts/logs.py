"""The logs of a group for a page: lines with the probes between them, in the order of time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from testrium import phrases
from testrium.evidence import Event, OutputMark, StoredLog
from testrium.report.escape import cut, log_line, visible
from testrium.report.group_text import facts
from testrium.system.files import decoded, read_regular, split_lines

#: Of more lines of a unit the first and the last are shown; fewer once a page has very many.
HEAD = 500

TAIL = 2500

MOST_LINES = 40_000

LEAST_LINES = 400

_CELLS = 1000


class LogLine(NamedTuple):
    """A line of a log, or a probe; `at_s` is None where its time is not known.

    It counts from the group's start, and is an upper bound where `bound`.
    """

    kind: str  # stdout, stderr, probe, skipped
    at_s: float | None
    bound: bool
    text: str
    unit: str = ""

    @property
    def time(self) -> str:
        """As the page shows it."""
        return "" if self.at_s is None else f"{'≤ ' if self.bound else ''}{self.at_s:.3f} s"


class UnitLog(NamedTuple):
    """What a unit wrote and emitted; `left_out` is what is not here, "" where all is."""

    unit: str
    lines: tuple[LogLine, ...]
    left_out: str = ""


class _Item(NamedTuple):
    t_ns: float
    order: int
    kind: str
    text: str
    bound: bool


def unit_logs(
    units: Sequence[str],
    logs: Sequence[StoredLog],
    marks: Sequence[OutputMark],
    events: Sequence[Event],
    started_ns: int | None,
    hide: Callable[[str], str] = str,
    most: int = HEAD + TAIL,
) -> tuple[UnitLog, ...]:
    """The logs of these units, without units that wrote and emitted nothing.

    A line of a log has no time of its own: it stands where it had been written at the latest.
    `hide` takes out of it what must not be shown; of each unit at most `most` lines are shown.
    """
    views = []
    for unit in units:
        own_marks = [mark for mark in marks if mark.unit == unit]
        items = [
            _Item(event.here_ns, 0, "probe", _probe(event), event.t_low_ns is not None)
            for event in events
            if event.owner == unit
        ]
        for log in logs:
            if log.unit == unit:
                items += _lines(log, own_marks, hide)
        if items:
            items.sort(key=lambda item: (item.t_ns, item.order))
            lines, left_out = _shown_lines(items, started_ns, most)
            views.append(UnitLog(unit, lines, left_out))
    return tuple(views)


def _lines(
    log: StoredLog, marks: Sequence[OutputMark], hide: Callable[[str], str]
) -> Iterator[_Item]:
    sizes = [mark.stdout if log.stream == "stdout" else mark.stderr for mark in marks]
    before = 0
    for piece in log.pieces:
        if piece.offset > before:
            t_ns = _seen_ns(piece.offset, sizes, marks)
            left_out = f"{phrases.megabytes(piece.offset - before)} of {log.stream}"
            yield _Item(t_ns, 1, "skipped", left_out, True)
        end = piece.offset
        for size, written in split_lines(piece.data, log.encoding):
            end += size
            if written:
                text = cut(log_line(hide(written)), _CELLS)
                place = min(end, log.size)
                yield _Item(_seen_ns(place, sizes, marks), 1, log.stream, text, True)
        before = piece.offset + len(piece.data)


def _seen_ns(end: int, sizes: Sequence[int], marks: Sequence[OutputMark]) -> float:
    """When this many bytes were known to be written."""
    number = bisect_left(sizes, end)
    return marks[number].t_ns if number < len(marks) else inf


def _shown_lines(
    items: Sequence[_Item], started_ns: int | None, most: int
) -> tuple[tuple[LogLine, ...], str]:
    """The lines that are shown, and what is left out of them."""
    head = most * HEAD // (HEAD + TAIL)
    behind = head + max(0, len(items) - most)

    def line(item: _Item) -> LogLine:
        text = f"{item.text} left out" if item.kind == "skipped" else item.text
        return LogLine(item.kind, _seconds(item, started_ns), item.bound, text)

    shown = [*map(line, items[:head]), *map(line, items[behind:])]
    if dropped := items[head:behind]:
        left_out = f"{_amount(dropped)} left out"
        gap = LogLine("skipped", _seconds(dropped[0], started_ns), True, left_out)
        shown.insert(head, gap)
    unread = [item for item in (*items[:head], *items[behind:]) if item.kind == "skipped"]
    return tuple(shown), _amount([*unread, *dropped])


def _amount(items: Sequence[_Item]) -> str:
    """How much these are: `49.5 MB of stdout and 2034 lines`; "" where there are none."""
    amounts = [item.text for item in items if item.kind == "skipped"]
    if lines := len(items) - len(amounts):
        amounts.append(phrases.plural(lines, "line"))
    return " and ".join(amounts)


def _seconds(item: _Item, started_ns: int | None) -> float | None:
    if started_ns is None or item.t_ns == inf:
        return None
    return round((item.t_ns - started_ns) / 1e9, 4)


def merged_lines(logs: Sequence[UnitLog]) -> list[LogLine]:
    """The lines of all units in the order of time; what has none comes last."""
    lines = [line._replace(unit=log.unit) for log in logs for line in log.lines]
    lines.sort(key=lambda line: inf if line.at_s is None else line.at_s)
    return lines


def _probe(event: Event) -> str:
    key = f" {event.key}" if event.key is not None else ""
    told = facts(event)
    kind = "" if event.type == "Default" else f"  {event.type}"
    return cut(f"{event.step}{key}{kind}" + (f"  {told}" if told else ""), _CELLS)


#: Bytes of a log that are on one page: 2000 lines or so.
WINDOW = 200_000

#: Bytes of one line at most: a program may write a file without line ends.
_MOST_OF_LINE = 1 << 24

MOST_FOUND = 200


class LogWindow(NamedTuple):
    """The part of a log from the byte `begin` to `end`; each line with its first byte."""

    begin: int
    end: int
    size: int
    lines: tuple[tuple[int, str], ...]


def log_window(path: Path, at: int, hide: Callable[[str], str] = str) -> LogWindow:
    """The lines from the first one that begins at the byte `at` or behind it.

    Raises OSError where the log does not exist.
    """
    with read_regular(path) as log:
        size = log.seek(0, 2)
        begin = max(0, min(at, size))
        if begin:
            log.seek(begin - 1)
            begin += len(log.readline(_MOST_OF_LINE)) - 1
        log.seek(begin)
        lines, end = [], begin
        while end - begin < WINDOW and (data := log.readline(_MOST_OF_LINE)):
            lines.append((end, _text(data, hide)))
            end += len(data)
    return LogWindow(begin, end, size, tuple(lines))


def found_lines(
    path: Path, wanted: str, hide: Callable[[str], str] = str
) -> tuple[int, tuple[tuple[int, str], ...]]:
    """How many lines of a log have a text, whatever its case, and the first of them.

    Each one comes with its first byte. Raises OSError where the log does not exist.
    """
    count, found, end = 0, [], 0
    wanted = wanted.lower()
    with read_regular(path) as log:
        while data := log.readline(_MOST_OF_LINE):
            text = hide(decoded(data))
            if wanted in text.lower():
                count += 1
                if count <= MOST_FOUND:
                    found.append((end, _text(data, hide)))
            end += len(data)
    return count, tuple(found)


def _text(data: bytes, hide: Callable[[str], str]) -> str:
    return cut(log_line(hide(decoded(data))), _CELLS)


_KINDS = ("stdout", "stderr", "probe", "skipped")


def log_data(lines: Sequence[LogLine]) -> dict[str, Any]:
    """Lines for the page's script (logs.js)."""
    units: dict[str, int] = {}
    rows = [
        [
            units.setdefault(visible(line.unit), len(units)),
            _KINDS.index(line.kind),
            line.at_s,
            int(line.bound),
            visible(line.text),
        ]
        for line in lines
    ]
    return {"units": list(units), "lines": rows}
