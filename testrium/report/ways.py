"""The ways of keys through a group: each for itself, and all of them folded into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from testrium.model import Event, Finding
from testrium.model.detail import CircuitWays, Lack
from testrium.report import wording
from testrium.report.escape import cut
from testrium.report.keys import joined_keys, way_name
from testrium.report.origins import Passed, Routes
from testrium.report.timeline import facts
from testrium.statistics import median

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


class KeyWay(NamedTuple):
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


class Ways(NamedTuple):
    """The ways that a page holds, what is wrong first, then the slowest; `total` counts all."""

    shown: tuple[KeyWay, ...] = ()
    total: int = 0
    folded: tuple[Step, ...] = ()
    places_left_out: int = 0


class _Known(NamedTuple):
    """What is known of a way before it is drawn."""

    events: list[Event]
    circuits: dict[str, None]
    latencies: list[tuple[float, bool]]
    lacks: list[Lack]
    wrong: dict[str, None]


def ways_of(
    events: Sequence[Event],
    circuits: Sequence[CircuitWays],
    findings: Sequence[Finding],
    faults: Mapping[int, str],
    room: int,
) -> Ways:
    """The ways of a group, of which as many are shown as hold `room` events in all.

    `faults` says which events were the last ones before something was broken on purpose.
    """
    known = _gathered(events, circuits, findings)
    routes = Routes([one.circuit for one in circuits])
    order = sorted(known, key=lambda name: _urgency(known[name], findings))
    shown: list[KeyWay] = []
    for name in order:
        room -= min(len(known[name].events), MOST_STEPS)
        if room < 0 and shown:
            break
        shown.append(_key_way(name, known[name], faults, routes))
    folded = _folded(known.values(), routes)
    return Ways(tuple(shown), len(known), folded[:MOST_PLACES], max(0, len(folded) - MOST_PLACES))


def split_place(text: str) -> tuple[str, str]:
    """The unit and the step of a hop; of alternatives all of it is the step."""
    if "|" in text:
        return "", text
    unit, _, step = text.partition(":")
    return unit, step


def _gathered(
    events: Sequence[Event], circuits: Sequence[CircuitWays], findings: Sequence[Finding]
) -> dict[str, _Known]:
    joined = joined_keys(events)
    known: dict[str, _Known] = {}
    for event in events:
        name = way_name(event, joined)
        if name is not None:
            known.setdefault(name, _Known([], {}, [], [], {})).events.append(event)
    for one in circuits:
        for way in one.ways:
            if one.circuit.per == "run":
                whole = known.setdefault(WHOLE_RUN, _Known([], {}, [], [], {}))
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


def _urgency(known: _Known, findings: Sequence[Finding]) -> tuple[int, float]:
    """What is wrong first, in the order of findings; then what took longest."""
    first = next(iter(known.wrong), None)
    names = [f"{finding.code} at {finding.where}" for finding in findings]
    place = len(names) if first is None else names.index(first)
    return place, -max((latency for latency, _ in known.latencies), default=0.0)


def _key_way(name: str, known: _Known, faults: Mapping[int, str], routes: Routes) -> KeyWay:
    latency, exact = max(known.latencies, default=(None, True))
    latency_ms = None if latency is None else latency / 1e6
    if latency_ms is None:
        text = ""
    elif latency_ms == inf:
        text = "unanswered" if exact else "other clock"
    else:
        text = ("" if exact else "≤ ") + wording.milliseconds(latency_ms)
    return KeyWay(
        name=name,
        others=tuple(dict.fromkeys(e.key for e in known.events if e.key not in (None, name))),
        circuits=tuple(known.circuits),
        latency_ms=latency_ms,
        latency=text,
        wrong=tuple(known.wrong),
        events=len(known.events),
        steps=tuple(_steps(known, faults, routes)),
    )


def _steps(known: _Known, faults: Mapping[int, str], routes: Routes) -> Iterable[Step]:
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
            gap = f"+{wording.milliseconds((event.t_ns - previous.t_ns) / 1e6, last_ms)}"
        time = "other clock"
        if comparable and first is not None:
            time = wording.milliseconds((event.t_ns - first.t_ns) / 1e6, last_ms)
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


class _Place:
    """What all keys together did at one place."""

    def __init__(self) -> None:
        self.count = 0
        self.positions = 0
        self.offsets_ms: list[float] = []
        self.before: Counter[tuple[str, str]] = Counter()

    @property
    def position(self) -> float:
        return self.positions / self.count


def _passed(event: Event) -> Passed:
    return Passed(event.unit, event.step, event.type)


def _folded(ways: Iterable[_Known], routes: Routes) -> tuple[Step, ...]:
    """All ways as one: each place once, with how often it was passed, in its usual order."""
    places: dict[tuple[str, str], _Place] = {}
    lost: Counter[str] = Counter()
    reached: dict[str, Counter[tuple[str, str]]] = {}
    for way in ways:
        by_id = {event.id: (event.unit, event.step) for event in way.events}
        origins = routes.sources([_passed(event) for event in way.events])
        for index, (event, origin) in enumerate(zip(way.events, origins, strict=True)):
            place = places.setdefault((event.unit, event.step), _Place())
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
    name: tuple[str, str], place: _Place, numbers: Mapping[tuple[str, str], int]
) -> Step:
    usual = next(
        (before for before, _ in place.before.most_common() if numbers[before] < numbers[name]),
        None,
    )
    return Step(
        unit=name[0],
        label=f"{name[1]} ×{place.count}",  # noqa: RUF001 - the sign of "so many times"
        time=wording.milliseconds(median(place.offsets_ms)) if place.offsets_ms else "other clock",
        source=None if usual is None else numbers[usual],
    )
