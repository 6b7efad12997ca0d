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

from collections.abc import Sequence

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


def figure(value: float, unit: str) -> str:
    """A figure as people say it: `340 ms`, `1.25 s`, `12.3 MB`, `12 %`, `120 1/s`.

    Times, sizes and percentages have three digits at most, in the unit in which that says most;
    others have six.
    """
    match unit:
        case "ms":
            return time_span(value * 1e6)
        case "s":
            return time_span(value * 1e9)
        case "B":
            return _scaled(value, _SIZES)
        case "%":
            return f"{_three_digits(value)} %"
    digits = f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
    return f"{digits} {unit}".rstrip()


def time_span(span_ns: float) -> str:
    """A time span (ns) with three digits at most: `340 ms`, `1.25 s`, `80 us`."""
    return _scaled(span_ns, _TIMES)


_TIMES = (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0))
#: As in `max_rss`: a MB is 1 000 000 bytes.
_SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    for unit, scale in units:
        if abs(value) >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f} {units[-1][0]}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
