"""The events of the attempt that is judged, sorted once, and found by their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import count
from operator import attrgetter, eq
from typing import TypeVar

from testrium.evidence import Event, Evidence
from testrium.phrases import close_to
from testrium.tuples import NamedTuple
from testrium.words import ANY, EventType

Process = tuple[str, int, int]
T = TypeVar("T", bound=Hashable)

# Getters made of C: half the time of a loop over a million events.
#: What tells processes apart: pids are reused, starts are not.
process_of: Callable[[Event], Process] = attrgetter("owner", "start", "pid")
_place: Callable[[Event], tuple[str, str]] = attrgetter("unit", "step")
_number: Callable[[Event], int | None] = attrgetter("seq")


class EventIndex:
    """Events in the order of their times (where clocks differ: a stable order, no more).

    `by_place` maps (unit, step) to its events, in that order. `faults` are the events that tell
    which planned faults have happened.
    """

    def __init__(self, evidence: Evidence) -> None:
        attempt = evidence.attempt
        self.events = sorted(
            [event for event in evidence.events if event.attempt == attempt],
            key=attrgetter("t_ns"),
        )
        by_place: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
        for place, event in zip(map(_place, self.events), self.events, strict=True):
            by_place[place].append(event)
        self.by_place = dict(by_place)
        self.faults = [event for event in evidence.faults if event.attempt == attempt]

    @cached_property
    def instances(self) -> dict[str, str] | None:
        """The common key of each key that a cause joins with others.

        The causes of all events join, whatever their place. None: no event has a cause.
        """
        caused = [event for event in self.events if event.cause]
        return (
            join_keys(
                event.cause if event.key is None else (event.key, *event.cause) for event in caused
            )
            or None
        )

    def steps_of(self, unit: str) -> list[str]:
        """The steps that a unit did emit (`*`: all units)."""
        return [step for name, step in self.by_place if unit in (ANY, name)]

    def nearest_step(self, unit: str, step: str) -> str | None:
        """The step that a unit did emit, and that may have been meant by another one."""
        return close_to(step, self.steps_of(unit), likeness=0.75)

    def of_type(self, wanted: EventType) -> list[Event]:
        """The events of a type."""
        name = wanted.value  # a plain text compares faster than a member of an enum
        return [event for event in self.events if event.type == name]

    def last_of(self, unit: str) -> Event | None:
        """The last event of a unit."""
        last = [events[-1] for place, events in self.by_place.items() if place[0] == unit]
        return max(last, key=attrgetter("t_ns"), default=None)

    def last_of_process(self, event: Event) -> Event:
        """The last event of the process that emitted this one."""
        return self._last_of_raising.get(process_of(event), event)

    @cached_property
    def _last_of_raising(self) -> dict[Process, Event]:
        """The last event of each process that reported an exception."""
        raising = set(map(process_of, self.of_type(EventType.EXCEPTION)))
        last: dict[Process, Event] = {}
        for event in self.events:
            if process_of(event) in raising:
                known = last.setdefault(process_of(event), event)
                if (event.seq or 0, event.t_ns) > (known.seq or 0, known.t_ns):
                    last[process_of(event)] = event
        return last

    def with_keys(self, keys: Iterable[str]) -> dict[str, list[Event]]:
        """All events of some keys, in one pass."""
        found: dict[str, list[Event]] = {key: [] for key in keys}
        for event in self.events:
            if event.key in found:
                found[event.key].append(event)
        return found


def join_keys(together: Iterable[Sequence[T]]) -> dict[T, T]:
    """One key for all that are joined with it, directly or through others."""
    above: dict[T, T] = {}

    def root_of(key: T) -> T:
        while (parent := above.setdefault(key, key)) != key:
            above[key] = above[parent]
            key = parent
        return key

    for keys in together:
        for key in keys:
            above[root_of(keys[0])] = root_of(key)
    return {key: root_of(key) for key in list(above)}


class Hole(NamedTuple):
    """What is wrong with the sequence (1, 2, 3 ...) of one process.

    `missing` numbers up to `last` never arrived, `first` is the first of them (0: none).
    `twice` numbers were given more than once.
    """

    process: Process
    missing: int
    first: int
    last: int
    twice: int = 0


def holes(events: Sequence[Event]) -> list[Hole]:
    """Where the sequences of processes have holes, or numbers that were given twice."""
    numbers: defaultdict[Process, list[int]] = defaultdict(list)
    for process, number in zip(map(process_of, events), map(_number, events), strict=True):
        if number is not None:
            numbers[process].append(number)
    found = []
    for process, given in numbers.items():
        if all(map(eq, given, count(1))):  # as it mostly is, without a set of a million numbers
            continue
        seen, last = set(given), max(given)
        missing, twice = last - len(seen), len(given) - len(seen)
        if missing or twice:
            found.append(Hole(process, missing, _first_missing(seen, last), last, twice))
    return found


def _first_missing(seen: set[int], last: int) -> int:
    return next((n for n in range(1, last) if n not in seen), 0)
