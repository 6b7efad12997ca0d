"""Which of several hops gets an event, where a route passes one place several times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, product
from math import prod

from testrium.declared.circuits import Hop, first_with_room
from testrium.evidence import Event
from testrium.tuples import NamedTuple
from testrium.verify.timing import misplaced, surely_before

#: A route that passes one place several times may be read in many ways. How many readings of an
#: instance are followed at a time, how many are tried one by one where clocks do not tell the
#: order, and how many sets of optional hops.
MOST_STATES, MOST_TRIED, MOST_CHOICES = 1024, 4096, 64

Stages = Sequence[Sequence[tuple[int, int]]]


def assign(
    hops: Sequence[Hop],
    stages: Stages,
    row: Sequence[Sequence[Event]],
    shared: Sequence[tuple[Event, tuple[int, ...]]],
) -> list[tuple[Event, int]]:
    """The events that several hops match, each with the hop that it goes to.

    The route holds if one way to assign the events satisfies it; if none does, events go to the
    hops in the route's order.

    Args:
        stages: as in `timing.misplaced`.
        row: for each hop the events that belong to it alone, by time.
        shared: the others, each with its hops.
    """
    in_order = sorted(shared, key=_moment)
    path = _Assignment(hops, stages, row, in_order).found()
    return [(event, hop) for (event, _), hop in zip(in_order, path, strict=True)]


def _moment(one: tuple[Event, tuple[int, ...]]) -> tuple[int, int, int]:
    event = one[0]
    return event.t_ns, event.seq or 0, event.id


class _Assignment:
    """The search of one `assign`. Only what it can decide counts: the hops that share events."""

    def __init__(
        self,
        hops: Sequence[Hop],
        stages: Stages,
        row: Sequence[Sequence[Event]],
        shared: Sequence[tuple[Event, tuple[int, ...]]],
    ) -> None:
        self._hops = hops
        self._stages = stages
        self._row = row
        self._shared = shared
        self._deciding = sorted({hop for _, candidates in shared for hop in candidates})
        fixed = [(event, (hop,)) for hop, events in enumerate(row) for event in events]
        self._events = sorted([*fixed, *shared], key=_moment)

    def found(self) -> list[int]:
        enough = sum(self._hops[hop].least for hop in self._deciding)
        there = len(self._shared) + sum(len(self._row[hop]) for hop in self._deciding)
        if there >= enough:
            events = [event for event, _ in self._events]
            certain = all(surely_before(one, other) for one, other in pairwise(events))
            for used in islice(self._choices(), MOST_CHOICES):
                path = self._followed(used)
                if path is not None and (certain or self._holds(path)):
                    return path
            tries = prod(len(candidates) for _, candidates in self._shared)
            if not certain and tries <= MOST_TRIED:
                for tried in product(*(candidates for _, candidates in self._shared)):
                    if self._holds(tried):
                        return list(tried)
        return self._in_route_order()

    def _choices(self) -> Iterator[frozenset[int]]:
        """Sets of hops that have an event in the end; optional ones may have none."""
        always = {hop for hop, events in enumerate(self._row) if events}
        always |= {hop for hop in self._deciding if self._hops[hop].least}
        optional = [hop for hop in self._deciding if hop not in always]
        for chosen in product((True, False), repeat=len(optional)):
            with_it = (hop for hop, wanted in zip(optional, chosen, strict=True) if wanted)
            yield frozenset(always.union(with_it))

    def _needs(self, used: frozenset[int]) -> Mapping[int, list[tuple[int, int]]]:
        """What must have happened before an event of each hop: hops with their counts."""
        needs: dict[int, list[tuple[int, int]]] = {}
        before: list[tuple[int, int]] = []
        for stage in self._stages:
            here = [(hop, least or 1) for hop, least in stage if hop in used]
            if not here:
                continue
            for hop, _ in here:
                needs[hop] = [
                    (prior, least)
                    for prior, least in before
                    if hop in self._deciding or prior in self._deciding
                ]
            before = [
                (hop, least if hop in self._deciding else min(least, len(self._row[hop])))
                for hop, least in here
            ]
        return needs

    def _followed(self, used: frozenset[int]) -> list[int] | None:
        """Follow all ways to assign the events one by one; None: no way satisfies the route.

        A state counts the events of the deciding hops, as far as one more makes a difference.
        """
        needs, place = self._needs(used), {hop: n for n, hop in enumerate(self._deciding)}
        bounds = [self._bound(hop) for hop in self._deciding]
        fixed = [0] * len(self._hops)
        states: dict[tuple[int, ...], _Path | None] = {(0,) * len(self._deciding): None}
        for event_hops in (candidates for _, candidates in self._events):
            following: dict[tuple[int, ...], _Path | None] = {}
            for state, path in states.items():
                for hop in event_hops:
                    if hop not in used or any(
                        (state[place[prior]] if prior in place else fixed[prior]) < least
                        for prior, least in needs[hop]
                    ):
                        continue
                    after = state
                    if hop in place:
                        number = place[hop]
                        most = self._hops[hop].most
                        if most is not None and bounds[number] == most == state[number]:
                            continue
                        count = min(state[number] + 1, bounds[number])
                        after = (*state[:number], count, *state[number + 1 :])
                    way = path if len(event_hops) == 1 else _Path(hop, path)
                    following.setdefault(after, way)
            if len(event_hops) == 1 and event_hops[0] not in place:
                fixed[event_hops[0]] += 1
            states = dict(islice(following.items(), MOST_STATES))
        least_counts = [
            max(self._hops[hop].least, 1 if hop in used else 0) for hop in self._deciding
        ]
        for state, path in states.items():
            if all(count >= least for count, least in zip(state, least_counts, strict=True)):
                return _unwound(path)
        return None

    def _bound(self, hop: int) -> int:
        """How far events of a hop are counted."""
        least, most = self._hops[hop].least, self._hops[hop].most
        if most is None or most >= len(self._events):
            return max(least, 1)
        return most

    def _holds(self, path: Sequence[int]) -> bool:
        """Whether the hops that share events have as many as they may, and are in order."""
        rows = [list(events) for events in self._row]
        for (event, _), hop in zip(self._shared, path, strict=True):
            rows[hop].append(event)
        for hop in self._deciding:
            least, most = self._hops[hop].least, self._hops[hop].most
            if len(rows[hop]) < least or (most is not None and len(rows[hop]) > most):
                return False
        for events in rows:
            events.sort(key=lambda event: event.t_ns)
        deciding = set(self._deciding)
        return not any(
            one.hop in deciding or one.prior_hop in deciding
            for one in misplaced(self._stages, rows)
        )

    def _in_route_order(self) -> list[int]:
        counts = [len(events) for events in self._row]
        path = []
        for _, candidates in self._shared:
            hop = first_with_room(candidates, counts, self._hops)
            counts[hop] += 1
            path.append(hop)
        return path


class _Path(NamedTuple):
    """The hop of a shared event, and those of the shared events before it."""

    hop: int
    before: _Path | None


def _unwound(path: _Path | None) -> list[int]:
    hops = []
    while path is not None:
        hops.append(path.hop)
        path = path.before
    return hops[::-1]
