"""The paths of keys through a group: each for itself, and all of them folded into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from testrium import phrases
from testrium.declared.circuits import Circuit
from testrium.evidence import Event, Finding
from testrium.report.escape import cells, cut
from testrium.report.event_lines import facts
from testrium.report.view import EventView, FindingView
from testrium.results import CircuitPaths, MissedHop
from testrium.statistics import median
from testrium.words import EventType


def joined_keys(events: Iterable[Event]) -> Mapping[str, str]:
    """For every key and every cause the way that it belongs to, named by its first key."""
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
    """The way that an event belongs to, if it has a key or a cause."""
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

    def sources(self, story: Sequence[PassedEvent]) -> list[int | None]:
        """For each event the number of the one that it comes from; None: it begins.

        What stands in a route comes from the nearest stage before it that was passed. Of the rest
        a Receive comes from the Send before it, so that the copies of a broadcast start at their
        sender, the one that never arrived included; anything else from the event before it.
        """
        found: list[int | None] = []
        sent, copies = 0, 0
        last: dict[tuple[int, int], int] = {}
        for index, one in enumerate(story):
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


#: A way that is longer is shown without its middle.
MOST_STEPS = 80

#: A drawing of all keys names so many places at most.
MOST_PLACES = 40

_TEXT_WIDTH = 200

#: The name of what a circuit that is `per = "run"` counts as its one instance.
WHOLE_RUN = "the whole run"


class Step(NamedTuple):
    """A line of a sequence diagram: an event, or an `absent` one that should have happened.

    `source` is the step that it comes from, by its number; None: it begins. `fault` says what was
    broken there on purpose. `skipped` is the number of events left out before this one.
    """

    unit: str
    label: str
    time: str = ""
    source: int | None = None
    absent: bool = False
    gap: str = ""
    type: str = ""
    facts: str = ""
    fault: str = ""
    skipped: int = 0


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
    steps: tuple[Step, ...]


class DrawnPaths(NamedTuple):
    """The ways that a page holds, what is wrong first, then the slowest; `total` counts all."""

    shown: tuple[DrawnPath, ...] = ()
    total: int = 0
    folded: tuple[Step, ...] = ()
    places_left_out: int = 0


class _Gathered(NamedTuple):
    """What is known of a way before it is drawn."""

    events: list[Event]
    circuits: dict[str, None]
    latencies: list[tuple[float, bool]]
    lacks: list[MissedHop]
    wrong: dict[str, None]


def key_paths(
    events: Sequence[Event],
    circuits: Sequence[CircuitPaths],
    findings: Sequence[Finding],
    faults: Mapping[int, str],
    room: int,
) -> DrawnPaths:
    """The ways of a group, of which as many are shown as have `room` steps in all.

    `faults` says which events were the last ones before something was broken on purpose.
    """
    known = _gathered(events, circuits, findings)
    routes = EventSources([one.circuit for one in circuits])
    order = sorted(known, key=lambda name: _urgency(known[name], findings))
    shown: list[DrawnPath] = []
    for name in order:
        room -= min(len(known[name].events), MOST_STEPS) + len(known[name].lacks)
        if room < 0 and shown:
            break
        shown.append(_key_path(name, known[name], faults, routes))
    folded = _folded(known.values(), routes)
    return DrawnPaths(
        tuple(shown), len(known), folded[:MOST_PLACES], max(0, len(folded) - MOST_PLACES)
    )


def split_place(text: str) -> tuple[str, str]:
    """The unit and the step of a hop; of alternatives all of it is the step."""
    if "|" in text:
        return "", text
    unit, _, step = text.partition(":")
    return unit, step


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
        for way in one.ways:
            if one.circuit.per == "run":
                whole = known.setdefault(WHOLE_RUN, _Gathered([], {}, [], [], {}))
                whole.events.extend(way.events)
            else:
                whole = known[joined.get(way.name, way.name)]
            whole.circuits[one.circuit.name] = None
            if way.high_ns is not None and way.low_ns is not None:
                whole.latencies.append((way.high_ns, way.low_ns == way.high_ns))
            whole.lacks.extend(way.lacks)
    for finding in findings:
        for key in finding.keys:
            if (name := joined.get(key)) is not None:
                known[name].wrong[f"{finding.code} at {finding.where}"] = None
    for one_known in known.values():
        once = {event.id: event for event in one_known.events}.values()
        one_known.events[:] = sorted(once, key=lambda event: (event.t_ns, event.id))
    return known


def _urgency(known: _Gathered, findings: Sequence[Finding]) -> tuple[int, float]:
    """What is wrong first, in the order of findings; then what took longest."""
    first = next(iter(known.wrong), None)
    names = [f"{finding.code} at {finding.where}" for finding in findings]
    place = len(names) if first is None else names.index(first)
    return place, -max((latency for latency, _ in known.latencies), default=0.0)


def _key_path(
    name: str, known: _Gathered, faults: Mapping[int, str], routes: EventSources
) -> DrawnPath:
    latency, exact = max(known.latencies, default=(None, True))
    latency_ms = None if latency is None else latency / 1e6
    if latency_ms is None:
        text = ""
    elif latency_ms == inf:
        text = "unanswered" if exact else "other clock"
    else:
        text = ("" if exact else "≤ ") + phrases.milliseconds(latency_ms)
    return DrawnPath(
        name=name,
        others=tuple(dict.fromkeys(e.key for e in known.events if e.key not in (None, name))),
        circuits=tuple(known.circuits),
        latency_ms=latency_ms,
        latency=text,
        wrong=tuple(known.wrong),
        events=len(known.events),
        steps=tuple(_steps(known, faults, routes)),
    )


def _steps(known: _Gathered, faults: Mapping[int, str], routes: EventSources) -> Iterable[Step]:
    events = known.events
    skipped = max(0, len(events) - MOST_STEPS)
    half = MOST_STEPS // 2
    kept = [*events[:half], *events[len(events) - half :]] if skipped else events
    origins = routes.sources([_passed(event) for event in kept])
    first = kept[0] if kept else None
    last_ms = (kept[-1].t_ns - kept[0].t_ns) / 1e6 if kept else 0.0
    numbers = {}
    previous: Event | None = None
    for index, event in enumerate(kept):
        numbers[event.id] = index
        comparable = first is not None and event.domain == first.domain
        gap = ""
        if previous is not None and previous.domain == event.domain:
            gap = f"+{phrases.milliseconds((event.t_ns - previous.t_ns) / 1e6, last_ms)}"
        time = "other clock"
        if comparable and first is not None:
            time = phrases.milliseconds((event.t_ns - first.t_ns) / 1e6, last_ms)
            time = f"≤ {time}" if event.t_low_ns is not None else time
        yield Step(
            unit=event.unit,
            label=cut(event.step, _TEXT_WIDTH),
            time=time,
            source=origins[index],
            gap=gap,
            type=event.type,
            facts=cut(facts(event), _TEXT_WIDTH),
            fault=faults.get(event.id, ""),
            skipped=skipped if skipped and index == half else 0,
        )
        previous = event
    for lack in known.lacks:
        unit, step = split_place(lack.hop)
        yield Step(
            unit, cut(step, _TEXT_WIDTH), "never", numbers.get(lack.reached or -1), absent=True
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


def _folded(ways: Iterable[_Gathered], routes: EventSources) -> tuple[Step, ...]:
    """All ways as one: each place once, with how often it was passed, in its usual order."""
    places: dict[tuple[str, str], _FoldedPlace] = {}
    lost: Counter[str] = Counter()
    reached: dict[str, Counter[tuple[str, str]]] = {}
    for way in ways:
        by_id = {event.id: (event.unit, event.step) for event in way.events}
        origins = routes.sources([_passed(event) for event in way.events])
        for index, (event, origin) in enumerate(zip(way.events, origins, strict=True)):
            place = places.setdefault((event.unit, event.step), _FoldedPlace())
            place.count += 1
            place.positions += index
            if event.domain == way.events[0].domain:
                place.offsets_ms.append((event.t_ns - way.events[0].t_ns) / 1e6)
            if origin is not None:
                before = way.events[origin]
                place.before[before.unit, before.step] += 1
        for lack in way.lacks:
            lost[lack.hop] += 1
            if lack.reached in by_id:
                reached.setdefault(lack.hop, Counter())[by_id[lack.reached]] += 1
    order = sorted(places, key=lambda name: places[name].position)
    numbers = {name: number for number, name in enumerate(order)}
    steps = [_folded_step(name, places[name], numbers) for name in order]
    for hop, count in lost.items():
        unit, step = split_place(hop)
        from_where = reached.get(hop, Counter()).most_common(1)
        source = numbers[from_where[0][0]] if from_where else None
        steps.append(Step(unit, f"{step} ×{count}", "never", source, absent=True))  # noqa: RUF001
    return tuple(steps)


def _folded_step(
    name: tuple[str, str], place: _FoldedPlace, numbers: Mapping[tuple[str, str], int]
) -> Step:
    usual = next(
        (before for before, _ in place.before.most_common() if numbers[before] < numbers[name]),
        None,
    )
    return Step(
        unit=name[0],
        label=f"{name[1]} ×{place.count}",  # noqa: RUF001 - the sign of "so many times"
        time=phrases.milliseconds(median(place.offsets_ms)) if place.offsets_ms else "other clock",
        source=None if usual is None else numbers[usual],
    )


_CHAR = 8  # at most, of the 12.5 px monospace face

_LEFT = 100  # room for the times

_LANE = 190

_HEAD = 44

_ROW = 36

_LABEL_CELLS = (_LANE - 24) // _CHAR

#: For the script: what is drawn in the browser looks as what is drawn here.
LAYOUT = {
    "left": _LEFT,
    "lane": _LANE,
    "head": _HEAD,
    "row": _ROW,
    "cells": _LABEL_CELLS,
    "char": _CHAR,
}

#: The lane of what any of several units should have done.
ANY_UNIT = "any of"


class Lane(NamedTuple):
    """The lifeline of a unit."""

    name: str
    x: int


class Dot(NamedTuple):
    """An event on its unit's lifeline; one that is `absent` should have happened there."""

    x: int
    y: int
    label: str
    time: str
    absent: bool
    fault: str


class Arrow(NamedTuple):
    """The way from one event to the next; `absent` where it broke off.

    It is straight to the lane beside, and bends around dots that are between; one to the left
    comes in below the label of its end (a quadratic curve with its control point at `xc`, `yc`).
    """

    x1: int
    y1: int
    xc: int
    yc: int
    x2: int
    y2: int
    absent: bool


class SequenceDiagram(NamedTuple):
    """Units from left to right, time downwards (in order, not to scale)."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    dots: tuple[Dot, ...]
    arrows: tuple[Arrow, ...]


def sequence_diagram(steps: Sequence[Step]) -> SequenceDiagram | None:
    """The drawing of a story; None where there is none."""
    if not steps:
        return None
    lanes: dict[str, Lane] = {}
    for step in steps:
        x = _LEFT + _LANE // 4 + len(lanes) * _LANE
        lanes.setdefault(step.unit, Lane(cut(step.unit or ANY_UNIT, _LABEL_CELLS), x))
    dots = [
        Dot(
            x=lanes[step.unit].x,
            y=_HEAD + _ROW // 2 + row * _ROW,
            label=cut(step.label, _LABEL_CELLS),
            time=step.time,
            absent=step.absent,
            fault=step.fault,
        )
        for row, step in enumerate(steps)
    ]
    arrows = []
    for step, end in zip(steps, dots, strict=True):
        if step.source is not None:
            arrows.append(_arrow(dots[step.source], end))
    return SequenceDiagram(
        width=max(_LEFT + _LANE * len(lanes), *map(_right_end, dots)),
        height=_HEAD + _ROW * len(steps) + 8,
        lanes=tuple(lanes.values()),
        dots=tuple(dots),
        arrows=tuple(arrows),
    )


def _right_end(dot: Dot) -> int:
    """Where the text at a dot ends."""
    fault = f" ⚡ {dot.fault}" if dot.fault else ""
    return dot.x + 14 + _CHAR * cells(dot.label + fault)


def _arrow(start: Dot, end: Dot) -> Arrow:
    if end.x < start.x:
        return Arrow(start.x, start.y, start.x, end.y, end.x, end.y, end.absent)
    yc = start.y if abs(end.x - start.x) > _LANE else (start.y + end.y) // 2
    return Arrow(start.x, start.y, (start.x + end.x) // 2, yc, end.x, end.y, end.absent)


def steps_of(finding: FindingView, circuits: Sequence[Circuit] = ()) -> tuple[Step, ...]:
    """The events of a finding's witness as the steps of a drawing; its circuit says their order."""
    routes = EventSources([circuit for circuit in circuits if circuit.name == finding.circuit])
    origins = routes.sources(
        [PassedEvent(event.unit, event.step, event.type, event.absent) for event in finding.events]
    )
    return tuple(
        Step(
            unit=event.unit,
            label=event.step,
            time=_time(event, finding.latest_ms),
            source=source,
            absent=event.absent,
        )
        for event, source in zip(finding.events, origins, strict=True)
    )


def _time(event: EventView, latest_ms: float) -> str:
    if event.absent:
        return "never"
    if event.t_ms is None:
        return "other clock"
    return f"{'≤ ' if event.bound else ''}{phrases.milliseconds(event.t_ms, latest_ms)}"
