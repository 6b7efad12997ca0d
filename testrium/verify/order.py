"""Whether the stages of a route were passed in their order, and keys in theirs.

The rule: every event of a stage has an earlier event in each hop of the nearest stage before it
that has any, and in a hop that must happen n times at least n.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from operator import le
from typing import NamedTuple

from testrium.evidence import Event
from testrium.verify.index import process_of
from testrium.verify.timing import Earlier, Order, Timeline, low_ns, order_of

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
