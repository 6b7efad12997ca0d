"""The instances of a circuit: its events, gathered by key and by hop, and the route they take."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise, product
from operator import attrgetter, eq, gt
from typing import cast

from testrium.declared.circuits import WHOLE_RUN, Circuit, Claim, claim_of
from testrium.evidence import EarlierRun, Event, Evidence
from testrium.results import CircuitPaths, KeyPath, MissedHop
from testrium.verify.findings import flat
from testrium.verify.index import EventIndex, join_keys
from testrium.verify.matching import assign
from testrium.verify.timing import UNANSWERED, Latency, Row, latency_between
from testrium.words import EventType

_NOTHING: tuple[Event, ...] = ()

_time: Callable[[Event], int] = attrgetter("t_ns")

_key: Callable[[Event], str | None] = attrgetter("key")


class HopEvents:
    """One hop's events by instance: `alone`, or `several` in the order of their times.

    Two dictionaries, because in a long run nearly every instance has one event at each hop, and a
    list around each of a million events costs more than all the checks.
    """

    def __init__(self) -> None:
        self.alone: dict[str, Event] = {}
        self.several: dict[str, list[Event]] = {}

    def __len__(self) -> int:
        return len(self.alone) + len(self.several)

    def __iter__(self) -> Iterator[str]:
        return chain(self.alone, self.several)

    def of(self, name: str) -> Sequence[Event]:
        """The events of an instance, by time."""
        event = self.alone.get(name)
        return (event,) if event is not None else self.several.get(name, _NOTHING)

    def firsts(self) -> Iterator[tuple[str, Event]]:
        """The first event of each instance."""
        yield from self.alone.items()
        for name, events in self.several.items():
            yield name, events[0]

    def add(self, name: str, event: Event) -> None:
        """Add an event; in whatever order they come, they are kept by time."""
        if name in self.several:
            insort(self.several[name], event, key=_time)
        elif name in self.alone:
            self.several[name] = sorted((self.alone.pop(name), event), key=_time)
        else:
            self.alone[name] = event


class Instances:
    """All instances of one circuit.

    An instance is named by its key; where causes join several keys, by the key of its earliest
    event on the route. `unkeyed` are the events of hops that have no key; those with a cause are
    counted for its instance all the same: one mistake is one finding.
    """

    def __init__(self, circuit: Circuit, index: EventIndex) -> None:
        self.unkeyed: list[Event] = []
        self.columns = tuple(HopEvents() for _ in circuit.hops)
        self._circuit = circuit
        self._per_run = circuit.per == "run"
        self.claims = {place: claim_of(circuit.hops, *place) for place in index.by_place}
        own = {place: claim for place, claim in self.claims.items() if claim.hops}
        self._joins = None if self._per_run else index.instances
        accepted = {place: self._accepted(index.by_place[place], own[place]) for place in own}
        self._firsts = self._named(accepted.values())
        for hop, column in enumerate(self.columns):
            places = [accepted[place] for place in own if own[place].hops == (hop,)]
            self._fill(column, _merged(places))
        self._share({place: accepted[place] for place in own if len(own[place].hops) > 1})
        self._names: dict[str, None] = {}
        for column in self.columns:
            if not (len(column) == len(self._names) and all(map(eq, column, self._names))):
                self._names.update(dict.fromkeys(column))
        self.matched = bool(self._names or self.unkeyed)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def row(self, name: str) -> list[Sequence[Event]]:
        """The events of an instance, for each hop in the order of their times."""
        return [column.of(name) for column in self.columns]

    def row_of(self, key: str | None) -> Sequence[Sequence[Event]]:
        """The events of the instance that a key belongs to; () where it belongs to none."""
        name = WHOLE_RUN if self._per_run else None if key is None else self.name_of(key)
        return () if name is None else self.row(name)

    def outside(self, fields: Sequence[str], index: EventIndex) -> dict[str, list[Event]]:
        """The events beside the route that belong to an instance, and have one of these fields."""
        found: dict[str, list[Event]] = {}
        if not fields or self._per_run:
            return found
        for place, events in index.by_place.items():
            if self.claims[place].hops:
                continue
            for event in events:
                if any(field in event.meta for field in fields):
                    name = self.instance_of(event)
                    if name is not None and name in self._names:
                        found.setdefault(name, []).append(event)
        return found

    def name_of(self, key: str) -> str | None:
        """The instance that a key belongs to; None where the circuit does not have this key."""
        if self._per_run:
            return None
        name: str | None = key
        if self._joins is not None:
            name = self._firsts.get(self._joins.get(key, key))
        return name if name in self._names else None

    def instance_of(self, event: Event) -> str | None:
        """The instance that an event belongs to by its key, or else by its cause."""
        if self._per_run:
            return WHOLE_RUN
        key = event.key if event.key is not None else next(iter(event.cause), None)
        if key is None or self._joins is None:
            return key
        return self._firsts.get(self._joins.get(key, key))

    def _accepted(self, events: list[Event], claim: Claim) -> list[Event]:
        """Hops with a star want no events without a key, where the circuit is about keys."""
        if self._per_run or not claim.by_star or None not in set(map(_key, events)):
            return events
        return [event for event in events if event.key is not None]

    def _named(self, places: Iterable[list[Event]]) -> dict[str, str]:
        """The name of each instance, where causes join keys: by what `EventIndex` calls it."""
        names: dict[str, str] = {}
        if self._joins is not None:
            for event in _merged(list(places)):
                key = event.key if event.key is not None else next(iter(event.cause), None)
                if key is not None:
                    names.setdefault(self._joins.get(key, key), key)
        return names

    def _fill(self, column: HopEvents, events: Sequence[Event]) -> None:
        if self._joins is None and not self._per_run:
            alone = dict(zip(map(_key, events), events, strict=True))
            if len(alone) == len(events) and None not in alone:
                column.alone = cast("dict[str, Event]", alone)
                return
        for event in events:
            self._put(column, event)

    def _share(self, places: Mapping[tuple[str, str], list[Event]]) -> None:
        """Give each event whose place several hops match to one of them."""
        shared: dict[str | None, list[tuple[Event, tuple[int, ...]]]] = {}
        for place, events in places.items():
            hops = self.claims[place].hops
            for event in events:
                shared.setdefault(self.instance_of(event), []).append((event, hops))
        stages = Route(self._circuit).stages
        for name, events_of_one in shared.items():
            row = [() if name is None else column.of(name) for column in self.columns]
            for event, hop in assign(self._circuit.hops, stages, row, events_of_one):
                self._put(self.columns[hop], event)

    def _put(self, column: HopEvents, event: Event) -> None:
        name = self.instance_of(event)
        if event.key is None and not self._per_run:
            self.unkeyed.append(event)
        if name is not None:
            column.add(name, event)


def _merged(lists: Sequence[list[Event]]) -> Sequence[Event]:
    """Sorted lists as one."""
    if len(lists) == 1:
        return lists[0]
    return sorted(chain.from_iterable(lists), key=_time)


Stage = list[tuple[int, int]]


class Route:
    """The stages of a circuit; its hops are known by their index in `hops`.

    `stages` holds for each stage its hops with their least counts. An instance without any event
    in `origin` has no cause. `last` are the hops that complete the last required stage. Both are
    empty where nothing is required.
    """

    def __init__(self, circuit: Circuit) -> None:
        numbers = iter(range(len(circuit.hops)))
        self.hops = circuit.hops
        self.stages: list[Stage] = [
            [(next(numbers), hop.least) for hop in stage] for stage in circuit.stages
        ]
        required = [
            number for number, stage in enumerate(self.stages) if any(least for _, least in stage)
        ]
        begin = self.stages[: required[0] + 1] if required else []
        self.origin = [hop for stage in begin for hop, _ in stage]
        self.last = [hop for hop in self.stages[required[-1]] if hop[1]] if required else []
        self._stage_of = {hop: n for n, stage in enumerate(self.stages) for hop, _ in stage}

    def is_orphan(self, row: Row) -> bool:
        """Whether an instance has effects without a cause."""
        for hop in self.origin:  # a loop, as this and the next ones are asked of every instance
            if row[hop]:
                return False
        return bool(self.origin)

    def first_events(self, row: Row) -> Sequence[Event]:
        """The events of the first stage that has any, by time."""
        for stage in self.stages:
            if len(stage) == 1:
                if row[stage[0][0]]:
                    return row[stage[0][0]]
            elif events := flat([row[hop] for hop, _ in stage]):
                return events
        return ()

    def latency(self, row: Row) -> Latency:
        """From the first event of the first stage to what completes the last required stage."""
        for hop, least in self.last:
            if len(row[hop]) < least:
                return UNANSWERED
        return latency_between(
            self.first_events(row), [(row[hop], least) for hop, least in self.last]
        )

    def completion(self, row: Row, *, late: bool) -> Event:
        """The event that completes the last required stage of an answered instance.

        Of several hops the one that surely took longest (`late`), else that may have.
        """
        starts = self.first_events(row)

        def taken(event: Event) -> tuple[float, int]:
            low, high = latency_between(starts, [([event], 1)])
            return (low if late else high), event.t_ns

        return max((row[hop][least - 1] for hop, least in self.last), key=taken)

    def last_reached(self, row: Row, hop: int) -> Event | None:
        """The last event of the stages up to that of `hop`; else the first of all."""
        reached = self.came_from(row, hop)
        here = _last_of(self.stages[self._stage_of[hop]], row)
        if here is not None and (reached is None or here.t_ns >= reached.t_ns):
            return here
        return reached or next(iter(flat(row)), None)

    def came_from(self, row: Row, hop: int) -> Event | None:
        """The last event of the nearest stage before `hop` that has any."""
        for number in range(self._stage_of[hop] - 1, -1, -1):
            last = _last_of(self.stages[number], row)
            if last is not None:
                return last
        return None


def _last_of(stage: Stage, row: Row) -> Event | None:
    """The last event in a stage, if it has any."""
    if len(stage) == 1:
        events = row[stage[0][0]]
        if len(events) < 2:
            return events[0] if events else None
    return next(reversed(flat([row[hop] for hop, _ in stage])), None)


def earlier_causes(
    circuits: Sequence[Circuit], runs: Iterable[EarlierRun]
) -> dict[str, frozenset[str]]:
    """The keys whose cause occurred in an earlier run: `Evidence.earlier_causes`."""
    origins = {one.name: Route(one).origin for one in circuits if one.per == "key"}
    found: dict[str, set[str]] = {name: set() for name in ("", *origins)}
    for run in runs:
        joined = join_keys(run.joined)
        caused: dict[str, set[str]] = {name: set() for name in origins}
        for (unit, step, type_), keys in run.keys.items():
            if type_ == EventType.SEND:
                found[""].update(keys)
            for one in circuits:
                if one.name in origins and not {*claim_of(one.hops, unit, step).hops}.isdisjoint(
                    origins[one.name]
                ):
                    caused[one.name].update(keys)
        for name, ours in caused.items():
            roots = {joined[key] for key in ours if key in joined}
            found[name].update(ours, (key for key, root in joined.items() if root in roots))
    return {name: frozenset(keys) for name, keys in found.items()}


def key_paths(circuits: Sequence[Circuit], evidence: Evidence) -> tuple[CircuitPaths, ...]:
    """The ways of all instances of these circuits, as they were judged."""
    index = EventIndex(evidence)
    return tuple(
        CircuitPaths(circuit, tuple(_paths(Route(circuit), Instances(circuit, index))))
        for circuit in circuits
    )


def _paths(route: Route, instances: Instances) -> Iterator[KeyPath]:
    for name in instances:
        row = instances.row(name)
        way = KeyPath(name, tuple(flat(row)))
        if not route.is_orphan(row):  # of effects without a cause nothing more is asked
            if route.last:
                low_ns, high_ns = route.latency(row)
                way = way._replace(low_ns=low_ns, high_ns=high_ns)
            way = way._replace(lacks=tuple(_lacks(route, row)))
        yield way


def _lacks(route: Route, row: Row) -> Iterator[MissedHop]:
    for number, hop in enumerate(route.hops):
        if len(row[number]) < hop.least:
            reached = route.last_reached(row, number)
            yield MissedHop(hop.text, None if reached is None else reached.id)


Column = Sequence[Event]

_ABSENT = object()


_low: Callable[[Event], int | None] = attrgetter("t_low_ns")

_domain: Callable[[Event], str] = attrgetter("domain")

_pid: Callable[[Event], int] = attrgetter("pid")


def fast_latencies(route: Route, instances: Instances, same: Sequence[str]) -> dict[str, int]:
    """The plain instances, each with its latency (ns); fields in `same` must be equal."""
    rules = [(rule.least, rule.most) for rule in route.hops]
    stages = [
        present
        for stage in route.stages
        if (present := [hop for hop, least in stage if least or instances.columns[hop]])
    ]
    hops = [hop for stage in stages for hop in stage]
    if not route.last or any(rules[hop][0] > 1 or rules[hop][1] == 0 for hop in hops):
        return {}
    names = _with_one_event(instances, hops)
    columns = {hop: _in_order(instances.columns[hop].alone, names) for hop in hops}
    if not names or not _on_one_clock(columns.values()):
        return {}
    times = {hop: list(map(_time, column)) for hop, column in columns.items()}
    pids = {hop: set(map(_pid, column)) for hop, column in columns.items()}
    wrong: set[int] = set()
    for before, stage in pairwise(stages):
        for prior, hop in product(before, stage):
            if any(map(gt, times[prior], times[hop])):
                backwards = enumerate(map(gt, times[prior], times[hop]))
                wrong.update(number for number, is_wrong in backwards if is_wrong)
            if not pids[prior].isdisjoint(pids[hop]):
                wrong.update(_numbered_backwards(columns[prior], columns[hop]))
    for field in same:
        wrong.update(_different(list(columns.values()), field))
    begins = _each(min, [times[hop] for hop in stages[0]])
    ends = _each(max, [times[hop] for hop, _ in route.last])
    return {
        name: end - begin
        for number, (name, begin, end) in enumerate(zip(names, begins, ends, strict=True))
        if number not in wrong
    }


def _with_one_event(instances: Instances, hops: Iterable[int]) -> list[str]:
    """The instances that have exactly one event at each of `hops`."""
    names = list(instances)
    for hop in hops:
        alone = instances.columns[hop].alone
        if len(alone) < len(instances):
            names = [name for name in names if name in alone]
    return names


def _in_order(alone: dict[str, Event], names: list[str]) -> Column:
    """The events of `names`."""
    if len(alone) == len(names) and all(map(eq, alone, names)):
        return list(alone.values())
    return list(map(alone.__getitem__, names))


def _on_one_clock(columns: Iterable[Column]) -> bool:
    """Whether all times were taken in the units, and can be compared."""
    domains: set[str] = set()
    for column in columns:
        domains.update(map(_domain, column))
        if set(map(_low, column)) != {None}:
            return False
    return len(domains) == 1


def _numbered_backwards(before: Column, after: Column) -> Iterator[int]:
    """Where two events of one process are numbered in the wrong order."""
    for number, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.pid == b.pid and a.seq is not None and b.seq is not None and a.seq >= b.seq:
            yield number


def _different(columns: Sequence[Column], field: str) -> Iterable[int]:
    """Where a field is not plainly the same on every event of the columns that have it."""
    values = [[event.meta.get(field, _ABSENT) for event in column] for column in columns]
    having = [column for column in values if any(value is not _ABSENT for value in column)]
    for one, other in pairwise(having):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if a is not b and not same_value(a, b):
                yield i


def _each(choose: Callable[..., int], columns: Sequence[Sequence[int]]) -> Iterable[int]:
    """`min` or `max` of each row."""
    return columns[0] if len(columns) == 1 else map(choose, *columns)


def same_value(one: object, other: object) -> bool:
    """Equal as JSON values, and of one type: `true`, 1 and 1.0 are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return one == other
