"""What is measured of a run, and what must hold for it: the table `[metrics]`."""

from typing import Annotated, Literal

from testrium.declared.keys import DECIDED, Key, Written, table
from testrium.declared.quantities import PERCENTAGE, Label

Better = Literal["smaller", "larger"]

#: Whose figure it is. "reported": a process gave it to `testrium.metric`.
Source = Literal["group", "circuit", "hop", "unit", "reported"]

#: How a limit is written depends on what it limits, which is known once the circuits are.
_ANY_LIMIT = Written(lambda value: value, {"type": ["number", "string"]})


@table
class Metric:
    """A figure of `[metrics]`, and what must hold for it.

    `owner` is the name of the circuit or unit, "" for the others. `most` and `least` are in `unit`;
    a reported figure without one may come in any. `max_regression` is a fraction: 0.2 is 20 %.
    """

    name: Annotated[str, DECIDED] = ""
    source: Annotated[Source, DECIDED] = "reported"
    owner: Annotated[str, DECIDED] = ""
    most: Annotated[float | None, _ANY_LIMIT, Key("max")] = None
    """a duration (`"80ms"`), a size (`"200MB"`) or a number, depending on the figure; a number
    for what is reported
    """
    least: Annotated[float | None, _ANY_LIMIT, Key("min")] = None
    """a duration (`"80ms"`), a size (`"200MB"`) or a number, depending on the figure; a number
    for what is reported
    """
    unit: Label = ""
    """only for what is reported: the unit in which it must be reported"""
    max_regression: Annotated[float | None, PERCENTAGE, Key("max-regression")] = None
    """a percentage: [how much worse](#regressions) than in earlier runs it may be"""


#: Figures that `--max-regression` compares, of circuits by measure. Others have to be named in
#: `[metrics]`: the longest of all latencies, memory and CPU time say little about a change.
COMPARED = ("p50", "p95")
