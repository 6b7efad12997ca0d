"""The logs of a unit as lines to be read and searched, with its probes between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from testrium.model import Event
from testrium.model.detail import Log, OutputMark
from testrium.report import wording
from testrium.report.escape import cut, log_line
from testrium.report.timeline import facts

#: Of more lines the first and the last are shown.
HEAD = 400
TAIL = 800
_CELLS = 1000


class LogLine(NamedTuple):
    """A line of a log, or a probe. `time` is "" where it is not known."""

    kind: str  # stdout, stderr, probe, skipped
    time: str
    text: str


class UnitLog(NamedTuple):
    """What a unit wrote and emitted. `lines_in_all` counts also what is left out."""

    unit: str
    lines: tuple[LogLine, ...]
    lines_in_all: int


class _Item(NamedTuple):
    t_ns: float
    order: int
    kind: str
    text: str
    bound: bool


def unit_logs(
    units: Sequence[str],
    logs: Sequence[Log],
    marks: Sequence[OutputMark],
    events: Sequence[Event],
    started_ns: int | None,
) -> tuple[UnitLog, ...]:
    """The logs of these units; one that neither wrote nor emitted anything has none.

    A line of a log has no time of its own: it stands where it had been written at the latest.
    """
    views = []
    for unit in units:
        own_marks = [mark for mark in marks if mark.unit == unit]
        items = [
            _Item(event.t_ns, 0, "probe", _probe(event), event.t_low_ns is not None)
            for event in events
            if event.owner == unit
        ]
        for log in logs:
            if log.unit == unit:
                items += _lines(log, own_marks)
        if items:
            items.sort(key=lambda item: (item.t_ns, item.order))
            lines = tuple(_shown(items, started_ns))
            views.append(UnitLog(unit, lines, len(items)))
    return tuple(views)


def _lines(log: Log, marks: Sequence[OutputMark]) -> Iterator[_Item]:
    sizes = [mark.stdout if log.stream == "stdout" else mark.stderr for mark in marks]
    before = 0
    for piece in log.pieces:
        if piece.offset > before:
            t_ns = _seen_ns(piece.offset, sizes, marks)
            left_out = f"{wording.megabytes(piece.offset - before)} of {log.stream} left out"
            yield _Item(t_ns, 1, "skipped", left_out, True)
        end = piece.offset
        for data in piece.data.split(b"\n"):
            end += len(data) + 1
            if data:
                text = cut(log_line(data.decode(errors="backslashreplace")), _CELLS)
                place = min(end, log.size)
                yield _Item(_seen_ns(place, sizes, marks), 1, log.stream, text, True)
        before = piece.offset + len(piece.data)


def _seen_ns(end: int, sizes: Sequence[int], marks: Sequence[OutputMark]) -> float:
    """When so many bytes were seen to be written."""
    number = bisect_left(sizes, end)
    return marks[number].t_ns if number < len(marks) else inf


def _shown(items: Sequence[_Item], started_ns: int | None) -> Iterator[LogLine]:
    skipped = len(items) - HEAD - TAIL
    for number, item in enumerate(items):
        if skipped > 0 and HEAD <= number < HEAD + skipped:
            if number == HEAD:
                yield LogLine("skipped", "", f"{skipped} lines left out")
            continue
        yield LogLine(item.kind, _time(item, started_ns), item.text)


def _time(item: _Item, started_ns: int | None) -> str:
    if started_ns is None or item.t_ns == inf:
        return ""
    seconds = (item.t_ns - started_ns) / 1e9
    return f"{'≤ ' if item.bound else ''}{seconds:.3f} s"


def _probe(event: Event) -> str:
    key = f" {event.key}" if event.key is not None else ""
    told = facts(event)
    kind = "" if event.type == "Default" else f"  {event.type}"
    return cut(f"{event.step}{key}{kind}" + (f"  {told}" if told else ""), _CELLS)
