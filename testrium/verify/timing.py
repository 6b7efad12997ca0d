"""What came before what, how long it took, and what the clocks cannot tell.

An event's time is an interval: from `t_low_ns` to `t_ns`, or a point where it was taken in the
unit. Times of two clock domains say nothing about each other. Within one process, sequence
numbers decide.

Order along a route: every event of a stage has an earlier event in each hop of the nearest stage
before it that has any, and in a hop that must happen n times at least n.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain
from math import inf
from operator import le
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


class Latency(NamedTuple):
    """A latency (ns): from `low` to `high`. Unanswered: both are infinite."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        return self.low == self.high


UNANSWERED = Latency(inf, inf)

UNKNOWN = Latency(-inf, inf)


def latency_between(
    starts: Sequence[Event], ends: Sequence[tuple[Sequence[Event], int]]
) -> Latency:
    """From the first of `starts` to what completes `ends`.

    `ends` are hops with the number of events that completes each.
    """
    if len(starts) == 1 and len(ends) == 1 and len(ends[0][0]) == 1:
        start, end = starts[0], ends[0][0][0]  # nearly all, in a circuit of a million events
        if start.t_low_ns is None and end.t_low_ns is None and start.domain == end.domain:
            exact = end.t_ns - start.t_ns
            return Latency(exact, exact)
    domain = starts[0].domain
    for events in (starts, *(events for events, _ in ends)):
        if any(event.domain != domain for event in events):
            return UNKNOWN
    begin_low = min(map(low_ns, starts))
    begin_high = min(event.t_ns for event in starts)
    end_low = max(sorted(map(low_ns, events))[need - 1] for events, need in ends)
    end_high = max(sorted(event.t_ns for event in events)[need - 1] for events, need in ends)
    return Latency(end_low - begin_high, end_high - begin_low)


class Latencies:
    """The latencies (ns) of all instances of a circuit, unanswered ones included."""

    def __init__(self, exact: Mapping[str, int], others: Mapping[str, Latency]) -> None:
        self._exact = exact
        self._others = others
        self.count = len(exact) + len(others)
        self._lows = sorted(
            [*exact.values(), *(latency_between.low for latency_between in others.values())]
        )
        self._highs = self._lows
        if any(not latency_between.exact for latency_between in others.values()):
            self._highs = sorted(
                [*exact.values(), *(latency_between.high for latency_between in others.values())]
            )

    def over(self, limit_ns: int) -> Iterator[tuple[str, Latency]]:
        """The instances that did take longer, or may have."""
        if self._highs and self._highs[-1] > limit_ns:
            for name, exact_ns in self._exact.items():
                if exact_ns > limit_ns:
                    yield name, Latency(exact_ns, exact_ns)
            for name, taken in self._others.items():
                if taken.high > limit_ns:
                    yield name, taken

    def enough(self, percentile: int) -> bool:
        return self.count >= LEAST_SAMPLES[percentile]

    def percentile(self, percentile: int) -> Latency:
        return Latency(nearest_rank(self._lows, percentile), nearest_rank(self._highs, percentile))

    def percentile_ms(self, percentile: int) -> float | None:
        """For a report: None with too few samples, an infinite value, or one that is not known."""
        if not self.enough(percentile):
            return None
        value = self.percentile(percentile)
        return value.high / 1e6 if value.exact and value.high < inf else None

    def max_ms(self) -> float | None:
        """The longest that is known exactly."""
        known = (
            latency_between.high
            for latency_between in self._others.values()
            if latency_between.exact and latency_between.high < inf
        )
        longest = max(chain(self._exact.values(), known), default=None)
        return None if longest is None else longest / 1e6


Row = Sequence[Sequence[Event]]

#: Up to so many events are compared one by one; more are counted by bisection.
FEW = 8


class Misplaced(NamedTuple):
    """An event that has too few earlier ones in a hop; `prior` is the one it should have waited
    for. `foreign`: the clocks cannot tell."""

    event: Event
    prior: Event
    foreign: bool


def misplaced(stages: Sequence[Sequence[tuple[int, int]]], row: Row) -> list[Misplaced]:
    """The events of one instance that came before what they should follow.

    Args:
        stages: for each stage its hops, each as its index in `row` and its least count.
        row: for each hop its events, sorted by time.
    """
    found: list[Misplaced] = []
    before: list[tuple[Sequence[Event], int]] = []
    timelines: dict[int, Timeline] = {}
    for stage in stages:
        here = [(row[hop], least or 1) for hop, least in stage if row[hop]]
        if not here:
            continue
        for events, _ in here:
            for event in events:
                for prior, least in before:
                    if len(prior) == 1:
                        order = order_of(prior[0], event)
                        if order is Order.EARLIER or order is Order.OVERLAPPING:
                            continue
                        found.append(Misplaced(event, prior[0], order is Order.FOREIGN))
                    else:
                        need = min(least, len(prior))
                        known = _earlier(prior, event, need, timelines)
                        if known.maybe < need:
                            foreign = known.perhaps >= need
                            found.append(Misplaced(event, prior[need - 1], foreign))
        before = here
    return found


def _earlier(
    prior: Sequence[Event], event: Event, need: int, timelines: dict[int, Timeline]
) -> Earlier:
    """How many of `prior` came before `event`; it may stop counting at `need`."""
    if need <= FEW and all(order_of(one, event) is Order.EARLIER for one in prior[:need]):
        return Earlier(need, need, need)
    if len(prior) <= FEW:
        orders = [order_of(one, event) for one in prior]
        surely = orders.count(Order.EARLIER)
        maybe = surely + orders.count(Order.OVERLAPPING)
        return Earlier(surely, maybe, maybe + orders.count(Order.FOREIGN))
    timeline = timelines.get(id(prior))
    if timeline is None:
        timeline = timelines[id(prior)] = Timeline(prior)
    return timeline.earlier_than(event)


def overtaking(sent: Sequence[Event], arrived: Sequence[Event]) -> list[tuple[int, int]]:
    """Who surely overtook whom: sent after it and arrived before it. O(n log n).

    Args:
        sent: for each key the event that began its way.
        arrived: in the same order, the event that ended it.

    Returns:
        Indices of the fast one and of one that it overtook, in the order of arrival.
    """
    sent_low, sent_high = _positions(sent)
    arrived_low, arrived_high = _positions(arrived)
    numbers = range(len(sent))
    as_sent = sorted(numbers, key=sent_high.__getitem__)
    arrivals = [arrived_low[i] for i in as_sent]
    if arrived_low is arrived_high and all(map(le, arrivals, arrivals[1:])):
        return []  # the way it should be: in order of sending, arrivals never go back
    found = []
    later = iter(sorted(numbers, key=arrived_low.__getitem__, reverse=True))
    candidate = next(later, None)
    first_sent, slow = inf, -1  # the first to be sent among those that arrived later
    for i in sorted(numbers, key=arrived_high.__getitem__, reverse=True):
        while candidate is not None and arrived_low[candidate] > arrived_high[i]:
            if sent_high[candidate] < first_sent:
                first_sent, slow = sent_high[candidate], candidate
            candidate = next(later, None)
        if first_sent < sent_low[i]:
            found.append((i, slow))
    return found[::-1]


def one_clock(events: Sequence[Event]) -> bool:
    """Whether the order of these events can be known."""
    return len({event.domain for event in events}) < 2 or _one_sequence(events)


def _one_sequence(events: Sequence[Event]) -> bool:
    if len({event.pid for event in events}) != 1 or any(event.seq is None for event in events):
        return False
    return len(set(map(process_of, events))) == 1


def _positions(events: Sequence[Event]) -> tuple[list[int], list[int]]:
    """Bounds of when each happened: sequence numbers in one process, else times."""
    if _one_sequence(events):
        numbers = [event.seq or 0 for event in events]
        return numbers, numbers
    highs = [event.t_ns for event in events]
    if any(event.t_low_ns is not None for event in events):
        return [low_ns(event) for event in events], highs
    return highs, highs
