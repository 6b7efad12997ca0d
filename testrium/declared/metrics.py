"""What is measured of a run, and what must hold for it: the table `[metrics]`."""

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
