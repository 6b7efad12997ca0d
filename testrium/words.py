"""The fixed words of the domain: verdicts, kinds of probe, codes of findings, places."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from testrium.tuples import NamedTuple


def read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """A view of `mapping` that cannot be changed."""
    return MappingProxyType(mapping)


# A scenario is handed to the process that judges a large run; the standard library leaves this out.
copyreg.pickle(MappingProxyType, lambda proxy: (read_only, (dict(proxy),)))

EMPTY: Mapping[Any, Any] = MappingProxyType({})

#: Units that Testrium itself runs in a group; a group cannot declare them.
RESERVED_UNITS = ("setup", "tests", "teardown")

#: Under this name events tell which planned faults have happened; they have no owner.
FAULTS = "faults"


class Verdict(StrEnum):
    """The result of a group, a circuit or a run."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    UNKNOWN = "unknown"
    ERROR = "error"
    SKIP = "skip"
    XFAIL = "xfail"


#: What went as it should; a skipped group did not go at all, so it is in neither of these two.
GOOD_VERDICTS = (Verdict.PASS, Verdict.XFAIL)

#: With one of these in it a run has not passed, and somebody has to look; the worst first.
BAD_VERDICTS = (Verdict.ERROR, Verdict.FAIL, Verdict.UNKNOWN)


class EventType(StrEnum):
    """The kinds of probe."""

    DEFAULT = "Default"
    EXCEPTION = "Exception"
    SEND = "Send"
    RECEIVE = "Receive"


class Code(StrEnum):
    """What can be wrong, in the order in which findings rank as root causes."""

    INFRA = "infra"
    CRASH = "crash"
    EXCEPTION = "exception"
    UNREADY = "unready"
    HANG = "hang"
    NOTRUN = "notrun"
    SILENT = "silent"
    VACUOUS = "vacuous"
    UNKEYED = "unkeyed"
    STALE = "stale"
    CAUSALITY = "causality"
    MISROUTED = "misrouted"
    PHANTOM = "phantom"
    COLLISION = "collision"
    DUPLICATE = "duplicate"
    LOST = "lost"
    MISSING = "missing"
    MISMATCH = "mismatch"
    ORDER = "order"
    REORDER = "reorder"
    FORBIDDEN = "forbidden"
    INCONSISTENT = "inconsistent"
    LATE = "late"
    BUDGET = "budget"
    UNSTOPPED = "unstopped"
    LEAK = "leak"
    LIMIT = "limit"
    CHECK = "check"
    TEST = "test"
    METRIC = "metric"
    UNEXPECTED_PASS = "unexpected-pass"  # noqa: S105
    INSPECT = "inspect"
    FLAKY = "flaky"
    GAP = "gap"
    CLOCK = "clock"
    SAMPLES = "samples"
    UNDECIDED = "undecided"


#: Findings that mean "the evidence cannot decide".
UNKNOWN_CODES = frozenset({Code.GAP, Code.CLOCK, Code.SAMPLES, Code.UNDECIDED})


#: In the place of a unit or a step: whichever.
ANY = "*"


class Place(NamedTuple):
    """A unit and a step; `*` means any."""

    unit: str
    step: str

    def __str__(self) -> str:
        return f"{self.unit}:{self.step}"

    def matches(self, unit: str, step: str) -> bool:
        """Whether it speaks of this unit and step."""
        return self.unit in (ANY, unit) and self.step in (ANY, step)


#: In the place of the pid of events whose lines say nothing about their order: spans.
WITHOUT_ORDER = -3

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

    Every percentile counts, which makes `command.p90` a mistake that can be reported.
    """
    rest, _, measure = name.rpartition(".")
    if not rest:
        return name == DURATION
    percentile = measure[:1] == "p" and measure[1:].isdecimal()
    return percentile or measure in OF_CIRCUIT or measure in OF_UNIT


def hop_measure(circuit: str, hop: str, measure: str) -> str:
    """The name of a hop's latency: `command.host:received.p50`."""
    return f"{circuit}.{hop}.{measure}"
