"""When each unit ran, what it used, and how long keys took: what the page's script draws.

Times are seconds from the start of the group. Texts are what a reader sees at a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, inf, log10
from typing import Any, NamedTuple

from testrium import phrases
from testrium.evidence import Event, OpenWait, Sample, StateChange
from testrium.report.escape import cut, visible
from testrium.report.view import FaultView, UnitView
from testrium.results import CircuitPaths, CircuitResult
from testrium.words import EventType

#: Columns of a sentence at most.
_TITLE = 400

_NAME = 120

_MOST_NAMED = 3

#: Of a group's time, the parts in which the probes of a unit are counted together.
_MOMENTS = 3000

#: Points of a curve at most.
_MOST_POINTS = 1500

#: States at whose beginning a unit's process has ended.
_OVER = frozenset({"finished", "failed", "stopped"})


class Period(NamedTuple):
    """The time that a unit was in one `state`."""

    from_s: float
    to_s: float
    state: str
    title: str


class StateSign(NamedTuple):
    """A moment of a unit's life: it became ready, was started again, or ended."""

    at_s: float
    kind: str  # ready, again, or its last state
    title: str


class Tick(NamedTuple):
    """Probes of a unit at about one moment; an exception among them makes it `bad`."""

    at_s: float
    number: int
    bad: bool
    title: str


class UnitLine(NamedTuple):
    """A unit's line."""

    name: str
    periods: tuple[Period, ...]
    signs: tuple[StateSign, ...]
    ticks: tuple[Tick, ...]
    faults: tuple[Period, ...] = ()


class UsageCurve(NamedTuple):
    """What one unit used over time: moments with values and their words, and the most of it."""

    unit: str
    points: tuple[tuple[float, float, str], ...]
    most: float
    words: str


class UsageChart(NamedTuple):
    """One figure of all units, to one scale."""

    title: str
    curves: tuple[UsageCurve, ...]


class GroupTimeline(NamedTuple):
    """All that happened over the time of a group."""

    end_s: float
    units: tuple[UnitLine, ...]
    waits: tuple[Period, ...] = ()
    charts: tuple[UsageChart, ...] = ()

    @property
    def unmeasured(self) -> bool:
        """Whether no unit lived long enough for a curve of what it used."""
        return not self.charts

    def data(self) -> dict[str, Any]:
        """For the page's script (timeline.js)."""
        return {
            "end": self.end_s,
            "units": [unit._asdict() for unit in self.units],
            "waits": self.waits,
            "charts": [
                {"title": chart.title, "curves": [curve._asdict() for curve in chart.curves]}
                for chart in self.charts
            ],
        }


def timeline(
    units: Sequence[UnitView],
    duration_s: float,
    started_ns: int | None,
    *,
    states: Sequence[StateChange] = (),
    events: Iterable[Event] = (),
    faults: Sequence[FaultView] = (),
    waits: Sequence[OpenWait] = (),
    samples: Sequence[Sample] = (),
) -> GroupTimeline | None:
    """The time of a group; None where no unit was started.

    Args:
        units: those without a start are left out.
        started_ns: when the group began, on the clock of all that follows.
        states: how units changed; without them only start, readiness and end are drawn.
        events: those of another clock than the first one of their unit are left out.
        faults: the planned faults that have happened, drawn at the unit that they were done to.
        waits: for what was expected.
        samples: what units used.
    """
    shown = [unit for unit in units if unit.started_s is not None]
    if not shown:
        return None
    end_s = max([duration_s, *(unit.ended_s or 0.0 for unit in shown)])
    if end_s <= 0:  # all of it was over before the group began
        end_s = 1.0
    probes: dict[str, list[Event]] = {}
    for event in events:
        probes.setdefault(event.owner, []).append(event)
    lines = []
    for unit in shown:
        own = [change for change in states if change.unit == unit.name]
        periods, signs = _unit_line(unit, end_s, own, started_ns)
        ticks: tuple[Tick, ...] = ()
        if started_ns is not None:
            ticks = tuple(_ticks(probes.get(unit.name, ()), end_s, started_ns))
        name = cut(unit.name, _NAME)
        lines.append(UnitLine(name, tuple(periods), signs, ticks, _faults(unit.name, faults)))
    drawn = () if started_ns is None else tuple(_wait(wait, started_ns) for wait in waits)
    return GroupTimeline(end_s, tuple(lines), drawn, usage(samples, started_ns))


def usage(samples: Sequence[Sample], started_ns: int | None) -> tuple[UsageChart, ...]:
    """CPU and memory over time; without the charts that would have no curve."""
    if started_ns is None:
        return ()
    by_unit: dict[str, list[tuple[float, Sample]]] = {}
    for sample in samples:
        moment_s = round((sample.t_ns - started_ns) / 1e9, 4)
        by_unit.setdefault(sample.unit, []).append((moment_s, sample))
    charts = (
        UsageChart(title, tuple(_curves(by_unit, figure, words)))
        for title, figure, words in (
            (
                "CPU, percent of one core",
                lambda sample: sample.cpu_percent,
                lambda value: f"{value:.0f} %",
            ),
            ("Memory", lambda sample: sample.rss, lambda value: phrases.megabytes(round(value))),
        )
    )
    return tuple(chart for chart in charts if chart.curves)


def _curves(
    by_unit: dict[str, list[tuple[float, Sample]]],
    figure: Callable[[Sample], float | None],
    words: Callable[[float], str],
) -> Iterator[UsageCurve]:
    for unit, own in by_unit.items():
        known = [(at_s, value) for at_s, sample in own if (value := figure(sample)) is not None]
        if not known:
            continue
        every = ceil(len(known) / _MOST_POINTS)
        points = tuple((at_s, value, words(value)) for at_s, value in known[::every])
        most = max(value for _, value in known)
        yield UsageCurve(cut(unit, _NAME), points, most, f"max {words(most)}")


def _unit_line(
    unit: UnitView, end_s: float, changes: Sequence[StateChange], started_ns: int | None
) -> tuple[list[Period], tuple[StateSign, ...]]:
    until = end_s if unit.ended_s is None else unit.ended_s
    if started_ns is not None and changes:
        since = [((change.t_ns - started_ns) / 1e9, change.state) for change in changes]
    else:
        since = [(unit.started_s or 0.0, "starting")]
        if unit.ready_s is not None:
            since.append((unit.ready_s, "ready"))
    since = [
        entry for before, entry in pairwise([(0.0, "created"), *since]) if before[1] != entry[1]
    ]
    # A short life can be over before it is seen to be ready.
    since = [(min(moment, until), state) for moment, state in since if state != "created"]
    periods, signs = [], []
    starts = 0
    for (begin_s, state), (to_s, _) in pairwise([*since, (until, "")]):
        if state in _OVER:
            continue
        begin = as_shown(begin_s)
        if state == "starting":
            starts += 1
            if starts > 1:
                signs.append(StateSign(begin, "again", f"start {starts}"))
        else:
            signs.append(StateSign(begin, "ready", f"{state} at {begin_s:.3f} s"))
        end = as_shown(max(begin_s, min(to_s, until)))
        text = f"{visible(unit.name)}: {state}, {begin_s:.3f} to {end:.3f} s"
        periods.append(Period(begin, end, state, text))
    signs.append(StateSign(as_shown(until), unit.state, visible(f"{unit.name} {unit.ended}")))
    return periods, tuple(signs)


def as_shown(seconds: float) -> float:
    """As precise as a drawing needs it, and a kept report has it; never before the start."""
    return max(0.0, round(seconds, 6))


def _wait(wait: OpenWait, started_ns: int) -> Period:
    """A wait: from the moment when only this was missing until it came or was given up."""
    begin_s, end_s = ((t_ns - started_ns) / 1e9 for t_ns in (wait.started_ns, wait.ended_ns))
    what = phrases.listed(wait.left or wait.what)
    bounded = "the deadline" if wait.limit == "deadline" else "linger"
    outcome = f"it did not come; bounded by {bounded}" if wait.left else "until it came"
    title = f"waited {phrases.duration(end_s - begin_s)} for {what}, {outcome}"
    return Period(as_shown(begin_s), as_shown(end_s), "waiting", cut(title, _TITLE))


def _faults(unit: str, faults: Sequence[FaultView]) -> tuple[Period, ...]:
    drawn = []
    for fault in faults:
        if fault.unit != unit or fault.at_s is None:
            continue
        lasting = "" if fault.for_s is None else f", for {phrases.duration(fault.for_s)}"
        title = f"{fault.at_s:.3f} s: planned {fault.do} ({fault.name}){lasting}"
        end_s = as_shown(fault.at_s + (fault.for_s or 0.0))
        drawn.append(Period(as_shown(fault.at_s), end_s, fault.do, visible(title)))
    return tuple(drawn)


def _ticks(events: Sequence[Event], end_s: float, started_ns: int) -> Iterable[Tick]:
    """The probes of a unit, those of about one moment together."""
    domain = events[0].domain if events else ""
    moments: dict[int, list[Event]] = {}
    for event in events:
        if event.domain == domain:
            place = round((event.here_ns - started_ns) / 1e9 / end_s * _MOMENTS)
            moments.setdefault(place, []).append(event)
    for _, there in sorted(moments.items()):
        yield Tick(
            at_s=as_shown((there[0].here_ns - started_ns) / 1e9),
            number=len(there),
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
    return f"{(events[0].here_ns - started_ns) / 1e9:.3f} s: {named}{rest}"


#: About how many bins a histogram has.
_BINS = 40

#: From this ratio of the longest to the shortest on, the axis is logarithmic.
_WIDE = 40

#: Bins of each power of ten then.
_PER_POWER = 10


class Bin(NamedTuple):
    """The number of keys in a range of latencies."""

    from_ms: float
    to_ms: float
    number: int
    title: str


class LatencyMark(NamedTuple):
    """A budget, or a percentile as it was measured."""

    at_ms: float
    text: str
    kind: str  # measured, budget, or broken


class Distribution(NamedTuple):
    """The histogram of one circuit. `remarks` are sentences about what it does not draw."""

    name: str
    from_ms: float
    to_ms: float
    wide: bool
    bins: tuple[Bin, ...]
    marks: tuple[LatencyMark, ...]
    ticks: tuple[tuple[float, str], ...]
    remarks: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """For the page's script (latency.js)."""
        return {
            "label": f"Latencies of {visible(self.name)}: how many keys took how long",
            "from": self.from_ms,
            "to": self.to_ms,
            "log": self.wide,
            "bins": self.bins,
            "marks": [
                {"at": mark.at_ms, "text": mark.text, "kind": mark.kind} for mark in self.marks
            ],
            "ticks": self.ticks,
        }


def distribution(paths: CircuitPaths, result: CircuitResult | None) -> Distribution | None:
    """The drawing of a circuit's latencies; None where none is known."""
    circuit = paths.circuit
    known = [path for path in paths.paths if path.high_ns is not None]
    exact = sorted(
        path.high_ns / 1e6
        for path in known
        if path.high_ns is not None and path.high_ns != inf and path.low_ns == path.high_ns
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
    marks = [
        LatencyMark(value, f"{name} {phrases.milliseconds(value)}", "measured")
        for name, value in measured
    ]
    for name, budget in budgets:
        kept = _is_kept(name, budget, measured, [path.high_ns for path in known])
        outcome = "" if kept is None else ": met" if kept else ": exceeded"
        text = f"{name} ≤ {phrases.milliseconds(budget)}{outcome}"
        marks.append(LatencyMark(budget, text, "broken" if kept is False else "budget"))
    unanswered = sum(path.low_ns == inf for path in paths.paths)
    drawn = [exact[0], exact[-1], *(mark.at_ms for mark in marks)]
    least, most = min(drawn), max(drawn)
    wide = least > 0 and most / least > _WIDE
    edges = _power_edges(least, most) if wide else _even_edges(least, most)
    return Distribution(
        name=circuit.name,
        from_ms=edges[0],
        to_ms=edges[-1],
        wide=wide,
        bins=tuple(_bins(exact, edges)),
        marks=tuple(marks),
        ticks=tuple(_latency_ticks(edges[0], edges[-1], wide)),
        remarks=_remarks(len(paths.paths), len(known), len(exact), unanswered, wide),
    )


def nice_step(least: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def _even_edges(least: float, most: float) -> list[float]:
    """From 0, or from the `least` where that is below 0 (seen at the end first), past `most`."""
    begin, end = min(least, 0.0), max(most, 0.0)
    step = nice_step((end - begin or 1.0) / _BINS)
    first = floor(begin / step)
    return [step * number for number in range(first, floor(end / step + 1e-9) + 2)]


def _power_edges(least: float, most: float) -> list[float]:
    """From one tenth of a power of ten to the next."""
    first, last = floor(log10(least) * _PER_POWER), floor(log10(most) * _PER_POWER) + 1
    return [10 ** (number / _PER_POWER) for number in range(first, last + 1)]


def _bins(exact: Sequence[float], edges: Sequence[float]) -> Iterator[Bin]:
    places = iter(pairwise(edges))
    begin, end = next(places)
    count = 0
    for value in [*exact, inf]:
        while value >= end:
            if count:
                keys = phrases.plural(count, "key")
                lengths = f"{phrases.milliseconds(begin, end)} to {phrases.milliseconds(end)}"
                yield Bin(begin, end, count, f"{keys}: {lengths}")
            count = 0
            following = next(places, None)
            if following is None:
                return
            begin, end = following
        count += 1


def _latency_ticks(begin: float, end: float, wide: bool) -> Iterator[tuple[float, str]]:
    if not wide:
        step = nice_step((end - begin) / 8)
        for number in range(ceil(begin / step - 1e-9), floor(end / step + 1e-9) + 1):
            yield number * step, axis_text(number * step, step)
        return
    for power in range(floor(log10(begin)), ceil(log10(end)) + 1):
        for factor in (1, 2, 5):
            at_ms = factor * 10.0**power
            if begin * 0.999 <= at_ms <= end:
                yield at_ms, axis_text(at_ms, at_ms)


def axis_text(ms: float, step: float) -> str:
    """A moment on an axis, as precise as its step: `0`, `200 µs`, `2.5 ms`, `4 s`."""
    if ms == 0:
        return "0"
    size, unit = (1000, "s") if step >= 1000 else (1, "ms") if step >= 0.1 else (0.001, "µs")
    decimals = max(0, ceil(-log10(step / size) - 1e-9))
    return f"{ms / size:.{decimals}f} {unit}"


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
    instances: int, measured: int, exact: int, unanswered: int, wide: bool
) -> tuple[str, ...]:
    remarks = []
    if unanswered:
        remarks.append(f"{unanswered} of {instances} were not answered and are not drawn.")
    if inexact := measured - unanswered - exact:
        remarks.append(f"{inexact} are known only between two bounds and are not drawn.")
    if wide:
        remarks.append("The axis is logarithmic.")
    return tuple(remarks)
