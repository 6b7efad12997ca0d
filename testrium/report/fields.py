"""The fields of the JSON report, and what each of them means: its one declaration.

`json_report` writes what is declared here (its types are checked), `stored` reads it back, and
`report_schema` is what `testrium schema report` prints. A default is what a report means that was
written before there was the field; what is written now has all of them.

Importing this takes pydantic with it: a run only writes reports, and does without.
"""

# Annotations are objects here: a typed dictionary compiles each of its fields that is one.

import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from testrium.declared.keys import DIALECT
from testrium.errors import ExitCode
from testrium.evidence import EndCause, UnitState
from testrium.words import Code, Verdict

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic asks for it
    from typing_extensions import TypedDict

#: Numbers stay numbers and texts stay texts; fields of later versions are left out.
STRICT: Final = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)


class OneOf:
    """A text that is a member of an enumeration; read back, it is that member."""

    def __init__(self, kind: type[StrEnum]) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.enum_schema(self._kind, list(self._kind), sub_type="str", strict=False)


VerdictText = Annotated[str, OneOf(Verdict)]
CodeText = Annotated[str, OneOf(Code)]
StateText = Annotated[str, OneOf(UnitState)]
CauseText = Annotated[str, OneOf(EndCause)]

Text = Annotated[str, Field(default="")]
MaybeText = Annotated[str | None, Field(default=None)]
Texts = Annotated[list[str], Field(default_factory=list)]
MaybeWhole = Annotated[int | None, Field(default=None)]
MaybeNumber = Annotated[float | None, Field(default=None)]


class ProblemReport(TypedDict):
    """A mistake in what the user has written."""

    file: str
    """where it is; empty where no file is to blame"""
    line: MaybeWhole
    key: MaybeText
    message: str


class PlaceReport(TypedDict):
    """A step of a unit."""

    unit: str
    step: str


class RequiredReport(TypedDict):
    """The places of `required`."""

    completed: Annotated[list[PlaceReport], Field(default_factory=list)]
    missing: Annotated[list[PlaceReport], Field(default_factory=list)]


class FindingReport(TypedDict):
    """One thing that is wrong; or, among `notes`, that is worth to know."""

    code: CodeText
    """its kind, see `testrium explain`"""
    where: str
    """its place: a unit, `unit:step`, a circuit, or what its kind calls it"""
    circuit: MaybeText
    key: MaybeText
    """the key whose events are shown"""
    keys: Texts
    """all its keys; of very many the first ones"""
    key_count: Annotated[int, Field(default=0)]
    """how many keys there are in all"""
    message: str
    events: Annotated[list[int], Field(default_factory=list)]
    """values of `Events.ID` in `Data.db`, in the order that explains the finding"""
    explained_by: MaybeText
    """`code where` of the finding that this one follows from"""
    unit: MaybeText
    """the unit to look at"""
    hints: Texts
    """sentences of evidence"""
    t_ns: MaybeWhole
    """when it happened (CLOCK_MONOTONIC)"""
    declared_as: Text
    """the key of the unit's file that does not hold, such as `max_rss`; empty where it has none"""


class LeakReport(TypedDict):
    """A process that was alive after the unit that had started it."""

    pid: int
    command_line: str


class UnitReport(TypedDict):
    """How a unit's last process ended. Times are seconds from the group's `started_ns`."""

    name: str
    state: StateText
    pid: MaybeWhole
    exit_code: MaybeWhole
    signal: MaybeText
    """its name, such as `SIGSEGV`; then the exit code is null"""
    starts: Annotated[int, Field(default=0)]
    """how often it was started"""
    started_s: MaybeNumber
    ready_s: MaybeNumber
    ended_s: MaybeNumber
    cause: Annotated[CauseText, Field(default=EndCause.SELF)]
    """why it has no process any more"""
    attempt: Annotated[int, Field(default=1)]
    was_ready: Annotated[bool, Field(default=False)]
    message: Text
    """what the runner saw, in words"""
    blocked_by: MaybeText
    """because of which unit (or setup.py) it was not started"""
    leaks: Annotated[list[LeakReport], Field(default_factory=list)]
    """processes that were left when it had ended"""
    last_lines: Texts
    """the end of its output"""
    threads: Texts
    """where its threads were, if it had to be stopped"""
    fault: MaybeText
    """the planned fault that ended it"""
    cpu_s: MaybeNumber
    """CPU time of all its starts, in seconds"""
    max_rss: MaybeWhole
    """memory, in bytes"""
    peak_cpu: MaybeNumber
    """percent of one core"""
    peak_threads: MaybeWhole
    peak_fds: MaybeWhole
    """open files"""
    peak_children: MaybeWhole
    """processes that it has started"""


class CircuitReport(TypedDict):
    """The result of a circuit; null where there were too few samples."""

    name: str
    instances: int
    """how many keys went through it"""
    verdict: VerdictText
    p50_ms: MaybeNumber
    p95_ms: MaybeNumber
    p99_ms: MaybeNumber
    max_ms: MaybeNumber


class NoteReport(TypedDict):
    """A remark about a test, which decides nothing."""

    code: str
    message: str


class TestReport(TypedDict):
    """The result of a test function, a test of a suite or a callback."""

    name: str
    verdict: Annotated[VerdictText, Field(default=None)]
    """`pass`, `fail`, `skip`, `error` where it ended the group, or `unknown` for a manual step
    without an answer
    """
    passed: Annotated[bool, Field(default=True)]
    duration_s: float
    message: Text
    traceback: Text
    unit: Annotated[str, Field(default="tests")]
    """whose test it is: the group's own are those of `tests`"""
    file: MaybeText
    """the file that failed, else where the test begins"""
    line: MaybeWhole
    notes: Annotated[list[NoteReport], Field(default_factory=list)]
    output: Text
    """what it has printed, where it failed"""
    attachments: Texts
    """the files that it has attached, below `run_dir`"""
    verification: Annotated[bool, Field(default=False)]
    """whether `testrium verify` repeats it"""


class CheckReport(TypedDict):
    """The result of a check."""

    name: str
    passed: Annotated[bool, Field(default=True)]
    verdict: Annotated[VerdictText, Field(default=None)]
    """`pass` or `fail`"""
    duration_s: Annotated[float, Field(default=0.0)]
    message: str
    details: Texts
    """the lines that show it, or a diff"""
    unit: MaybeText
    """the unit to look at"""
    owed: Text
    """what is missing: `output`, `probe`, or nothing"""


class MeasureReport(TypedDict):
    """A figure of this result."""

    name: str
    value: float
    """of several reports their median"""
    unit: str
    source: str
    """whose figure it is: group, circuit, hop, unit, reported"""
    better: Annotated[str, Field(default="smaller")]
    """`smaller` or `larger`"""
    n: Annotated[int, Field(default=1)]
    """how many reports there were"""
    mean: MaybeNumber
    deviation: MaybeNumber
    """of a sample"""
    details: Annotated[dict[str, Any], Field(default_factory=dict)]
    """what the last report that had some told with its value"""


class RuleReport(TypedDict):
    """What `[metrics]` says of a figure; `most` and `least` are in `unit`."""

    name: Text
    source: Annotated[str, Field(default="reported")]
    owner: Text
    """the name of its circuit or unit"""
    most: MaybeNumber
    least: MaybeNumber
    unit: Text
    max_regression: MaybeNumber
    """a fraction: 0.2 is 20 %"""


class MetricReport(TypedDict):
    """The result of a figure that `[metrics]` names, or that was reported or compared."""

    name: str
    rule: Annotated[RuleReport | None, Field(default=None)]
    held: Annotated[bool | None, Field(default=None)]
    """null: nothing is asked of it, or it was not decided"""
    baseline: MaybeNumber
    """the median of the earlier runs with which it was compared"""
    lowest: MaybeNumber
    highest: MaybeNumber


class EventReport(TypedDict):
    """An event that a finding names, as `Data.db` has it."""

    id: int
    unit: str
    step: str
    type: str
    key: str | None
    cause: list[str]
    """the keys that led to it"""
    t_ns: int
    """CLOCK_MONOTONIC, taken in the unit; else an upper bound"""
    t_low_ns: int | None
    """the lower bound, where the unit did not take the time"""
    wall_ns: int
    """time since 1970"""
    domain: str
    """the clock"""
    pid: int
    seq: int | None
    """its number among the events of its process"""
    start: int
    """of which start of the unit it is, from 1"""
    attempt: int
    """of which attempt of the group it is, from 1"""
    owner: str
    """the unit in whose probe file it stood"""
    meta: dict[str, Any]


class FaultReport(TypedDict):
    """A planned fault that has happened."""

    id: int
    name: str
    do: Annotated[Any, Field(default=None)]
    """what it did"""
    phase: Annotated[Any, Field(default=None)]
    """of a link, `begin` or `end`"""
    unit: Annotated[Any, Field(default=None)]
    key: str | None
    pid: int | None
    start: int | None
    attempt: int
    at_s: MaybeNumber
    """seconds from the group's start"""
    t_ns: int
    """CLOCK_MONOTONIC"""
    domain: str
    """the clock"""
    meta: dict[str, Any]


class AdviceReport(TypedDict):
    """What the command of `[ai]` answered."""

    answer: Text
    verified: Annotated[bool, Field(default=False)]
    """always false: nothing checks it"""


class TryReport(TypedDict):
    """An earlier try of a result, which `--retries` has run again."""

    verdict: VerdictText
    duration_s: Annotated[float, Field(default=0.0)]
    run_dir: MaybeText
    finding: Annotated[FindingReport | None, Field(default=None)]
    """its root cause"""


class GroupReport(TypedDict):
    """One result: a group in one mode, with one combination of parameters, in one repeat."""

    id: str
    mode: str
    params: Annotated[dict[str, Any], Field(default_factory=dict)]
    """its values of the matrix, as texts: what `TESTRIUM_PARAM_…` holds and the id shows"""
    repeat: Annotated[int, Field(default=0)]
    verdict: VerdictText
    reason: MaybeText
    """why it was skipped, was expected to fail, or could not be judged"""
    duration_s: float
    run_dir: str | None
    """its folder, as it was called when the report was written"""
    host: MaybeText
    """the machine of a cluster where it was run"""
    notes: Annotated[list[FindingReport], Field(default_factory=list)]
    """what decides nothing"""
    findings: Annotated[list[FindingReport], Field(default_factory=list)]
    """what is wrong; the first one is the root cause"""
    units: Annotated[list[UnitReport], Field(default_factory=list)]
    circuits: Annotated[list[CircuitReport], Field(default_factory=list)]
    required: Annotated[RequiredReport, Field(default_factory=dict, validate_default=True)]
    tests: Annotated[list[TestReport], Field(default_factory=list)]
    checks: Annotated[list[CheckReport], Field(default_factory=list)]
    tries: Annotated[list[TryReport], Field(default_factory=list)]
    """the tries before it, with `--retries`: none of them passed"""
    title: Text
    tags: Texts
    mask: Texts
    """the patterns of what was masked"""
    env_names: Texts
    """the NAME of each `${env.NAME}` of the group: its value stands nowhere in the report"""
    folder: MaybeText
    """where the group is declared"""
    replays: Annotated[bool, Field(default=False)]
    """whether it had an order, or a drawn example, which `testrium replay` repeats"""
    started_ns: MaybeWhole
    """when it began, on the clock of the events' `t_ns`"""
    average_latency_s: MaybeNumber
    """from Send to Receive of one key"""
    ai: Annotated[AdviceReport | None, Field(default=None)]
    faults: Annotated[list[FaultReport], Field(default_factory=list)]
    metrics: Annotated[list[MeasureReport], Field(default_factory=list)]
    """all its figures"""
    metric_results: Annotated[list[MetricReport], Field(default_factory=list)]
    """those that `[metrics]` names, or that were reported or compared"""
    events: Annotated[list[EventReport], Field(default_factory=list)]
    """the events that the findings name"""


class OriginReport(TypedDict):
    """Where a run comes from; empty where that is not known."""

    project: Text
    """the name of the project's folder"""
    revision: Text
    """the git commit"""
    dirty: Annotated[bool, Field(default=False)]
    """whether tracked files differed from it"""
    host: Text
    python: Text
    """its version"""
    command: Text
    """the command line"""


class RunReport(TypedDict):
    """The report of a run, as `--json` and `report.json` have it."""

    testrium: Text
    """the version that has written it"""
    run: str
    """its id"""
    verdict: VerdictText
    exit_code: Annotated[int, Field(json_schema_extra={"enum": [int(code) for code in ExitCode]})]
    duration_s: float
    started: Annotated[float, Field(default=0.0)]
    """seconds since 1970"""
    shard: MaybeText
    """which part of all groups this run had, as `2/4`"""
    origin: Annotated[OriginReport, Field(default_factory=dict, validate_default=True)]
    errors: Annotated[list[ProblemReport], Field(default_factory=list)]
    """what is wrong with the files, where nothing could be started"""
    groups: list[GroupReport]


for _kind in list(vars().values()):
    if isinstance(_kind, type) and issubclass(_kind, dict):
        _kind.__pydantic_config__ = STRICT  # type: ignore[attr-defined]


@cache
def run_adapter() -> TypeAdapter[RunReport]:
    """Validates `report.json`."""
    return TypeAdapter(RunReport)


@cache
def group_adapter() -> TypeAdapter[GroupReport]:
    """Validates `summary.json`, which is one group's part of the report."""
    return TypeAdapter(GroupReport)


def report_schema() -> dict[str, Any]:
    """The JSON Schema of the report that this version writes."""
    schema = run_adapter().json_schema()
    return {"$schema": DIALECT, **_published(schema)}


def _published(schema: Any) -> Any:
    """Without titles and defaults: what is written has every field."""
    if isinstance(schema, list):
        return [_published(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {
        name: _published(each)
        for name, each in schema.items()
        if name not in ("default", "title", "properties", "$defs")
    }
    for part in ("properties", "$defs"):  # the names in these are not words of the schema
        if part in schema:
            found[part] = {name: _published(each) for name, each in schema[part].items()}
    if "properties" in schema:
        found["required"] = list(schema["properties"])
    return found
