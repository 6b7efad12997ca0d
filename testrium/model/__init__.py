"""The types that travel through the phases: what was declared, what happened, what it means.

Standard library only, and frozen: a phase makes its own types and never changes another's.
Durations carry their unit in the name (`_s`, `_ns`, `_ms`); `_ns` times are CLOCK_MONOTONIC.
`None` means "undefined" or "no limit", never zero.

Annotations are no texts here (no `from __future__ import annotations`): a named tuple compiles each
of its fields that is one, which was 3 ms of every start.
"""

from testrium.model.checked import Check, CheckResult, Normalizer
from testrium.model.declared import (
    FIXTURE_PREFIX,
    Circuit,
    Combination,
    Group,
    Hop,
    LogProbe,
    ManualStep,
    Monitored,
    Readiness,
    Rules,
    Scenario,
    Unit,
    is_python,
)
from testrium.model.faults import (
    CLOCK_ACTS,
    FAILPOINT_ACTS,
    LINK_ACTS,
    OUTSIDE_ACTS,
    Chaos,
    Fault,
)
from testrium.model.finding import Finding
from testrium.model.happened import (
    Damage,
    End,
    EndCause,
    Event,
    Evidence,
    Leak,
    Sample,
    TestResult,
    UnitState,
    Use,
)
from testrium.model.judged import (
    CircuitResult,
    Correlations,
    GroupResult,
    Judgement,
    Observer,
    RunResult,
)
from testrium.model.metrics import COMPARED, Better, Measure, Metric, MetricResult, Reported, Source
from testrium.model.places import Place
from testrium.model.words import (
    BAD_VERDICTS,
    EMPTY,
    FAULTS,
    GOOD_VERDICTS,
    RESERVED_UNITS,
    UNKNOWN_CODES,
    Code,
    EventType,
    Verdict,
)

__all__ = [
    "BAD_VERDICTS",
    "CLOCK_ACTS",
    "COMPARED",
    "EMPTY",
    "FAILPOINT_ACTS",
    "FAULTS",
    "FIXTURE_PREFIX",
    "GOOD_VERDICTS",
    "LINK_ACTS",
    "OUTSIDE_ACTS",
    "RESERVED_UNITS",
    "UNKNOWN_CODES",
    "Better",
    "Chaos",
    "Check",
    "CheckResult",
    "Circuit",
    "CircuitResult",
    "Code",
    "Combination",
    "Correlations",
    "Damage",
    "End",
    "EndCause",
    "Event",
    "EventType",
    "Evidence",
    "Fault",
    "Finding",
    "Group",
    "GroupResult",
    "Hop",
    "Judgement",
    "Leak",
    "LogProbe",
    "ManualStep",
    "Measure",
    "Metric",
    "MetricResult",
    "Monitored",
    "Normalizer",
    "Observer",
    "Place",
    "Readiness",
    "Reported",
    "Rules",
    "RunResult",
    "Sample",
    "Scenario",
    "Source",
    "TestResult",
    "Unit",
    "UnitState",
    "Use",
    "Verdict",
    "is_python",
]
