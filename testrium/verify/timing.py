"""What came before what, how long it took, and what the clocks cannot tell.

An event's time is an interval: from `t_low_ns` to `t_ns`, or a point where it was taken in the
unit. Times of two clock domains say nothing about each other, unless one was read from the other
(`host_clocks`): then each is an interval on the clock of the runner, and disjoint ones compare.
Within one process, sequence numbers decide.

Order along a route: every event of a stage has an earlier event in each hop of the nearest stage
before it that has any, and in a hop that must happen n times at least n.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import chain, islice
from math import inf
from operator import le

from testrium.evidence import Event
from testrium.host_clocks import KnownClock, base_of, bounds_here
from testrium.statistics import nearest_rank
from testrium.tuples import NamedTuple
from testrium.verify.index import process_of
from testrium.words import WITHOUT_ORDER

Row = Sequence[Sequence[Event]]

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
    if one.start == other.start and one.owner == other.owner:
        if one.seq is not None and other.seq is not None:
            if one.pid == other.pid and one.seq != other.seq:
                return Order.EARLIER if one.seq < other.seq else Order.LATER
        elif _are_lines(one, other) and one.id != other.id:
            return Order.EARLIER if one.id < other.id else Order.LATER
    if one.domain != other.domain:
        return _order_across(one, other)
    if one.t_ns <= low_ns(other):
        return Order.EARLIER
    return Order.LATER if low_ns(one) > other.t_ns else Order.OVERLAPPING


def _order_across(one: Event, other: Event) -> Order:
    """The order of events of two clocks: known where their intervals on one are disjoint."""
    if base_of(one.domain) != base_of(other.domain):
        return Order.FOREIGN
    one_low, one_high = _here(one)
    other_low, other_high = _here(other)
    if one_high <= other_low:
        return Order.EARLIER
    return Order.LATER if one_low > other_high else Order.FOREIGN


def _here(event: Event) -> tuple[int, int]:
    """From when to when it happened, on the clock `base_of` says."""
    return bounds_here(event.domain, low_ns(event), event.t_ns)


def _are_lines(one: Event, other: Event) -> bool:
    """Whether two events of one start are lines of one file, and nothing else tells their order."""
    if one.t_low_ns is None or other.t_low_ns is None or WITHOUT_ORDER in (one.pid, other.pid):
        return False
    return one.seq is None and other.seq is None and min(one.pid, 0) == min(other.pid, 0)


def surely_before(one: Event, other: Event) -> bool:
    """Whether `one` came before `other`, and not at the same time."""
    return order_of(other, one) is Order.LATER


Sequenced = tuple[object, int]


def _in_sequence(event: Event) -> Sequenced | None:
    """The sequence that an event is numbered in, and its number there; see `order_of`.

    A process numbers its probes; lines without a time are numbered by their place in their file.
    """
    if event.seq is not None:
        return process_of(event), event.seq
    if event.t_low_ns is not None and event.pid != WITHOUT_ORDER:
        return (event.owner, event.start, "lines", min(event.pid, 0)), event.id
    return None


class _Times:
    """The lower bounds of some events of each clock, sorted."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events: dict[str, list[Event]] = {}
        for event in events:
            self._events.setdefault(event.domain, []).append(event)
        self._lows = {domain: sorted(map(low_ns, ours)) for domain, ours in self._events.items()}
        self._others: dict[str, list[int]] = {}  # by clock, of all that compare with it

    def later_than(self, event: Event) -> int:
        """How many came surely after `event`."""
        lows = self._lows.get(event.domain)
        later = 0 if lows is None else len(lows) - bisect_right(lows, event.t_ns)
        if len(self._lows) > (lows is not None):  # there are events of other clocks
            others = self._of_others(event.domain)
            later += len(others) - bisect_right(others, _here(event)[1])
        return later

    def _of_others(self, domain: str) -> list[int]:
        """The lower bounds of events of other clocks, on a common clock."""
        found = self._others.get(domain)
        if found is None:
            base = base_of(domain)
            found = self._others[domain] = sorted(
                _here(event)[0]
                for clock, ours in self._events.items()
                if clock != domain and base_of(clock) == base
                for event in ours
            )
        return found


class _Sequence:
    """The events of one sequence."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.times = _Times(events)
        self._by_number: dict[int, list[Event]] = {}
        for event in events:
            found = _in_sequence(event)
            if found is not None:
                self._by_number.setdefault(found[1], []).append(event)
        self._numbers = sorted(
            number for number, same in self._by_number.items() for _ in range(len(same))
        )

    def later_than(self, event: Event, number: int) -> int:
        """How many came after the `event` of this number; a number given twice says nothing."""
        same = (one for one in self._by_number.get(number, ()) if surely_before(event, one))
        return len(self._numbers) - bisect_right(self._numbers, number) + sum(1 for _ in same)


class Timeline:
    """Counts how many of some events may have come before another one, in O(log n)."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._size = len(events)
        self._times = _Times(events)
        sequences: dict[object, list[Event]] = {}
        for event in events:
            if (found := _in_sequence(event)) is not None:
                sequences.setdefault(found[0], []).append(event)
        self._sequences = {name: _Sequence(ours) for name, ours in sequences.items()}

    def not_later(self, event: Event) -> int:
        """How many came before `event` or with it, or may have."""
        later = self._times.later_than(event)
        found = _in_sequence(event)
        if found is not None and (sequence := self._sequences.get(found[0])) is not None:
            later += sequence.later_than(event, found[1]) - sequence.times.later_than(event)
        return self._size - later


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
    """From the first of `starts` to what completes `ends`; at least what one hop certainly took.

    `ends` are hops with the number of events that completes each.
    """
    if len(starts) == 1 and len(ends) == 1 and len(ends[0][0]) == 1:
        start, end = starts[0], ends[0][0][0]  # nearly all, in a circuit of a million events
        if start.t_low_ns is None and end.t_low_ns is None and start.domain == end.domain:
            exact = end.t_ns - start.t_ns
            return Latency(exact, exact)
    taken = [_hop_latency(starts, events, need) for events, need in ends]
    return Latency(max(one.low for one in taken), max(one.high for one in taken))


def _hop_latency(starts: Sequence[Event], events: Sequence[Event], need: int) -> Latency:
    """From the first of `starts` to the event that is the `need`-th of its hop."""
    domains = {event.domain for event in events}
    clocks = domains.union(start.domain for start in starts)
    if len(clocks) > 1 and len({base_of(clock) for clock in clocks}) == 1:
        return _latency_here(starts, events, need)
    if len(domains) > 1:
        if need < len(events):
            return UNKNOWN  # which of them completes the hop depends on their clocks
        # All of them are needed: it took at least as long as any.
        return Latency(max(_hop_latency(starts, [event], 1).low for event in events), inf)
    comparable = [start for start in starts if start.domain in domains]
    if not comparable:
        return UNKNOWN
    end_low = sorted(map(low_ns, events))[need - 1]
    end_high = sorted(event.t_ns for event in events)[need - 1]
    low = end_low - min(start.t_ns for start in comparable)
    if len(comparable) < len(starts):
        return Latency(low, inf)  # one with another clock may have been first
    return Latency(low, end_high - min(map(low_ns, starts)))


def _latency_here(starts: Sequence[Event], events: Sequence[Event], need: int) -> Latency:
    """The same for events of several clocks, on a common clock."""
    began, ended = list(map(_here, starts)), list(map(_here, events))
    end_low = sorted(low for low, _ in ended)[need - 1]
    end_high = sorted(high for _, high in ended)[need - 1]
    return Latency(
        end_low - min(high for _, high in began), end_high - min(low for low, _ in began)
    )


class Latencies:
    """The latencies (ns) of all instances of a circuit, unanswered ones included."""

    def __init__(self, exact: Mapping[str, int], others: Mapping[str, Latency]) -> None:
        self._exact = exact
        self._others = others
        self.count = len(exact) + len(others)
        self._lows = sorted([*exact.values(), *(taken.low for taken in others.values())])
        self._highs = self._lows
        if any(not taken.exact for taken in others.values()):
            self._highs = sorted([*exact.values(), *(taken.high for taken in others.values())])

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
        """For a report: what it was at most; None with too few samples, or an infinite value."""
        if not self.enough(percentile):
            return None
        value = self.percentile(percentile).high
        return value / 1e6 if value < inf else None

    def max_ms(self) -> float | None:
        """The longest that is known, at most."""
        known = (one.high for one in self._others.values() if one.high < inf)
        longest = max(chain(self._exact.values(), known), default=None)
        return None if longest is None else longest / 1e6


#: How many events are compared one by one; more are counted by bisection.
FEW = 8


class Misplaced(NamedTuple):
    """An event that has surely too few earlier ones in a hop: `prior` is the one that it should
    have waited for. `hop` and `prior_hop` are the indices of their hops."""

    event: Event
    hop: int
    prior: Event
    prior_hop: int


def misplaced(stages: Sequence[Sequence[tuple[int, int]]], row: Row) -> list[Misplaced]:
    """The events of one instance that came before what they should follow.

    What two clocks cannot tell is in order.

    Args:
        stages: for each stage its hops, each as its index in `row` and its least count.
        row: for each hop its events, sorted by time.
    """
    found: list[Misplaced] = []
    before: list[tuple[int, Sequence[Event], int]] = []
    timelines: dict[int, Timeline] = {}
    for stage in stages:
        here = [(hop, row[hop], least or 1) for hop, least in stage if row[hop]]
        if not here:
            continue
        for hop, events, _ in here:
            for event in events:
                for prior_hop, prior, least in before:
                    if len(prior) == 1:
                        if order_of(prior[0], event) is Order.LATER:
                            found.append(Misplaced(event, hop, prior[0], prior_hop))
                    else:
                        need = min(least, len(prior))
                        if _not_later(prior, event, need, timelines) < need:
                            found.append(Misplaced(event, hop, prior[need - 1], prior_hop))
        before = here
    return found


def _not_later(
    prior: Sequence[Event], event: Event, need: int, timelines: dict[int, Timeline]
) -> int:
    """How many of `prior` may have come before `event`; it may stop counting at `need`."""
    if need <= FEW and all(order_of(one, event) is not Order.LATER for one in prior[:need]):
        return need
    if len(prior) <= FEW:
        return sum(order_of(one, event) is not Order.LATER for one in prior)
    timeline = timelines.get(id(prior))
    if timeline is None:
        timeline = timelines[id(prior)] = Timeline(prior)
    return timeline.not_later(event)


def overtaking(sent: Sequence[Event], arrived: Sequence[Event]) -> list[tuple[int, int]]:
    """The events that surely overtook others: sent later, arrived earlier. O(n log n).

    Args:
        sent: for each key the event that began its path.
        arrived: in the same order, the event that ended it.

    Returns:
        Indices of the fast one and of one that it overtook, in the order of arrival.
    """
    if _in_one_order(sent, arrived):
        return []
    pairs: dict[int, int] = {}
    doubtful: dict[int, None] = {}
    for fast, slow in _possible_pairs(sent, arrived):
        if fast in pairs:
            continue
        if surely_before(sent[slow], sent[fast]) and surely_before(arrived[fast], arrived[slow]):
            pairs[fast] = slow
        else:
            doubtful[fast] = None  # a sequence contradicts the clock
    for fast in doubtful:
        if fast not in pairs:
            for slow in range(len(sent)):
                if surely_before(sent[slow], sent[fast]) and surely_before(
                    arrived[fast], arrived[slow]
                ):
                    pairs[fast] = slow
                    break
    return sorted(pairs.items(), key=lambda pair: (arrived[pair[0]].t_ns, pair[0]))


def _in_one_order(sent: Sequence[Event], arrived: Sequence[Event]) -> bool:
    """Whether both follow one line of time, and arrivals never go back on it: as it should be."""
    if any(event.t_low_ns is not None for event in chain(sent, arrived)):
        return False
    if len({event.domain for event in chain(sent, arrived)}) > 1:
        return False
    sent_at = [(event.t_ns, event.seq or 0) for event in sent]
    numbers = sorted(range(len(sent)), key=sent_at.__getitem__)
    arrived_at = [(arrived[i].t_ns, arrived[i].seq or 0) for i in numbers]
    if not all(map(le, arrived_at, islice(arrived_at, 1, None))):
        return False
    return _follows_numbers(sent[i] for i in numbers) and _follows_numbers(
        arrived[i] for i in numbers
    )


def _follows_numbers(events: Iterable[Event]) -> bool:
    """Whether events in the order of a clock are in that of their processes too."""
    last: dict[object, int] = {}
    for event in events:
        if event.seq is not None:
            process = process_of(event)
            if last.get(process, 0) > event.seq:
                return False
            last[process] = event.seq
    return True


def _lines(events: Sequence[Event]) -> dict[object, dict[int, tuple[int, int]]]:
    """Lines on which events have an order: their clocks, and the sequences that number them.

    For each line the bounds of those that are on it, by their index.
    """
    lines: dict[object, dict[int, tuple[int, int]]] = {}
    for index, event in enumerate(events):
        clock = lines.setdefault(("clock", event.domain), {})
        clock[index] = (low_ns(event), event.t_ns)
        if (found := _in_sequence(event)) is not None:
            lines.setdefault(found[0], {})[index] = (found[1], found[1])
    if any(isinstance(event.domain, KnownClock) for event in events):
        for index, event in enumerate(events):
            lines.setdefault(("here", base_of(event.domain)), {})[index] = _here(event)
    return lines


def _possible_pairs(sent: Sequence[Event], arrived: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """For each that may have overtaken others the first of these to be sent, on each two lines."""
    arrival_lines = list(_lines(arrived).values())
    for begins in _lines(sent).values():
        for ends in arrival_lines:
            few, many = (begins, ends) if len(begins) < len(ends) else (ends, begins)
            both = [index for index in few if index in many]
            if len(both) > 1:
                yield from _swept(both, begins, ends)


def _swept(
    both: Sequence[int], begins: Mapping[int, tuple[int, int]], ends: Mapping[int, tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    later = iter(sorted(both, key=lambda index: ends[index][0], reverse=True))
    candidate = next(later, None)
    first_sent, slow = inf, -1  # the first to be sent among those that arrived later
    for i in sorted(both, key=lambda index: ends[index][1], reverse=True):
        while candidate is not None and ends[candidate][0] > ends[i][1]:
            if begins[candidate][1] < first_sent:
                first_sent, slow = begins[candidate][1], candidate
            candidate = next(later, None)
        if first_sent < begins[i][0]:
            yield i, slow
