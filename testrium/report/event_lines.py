"""What happened, one event a line, in the order of time: of a whole group, or of one key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from testrium import phrases
from testrium.evidence import Event
from testrium.report.escape import cut
from testrium.report.lines import Line, Span, Style, Symbols, line, table

_KEY_WIDTH = 40

_META_WIDTH = 60

#: A traceback does not fit in one line; the finding shows it.
_TOO_LONG = "traceback"


def faults_among(events: Sequence[Event], faults: Sequence[Event]) -> tuple[Event, ...]:
    """The planned faults that belong beside these events: those of a key only with that key."""
    shown = {event.id for event in events}
    return tuple(
        fault
        for fault in faults
        if shown and (fault.meta.get("event") in shown or "event" not in fault.meta)
    )


def event_lines(
    title: str, events: Sequence[Event], symbols: Symbols, *, width: int | None = None
) -> list[Line]:
    """A line for each event: when it was, how long after the one before, where, and its metadata.

    Times count from the first event, on the clock that most events have; those of other clocks
    have none. A time at which a line was read is an upper bound, marked `<=`.

    Args:
        title: what the events are of.
        width: columns to fill; what does not fit is left out. None: all is shown.
    """
    ordered = sorted(events, key=lambda event: (event.attempt, event.here_ns, event.id))
    keyed = len({event.key for event in ordered}) > 1
    rows = [_row(*moment, symbols, keyed=keyed) for moment in _moments(ordered)]
    room = None if width is None else width - 2
    shown = table(rows, width=room, right=(0, 1)) if rows else []
    lines = [line(Span(title, "strong"), Span(f"  {phrases.plural(len(ordered), 'event')}", "dim"))]
    attempt = 1
    for event, row in zip(ordered, shown, strict=True):
        if event.attempt != attempt:
            attempt = event.attempt
            lines.append(line(Span(f"  the circuit was started again (attempt {attempt})", "dim")))
        lines.append(row.indented(2))
    return lines


def _moments(ordered: Sequence[Event]) -> Iterator[tuple[Event, float | None, float | None]]:
    """Each event with its time since the first one and since the one before, in ms."""
    clocks = Counter(event.domain for event in ordered)
    clock = clocks.most_common(1)[0][0] if clocks else ""
    first_ns: int | None = None
    previous_ns = 0
    for event in ordered:
        if event.domain != clock:
            yield event, None, None
            continue
        if first_ns is None:
            first_ns = event.t_ns
            yield event, 0.0, None
        else:
            yield event, (event.t_ns - first_ns) / 1e6, (event.t_ns - previous_ns) / 1e6
        previous_ns = event.t_ns


def _row(
    event: Event, since_ms: float | None, gap_ms: float | None, symbols: Symbols, *, keyed: bool
) -> list[Span]:
    if since_ms is None:
        moment = Span("other clock", "warn")
    else:
        moment = Span(f"{'<= ' if event.t_low_ns is not None else ''}{since_ms:.3f} ms")
    gap = "" if gap_ms is None else f"+{gap_ms:.3f} ms"
    style: Style = "" if event.owner else "warn"
    row = [moment, Span(gap, "dim"), Span(event.unit, style), Span(event.step, style)]
    if keyed:
        row.append(Span(cut(event.key or "", _KEY_WIDTH, symbols.ellipsis)))
    row.append(Span(event.type, "dim"))
    row.append(Span(f"pid {event.pid}" if event.pid > 0 else "", "dim"))
    row.append(Span(cut(facts(event), _META_WIDTH, symbols.ellipsis), "dim"))
    return row


def facts(event: Event) -> str:
    """Causes and metadata: `cause k1  rows=3 name="x"`."""
    told = [f"cause {', '.join(event.cause)}"] if event.cause else []
    told += [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in event.meta.items()
        if name != _TOO_LONG
    ]
    return " ".join(told)
