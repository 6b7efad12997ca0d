"""The names of all figures that a run has, measured by Testrium or reported by processes, and how
a figure is written.

    duration                          the group, in seconds
    CIRCUIT.p50  .p95  .p99  .max     latencies of a circuit, in ms
    CIRCUIT.HOP.p10  .p50             from the stage before a hop to the hop, in ms
    UNIT.cpu  .peak-cpu  .rss         CPU time in seconds, percent of one core, bytes of memory

Every other name is one that a process reports with `testrium.metric`. Names of the first kind are
refused there, so that each name means one thing.
"""

from __future__ import annotations

DURATION = "duration"
#: Measure -> its unit.
OF_CIRCUIT = {"p50": "ms", "p95": "ms", "p99": "ms", "max": "ms"}
#: The fastest tenth tells a change of the code where other programs slow the rest down.
OF_HOP = {"p10": "ms", "p50": "ms"}
OF_UNIT = {"cpu": "s", "peak-cpu": "%", "rss": "B"}

#: Which way is worse: "smaller" is better, so larger is worse.
DIRECTIONS = ("smaller", "larger")


def is_measured(name: str) -> bool:
    """Whether Testrium measures this itself, as far as the name tells.

    Every percentile counts, so that `command.p90` is a mistake that can be told.
    """
    rest, _, measure = name.rpartition(".")
    if not rest:
        return name == DURATION
    percentile = measure[:1] == "p" and measure[1:].isdecimal()
    return percentile or measure in OF_CIRCUIT or measure in OF_UNIT


def hop_measure(circuit: str, hop: str, measure: str) -> str:
    """The name of a hop's latency: `command.host:received.p50`."""
    return f"{circuit}.{hop}.{measure}"
