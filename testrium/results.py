"""What it means: verdicts, results, and the paths of keys through their circuits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from testrium.declared.checks import Better, Metric, Source
from testrium.declared.circuits import Circuit
from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, Problem
from testrium.evidence import (
    CheckResult,
    End,
    Event,
    Finding,
    Moments,
    StoredLog,
    TestResult,
    UnitState,
)
from testrium.tuples import NamedTuple
from testrium.words import BAD_VERDICTS, EMPTY, Code, Place, Verdict

#: What a run ends with that came to a verdict.
EXIT_CODES: Mapping[Verdict, ExitCode] = {
    Verdict.ERROR: ExitCode.ERROR,
    Verdict.FAIL: ExitCode.FAILURE,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
    Verdict.PASS: ExitCode.SUCCESS,
}


def run_verdict(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The worst of the groups: error, fail, unknown, pass; skip and xfail count as pass."""
    return next((verdict for verdict in BAD_VERDICTS if verdict in verdicts), Verdict.PASS)


class Measure(NamedTuple):
    """A figure of one result.

    `value` is the median of `n` reports for what processes report. `mean` and `deviation` (of a
    sample: None for less than two) are those of the reports. `details` are what the last report
    that had some told with its value.
    """

    name: str
    value: float
    unit: str
    source: Source
    better: Better = "smaller"
    n: int = 1
    mean: float | None = None
    deviation: float | None = None
    details: Mapping[str, Any] = EMPTY


class MetricResult(NamedTuple):
    """The result of a figure that `[metrics]` names, or that was reported or compared.

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


class CircuitResult(NamedTuple):
    """The result of a circuit; latencies in ms, None where too few samples or infinite."""

    name: str
    instances: int
    verdict: Verdict
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Judgement(NamedTuple):
    """What verification returns. The first finding is the root cause."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    circuits: tuple[CircuitResult, ...] = ()
    completed: tuple[Place, ...] = ()
    missing: tuple[Place, ...] = ()
    measures: tuple[Measure, ...] = ()
    metrics: tuple[MetricResult, ...] = ()

    @property
    def root(self) -> Finding | None:
        """The root cause: its first finding."""
        return next(iter(self.findings), None)

    def first_besides(self, faults: Collection[str]) -> Finding | None:
        """What is wrong first, apart from these planned faults that never happened."""
        return next(
            (
                finding
                for finding in self.findings
                if finding.code is not Code.VACUOUS or finding.where not in faults
            ),
            None,
        )


class FailedTry(NamedTuple):
    """An earlier try of a result, which `--retries` has run again; its root cause is `finding`."""

    verdict: Verdict
    duration_s: float = 0.0
    run_dir: Path | None = None
    finding: Finding | None = None


class GroupResult(NamedTuple):
    """One scenario, run and judged. `witnesses` are the events that its findings refer to."""

    scenario: Scenario
    verdict: Verdict
    duration_s: float = 0.0
    run_dir: Path | None = None
    reason: str = ""
    judgement: Judgement = Judgement(Verdict.PASS)
    ends: tuple[End, ...] = ()
    tests: tuple[TestResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    witnesses: Mapping[int, Event] = EMPTY
    started_ns: int | None = None
    #: Mean time from Send to Receive of one key (the classic view), for the history.
    average_latency_s: float | None = None
    #: The events that tell which planned faults have happened, in the order of storing.
    faults: tuple[Event, ...] = ()
    #: What the command of `[ai]` says about it, unverified; "" where it was not asked.
    answer: str = ""
    #: A copy of `run_dir` for a while, where that is a member of an archive (`a.zip/RUN/GROUP`).
    unpacked: Path | None = None
    #: What came before it, with `--retries`: none of them passed.
    tries: tuple[FailedTry, ...] = ()
    #: The machine of a cluster where it was run, and its class for comparisons; "": this one.
    host: str = ""
    machine: str = ""

    @property
    def files(self) -> Path | None:
        """The folder where the files of its run can be read now; `run_dir` is what to call it."""
        return self.unpacked or self.run_dir


class RunOrigin(NamedTuple):
    """Where a run comes from, in words; "" for what is not known.

    `revision` is the git commit of the project, `dirty` tells whether files differed from it.
    """

    project: str = ""
    revision: str = ""
    dirty: bool = False
    host: str = ""
    python: str = ""
    command: str = ""


class RunResult(NamedTuple):
    """All of one call of `testrium run`."""

    run: str
    verdict: Verdict
    exit_code: ExitCode
    duration_s: float
    groups: tuple[GroupResult, ...] = ()
    errors: tuple[Problem, ...] = ()
    folder: Path | None = None
    started_wall: float = 0.0
    #: Which part of a larger run it is, `2/4`; "" for a whole one.
    shard: str = ""
    origin: RunOrigin = RunOrigin()


#: A wait that takes so long is shown even where no line changes.
LONG_WAIT_NS = 3_000_000_000


class Awaited(NamedTuple):
    """What a group waits for now, and in which unit: `3 keys at notifier:notified`.

    `until_ns` is when it gives up (CLOCK_MONOTONIC), None where nothing bounds it. `units`: they
    should become ready or end; else all have ended that should, and what they owe is not there.
    """

    what: tuple[str, ...]
    until_ns: int | None
    units: bool = False


class Observer(Protocol):
    """Watches a run while it is running: the console, a stream of JSON lines."""

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None: ...

    def notice(self, text: str | Problem) -> None: ...

    def group_started(self, scenario: Scenario, run_dir: Path) -> None: ...

    def group_placed(self, scenario: Scenario, host: str) -> None: ...

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None: ...

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None: ...

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None: ...

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None: ...

    def group_ended(self, result: GroupResult) -> None: ...


class SilentObserver:
    """An observer of a run that does nothing: derive from it, and override what you need."""

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """Which results there will be."""

    def notice(self, text: str | Problem) -> None:
        """Something that decides nothing."""

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """A group begins. A skipped group does not begin."""

    def group_placed(self, scenario: Scenario, host: str) -> None:
        """A group that has begun runs on this machine of a cluster; again where one was lost."""

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """A unit is in another state."""

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        """Events were stored."""

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:
        """A unit has printed something; only with `verbose`."""

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        """What the group waits for now; None where the wait is over."""

    def group_ended(self, result: GroupResult) -> None:
        """A group is judged."""


class MissedHop(NamedTuple):
    """A hop that a path should have passed more often; `reached` is the last event before it."""

    hop: str
    reached: int | None


class KeyPath(NamedTuple):
    """The path of one instance through its circuit.

    `low_ns` and `high_ns` bound its latency: equal where it is exact, infinite where it was not
    answered, None for effects without a cause, which have none.
    """

    name: str
    events: tuple[Event, ...]
    low_ns: float | None = None
    high_ns: float | None = None
    lacks: tuple[MissedHop, ...] = ()


class CircuitPaths(NamedTuple):
    """All instances of a circuit, in the order in which they were seen."""

    circuit: Circuit
    paths: tuple[KeyPath, ...]


class RunDetail(NamedTuple):
    """All that is known of one group's run. `events` are those of the attempt that counts.

    `config` is the scenario as it was run, as TOML.
    """

    events: tuple[Event, ...] = ()
    moments: Moments = Moments()
    circuits: tuple[CircuitPaths, ...] = ()
    logs: tuple[StoredLog, ...] = ()
    config: str = ""
