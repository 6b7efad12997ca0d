"""When each unit ran, on one axis of time: its states, its probes, and what it used.

The template only draws it. Lengths are pixels of the drawing; texts are already cut to the room
that they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf, log10
from typing import NamedTuple

from testrium import phrases
from testrium.evidence import Event, OpenWait, Sample, StateChange
from testrium.report.escape import cut
from testrium.report.view import FaultView, UnitView
from testrium.results import CircuitPaths, CircuitResult
from testrium.words import EventType

#: Columns of a sentence at most.
_TITLE = 400
_CHAR = 7  # of the 12 px monospace face

NAMES = 150

WIDTH = 640

_ROW = 38

_AXIS = 24

_BAR = 14

_MOST_NAMED = 3

_USE_ROW = 34

_MOST_DOTS = 30

#: States at whose beginning a unit's process has come to its end.
_OVER = frozenset({"finished", "failed", "stopped"})


class Period(NamedTuple):
    """A unit was in one `state` so long."""

    x: float
    width: float
    state: str
    title: str


class StateSign(NamedTuple):
    """A moment of a unit's life: it became ready, was started again, or ended."""

    x: float
    kind: str  # ready, again, or its last state
    title: str


class Tick(NamedTuple):
    """Probes of a unit that lie on one pixel; an exception among them makes it `bad`."""

    x: float
    height: int
    bad: bool
    title: str


class UnitLine(NamedTuple):
    """A unit's line."""

    name: str
    y: int
    stretches: tuple[Period, ...]
    signs: tuple[StateSign, ...]
    ticks: tuple[Tick, ...]
    faults: tuple[Period, ...] = ()


class AxisLabel(NamedTuple):
    """A moment on the axis."""

    x: float
    label: str


class UnitChart(NamedTuple):
    """When each unit lived, on one axis."""

    width: int
    height: int
    bar: int
    lives: tuple[UnitLine, ...]
    axis: tuple[AxisLabel, ...]
    waits: tuple[Period, ...] = ()
    waits_y: int = 0


class UsageCurve(NamedTuple):
    """What one unit used over time: a polyline, its few points, and the most of it in words."""

    name: str
    y: int
    points: str
    dots: tuple[tuple[float, float], ...]
    area: str
    most: str


class UsageChart(NamedTuple):
    """One figure of all units, each on a line of its own, all to one scale."""

    title: str
    width: int
    height: int
    curves: tuple[UsageCurve, ...]
    axis: tuple[AxisLabel, ...]


class Axis:
    """Places seconds since the group's start on a drawing."""

    def __init__(self, end_s: float) -> None:
        self.end_s = end_s or 1.0

    def place(self, seconds: float) -> float:
        return round(NAMES + WIDTH * min(max(seconds, 0.0), self.end_s) / self.end_s, 1)

    def moments(self) -> tuple[AxisLabel, ...]:
        parts = [self.end_s * part / 4 for part in range(5)]
        return tuple(AxisLabel(self.place(part), phrases.duration(part)) for part in parts)


def axis_of(units: Sequence[UnitView], duration_s: float) -> Axis | None:
    """The time that all drawings of a group show; None where no unit was started."""
    started = [unit for unit in units if unit.started_s is not None]
    if not started:
        return None
    return Axis(max([duration_s, *(unit.ended_s or 0.0 for unit in started)]))


def unit_chart(
    units: Sequence[UnitView],
    axis: Axis,
    *,
    started_ns: int | None = None,
    states: Sequence[StateChange] = (),
    events: Iterable[Event] = (),
    faults: Sequence[FaultView] = (),
    waits: Sequence[OpenWait] = (),
) -> UnitChart:
    """The drawing of the lives of units, with their probes on it.

    Args:
        units: those without a start are left out.
        states: how they changed; without them only start, readiness and end are drawn.
        events: those of another clock than the first unit's are left out.
        faults: the planned faults that have happened, drawn at the unit that they were done to.
        started_ns: when the group began, on the clock of states and events.
        waits: for what was expected, drawn on a line of their own.
    """
    probes: dict[str, list[Event]] = {}
    for event in events:
        probes.setdefault(event.owner, []).append(event)
    shown = [unit for unit in units if unit.started_s is not None]
    lives = []
    for row, unit in enumerate(shown):
        own = [change for change in states if change.unit == unit.name]
        stretches, signs = _unit_line(unit, axis, own, started_ns)
        ticks: tuple[Tick, ...] = ()
        if started_ns is not None:
            ticks = tuple(_ticks(probes.get(unit.name, ()), axis, started_ns))
        lives.append(
            UnitLine(
                cut(unit.name, NAMES // _CHAR - 1),
                row * _ROW,
                tuple(stretches),
                signs,
                ticks,
                _faults(unit.name, faults, axis),
            )
        )
    drawn = () if started_ns is None else tuple(_wait(wait, axis, started_ns) for wait in waits)
    return UnitChart(
        NAMES + WIDTH + 50,
        (len(lives) + bool(drawn)) * _ROW + _AXIS,
        _BAR,
        tuple(lives),
        axis.moments(),
        drawn,
        len(lives) * _ROW,
    )


def usage(samples: Sequence[Sample], axis: Axis, started_ns: int | None) -> tuple[UsageChart, ...]:
    """CPU and memory over time; () where nothing was measured."""
    if started_ns is None or not samples:
        return ()
    by_unit: dict[str, list[tuple[float, Sample]]] = {}
    for sample in samples:
        moment_s = (sample.t_ns - started_ns) / 1e9
        by_unit.setdefault(sample.unit, []).append((moment_s, sample))
    return (
        _usage_chart(
            "CPU, percent of one core", by_unit, axis, _cpu, lambda value: f"{value:.0f} %"
        ),
        _usage_chart(
            "Memory", by_unit, axis, lambda s: s.rss, lambda value: phrases.megabytes(round(value))
        ),
    )


def _unit_line(
    unit: UnitView, axis: Axis, changes: Sequence[StateChange], started_ns: int | None
) -> tuple[list[Period], tuple[StateSign, ...]]:
    end_s = axis.end_s if unit.ended_s is None else unit.ended_s
    if started_ns is not None and changes:
        since = [((change.t_ns - started_ns) / 1e9, change.state) for change in changes]
    else:
        since = [(unit.started_s or 0.0, "starting")]
        if unit.ready_s is not None:
            since.append((unit.ready_s, "ready"))
    since = [
        entry for before, entry in pairwise([(0.0, "created"), *since]) if before[1] != entry[1]
    ]
    since = [(moment, state) for moment, state in since if state != "created"]
    stretches, signs = [], []
    starts = 0
    for (begin_s, state), (until_s, _) in pairwise([*since, (end_s, "")]):
        if state in _OVER:
            continue
        if state == "starting":
            starts += 1
            if starts > 1:
                signs.append(StateSign(axis.place(begin_s), "again", f"start {starts}"))
        else:
            signs.append(StateSign(axis.place(begin_s), "ready", f"{state} at {begin_s:.3f} s"))
        begin, until = axis.place(begin_s), axis.place(min(until_s, end_s))
        text = f"{unit.name}: {state}, {begin_s:.3f} to {min(until_s, end_s):.3f} s"
        stretches.append(Period(begin, max(2.0, round(until - begin, 1)), state, text))
    signs.append(StateSign(axis.place(end_s), unit.state, f"{unit.name} {unit.ended}"))
    return stretches, tuple(signs)


def _wait(wait: OpenWait, axis: Axis, started_ns: int) -> Period:
    """From when nothing else was to be done until all had come, or nobody waited any longer."""
    begin_s, end_s = ((t_ns - started_ns) / 1e9 for t_ns in (wait.started_ns, wait.ended_ns))
    begin = axis.place(begin_s)
    what = phrases.listed(wait.left or wait.what)
    bounded = "the deadline" if wait.limit == "deadline" else "linger"
    outcome = f"in vain, bounded by {bounded}" if wait.left else "until it came"
    title = f"waited {phrases.duration(end_s - begin_s)} for {what}, {outcome}"
    width = max(2.0, round(axis.place(end_s) - begin, 1))
    return Period(begin, width, "waiting", cut(title, _TITLE))


def _faults(unit: str, faults: Sequence[FaultView], axis: Axis) -> tuple[Period, ...]:
    drawn = []
    for fault in faults:
        if fault.unit != unit or fault.at_s is None:
            continue
        begin, until = axis.place(fault.at_s), axis.place(fault.at_s + (fault.for_s or 0.0))
        lasting = "" if fault.for_s is None else f", for {phrases.duration(fault.for_s)}"
        title = f"{fault.at_s:.3f} s: planned {fault.do} ({fault.name}){lasting}"
        drawn.append(Period(begin, round(until - begin, 1), fault.do, title))
    return tuple(drawn)


def _ticks(events: Sequence[Event], axis: Axis, started_ns: int) -> Iterable[Tick]:
    """The probes of a unit, those of one pixel together: the more of them, the higher."""
    domain = events[0].domain if events else ""
    pixels: dict[int, list[Event]] = {}
    for event in events:
        if event.domain == domain:
            x = round(axis.place((event.t_ns - started_ns) / 1e9))
            pixels.setdefault(x, []).append(event)
    for x, there in sorted(pixels.items()):
        yield Tick(
            x=x + 0.5,
            height=min(14, 6 + 2 * (len(there).bit_length() - 1)),
            bad=any(event.type == EventType.EXCEPTION for event in there),
            title=_named(there, started_ns),
        )


def _named(events: Sequence[Event], started_ns: int) -> str:
    steps = Counter(event.step for event in events)
    named = ", ".join(
        cut(step, 60) + (f" ×{count}" if count > 1 else "")  # noqa: RUF001
        for step, count in steps.most_common(_MOST_NAMED)
    )
    more = len(steps) - _MOST_NAMED
    rest = f" and {phrases.plural(more, 'step')} more" if more > 0 else ""
    return f"{(events[0].t_ns - started_ns) / 1e9:.3f} s: {named}{rest}"


def _cpu(sample: Sample) -> float | None:
    return sample.cpu_percent


def _usage_chart(
    title: str,
    by_unit: dict[str, list[tuple[float, Sample]]],
    axis: Axis,
    figure: Callable[[Sample], float | None],
    words: Callable[[float], str],
) -> UsageChart:
    known = {
        unit: [(moment, value) for moment, sample in own if (value := figure(sample)) is not None]
        for unit, own in by_unit.items()
    }
    known = {unit: own for unit, own in known.items() if own}
    top = max((value for own in known.values() for _, value in own), default=0.0) or 1.0
    curves = []
    for row, (unit, own) in enumerate(known.items()):
        base = row * _USE_ROW + _USE_ROW - 4
        places = [
            (axis.place(moment), round(base - value / top * (_USE_ROW - 8), 1))
            for moment, value in own
        ]
        points = [f"{x},{y}" for x, y in places]
        area = [f"{axis.place(own[0][0])},{base}", *points, f"{axis.place(own[-1][0])},{base}"]
        curves.append(
            UsageCurve(
                cut(unit, NAMES // _CHAR - 1),
                base,
                " ".join(points),
                tuple(places) if len(places) <= _MOST_DOTS else (),
                " ".join(area),
                f"max {words(max(value for _, value in own))}",
            )
        )
    return UsageChart(
        title, NAMES + WIDTH + 140, len(curves) * _USE_ROW + _AXIS, tuple(curves), axis.moments()
    )


_BINS = 64

_PLOT = 110

_LINE = 18

_LATENCY_AXIS = 22

#: From this ratio of the longest to the shortest on, the axis is logarithmic.
_WIDE = 40


class Bin(NamedTuple):
    """So many keys took about so long."""

    x: float
    y: float
    width: float
    height: float
    title: str


class BudgetLine(NamedTuple):
    """A budget, or a percentile as it was measured; `kept` is None for the latter."""

    x: float
    y: int
    text: str
    kept: bool | None
    left: bool  # the text stands to the left of the line


class Distribution(NamedTuple):
    """The histogram of one circuit. `remarks` are sentences about what it does not draw."""

    name: str
    width: int
    height: int
    base: int
    bins: tuple[Bin, ...]
    limits: tuple[BudgetLine, ...]
    axis: tuple[AxisLabel, ...]
    remarks: tuple[str, ...]


def distribution(ways: CircuitPaths, result: CircuitResult | None) -> Distribution | None:
    """The drawing of a circuit's latencies; None where none is known."""
    circuit = ways.circuit
    known = [way for way in ways.ways if way.high_ns is not None]
    exact = sorted(
        way.high_ns / 1e6
        for way in known
        if way.high_ns is not None and way.high_ns != inf and way.low_ns == way.high_ns
    )
    if not exact:
        return None
    budgets = [(f"p{name}", budget / 1e6) for name, budget in sorted(circuit.budgets.items())]
    if circuit.within_ns is not None:
        budgets.append(("within", circuit.within_ns / 1e6))
    measured = [
        (name, value)
        for name in ("p50", "p95", "p99")
        if result is not None and (value := getattr(result, f"{name}_ms")) is not None
    ]
    scale = _Scale(exact[0], max([exact[-1], *(budget for _, budget in budgets)]))
    top = (len(budgets) + len(measured)) * _LINE + 4
    base = top + _PLOT
    rows = [(name, value, None) for name, value in measured]
    limits = [
        _limit(scale, row, f"{name} {phrases.milliseconds(value)}", value, kept)
        for row, (name, value, kept) in enumerate(rows)
    ]
    for row, (name, budget) in enumerate(budgets, start=len(rows)):
        kept = _is_kept(name, budget, measured, [way.high_ns for way in known])
        text = f"{name} ≤ {phrases.milliseconds(budget)}"
        if kept is not None:
            text += ": met" if kept else ": exceeded"
        limits.append(_limit(scale, row, text, budget, kept))
    return Distribution(
        name=circuit.name,
        width=NAMES + WIDTH + 50,
        height=base + _LATENCY_AXIS,
        base=base,
        bins=_bins(exact, scale, base),
        limits=tuple(limits),
        axis=scale.moments(),
        remarks=_remarks(len(ways.ways), len(known), len(exact), known_unanswered(ways), scale),
    )


def known_unanswered(ways: CircuitPaths) -> int:
    """How many instances were not answered."""
    return sum(way.low_ns == inf for way in ways.ways)


class _Scale:
    """Places milliseconds on the axis: linear, or logarithmic where they differ much."""

    def __init__(self, least: float, most: float) -> None:
        self.wide = least > 0 and most / least > _WIDE
        self._begin = least * 0.9 if self.wide else 0.0
        self._end = (most * 1.1) or 1.0

    def part(self, ms: float) -> float:
        if self.wide:
            whole = log10(self._end / self._begin)
            return log10(max(ms, self._begin) / self._begin) / whole
        return ms / self._end

    def value(self, part: float) -> float:
        if self.wide:
            return float(self._begin * (self._end / self._begin) ** part)
        return self._end * part

    def x(self, part: float) -> float:
        return round(NAMES + WIDTH * part, 1)

    def moments(self) -> tuple[AxisLabel, ...]:
        return tuple(
            AxisLabel(
                self.x(part / 4),
                phrases.milliseconds(self.value(part / 4), None if self.wide else self._end),
            )
            for part in range(5)
        )


def _bins(exact: Sequence[float], scale: _Scale, base: int) -> tuple[Bin, ...]:
    counts = [0] * _BINS
    for value in exact:
        counts[min(_BINS - 1, int(scale.part(value) * _BINS))] += 1
    most = max(counts)
    drawn = []
    for number, count in enumerate(counts):
        if not count:
            continue
        height = round(max(3.0, (_PLOT - 8) * count / most), 1)
        begin, end = scale.value(number / _BINS), scale.value((number + 1) / _BINS)
        drawn.append(
            Bin(
                x=scale.x(number / _BINS),
                y=round(base - height, 1),
                width=round(WIDTH / _BINS - 1, 1),
                height=height,
                title=f"{phrases.plural(count, 'key')}:"
                f" {phrases.milliseconds(begin)} to {phrases.milliseconds(end)}",
            )
        )
    return tuple(drawn)


def _limit(scale: _Scale, row: int, text: str, value: float, kept: bool | None) -> BudgetLine:
    part = scale.part(value)
    return BudgetLine(scale.x(part), row * _LINE + 14, text, kept, part > 0.6)


def _is_kept(
    name: str,
    budget: float,
    measured: Sequence[tuple[str, float]],
    latencies: Sequence[float | None],
) -> bool | None:
    """Whether a budget was met; None: too few samples, or clocks that do not compare."""
    if name == "within":
        return all(taken is not None and taken / 1e6 <= budget for taken in latencies)
    return next((value <= budget for other, value in measured if other == name), None)


def _remarks(
    instances: int, measured: int, exact: int, unanswered: int, scale: _Scale
) -> tuple[str, ...]:
    remarks = []
    if unanswered:
        remarks.append(f"{unanswered} of {instances} were not answered and are not drawn.")
    if inexact := measured - unanswered - exact:
        remarks.append(f"{inexact} are known only between two bounds and are not drawn.")
    if scale.wide:
        remarks.append("The axis is logarithmic.")
    return tuple(remarks)
