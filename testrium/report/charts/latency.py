"""How the latencies of a circuit are distributed, against its budgets: a histogram to be drawn.

Lengths are pixels of the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log10
from typing import NamedTuple

from testrium import phrases
from testrium.report.charts.units import NAMES, WIDTH, AxisLabel
from testrium.results import CircuitPaths, CircuitResult

_BINS = 64

_PLOT = 110

_LINE = 18

_AXIS = 22

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
        height=base + _AXIS,
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
