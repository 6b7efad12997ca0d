"""How runs and results went over time: the series of the history, and the charts of their figures.

A chart is data: the page draws it in the width that it has (`templates/report/chart.js`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from testrium import phrases
from testrium.phrases import figure
from testrium.results import Measure
from testrium.statistics import median
from testrium.words import BAD_VERDICTS, EMPTY, Verdict

#: How many results of a series are looked at.
MOST_RESULTS = 200

#: How many results are in the small drawing of a series.
MOST_MARKS = 30

#: Figures in the order in which they are read: how long it took, the circuits, their hops, what
#: was reported; what units used comes last.
_SOURCES = ("group", "circuit", "hop", "reported", "unit")

_OWNER = ("owner:", "owner=", "owner-")


class PastRun(NamedTuple):
    """A run of the history. `counts` are its results by verdict; `kept`: it has a folder.

    `finding` is the first one of the run, in the group `failed`; both "" where there is none.
    """

    run: str
    started: float
    verdict: Verdict
    duration_s: float
    counts: str
    revision: str
    kept: bool
    command_line: str = ""
    finding: str = ""
    failed: str = ""

    @property
    def when(self) -> str:
        return moment(self.started)


class PastResult(NamedTuple):
    """A result of the history. `figures` are what was measured of it, by name."""

    series: str
    run: str
    started: float
    verdict: Verdict
    duration_s: float
    root: str = ""
    kept: bool = False
    figures: Mapping[str, Measure] = EMPTY
    tags: tuple[str, ...] = ()
    tries: int = 1

    @property
    def when(self) -> str:
        return moment(self.started)


class Series(NamedTuple):
    """The results of one group in one mode over time; the latest is the last one."""

    name: str
    results: tuple[PastResult, ...]

    @property
    def last(self) -> PastResult:
        return self.results[-1]

    @property
    def not_passed(self) -> tuple[PastResult, ...]:
        return tuple(one for one in self.results if one.verdict in BAD_VERDICTS)

    @property
    def latest(self) -> tuple[PastResult, ...]:
        """Those of the small drawing."""
        return self.results[-MOST_MARKS:]

    @property
    def owner(self) -> str:
        """Who looks after the group: what follows `owner:` in one of its tags; "" without one."""
        return owner_of(self.last.tags)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, but for the owner's."""
        return other_tags(self.last.tags)

    def pass_before(self, result: PastResult) -> PastResult | None:
        """The last result before this one that passed."""
        earlier = self.results[: self.results.index(result)]
        return next((one for one in reversed(earlier) if one.verdict is Verdict.PASS), None)


class Chart(NamedTuple):
    """A figure over time. `data` is what the page draws; the texts are for those who read.

    `last` is the last value there is; `measured` says whether the last result has it.
    """

    name: str
    last: str
    usual: str
    least: str
    most: str
    data: Mapping[str, Any]
    measured: bool = True


class Difference(NamedTuple):
    """A line of the comparison: `about` explains `name`, `noise` is how far the figure varies."""

    name: str
    before: str
    now: str
    change: str = ""
    noise: str = ""
    about: str = ""


class NewLines(NamedTuple):
    """Lines that one unit wrote, and had not written in the run that passed."""

    unit: str
    lines: tuple[str, ...]
    left_out: int = 0


class LastPass(NamedTuple):
    """What is different from the last result of the group that passed."""

    run: str
    when: str
    differences: tuple[Difference, ...]
    new_lines: tuple[NewLines, ...] = ()
    config: tuple[str, ...] = ()  # lines of a difference
    remarks: tuple[str, ...] = ()


class Past(NamedTuple):
    """What was before a result."""

    charts: tuple[Chart, ...] = ()
    last_pass: LastPass | None = None


def series_name(group: str, mode: str) -> str:
    """What results of one group in one mode are called, side by side over time."""
    return group if mode == "DEBUG" else f"{group} @{mode}"


def owner_of(tags: Iterable[str]) -> str:
    """Who looks after a group, by its tags: `owner:payments`."""
    return next((tag[len(_OWNER[0]) :] for tag in tags if tag.startswith(_OWNER)), "")


def other_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags other than those of a group's owner."""
    return tuple(tag for tag in tags if not tag.startswith(_OWNER))


def run_chart(runs: Sequence[PastRun]) -> Chart | None:
    """How long the runs took, the oldest first; None without any."""
    points = [
        (
            run.started,
            run.duration_s,
            run.verdict,
            f"{run.when}: {run.verdict}, {phrases.duration(run.duration_s)}"
            + (f", {run.counts}" if run.counts else "")
            + (f", {run.finding} in {run.failed}" if run.finding else ""),
            run.run if run.kept else "",
        )
        for run in runs
    ]
    return _chart("Duration of runs", "s", points) if points else None


def all_series(results: Iterable[PastResult]) -> tuple[Series, ...]:
    """The results by series, the oldest first in each; series by name."""
    by_name: dict[str, list[PastResult]] = {}
    for result in results:
        by_name.setdefault(result.series, []).append(result)
    return tuple(Series(name, tuple(own[-MOST_RESULTS:])) for name, own in sorted(by_name.items()))


def charts(series: Series) -> tuple[Chart, ...]:
    """A chart for each figure of a series that has at least two values."""
    sources = {
        name: value.source for result in series.results for name, value in result.figures.items()
    }
    names = sorted(sources, key=lambda name: (_rank(sources[name]), name))
    drawn = []
    for name in names:
        known = [result for result in series.results if name in result.figures]
        if len(known) > 1:
            unit = known[-1].figures[name].unit
            points = [
                (
                    one.started,
                    one.figures[name].value,
                    one.verdict,
                    f"{one.when}: {figure(one.figures[name].value, unit)}, {one.verdict}"
                    + (f", {one.root}" if one.root else ""),
                    one.run if one.kept else "",
                )
                for one in known
            ]
            measured = known[-1] is series.results[-1]
            drawn.append(_chart(name, unit, points)._replace(measured=measured))
    return tuple(drawn)


def moment(seconds: float) -> str:
    """A time for people: `2026-11-21 03:15 UTC`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _rank(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def _chart(name: str, unit: str, points: Sequence[tuple[float, float, Verdict, str, str]]) -> Chart:
    values = [value for _, value, *_ in points]
    usual = median(values)
    return Chart(
        name=name,
        last=figure(values[-1], unit),
        usual=figure(usual, unit),
        least=figure(min(values), unit),
        most=figure(max(values), unit),
        data={
            "name": name,
            "unit": unit,
            "usual": usual,
            "points": [
                [round(started, 3), value, str(verdict), text, run]
                for started, value, verdict, text, run in points
            ],
        },
    )
