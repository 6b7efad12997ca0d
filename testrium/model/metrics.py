"""Figures of a run: what was declared of them, what processes reported, what came out."""

from typing import Literal, NamedTuple

Better = Literal["smaller", "larger"]
#: Whose figure it is. "reported": a process gave it to `testrium.metric`.
Source = Literal["group", "circuit", "hop", "unit", "reported"]


class Metric(NamedTuple):
    """A figure of `[metrics]`, and what must hold for it.

    `owner` is the name of the circuit or unit, "" for the others. `most` and `least` are in `unit`;
    a reported figure without one may come in any. `max_regression` is a fraction: 0.2 is 20 %.
    """

    name: str
    source: Source
    owner: str = ""
    most: float | None = None
    least: float | None = None
    unit: str = ""
    max_regression: float | None = None


#: Figures that `--max-regression` compares, of circuits by measure. Others have to be named in
#: `[metrics]`: the longest of all latencies, memory and CPU time say little about a change.
COMPARED = ("p50", "p95")


class Reported(NamedTuple):
    """One call of `testrium.metric`; `reporter` is the unit whose process called it."""

    name: str
    value: float
    unit: str
    better: Better
    reporter: str = ""
    attempt: int = 1


class Measure(NamedTuple):
    """A figure of one result.

    `value` is the median of `n` reports for what processes report. `mean` and `deviation` (of a
    sample: None for less than two) are those of the reports.
    """

    name: str
    value: float
    unit: str
    source: Source
    better: Better = "smaller"
    n: int = 1
    mean: float | None = None
    deviation: float | None = None


class MetricResult(NamedTuple):
    """What became of a figure that `[metrics]` names, or that was reported or compared.

    The figure itself is the `Measure` of this name, if there is one. `rule` is what `[metrics]`
    says of it. `held` is None where nothing is asked of it, or nothing was decided. `baseline` is
    the median of the earlier runs that it can be compared with, `lowest` and `highest` are those
    of the reports.
    """

    name: str
    rule: Metric | None = None
    held: bool | None = None
    baseline: float | None = None
    lowest: float | None = None
    highest: float | None = None
