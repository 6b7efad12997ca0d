"""The paths of keys through a group: each for itself, and all of a circuit folded into one.

A drawing shows one circuit: the page's script draws it over time, its template as a row of hops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from math import inf
from typing import NamedTuple

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event, Finding
from testrium.report.escape import cut
from testrium.report.group_text import facts
from testrium.report.wording import split_place
from testrium.results import CircuitPaths, MissedHop
from testrium.statistics import median
from testrium.words import EventType


def joined_keys(events: Iterable[Event]) -> Mapping[str, str]:
    """For every key and every cause the path that it belongs to, named by its first key."""
    above: dict[str, str] = {}

    def root_of(key: str) -> str:
        while (parent := above.setdefault(key, key)) != key:
            above[key] = above.setdefault(parent, parent)
            key = above[key]
        return key

    for event in events:
        keys = event.cause if event.key is None else (event.key, *event.cause)
        for key in keys:
            above[root_of(key)] = root_of(keys[0])
    first: dict[str, str] = {}
    return {key: first.setdefault(root_of(key), key) for key in tuple(above)}


def path_name(event: Event, joined: Mapping[str, str]) -> str | None:
    """The path that an event belongs to, if it has a key or a cause."""
    key = event.key if event.key is not None else next(iter(event.cause), None)
    return None if key is None else joined[key]


def path_of(key: str, events: Sequence[Event]) -> tuple[Event, ...]:
    """The events of a key and of all keys that causes join with it; () where it has none."""
    joined = joined_keys(events)
    if key not in joined:
        return ()
    return tuple(event for event in events if path_name(event, joined) == joined[key])


class PassedEvent(NamedTuple):
    """An event, as far as arrows are concerned. `absent`: it should have happened."""

    unit: str
    step: str
    type: str
    absent: bool = False


class EventSources:
    """The routes that say what follows what. Without one, messages do."""

    def __init__(self, circuits: Sequence[Circuit] = ()) -> None:
        self._circuits = circuits
        self._stages: dict[tuple[str, str], tuple[int, int] | None] = {}

    def sources(self, passed: Sequence[PassedEvent]) -> list[int | None]:
        """For each event the number of its source event; None where it is the first.

        What stands in a route comes from the nearest stage before it that was passed. Of the rest
        a Receive comes from the Send before it, so the copies of a broadcast start at their
        sender, the one that never arrived included; anything else from the event before it.
        """
        found: list[int | None] = []
        sent, copies = 0, 0
        last: dict[tuple[int, int], int] = {}
        for index, one in enumerate(passed):
            if one.type == EventType.SEND:
                sent, copies = index, 0
            copies += one.type == EventType.RECEIVE
            stage = self._stage(one.unit, one.step)
            if stage is not None:
                circuit, number = stage
                before = [other for other in last if other[0] == circuit and other[1] < number]
                found.append(last[max(before)] if before else None)
                last[stage] = index
            elif index == 0:
                found.append(None)
            else:
                from_send = one.type == EventType.RECEIVE or (one.absent and copies > 1)
                found.append(sent if from_send else index - 1)
        return found

    def _stage(self, unit: str, step: str) -> tuple[int, int] | None:
        """The first circuit, and its stage, in which such an event has a place."""
        place = unit, step
        if place not in self._stages:
            self._stages[place] = next(
                (
                    (number, stage)
                    for number, circuit in enumerate(self._circuits)
                    for stage, hops in enumerate(circuit.stages)
                    for hop in hops
                    for one in hop.places
                    if one.unit in ("*", unit) and one.step in ("*", step)
                ),
                None,
            )
        return self._stages[place]


#: A path that is longer is shown without its middle.
MOST_STEPS = 80

#: Before how often a place was passed.
TIMES = " ×"  # noqa: RUF001

#: Of more events only the paths that are shown are gathered.
MANY_EVENTS = 200_000

#: How many places a drawing of all keys names at most.
MOST_PLACES = 40

TEXT_WIDTH = 200

#: The name of what a circuit that is `per = "run"` counts as its one instance.
WHOLE_RUN = "the whole run"


class Step(NamedTuple):
    """A hop of a drawing: an event, or an `absent` one that should have happened.

    `source` is the step that it comes from, by its number; None: it begins. `fault` says what was
    broken there on purpose. `skipped` is the number of events left out before this one. `at_ms`
    counts from the first step, an upper bound where `bound`; None where it never happened or the
    clocks cannot be compared.
    """

    unit: str
    label: str
    time: str = ""
    source: int | None = None
    absent: bool = False
    type: str = ""
    facts: str = ""
    fault: str = ""
    skipped: int = 0
    at_ms: float | None = None
    bound: bool = False


class CircuitSteps(NamedTuple):
    """What is drawn of one circuit; "" for the probes that are in none."""

    circuit: str
    steps: tuple[Step, ...]
    places_left_out: int = 0


class DrawnPath(NamedTuple):
    """All that happened to a key, and to the keys that causes join with it (`others`).

    `latency_ms` is infinite where it was not answered, None where no circuit measures it. `wrong`
    names its findings and the hops that it did not pass. `events` counts also what is not shown.
    """

    name: str
    others: tuple[str, ...]
    circuits: tuple[str, ...]
    latency_ms: float | None
    latency: str
    wrong: tuple[str, ...]
    events: int
    drawings: tuple[CircuitSteps, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of all its circuits."""
        return tuple(step for drawing in self.drawings for step in drawing.steps)


class DrawnPaths(NamedTuple):
    """The paths that a page holds, what is wrong first, then the slowest; `total` counts all."""

    shown: tuple[DrawnPath, ...] = ()
    total: int = 0
    folded: tuple[CircuitSteps, ...] = ()

    @property
    def numbers(self) -> dict[str, int]:
        """The number of the path that a key belongs to, of those that are shown."""
        return {
            key: number
            for number, path in enumerate(self.shown)
            for key in (path.name, *path.others)
        }


class _Gathered(NamedTuple):
    """What is known of a path before it is drawn; `circuits` has the events that each one saw."""

    events: list[Event]
    circuits: dict[str, set[int]]
    latencies: list[tuple[float, bool]]
    lacks: list[tuple[str, MissedHop]]
    wrong: dict[str, None]


class _Part(NamedTuple):
    """What one circuit saw of a path."""

    circuit: str
    events: Sequence[Event]
    lacks: Sequence[MissedHop]


def key_paths(
    events: Sequence[Event],
    circuits: Sequence[CircuitPaths],
    findings: Sequence[Finding],
    faults: Mapping[int, str],
    room: int,
) -> DrawnPaths:
    """The paths of a group, of which as many are shown as have `room` steps in all.

    `faults` says which events were the last ones before something was broken on purpose.
    """
    routes = _Routes(circuits)
    if len(events) > MANY_EVENTS:
        return _some_paths(events, circuits, findings, faults, room, routes)
    known = _gathered(events, circuits, findings)
    shown = _shown(known, findings, faults, room, routes)
    return DrawnPaths(shown, len(known), _folded(map(_parts, known.values()), routes))


def _some_paths(
    events: Sequence[Event],
    circuits: Sequence[CircuitPaths],
    findings: Sequence[Finding],
    faults: Mapping[int, str],
    room: int,
    routes: _Routes,
) -> DrawnPaths:
    """The same of very many events, in little memory: only what is going to be shown is gathered.

    Folded are the events of circuits, and nothing else that their keys did.
    """
    joined = joined_keys(events) if any(event.cause for event in events) else None

    def name_of(key: str) -> str:
        return key if joined is None else joined.get(key, key)

    ranks: dict[str, int] = {}
    for rank, finding in enumerate(findings):
        for key in finding.keys:
            ranks.setdefault(name_of(key), rank)
    urgent = nsmallest(
        max(1, room),
        (
            (
                ranks.get(name_of(path.name), len(findings)),
                -(path.high_ns or 0.0),
                name_of(path.name),
            )
            for one in circuits
            for path in one.paths
        ),
    )
    chosen = {name for _, _, name in urgent} | set(islice(ranks, room))
    keys: set[str] = set()
    own = []
    for event in events:
        name = event.key if event.key is not None else next(iter(event.cause), None)
        if name is not None:
            name = name_of(name)
            keys.add(name)
            if name in chosen or len(keys) + len(chosen) < room:
                own.append(event)
    theirs = [
        one
        if one.circuit.per == "run"
        else one._replace(paths=tuple(path for path in one.paths if name_of(path.name) in chosen))
        for one in circuits
    ]
    known = _gathered(own, theirs, findings)
    parts = (
        [_Part(one.circuit.name, path.events, path.lacks)] for one in circuits for path in one.paths
    )
    shown = _shown(known, findings, faults, room, routes)
    return DrawnPaths(shown, len(keys), _folded(parts, routes))


def _shown(
    known: Mapping[str, _Gathered],
    findings: Sequence[Finding],
    faults: Mapping[int, str],
    room: int,
    routes: _Routes,
) -> tuple[DrawnPath, ...]:
    """What is wrong first, then the slowest, as many as there is room for."""
    order = sorted(known, key=lambda name: _urgency(known[name], findings))
    shown: list[DrawnPath] = []
    for name in order:
        room -= min(len(known[name].events), MOST_STEPS) + len(known[name].lacks)
        if room < 0 and shown:
            break
        shown.append(_key_path(name, known[name], faults, routes))
    return tuple(shown)


def _gathered(
    events: Sequence[Event], circuits: Sequence[CircuitPaths], findings: Sequence[Finding]
) -> dict[str, _Gathered]:
    joined = joined_keys(events)
    known: dict[str, _Gathered] = {}
    for event in events:
        name = path_name(event, joined)
        if name is not None:
            known.setdefault(name, _Gathered([], {}, [], [], {})).events.append(event)
    for one in circuits:
        for path in one.paths:
            if one.circuit.per == "run":
                whole = known.setdefault(WHOLE_RUN, _Gathered([], {}, [], [], {}))
                whole.events.extend(path.events)
            else:
                whole = known[joined.get(path.name, path.name)]
            seen = whole.circuits.setdefault(one.circuit.name, set())
            seen.update(event.id for event in path.events)
            if path.high_ns is not None and path.low_ns is not None:
                whole.latencies.append((path.high_ns, path.low_ns == path.high_ns))
            whole.lacks.extend((one.circuit.name, lack) for lack in path.lacks)
    for finding in findings:
        for key in finding.keys:
            if (name := joined.get(key)) is not None:
                known[name].wrong[finding.title] = None
    for one_known in known.values():
        once = {event.id: event for event in one_known.events}.values()
        one_known.events[:] = sorted(once, key=lambda event: (event.here_ns, event.id))
    return known


def _urgency(known: _Gathered, findings: Sequence[Finding]) -> tuple[int, float]:
    """What is wrong first, in the order of findings; then what took longest."""
    first = next(iter(known.wrong), None)
    names = [finding.title for finding in findings]
    place = len(names) if first is None else names.index(first)
    return place, -max((latency for latency, _ in known.latencies), default=0.0)


class _Routes:
    """The routes of circuits by their names, each asked alone: drawings are never mixed."""

    def __init__(self, circuits: Sequence[CircuitPaths]) -> None:
        self._known = {one.circuit.name: EventSources([one.circuit]) for one in circuits}
        self._none = EventSources()

    def sources(self, part: _Part, events: Sequence[Event]) -> list[int | None]:
        routes = self._known.get(part.circuit, self._none)
        return routes.sources([_passed(event) for event in events])


def _parts(known: _Gathered) -> list[_Part]:
    """A path by circuits; what is in none goes with the only one, else it is one of its own."""
    if len(known.circuits) < 2:
        name = next(iter(known.circuits), "")
        return [_Part(name, known.events, [lack for _, lack in known.lacks])]
    parts = [
        _Part(
            name,
            [event for event in known.events if event.id in seen],
            [lack for of, lack in known.lacks if of == name],
        )
        for name, seen in known.circuits.items()
    ]
    in_one = set().union(*known.circuits.values())
    rest = [event for event in known.events if event.id not in in_one]
    return [*parts, _Part("", rest, ())] if rest else parts


def latency_text(high_ns: float, *, exact: bool) -> str:
    """A latency, or its upper bound; infinite without an answer, or where clocks do not compare."""
    if high_ns == inf:
        return "unanswered" if exact else "other clock"
    return ("" if exact else "≤ ") + phrases.milliseconds(high_ns / 1e6)


def _key_path(name: str, known: _Gathered, faults: Mapping[int, str], routes: _Routes) -> DrawnPath:
    latency, exact = max(known.latencies, default=(None, True))
    return DrawnPath(
        name=name,
        others=tuple(dict.fromkeys(e.key for e in known.events if e.key not in (None, name))),
        circuits=tuple(known.circuits),
        latency_ms=None if latency is None else latency / 1e6,
        latency="" if latency is None else latency_text(latency, exact=exact),
        wrong=tuple(known.wrong),
        events=len(known.events),
        drawings=tuple(
            CircuitSteps(part.circuit, tuple(_steps(part, faults, routes)))
            for part in _parts(known)
        ),
    )


def _steps(part: _Part, faults: Mapping[int, str], routes: _Routes) -> Iterable[Step]:
    events = part.events
    skipped = max(0, len(events) - MOST_STEPS)
    half = MOST_STEPS // 2
    kept = [*events[:half], *events[len(events) - half :]] if skipped else events
    origins = routes.sources(part, kept)
    first = kept[0] if kept else None
    last_ms = (kept[-1].t_ns - kept[0].t_ns) / 1e6 if kept else 0.0
    numbers = {}
    for index, event in enumerate(kept):
        numbers[event.id] = index
        comparable = first is not None and event.domain == first.domain
        at_ms = (event.t_ns - first.t_ns) / 1e6 if comparable and first is not None else None
        bound = event.t_low_ns is not None
        time = "other clock" if at_ms is None else phrases.milliseconds(at_ms, last_ms)
        yield Step(
            unit=event.unit,
            label=cut(event.step, TEXT_WIDTH),
            time=f"≤ {time}" if bound and at_ms is not None else time,
            source=origins[index],
            type=event.type,
            facts=cut(facts(event), TEXT_WIDTH),
            fault=faults.get(event.id, ""),
            skipped=skipped if skipped and index == half else 0,
            at_ms=at_ms,
            bound=bound,
        )
    for lack in part.lacks:
        unit, step = split_place(lack.hop)
        yield Step(
            unit, cut(step, TEXT_WIDTH), "never", numbers.get(lack.reached or -1), absent=True
        )


class _FoldedPlace:
    """What all keys together did at one place."""

    def __init__(self) -> None:
        self.count = 0
        self.positions = 0
        self.offsets_ms: list[float] = []
        self.before: Counter[tuple[str, str]] = Counter()

    @property
    def position(self) -> float:
        return self.positions / self.count


def _passed(event: Event) -> PassedEvent:
    return PassedEvent(event.unit, event.step, event.type)


class _FoldedCircuit:
    """What all keys together did in one circuit."""

    def __init__(self, circuit: str) -> None:
        self.circuit = circuit
        self._places: dict[tuple[str, str], _FoldedPlace] = {}
        self._lost: Counter[str] = Counter()
        self._reached: dict[str, Counter[tuple[str, str]]] = {}

    def add(self, part: _Part, routes: _Routes) -> None:
        """Count the events of one path, and the hops that it did not pass."""
        by_id = {event.id: (event.unit, event.step) for event in part.events}
        origins = routes.sources(part, part.events)
        for index, (event, origin) in enumerate(zip(part.events, origins, strict=True)):
            place = self._places.setdefault((event.unit, event.step), _FoldedPlace())
            place.count += 1
            place.positions += index
            if event.domain == part.events[0].domain:
                place.offsets_ms.append((event.t_ns - part.events[0].t_ns) / 1e6)
            if origin is not None:
                before = part.events[origin]
                place.before[before.unit, before.step] += 1
        for lack in part.lacks:
            self._lost[lack.hop] += 1
            if lack.reached in by_id:
                self._reached.setdefault(lack.hop, Counter())[by_id[lack.reached]] += 1

    def drawing(self) -> CircuitSteps:
        """Each place once, with how often it was passed, in its usual order."""
        places = self._places
        order = sorted(places, key=lambda name: places[name].position)
        numbers = {name: number for number, name in enumerate(order)}
        steps = [_folded_step(name, places[name], numbers) for name in order]
        for hop, count in self._lost.items():
            unit, step = split_place(hop)
            from_where = self._reached.get(hop, Counter()).most_common(1)
            source = numbers[from_where[0][0]] if from_where else None
            steps.append(Step(unit, f"{step}{TIMES}{count}", "never", source, absent=True))
        left_out = max(0, len(steps) - MOST_PLACES)
        return CircuitSteps(self.circuit, tuple(steps[:MOST_PLACES]), left_out)


def _folded(paths: Iterable[Sequence[_Part]], routes: _Routes) -> tuple[CircuitSteps, ...]:
    """All paths as one, for each circuit; what is in none comes last."""
    circuits: dict[str, _FoldedCircuit] = {}
    for path in paths:
        for part in path:
            circuits.setdefault(part.circuit, _FoldedCircuit(part.circuit)).add(part, routes)
    order = sorted(circuits.values(), key=lambda one: not one.circuit)
    return tuple(one.drawing() for one in order)


def _folded_step(
    name: tuple[str, str], place: _FoldedPlace, numbers: Mapping[tuple[str, str], int]
) -> Step:
    usual = next(
        (before for before, _ in place.before.most_common() if numbers[before] < numbers[name]),
        None,
    )
    at_ms = median(place.offsets_ms) if place.offsets_ms else None
    return Step(
        unit=name[0],
        label=f"{name[1]}{TIMES}{place.count}",
        time="other clock" if at_ms is None else phrases.milliseconds(at_ms),
        at_ms=at_ms,
        source=None if usual is None else numbers[usual],
    )
