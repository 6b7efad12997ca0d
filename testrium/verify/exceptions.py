"""What Python units raised: reported by a probe, or uncaught and seen by the interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from testrium.declared.circuits import Rules
from testrium.evidence import End, EndCause, Event, Finding
from testrium.frames import deepest_own
from testrium.verify.drafts import place_of
from testrium.verify.index import EventIndex
from testrium.verify.wording import shown, times
from testrium.words import RESERVED_UNITS, Code, EventType

#: The runner ended it: what it says of its own end then is no finding.
_STOPPED = frozenset(
    {EndCause.STOPPED, EndCause.ABANDONED, EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY}
)

_FRAME = re.compile(r'[\s|+]*(?P<frame>File "(?P<file>[^"]*)", line \d+.*)')


class Exceptions:
    """The Exception events of a run, as they count under its rules."""

    def __init__(self, rules: Rules, ends: Mapping[str, End], index: EventIndex) -> None:
        self._rules = rules
        self._ends = ends
        self._all = index.of_type(EventType.EXCEPTION)
        self._uncaught = {
            (event.owner, event.start, event.step) for event in self._all if is_uncaught(event)
        }

    def death_of(self, end: End) -> Event | None:
        """The uncaught exception that ended the unit's last process, if it is known."""
        for event in self._all:
            if (
                event.meta.get("uncaught") == "main"
                and event.owner == end.unit
                and (event.start == end.starts or end.unit in RESERVED_UNITS)
                and (end.pid is None or event.pid == end.pid)
            ):
                return event
        return None

    def by_place(self) -> Iterator[list[Event]]:
        """Those that count, together where they are of one unit and step."""
        places: dict[str, list[Event]] = {}
        for event in self._all:
            if self._counts(event):
                places.setdefault(place_of(event), []).append(event)
        yield from places.values()

    def in_logs(self, stderr: Mapping[str, str]) -> Iterator[Finding]:
        """Findings for tracebacks on stderr of which no event tells.

        Args:
            stderr: what each unit wrote.
        """
        known = {(event.unit, event.step) for event in self._all if self._counts(event)}
        known |= {
            (owner, step) for owner, start, step in self._uncaught if self._replaced(owner, start)
        }
        if not any(stderr.values()):
            return
        from testrium.verify.tracebacks import raised_types

        for unit, text in stderr.items():
            for step, line in raised_types(text).items():
                if (unit, step) not in known and not self._rules.allows(unit, step):
                    message = f"{unit} wrote a traceback to stderr: {shown(line)}"
                    yield Finding(Code.EXCEPTION, f"{unit}:{step}", message, unit=unit)

    def _counts(self, event: Event) -> bool:
        """Whether an Exception event is worth a word."""
        if self._rules.allows(event.unit, event.step):
            return False
        if self._replaced(event.owner, event.start):
            # Reported and raised again: one exception, and the unit has recovered from it.
            return (event.owner, event.start, event.step) not in self._uncaught
        end = self._ends.get(event.owner)
        stopped = end is not None and end.cause in _STOPPED and end.starts == event.start
        return not (stopped and event.step == "KeyboardInterrupt" and is_uncaught(event))

    def _replaced(self, owner: str, start: int) -> bool:
        """Whether the unit was started again after this start."""
        end = self._ends.get(owner)
        return end is not None and owner not in RESERVED_UNITS and start < end.starts


def is_uncaught(event: Event) -> bool:
    """Whether the interpreter reported it, and no probe of the unit."""
    return "uncaught" in event.meta


def exception_finding(events: list[Event]) -> Finding:
    """The finding for the exceptions of one place."""
    first = events[0]
    said = str(first.meta.get("message") or "")
    how = {"main": "died of", "thread": "lost a thread to", "task": "lost a task to"}.get(
        str(first.meta.get("uncaught")), "reported"
    )
    more = f" ({times(len(events))})" if len(events) > 1 else ""
    raised_at = _raised_at(str(first.meta.get("traceback") or ""))
    keys = tuple(dict.fromkeys(event.key for event in events if event.key is not None))
    return Finding(
        Code.EXCEPTION,
        place_of(first),
        f"{first.unit} {how} {first.step}" + (f": {shown(said)}" if said else "") + more,
        key=keys[0] if keys else None,
        keys=keys,
        events=tuple(event.id for event in events[:20]),
        hints=(f"raised at {raised_at}",) if raised_at else (),
        unit=first.unit,
        t_ns=first.t_ns,
    )


def _raised_at(traceback: str) -> str:
    """The `File ..., line ...` of the user's deepest frame; of a chain, in the last traceback."""
    last = traceback.rpartition("Traceback (most recent call last):")[2]
    found = [match for line in last.splitlines() if (match := _FRAME.match(line)) is not None]
    index = deepest_own([match["file"] for match in found])
    return "" if index is None else found[index]["frame"]
