"""A circuit, checked for every key: was each hop passed, as often as declared, in order, in time.

This module decides; `messages` finds the words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from testrium.declared.circuits import Circuit, Hop
from testrium.evidence import Event
from testrium.statistics import nearest_rank
from testrium.verify.fast_path import fast_latencies
from testrium.verify.findings import Drafts, flat, place_of
from testrium.verify.index import EventIndex
from testrium.verify.instances import Instances, Route, Stage
from testrium.verify.matching import any_matches
from testrium.verify.timing import (
    UNANSWERED,
    Latencies,
    Latency,
    Row,
    misplaced,
    one_clock,
    overtaking,
)
from testrium.words import Code, EventType


class InstanceChecks:
    """The checks of one circuit's instances; what they find goes to `drafts`."""

    def __init__(
        self, circuit: Circuit, route: Route, drafts: Drafts, earlier_keys: Collection[str]
    ) -> None:
        self._circuit = circuit
        self._route = route
        self._drafts = drafts
        self._earlier_keys = earlier_keys

    def check(self, name: str, row: Row) -> None:
        """Check that one instance passed each hop, as often as declared, in order."""
        orphan = self._route.is_orphan(row)
        if orphan:
            self._add_orphan(name, row)
        for number, hop in enumerate(self._route.hops):
            count = len(row[number])
            if count < hop.least and not orphan:
                self._add_lost(name, row, number)
            elif count > 1 or hop.most == 0:
                self._check_repeated(name, row, number)
        for event, prior, foreign in misplaced(self._route.stages, row):
            code = Code.CLOCK if foreign else _order_code(event, prior)
            self._drafts.add_event(code, event, name=name, row=row, other=prior)
        if self._circuit.same:
            self._check_same(name, row)

    def _add_orphan(self, name: str, row: Row) -> None:
        event = self._route.first_events(row)[0]
        stale = event.key in self._earlier_keys
        code = Code.STALE if stale else Code.PHANTOM
        self._drafts.add_event(code, event, name=name, row=row)

    def _add_lost(self, name: str, row: Row, number: int) -> None:
        hop = self._route.hops[number]
        reached = self._route.last_reached(row, number)
        self._drafts.add(
            Code.LOST,
            hop.text,
            t_ns=None if reached is None else reached.t_ns,
            key=name,
            row=row,
            other=reached,
            hop=hop,
        )

    def _check_repeated(self, name: str, row: Row, number: int) -> None:
        """Several events at one hop: more than allowed, or sent by two units?"""
        hop, events = self._route.hops[number], row[number]
        too_many = hop.most is not None and len(events) > hop.most
        if too_many and hop.most is not None:
            self._drafts.add(
                Code.DUPLICATE,
                hop.text,
                t_ns=events[hop.most].t_ns,
                key=name,
                row=row,
                event=events[hop.most],
                hop=hop,
                size=len(events),
            )
        # Where a hop of the way allows several, answers of several units are what was declared.
        if self._circuit.per == "key" and (too_many or number in dict(self._route.stages[0])):
            self._check_senders(row, hop, events)

    def _check_senders(self, row: Row, hop: Hop, events: Sequence[Event]) -> None:
        first: dict[str, Event] = {}
        for event in events:
            if event.type != EventType.SEND or event.key is None:
                continue
            other = first.setdefault(event.key, event)
            if other.unit != event.unit:
                self._drafts.add(
                    Code.COLLISION,
                    hop.text,
                    t_ns=event.t_ns,
                    key=event.key,
                    row=row,
                    event=event,
                    other=other,
                    hop=hop,
                )

    def _check_same(self, name: str, row: Row) -> None:
        for field in self._circuit.same:
            first: Event | None = None
            for event in flat(row):
                if field not in event.meta:
                    continue
                if first is None:
                    first = event
                elif not _equal(first.meta[field], event.meta[field]):
                    self._drafts.add_event(
                        Code.MISMATCH, event, name=name, row=row, other=first, text=field
                    )


def _order_code(event: Event, prior: Event) -> Code:
    received = event.type == EventType.RECEIVE and prior.type == EventType.SEND
    return Code.CAUSALITY if received else Code.ORDER


def _equal(one: object, other: object) -> bool:
    """Equal as JSON values: `true` is not 1, but 1 is 1.0."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


#: So many instances, spread evenly, give the median of a long run: looking at all of a million
#: would cost as much as the checks.
MOST_INSTANCES = 5_000


class HopTimes(NamedTuple):
    """Percentiles of a hop in ms, by nearest rank; the fields are `measures.OF_HOP`."""

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

    `hops` has the times of each hop, by its text, where that was asked for.
    """

    circuit: Circuit
    drafts: Drafts
    strays: Drafts
    instances: int
    latencies: Latencies
    hops: Mapping[str, HopTimes]


def examine(
    circuit: Circuit,
    index: EventIndex,
    unclaimed: list[Event],
    earlier_keys: Collection[str],
    *,
    with_hops: bool = False,
) -> CircuitFacts:
    """Check one circuit.

    Args:
        unclaimed: keyed Sends and Receives that no circuit's hop and no `never` claims; those
            that are found to be misrouted here are removed.
        earlier_keys: keys of earlier runs.
        with_hops: whether to measure every hop.
    """
    return _Examination(circuit, index, earlier_keys).facts(unclaimed, with_hops=with_hops)


def unclaimed_events(circuits: Sequence[Circuit], index: EventIndex) -> list[Event]:
    """Sends and Receives outside every route and every `never`, by time."""
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
    return sorted(events, key=lambda event: event.t_ns)


class _Examination:
    """The state of one `examine`."""

    def __init__(self, circuit: Circuit, index: EventIndex, earlier_keys: Collection[str]) -> None:
        self._circuit = circuit
        self._index = index
        self._route = Route(circuit)
        self._instances = Instances(circuit, index)
        self._drafts = Drafts(keyed=circuit.per == "key")
        self._strays = Drafts()
        self._checks = InstanceChecks(circuit, self._route, self._drafts, earlier_keys)

    def facts(self, unclaimed: list[Event], *, with_hops: bool) -> CircuitFacts:
        latencies = self._check_instances()
        for event in self._instances.unkeyed:
            self._drafts.add_event(Code.UNKEYED, event)
        self._check_number()
        self._check_never()
        if not self._circuit.open:
            self._check_route(unclaimed)
        if self._circuit.fifo and self._circuit.per == "key":
            self._check_fifo()
        self._check_within(latencies)
        self._check_budgets(latencies)
        hops = hop_times(self._route, self._instances) if with_hops else {}
        return CircuitFacts(
            self._circuit, self._drafts, self._strays, len(self._instances), latencies, hops
        )

    def _check_instances(self) -> Latencies:
        """Check every instance by itself; return the latencies of those that have a cause."""
        plain = fast_latencies(self._route, self._instances, self._circuit.same)
        others: dict[str, Latency] = {}
        if len(plain) < len(self._instances):
            for name in self._instances:
                if name not in plain:
                    row = self._instances.row(name)
                    self._checks.check(name, row)
                    if self._route.last and not self._route.is_orphan(row):
                        others[name] = self._route.latency(row)
        return Latencies(plain, others)

    def _check_number(self) -> None:
        """The number of instances, as far as it could be counted."""
        least, most = self._circuit.keys
        count = len(self._instances)
        hop = self._route.hops[0]
        if not self._instances.matched:
            if least > 0:
                self._drafts.add(Code.VACUOUS, self._circuit.name, t_ns=None)
        elif self._circuit.per == "run":
            return
        elif count < least and not self._instances.unkeyed:
            text = f"{count} of {least}"
            self._drafts.add(Code.LOST, hop.text, t_ns=None, hop=hop, text=text)
        elif most is not None and count > most:
            begins = sorted(
                (flat(self._instances.row(name))[0].t_ns, name) for name in self._instances
            )
            for t_ns, name in begins[most:]:
                self._drafts.add(
                    Code.DUPLICATE,
                    hop.text,
                    t_ns=t_ns,
                    key=name,
                    row=self._instances.row(name),
                    hop=hop,
                    text=f"{count} instead of {most}",
                )

    def _check_never(self) -> None:
        never = [place for hop in self._circuit.never for place in hop.places]
        for (unit, step), events in self._index.by_place.items():
            if not any_matches(never, unit, step):
                continue
            for event in events:
                if self._circuit.per == "run" or event.key is None:
                    self._drafts.add_event(Code.FORBIDDEN, event)
                elif (name := self._instances.name_of(event.key)) is not None:
                    row = self._instances.row(name)
                    self._drafts.add_event(Code.FORBIDDEN, event, row=row)
                else:
                    self._strays.add_event(Code.FORBIDDEN, event)

    def _check_route(self, unclaimed: list[Event]) -> None:
        strays = []
        for event in unclaimed:
            name = None if event.key is None else self._instances.name_of(event.key)
            if name is not None:
                row = self._instances.row(name)
                self._drafts.add_event(Code.MISROUTED, event, row=row)
                strays.append(event.id)
        if strays:
            found = set(strays)
            unclaimed[:] = [event for event in unclaimed if event.id not in found]

    def _check_fifo(self) -> None:
        blamed: set[str] = set()  # who overtook at one hop is still ahead at the next
        begun = self._beginnings()
        for stage in self._route.stages[1:]:
            for hop, _ in stage:
                arrived = dict(self._instances.columns[hop].firsts())
                names = [name for name in arrived if name in begun and name not in blamed]
                self._check_overtaking(names, begun, arrived, blamed)

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

    def _check_overtaking(
        self,
        names: list[str],
        begun: dict[str, Event],
        arrived: dict[str, Event],
        blamed: set[str],
    ) -> None:
        begins, ends = [begun[name] for name in names], [arrived[name] for name in names]
        if not (one_clock(begins) and one_clock(ends)):
            for name in names:
                way = self._instances.row(name)
                self._drafts.add_event(Code.CLOCK, arrived[name], name=name, row=way)
            return
        for fast, slow in overtaking(begins, ends):
            name = names[fast]
            blamed.add(name)
            row = (*self._instances.row(name), [begins[slow], ends[slow]])
            self._drafts.add_event(Code.REORDER, ends[fast], name=name, row=row, other=ends[slow])

    def _check_within(self, latencies: Latencies) -> None:
        limit = self._circuit.within_ns
        if limit is None:
            return
        for name, taken in latencies.over(limit):
            if taken == UNANSWERED:
                continue  # lost, as it is
            row = self._instances.row(name)
            done = self._route.completion(row)
            late = taken.low > limit
            self._drafts.add(
                Code.LATE if late else Code.CLOCK,
                place_of(done),
                t_ns=done.t_ns,
                key=name,
                row=row,
                event=done,
                other=self._route.first_events(row)[0],
                size=taken.low if late else None,
            )

    def _check_budgets(self, latencies: Latencies) -> None:
        for percentile, budget in sorted(self._circuit.budgets.items()):
            if not latencies.enough(percentile):
                text = f"p{percentile}"
                self._drafts.add(Code.SAMPLES, self._circuit.name, t_ns=None, text=text)
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
                        t_ns=None,
                        key=name,
                        row=self._instances.row(name),
                        size=taken.low,
                        text=f"p{percentile}",
                    )
