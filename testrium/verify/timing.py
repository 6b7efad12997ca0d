"""What came before what, how long it took, and what the clocks cannot tell.

An event's time is an interval: from `t_low_ns` to `t_ns`, or a point where it was taken in the
unit. Times of two clock domains say nothing about each other. Within one process, sequence
numbers decide.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain
from math import inf
from typing import NamedTuple

from testrium.evidence import Event
from testrium.statistics import nearest_rank
from testrium.verify.index import Process, process_of

#: How many samples a percentile needs; 100 is the longest of all.
LEAST_SAMPLES = {50: 2, 95: 20, 99: 100, 100: 1}


def low_ns(event: Event) -> int:
    """The earliest time at which it can have happened."""
    return event.t_ns if event.t_low_ns is None else event.t_low_ns


class Order(IntEnum):
    """What is known about whether one event came before another one, or at the same time."""

    EARLIER = 0
    OVERLAPPING = 1  # their times of reading do not decide
    FOREIGN = 2  # their clocks cannot be compared
    LATER = 3


def order_of(one: Event, other: Event) -> Order:
    """Whether `one` came before `other`; ties count as before."""
    if (
        one.pid == other.pid
        and one.seq is not None
        and other.seq is not None
        and one.start == other.start
        and one.owner == other.owner
    ):
        return Order.EARLIER if one.seq < other.seq else Order.LATER
    if one.domain != other.domain:
        return Order.FOREIGN
    if one.t_ns <= low_ns(other):
        return Order.EARLIER
    return Order.LATER if low_ns(one) > other.t_ns else Order.OVERLAPPING


class Earlier(NamedTuple):
    """How many of some events came before another one, or at the same time.

    `surely` do; `maybe` adds those that overlap with it; `perhaps` also those of other clocks.
    """

    surely: int
    maybe: int
    perhaps: int


class _Times:
    """The bounds of some events of one clock, each list sorted."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.lows = sorted(map(low_ns, events))
        self.highs = sorted(event.t_ns for event in events)

    def before(self, event: Event) -> tuple[int, int]:
        """How many came surely, and how many may have come, before or with `event`."""
        surely = bisect_right(self.highs, low_ns(event))
        return surely, bisect_right(self.lows, event.t_ns)


class Timeline:
    """Counts how many of some events came before another one, each time in O(log n)."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._size = len(events)
        by_domain: dict[str, list[Event]] = {}
        by_process: dict[Process, list[Event]] = {}
        for event in events:
            by_domain.setdefault(event.domain, []).append(event)
            if event.seq is not None:
                by_process.setdefault(process_of(event), []).append(event)
        self._clocks = {domain: _Times(ours) for domain, ours in by_domain.items()}
        self._processes = {
            process: (
                sorted(event.seq for event in ours if event.seq is not None),
                {
                    domain: _Times([event for event in ours if event.domain == domain])
                    for domain in {event.domain for event in ours}
                },
            )
            for process, ours in by_process.items()
        }

    def earlier_than(self, event: Event) -> Earlier:
        """How many came before `event`."""
        surely, maybe, size = self._by_clock(event, self._clocks)
        foreign = self._size - size
        if event.seq is not None and process_of(event) in self._processes:
            numbers, clocks = self._processes[process_of(event)]
            by_number = bisect_left(numbers, event.seq)
            surely_too, maybe_too, size_too = self._by_clock(event, clocks)
            surely += by_number - surely_too
            maybe += by_number - maybe_too
            foreign -= len(numbers) - size_too
        return Earlier(surely, maybe, maybe + foreign)

    @staticmethod
    def _by_clock(event: Event, clocks: dict[str, _Times]) -> tuple[int, int, int]:
        times = clocks.get(event.domain)
        if times is None:
            return 0, 0, 0
        return *times.before(event), len(times.highs)


class Span(NamedTuple):
    """A latency (ns): from `low` to `high`. Unanswered: both are infinite."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        return self.low == self.high


UNANSWERED = Span(inf, inf)
UNKNOWN = Span(-inf, inf)


def span(starts: Sequence[Event], ends: Sequence[tuple[Sequence[Event], int]]) -> Span:
    """From the first of `starts` to what completes `ends`.

    `ends` are hops with the number of events that completes each.
    """
    if len(starts) == 1 and len(ends) == 1 and len(ends[0][0]) == 1:
        start, end = starts[0], ends[0][0][0]  # nearly all, in a circuit of a million events
        if start.t_low_ns is None and end.t_low_ns is None and start.domain == end.domain:
            exact = end.t_ns - start.t_ns
            return Span(exact, exact)
    domain = starts[0].domain
    for events in (starts, *(events for events, _ in ends)):
        if any(event.domain != domain for event in events):
            return UNKNOWN
    begin_low = min(map(low_ns, starts))
    begin_high = min(event.t_ns for event in starts)
    end_low = max(sorted(map(low_ns, events))[need - 1] for events, need in ends)
    end_high = max(sorted(event.t_ns for event in events)[need - 1] for events, need in ends)
    return Span(end_low - begin_high, end_high - begin_low)


class Latencies:
    """The latencies (ns) of all instances of a circuit, unanswered ones included."""

    def __init__(self, exact: Mapping[str, int], others: Mapping[str, Span]) -> None:
        self._exact = exact
        self._others = others
        self.count = len(exact) + len(others)
        self._lows = sorted([*exact.values(), *(span.low for span in others.values())])
        self._highs = self._lows
        if any(not span.exact for span in others.values()):
            self._highs = sorted([*exact.values(), *(span.high for span in others.values())])

    def over(self, limit_ns: int) -> Iterator[tuple[str, Span]]:
        """The instances that did take longer, or may have."""
        if self._highs and self._highs[-1] > limit_ns:
            for name, exact_ns in self._exact.items():
                if exact_ns > limit_ns:
                    yield name, Span(exact_ns, exact_ns)
            for name, taken in self._others.items():
                if taken.high > limit_ns:
                    yield name, taken

    def enough(self, percentile: int) -> bool:
        return self.count >= LEAST_SAMPLES[percentile]

    def percentile(self, percentile: int) -> Span:
        return Span(nearest_rank(self._lows, percentile), nearest_rank(self._highs, percentile))

    def percentile_ms(self, percentile: int) -> float | None:
        """For a report: None with too few samples, an infinite value, or one that is not known."""
        if not self.enough(percentile):
            return None
        value = self.percentile(percentile)
        return value.high / 1e6 if value.exact and value.high < inf else None

    def max_ms(self) -> float | None:
        """The longest that is known exactly."""
        known = (span.high for span in self._others.values() if span.exact and span.high < inf)
        longest = max(chain(self._exact.values(), known), default=None)
        return None if longest is None else longest / 1e6
