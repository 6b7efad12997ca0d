"""A circuit, checked for every key: was each hop passed, as often as declared, in order, in time.

This module decides; `messages` finds the words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from testrium.declared.circuits import Circuit, Hop, any_matches
from testrium.evidence import Event
from testrium.statistics import nearest_rank
from testrium.tuples import NamedTuple
from testrium.verify.findings import Drafts, Fact, flat, place_of
from testrium.verify.index import EventIndex
from testrium.verify.instances import Instances, Route, Stage, fast_latencies, same_value
from testrium.verify.timing import (
    UNANSWERED,
    Latencies,
    Latency,
    Misplaced,
    Row,
    misplaced,
    overtaking,
    surely_before,
)
from testrium.words import Code, EventType


class InstanceChecks:
    """The checks of one circuit's instances; what they find goes to `drafts`.

    `stale` are the instances that are left over from an earlier run: they are none of this one,
    and nothing more is asked of them.
    """

    def __init__(
        self, circuit: Circuit, route: Route, drafts: Drafts, earlier_causes: Collection[str]
    ) -> None:
        self._circuit = circuit
        self._route = route
        self._drafts = drafts
        self._earlier_causes = earlier_causes
        self.stale: set[str] = set()

    def check(self, name: str, row: Row, outside: Sequence[Event] = ()) -> bool:
        """Check that one instance passed each hop, as often as declared, in order.

        Args:
            outside: its events beside the route that have a field that must be the `same`.

        Returns:
            Whether it has a cause.
        """
        orphan = self._route.is_orphan(row)
        if orphan and self._is_left_over(name, row):
            return False
        reached = 0
        for number, hop in enumerate(self._route.hops):
            count = len(row[number])
            if count:
                reached += 1
            if count < hop.least and not orphan:
                self._add_lost(name, row, number)
            elif count > 1 or hop.most == 0:
                self._check_repeated(name, row, number)
        if reached > 1:
            for one in misplaced(self._route.stages, row):
                self._add_misplaced(name, row, one)
        if self._circuit.same:
            self._check_same(name, row, outside)
        return not orphan

    def _is_left_over(self, name: str, row: Row) -> bool:
        """Note an effect without a cause; whether its cause occurred in an earlier run."""
        event = self._route.first_events(row)[0]
        stale = self._circuit.per == "key" and any(
            key in self._earlier_causes for event in flat(row) for key in (event.key, *event.cause)
        )
        if stale:
            self.stale.add(name)
        self._drafts.add_event(Code.STALE if stale else Code.PHANTOM, event, name=name)
        return stale

    def _add_lost(self, name: str, row: Row, number: int) -> None:
        hop = self._route.hops[number]
        self._drafts.add(
            Code.LOST,
            hop.text,
            Fact(other=self._route.last_reached(row, number)),
            key=name,
            hop=hop,
            position=number,
            size=hop.least - len(row[number]) if hop.least > 1 else None,
        )

    def _add_misplaced(self, name: str, row: Row, one: Misplaced) -> None:
        """Received before it was sent, or in the wrong order."""
        event, prior, code = one.event, one.prior, Code.ORDER
        if event.type == EventType.RECEIVE:
            per_run = self._circuit.per == "run"
            sends = [
                other
                for other in flat(row)
                if other.type == EventType.SEND and (per_run or other.key == event.key)
            ]
            if sends and all(surely_before(event, sent) for sent in sends):
                prior, code = sends[0], Code.CAUSALITY
        self._drafts.add_event(code, event, name=name, other=prior, position=one.hop)

    def _check_repeated(self, name: str, row: Row, number: int) -> None:
        """Several events at one hop: more than allowed, or sent by two units?"""
        hop, events = self._route.hops[number], row[number]
        too_many = hop.most is not None and len(events) > hop.most
        if too_many and hop.most is not None:
            self._drafts.add(
                Code.DUPLICATE,
                hop.text,
                Fact(events[hop.most]),
                key=name,
                hop=hop,
                position=number,
                size=len(events),
            )
        # Where a hop of the route allows several, answers of several units are what was declared.
        if self._circuit.per == "key" and (too_many or number in dict(self._route.stages[0])):
            self._check_senders(number, hop, events)

    def _check_senders(self, number: int, hop: Hop, events: Sequence[Event]) -> None:
        first: dict[str, Event] = {}
        for event in events:
            if event.type != EventType.SEND or event.key is None:
                continue
            other = first.setdefault(event.key, event)
            if other.unit != event.unit:
                self._drafts.add(
                    Code.COLLISION,
                    hop.text,
                    Fact(event, other),
                    key=event.key,
                    hop=hop,
                    position=number,
                )

    def _check_same(self, name: str, row: Row, outside: Sequence[Event]) -> None:
        for field in self._circuit.same:
            first: Event | None = None
            for event in flat([*row, outside]):
                if field not in event.meta:
                    continue
                if first is None:
                    first = event
                elif not same_value(first.meta[field], event.meta[field]):
                    self._drafts.add_event(
                        Code.MISMATCH, event, name=name, other=first, text=field, more=(first,)
                    )


#: How many instances, spread evenly, give the median of a long run: looking at all of a million
#: would cost as much as the checks.
MOST_INSTANCES = 5_000


class HopTimes(NamedTuple):
    """Percentiles of a hop in ms, by nearest rank; the fields are those of `words.OF_HOP`."""

    p10: float
    p50: float


def hop_times(route: Route, instances: Instances) -> Mapping[str, HopTimes]:
    """The times of each hop behind the first stage, by its text.

    The time begins when the nearest stage before that has any event is reached (with the first
    events of all its hops), and ends with the first event of the hop. What the clocks do not tell
    exactly is left out. A hop that stands twice in the route counts once, at its first place.
    """
    if not route.stages[1:]:
        return {}
    step = -(-len(instances) // MOST_INSTANCES) or 1
    rows = [instances.row(name) for name in islice(instances, 0, None, step)]
    times: dict[str, HopTimes] = {}
    for number, stage in enumerate(route.stages[1:], 1):
        before = route.stages[:number]
        for hop, _ in stage:
            text = route.hops[hop].text
            taken = sorted(_times_ns(rows, before, hop))
            if taken and text not in times:
                p10, p50 = nearest_rank(taken, 10), nearest_rank(taken, 50)
                times[text] = HopTimes(p10 / 1e6, p50 / 1e6)
    return times


def _times_ns(rows: Sequence[Row], before: Sequence[Stage], hop: int) -> Iterable[int]:
    for row in rows:
        prior = _reached(row, before)
        if prior is None or not row[hop]:
            continue
        first = row[hop][0]
        exact = prior.t_low_ns is None and first.t_low_ns is None
        if exact and prior.domain == first.domain:
            yield first.t_ns - prior.t_ns


def _reached(row: Row, before: Sequence[Stage]) -> Event | None:
    """The event with which the nearest stage that has any was reached."""
    for stage in reversed(before):
        firsts = [row[hop][0] for hop, _ in stage if row[hop]]
        if firsts:
            return max(firsts, key=lambda event: event.t_ns)
    return None


class CircuitFacts(NamedTuple):
    """What was found in one circuit. `strays` are events that `never` forbids for other keys.

    `number` is that of instances, but for those left over from earlier runs. `hops` has the
    times of each hop, by its text, where that was asked for. `concerned` are places of events that
    are misrouted for this circuit too, and reported for another one.
    """

    circuit: Circuit
    route: Route
    instances: Instances
    drafts: Drafts
    strays: Drafts
    number: int
    latencies: Latencies
    hops: Mapping[str, HopTimes]
    concerned: frozenset[str]

    def lost_at(self, position: int | None) -> int:
        """How many keys were lost at a hop."""
        return sum(
            len(draft.keys)
            for draft in self.drafts
            if draft.code is Code.LOST and draft.position == position and not draft.about
        )


class Unclaimed:
    """Keyed Sends and Receives that no circuit's hop and no `never` claims, by time."""

    def __init__(self, circuits: Sequence[Circuit], index: EventIndex) -> None:
        claims = [
            place
            for circuit in circuits
            for hop in (*circuit.hops, *circuit.never)
            for place in hop.places
        ]
        events = [
            event
            for (unit, step), events in index.by_place.items()
            if not any_matches(claims, unit, step)
            for event in events
            if event.key is not None and event.type in (EventType.SEND, EventType.RECEIVE)
        ]
        self.events = sorted(events, key=lambda event: event.t_ns)
        #: The ids of those that are reported as misrouted.
        self.reported: set[int] = set()


def examine(
    circuit: Circuit,
    index: EventIndex,
    unclaimed: Unclaimed,
    earlier_causes: Collection[str],
    *,
    with_hops: bool,
) -> CircuitFacts:
    """Check one circuit.

    Args:
        unclaimed: those that are found to be misrouted here are noted in it.
        earlier_causes: keys whose cause occurred in an earlier run.
        with_hops: whether to measure every hop.
    """
    return _Examination(circuit, index, earlier_causes).facts(unclaimed, with_hops=with_hops)


class _Examination:
    """The state of one `examine`."""

    def __init__(
        self, circuit: Circuit, index: EventIndex, earlier_causes: Collection[str]
    ) -> None:
        self._circuit = circuit
        self._index = index
        self._route = Route(circuit)
        self._instances = Instances(circuit, index)
        rows = self._instances.row_of
        self._drafts = Drafts(circuit.name, rows, keyed=circuit.per == "key")
        self._strays = Drafts(circuit.name, lambda _: ())
        self._checks = InstanceChecks(circuit, self._route, self._drafts, earlier_causes)

    def facts(self, unclaimed: Unclaimed, *, with_hops: bool) -> CircuitFacts:
        latencies = self._check_instances()
        for event in self._instances.unkeyed:
            self._drafts.add_event(Code.UNKEYED, event)
        count = len(self._instances) - len(self._checks.stale)
        self._check_number(count)
        self._check_never()
        concerned = set() if self._circuit.open else self._check_route(unclaimed)
        if self._circuit.fifo and self._circuit.per == "key":
            self._check_fifo()
        self._check_within(latencies)
        self._check_budgets(latencies)
        hops = hop_times(self._route, self._instances) if with_hops else {}
        return CircuitFacts(
            self._circuit,
            self._route,
            self._instances,
            self._drafts,
            self._strays,
            count,
            latencies,
            hops,
            frozenset(concerned),
        )

    def _check_instances(self) -> Latencies:
        """Check every instance by itself; return the latencies of those that have a cause."""
        plain = fast_latencies(self._route, self._instances, self._circuit.same)
        outside = self._instances.outside(self._circuit.same, self._index)
        for name in outside:
            plain.pop(name, None)
        others: dict[str, Latency] = {}
        if len(plain) < len(self._instances):
            for name in self._instances:
                if name not in plain:
                    row = self._instances.row(name)
                    has_cause = self._checks.check(name, row, outside.get(name, ()))
                    if self._route.last and has_cause:
                        others[name] = self._route.latency(row)
        return Latencies(plain, others)

    def _check_number(self, count: int) -> None:
        """The number of instances, as far as it could be counted."""
        least, most = self._circuit.keys
        hop = self._route.hops[0]
        if not self._instances.matched:
            if least > 0:
                self._drafts.add(Code.VACUOUS, self._circuit.name, Fact())
        elif self._circuit.per == "run":
            return
        elif count < least and not self._instances.unkeyed:
            fact = Fact(text=f"{count} of {least}")
            size = least - count
            self._drafts.add(
                Code.LOST, hop.text, fact, hop=hop, position=0, size=size, about="instances"
            )
        elif most is not None and count > most:
            begins = [
                (flat(self._instances.row(name))[0], name)
                for name in self._instances
                if name not in self._checks.stale
            ]
            begins.sort(key=lambda begin: (begin[0].t_ns, begin[1]))
            for event, name in begins[most:]:
                self._drafts.add(
                    Code.DUPLICATE,
                    hop.text,
                    Fact(event, text=f"{count} instead of {most}"),
                    key=name,
                    hop=hop,
                    position=0,
                    about="instances",
                )

    def _check_never(self) -> None:
        never = [place for hop in self._circuit.never for place in hop.places]
        for (unit, step), events in self._index.by_place.items():
            if not any_matches(never, unit, step):
                continue
            for event in events:
                if (
                    self._circuit.per == "run"
                    or event.key is None
                    or self._instances.name_of(event.key) is not None
                ):
                    self._drafts.add_event(Code.FORBIDDEN, event)
                else:
                    self._strays.add_event(Code.FORBIDDEN, event)

    def _check_route(self, unclaimed: Unclaimed) -> set[str]:
        """What is misrouted; returns the places of what is so for an earlier circuit already."""
        concerned = set()
        for event in unclaimed.events:
            if event.key is None or self._instances.name_of(event.key) is None:
                continue
            if event.id in unclaimed.reported:
                concerned.add(place_of(event))
            else:
                self._drafts.add_event(Code.MISROUTED, event)
                unclaimed.reported.add(event.id)
        return concerned

    def _check_fifo(self) -> None:
        blamed: set[str] = set()  # who overtook at one hop is still ahead at the next
        begun = self._beginnings()
        for stage in self._route.stages[1:]:
            for hop, _ in stage:
                arrived = dict(self._instances.columns[hop].firsts())
                names = [name for name in arrived if name in begun and name not in blamed]
                begins, ends = [begun[name] for name in names], [arrived[name] for name in names]
                for fast, slow in overtaking(begins, ends):
                    blamed.add(names[fast])
                    self._drafts.add_event(
                        Code.REORDER,
                        ends[fast],
                        name=names[fast],
                        other=ends[slow],
                        text=ends[slow].key or names[slow],
                        position=hop,
                        more=(begins[slow],),
                    )

    def _beginnings(self) -> dict[str, Event]:
        """The first event of every instance that has a cause."""
        first = self._instances.columns[0]
        if len(self._route.stages[0]) == 1 and len(first) == len(self._instances):
            return dict(first.firsts())
        rows = ((name, self._instances.row(name)) for name in self._instances)
        return {
            name: self._route.first_events(row)[0]
            for name, row in rows
            if not self._route.is_orphan(row)
        }

    def _check_within(self, latencies: Latencies) -> None:
        limit = self._circuit.within_ns
        if limit is None:
            return
        for name, taken in latencies.over(limit):
            if taken == UNANSWERED:
                continue  # lost, as it is
            row = self._instances.row(name)
            late = taken.low > limit
            done = self._route.completion(row, late=late)
            self._drafts.add(
                Code.LATE if late else Code.CLOCK,
                place_of(done),
                Fact(done, self._route.first_events(row)[0]),
                key=name,
                size=taken.low if late else None,
            )

    def _check_budgets(self, latencies: Latencies) -> None:
        for percentile, budget in sorted(self._circuit.budgets.items()):
            if not latencies.enough(percentile):
                text = f"p{percentile}"
                self._drafts.add(Code.SAMPLES, self._circuit.name, Fact(text=text))
                continue
            value = latencies.percentile(percentile)
            if value.high <= budget:
                continue
            over = latencies.over(budget)
            code, where = Code.BUDGET, self._circuit.name
            if value.low <= budget:
                code, where = Code.CLOCK, self._route.hops[self._route.last[-1][0]].text
                over = ((name, taken) for name, taken in over if not taken.exact)
            for name, taken in over:
                if code is Code.CLOCK or taken.low > budget:
                    self._drafts.add(
                        code,
                        where,
                        Fact(text=f"p{percentile}"),
                        key=name,
                        size=taken.low,
                    )
