"""How runs and results went over time: strips and curves of the history.

Lengths are pixels of the drawings; the oldest stands on the left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from testrium import phrases
from testrium.phrases import figure
from testrium.statistics import median
from testrium.words import BAD_VERDICTS, EMPTY, GOOD_VERDICTS, Verdict

_WIDTH = 800

_SLIMMEST = 3

_STRIP = 60

_SMALL_WIDTH = 240

_SMALL_STRIP = 22

_CHART = 110

_LEFT = 4

#: So many results of a series are looked at.
MOST_RESULTS = 200


class PastRun(NamedTuple):
    """A run of the history. `counts` are its results by verdict; `kept`: it has a folder."""

    run: str
    started: float
    verdict: Verdict
    duration_s: float
    counts: str
    revision: str
    kept: bool

    @property
    def when(self) -> str:
        return moment(self.started)


class PastValue(NamedTuple):
    """A value, and what it is measured in: "s", "ms", "B", or what a process has reported."""

    value: float
    unit: str


class PastResult(NamedTuple):
    """A result of the history. `figures` are what was measured of it, by name."""

    series: str
    run: str
    started: float
    verdict: Verdict
    duration_s: float
    root: str = ""
    kept: bool = False
    figures: Mapping[str, PastValue] = EMPTY

    @property
    def when(self) -> str:
        return moment(self.started)


class Bar(NamedTuple):
    """A run: the longer it took, the higher; what did not pass is marked below."""

    x: float
    y: float
    width: float
    height: float
    verdict: Verdict
    title: str
    run: str  # "" where there is no page of it


class Strip(NamedTuple):
    """Bars side by side."""

    width: int
    height: int
    base: int
    bars: tuple[Bar, ...]


class Series(NamedTuple):
    """What one group, in one mode, came to over time; the latest result is the last one."""

    name: str
    results: tuple[PastResult, ...]
    strip: Strip

    @property
    def last(self) -> PastResult:
        return self.results[-1]

    @property
    def not_passed(self) -> tuple[PastResult, ...]:
        return tuple(one for one in self.results if one.verdict in BAD_VERDICTS)


class TrendPoint(NamedTuple):
    """A value of a curve; `good`: its result passed."""

    x: float
    y: float
    good: bool
    title: str


class TrendCurve(NamedTuple):
    """One figure of a series over time."""

    name: str
    width: int
    height: int
    points: tuple[TrendPoint, ...]
    line: str
    usual_y: float
    usual: str
    least: str
    most: str
    last: str


def run_strip(runs: Sequence[PastRun]) -> Strip:
    """The strip of runs, the oldest first."""
    bars = [
        (
            run.duration_s,
            run.verdict,
            f"{run.when}: {run.verdict}, {phrases.duration(run.duration_s)} ({run.run})",
            run.run if run.kept else "",
        )
        for run in runs
    ]
    return _strip(bars, _WIDTH, _STRIP)


def all_series(results: Iterable[PastResult]) -> tuple[Series, ...]:
    """The results by series, the oldest first in each; series by name."""
    by_name: dict[str, list[PastResult]] = {}
    for result in results:
        by_name.setdefault(result.series, []).append(result)
    return tuple(_series(name, own[-MOST_RESULTS:]) for name, own in sorted(by_name.items()))


def curves(series: Series) -> tuple[TrendCurve, ...]:
    """A curve for each figure of a series that has at least two values."""
    names = dict.fromkeys(name for result in series.results for name in result.figures)
    drawn = []
    for name in names:
        known = [result for result in series.results if name in result.figures]
        if len(known) > 1:
            drawn.append(_curve(name, known))
    return tuple(drawn)


def moment(seconds: float) -> str:
    """A time for people: `2026-11-21 03:15 UTC`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _series(name: str, results: Sequence[PastResult]) -> Series:
    bars = [
        (one.duration_s, one.verdict, f"{one.when}: {one.verdict} {one.root}".rstrip(), "")
        for one in results
    ]
    slim = bars[-(_SMALL_WIDTH // (_SLIMMEST + 1)) :]
    return Series(name, tuple(results), _strip(slim, _SMALL_WIDTH, _SMALL_STRIP))


def _strip(bars: Sequence[tuple[float, Verdict, str, str]], width: int, height: int) -> Strip:
    base = height - 10
    if not bars:
        return Strip(width, height, base, ())
    each = min(12.0, max(_SLIMMEST + 1, width / len(bars)))
    most = max(duration for duration, *_ in bars) or 1.0
    drawn = []
    for number, (duration, verdict, title, run) in enumerate(bars):
        tall = round(max(2.0, (base - 2) * duration / most), 1)
        x = round(_LEFT + number * each, 1)
        drawn.append(Bar(x, round(base - tall, 1), round(each - 1, 1), tall, verdict, title, run))
    return Strip(round(_LEFT + len(bars) * each) + 8, height, base, tuple(drawn))


def _curve(name: str, results: Sequence[PastResult]) -> TrendCurve:
    values = [result.figures[name].value for result in results]
    unit = results[-1].figures[name].unit
    most = max(values) or 1.0
    each = _WIDTH / max(1, len(values) - 1)

    def height(value: float) -> float:
        return round(_CHART - 8 - (_CHART - 20) * value / most, 1)

    def words(value: float) -> str:
        return figure(value, unit)

    points = tuple(
        TrendPoint(
            round(_LEFT + number * each, 1),
            height(value),
            result.verdict in GOOD_VERDICTS,
            f"{result.when}: {words(value)}, {result.verdict} ({result.run})",
        )
        for number, (result, value) in enumerate(zip(results, values, strict=True))
    )
    usual = median(values)
    return TrendCurve(
        name=name,
        width=_WIDTH + 2 * _LEFT,
        height=_CHART,
        points=points,
        line=" ".join(f"{point.x},{point.y}" for point in points),
        usual_y=height(usual),
        usual=words(usual),
        least=words(min(values)),
        most=words(max(values)),
        last=words(values[-1]),
    )
