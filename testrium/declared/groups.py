"""A group as its `config.toml` declares it, and the scenarios that are run from it."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from testrium.declared.checks import Check, Metric, OperationHistory
from testrium.declared.circuits import Circuit, Rules
from testrium.declared.faults import Chaos, Explore, Fault, Schedule
from testrium.declared.keys import (
    DECIDED,
    Key,
    Prepared,
    Written,
    keyword_table,
    nothing,
    table,
)
from testrium.declared.quantities import (
    FILLED,
    NAME,
    POSITIVE_SECONDS,
    UNIQUE,
    Entrypoint,
    FilledText,
    Labels,
    Name,
    Named,
    Names,
    Positive,
    PositiveCount,
    Text,
    Variables,
    Whole,
    between,
)
from testrium.declared.taps import Tap
from testrium.declared.telemetry import Telemetry
from testrium.declared.units import KINDS, Unit
from testrium.errors import Problem
from testrium.tuples import NamedTuple
from testrium.words import EMPTY

Mode = Literal["DEBUG", "INFO", "WARNING", "EXCEPT"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
#: How `requires` names a host of a unit.
HOST_REQUIREMENT: Final = "host:"
#: What `test-modes = "All"` becomes: the debug-modes of the group take its place.
ALL_MODES: Final = ("All",)


class Combination(NamedTuple):
    """One value, as text, of each parameter of the `[matrix]`.

    One that is not `primary` is run only with `--all-modes`. `values` has what `${param.NAME}`
    gives, as it was written: of a parameter that is a table also `NAME.KEY`.
    """

    params: Mapping[str, str]
    primary: bool = True
    values: Mapping[str, Any] = EMPTY

    @property
    def suffix(self) -> str:
        """What it adds to the group's id: `[browser=a,size=1]`."""
        values = ",".join(f"{name}={value}" for name, value in self.params.items())
        return f"[{values}]" if values else ""


@table
class Monitored:
    """Processes of others to be sampled: the one with `pid`, or all whose command line matches.

    `name` is under what their samples are stored, as those of units are. `process` is a regular
    expression.
    """

    EXCLUSIVE: ClassVar = (("pid", "process"),)

    name: Annotated[Name, Key(required=True)] = ""
    """the name of its samples in reports; not the name of a unit"""
    pid: PositiveCount | None = None
    """the process with this number and those below it. One of `pid` and `process` is given"""
    process: FilledText | None = None
    """a regular expression: all processes whose command line matches it, and those below them, as
    one. Testrium looks for them every second and leaves out itself and the processes above it
    """


@table
class UnitHost:
    """A table `[hosts.NAME]`: a machine, a container or a network namespace where units can run.

    It may stand in config.toml, and in the project file for all groups; a group's own wins.
    """

    connect: Annotated[tuple[FilledText, ...], FILLED, Key(required=True)] = ()
    """a command and its arguments, a list of strings. It gets one more argument, a shell command
    line, runs that line there, and gives its standard input and output: `["ssh", "edge"]`,
    `["docker", "exec", "-i", "c", "sh", "-c"]`. It is started in the folder of this file
    """
    address: FilledText | None = None
    """how other hosts reach it: a name or an IP address, which `${unit.NAME.address}` gives"""
    python: FilledText = "python3"
    """the Python there, 3.11 or newer. Where it has no Testrium, Testrium sends its own files
    along
    """
    #: The file and the line that declare it, and its folder: `connect` runs there.
    place: Annotated[str, DECIDED] = ""
    folder: Annotated[Path | None, Written(Path, {}, str), DECIDED] = None


def _modes(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_MODES_SCHEMA: Final = {"type": "array", "minItems": 1, "items": {"enum": list(MODES)}}


@keyword_table
class Configs:
    """The table `[Configs]` of a group, defaults decided."""

    SYNONYMS: ClassVar = {"name": "title", "description": "purpose"}
    #: The keys that belong next to this table and not in it.
    BESIDE: ClassVar = {
        **dict.fromkeys(
            ("verify", "env", "matrix", "chaos", "explore", "generate", "metrics", "otlp"), "[{}]"
        ),
        **dict.fromkeys(("circuits", "checks", "faults", "taps", "histories", "monitor"), "[[{}]]"),
        "hosts": "[hosts.NAME]",
    }

    unit_names: Annotated[Names, Key("units", required=True)] = field(default=(), compare=False)
    """the names of the units; each has a file `units/NAME.toml`. A file in `units/` that is not
    listed is an error
    """
    enabled: bool = True
    """`false`: the group is skipped, and the report says so"""
    timeout_s: Annotated[float, POSITIVE_SECONDS, Key("timeout")] = 30.0
    """seconds, or a duration such as `"2m"`, for the whole circuit, from the start of the first
    unit
    """
    repeat: Annotated[int, *between(0, 10)] = 0
    """how many more times the group runs, 0 to 10; each run is a result of its own"""
    debug_modes: Annotated[
        tuple[Mode, ...], FILLED, UNIQUE, Key("debug-modes", default="all four")
    ] = MODES
    """the log levels that the group supports: `DEBUG`, `INFO`, `WARNING`, `EXCEPT`"""
    test_modes: Annotated[
        tuple[Literal[Mode, "All"], ...],
        FILLED,
        UNIQUE,
        Prepared(_modes, {"anyOf": [{"enum": [*MODES, "All"]}, _MODES_SCHEMA]}),
        Key("test-modes", default='`["DEBUG"]`'),
    ] = ("DEBUG",)
    """the levels to run now, one run each: a name, a list, or `"All"` for all `debug-modes`. A unit
    finds it in `TESTRIUM_MODE`, and Python's root logger has that level
    """
    diagnostics: bool = True
    """after a failure, keep stacks of live units, the ends of logs, the process tree and the use of
    resources
    """
    detect_bad_behavior: Annotated[bool, Key("detect-bad-behavior")] = True
    """`false`: findings `leak`, `silent`, and `exception` outside of probes become notes, which do
    not fail the group
    """
    save_resume: Annotated[bool, Key("save-resume")] = True
    """write `summary.json` and `summary.txt` into the run folder"""
    gen_metrics: Annotated[bool, Key("gen-metrics", old="analitics")] = True
    """measure latency percentiles of each circuit, and CPU and memory of each unit"""
    save_metrics: Annotated[bool, Key("save-metrics", old="save-analitics")] = True
    """append the result to the [history](history.md)"""
    save_scores: Annotated[bool, Key("save-scores", old="save-performance")] = True
    """store the [score of the machine](command-line.md#testrium-benchmark) with the result, if one
    was measured: durations of two machines then compare
    """
    use_ai: Annotated[bool, Key("use-ai")] = False
    """hand the evidence of a failure to the command in `[ai]` of the project file, and attach its
    answer, marked unverified, see [below](groups.md#asking-a-command-about-failures)
    """
    title: Text = ""
    """a short text for people, shown beside the id"""
    purpose: Text = ""
    """a longer text for people: what the group proves"""
    tags: Labels = ()
    """labels to select by: `testrium run --tag`"""
    requirements: Labels = ()
    """ids of the requirements that the group covers"""
    skip: Text = ""
    """a reason: the group is not run, its verdict is `skip`"""
    requires: Labels = ()
    """programs on PATH, `python:MODULE`, `node:PACKAGE` (installed for the group's folder), or
    `host:NAME`: a [host](hosts.md) that can be reached. If one is missing, the group is skipped
    with that reason; with `--strict` it is in error (`infra`)
    """
    expect_fail: Annotated[Text, Key("expect-fail")] = ""
    """a reason: a failure is expected and counts as `xfail` (exit code 0); a pass is then a finding
    `unexpected-pass`
    """
    order: Whole = 0
    """groups with a lower number start first; equal ones by id"""
    exclusive: bool = False
    """`true`: no other group runs at the same time"""
    fixtures: Names = ()
    """names of services that the group shares with others, see [Fixtures](fixtures.md)"""
    subgroups: bool = False
    """`true`: there are groups inside the folder of this group. Without it they are an error"""
    side_by_side: Annotated[bool, Key("side-by-side")] = False
    """`true`: results of this group (repeats, modes, matrix) may run at the same time, because
    nothing writes into its folder
    """
    classic: bool = False
    """`true`: the rule of testrium 0.3.0 for units that do not end. A `stop = "self"` unit whose
    `events` were all emitted, and on which no other unit depends, is stopped with a note instead
    of being a `hang`
    """
    resources: Annotated[Mapping[str, Positive], Named(NAME.pattern, "name of a resource")] = field(
        default_factory=nothing
    )
    """what a worker of a [cluster](command-line.md#groups-on-a-cluster) must offer to run the
    group: `{gpu = 1}`
    """
    inherit_env: Annotated[bool, Key("inherit-env")] = True
    """`false`: units get only `PATH`, `HOME`, `LANG`, `TMPDIR` and the variables that the group
    declares
    """


@table
class Generate:
    """How `testrium generate` goes from one example to the next: the table `[generate]`."""

    reset: Entrypoint | None = None
    """`module:function`: services stay up, and this function brings them back to where they began
    between two examples; without it each example starts them
    """


@table
class Group(Configs):
    """A folder with `config.toml` and `units/*.toml`, as declared."""

    id: Annotated[str, DECIDED]
    folder: Annotated[Path, Written(Path, {}, str), DECIDED]
    units: Annotated[tuple[Unit, ...], DECIDED]
    env: Variables = field(default_factory=nothing)
    rules: Annotated[Rules, Key("verify")] = Rules()
    circuits: tuple[Circuit, ...] = ()
    faults: tuple[Fault, ...] = ()
    taps: tuple[Tap, ...] = ()
    chaos: Chaos | None = None
    explore: Explore | None = None
    generate: Generate | None = None
    checks: tuple[Check, ...] = ()
    metrics: tuple[Metric, ...] = ()
    histories: tuple[OperationHistory, ...] = ()
    otlp: Telemetry | None = None
    monitors: Annotated[tuple[Monitored, ...], Key("monitor")] = ()
    #: Those that a unit names, the project's too.
    hosts: Annotated[Mapping[str, UnitHost], Named(NAME.pattern, "name of a host")] = field(
        default_factory=nothing
    )
    #: What `fixtures` names. Every unit of a scenario depends on all of them.
    fixture_units: Annotated[tuple[Unit, ...], DECIDED] = ()
    #: Empty without `[matrix]`: then there is one result for each mode and repeat.
    matrix: tuple[Combination, ...] = ()
    #: What defaults for all units say of `env`: setup.py, tests and teardown.py have it too.
    shared_env: Annotated[Mapping[str, str], DECIDED] = field(default_factory=nothing)
    #: The project's properties, as texts.
    properties: Annotated[Mapping[str, str], DECIDED] = field(default_factory=nothing)
    #: By the suffix of a combination: the group as that makes it, where validated keys name its
    #: values. A scenario has the one of its combination, and that has none itself.
    variants: Annotated[Mapping[str, Any], DECIDED] = field(default_factory=nothing)
    has_setup: Annotated[bool, DECIDED] = False
    has_teardown: Annotated[bool, DECIDED] = False
    #: The modules with `test_*` functions or callbacks, test_case (which may define more) first.
    test_modules: Annotated[tuple[str, ...], DECIDED] = ()
    notices: Annotated[tuple[Problem, ...], DECIDED] = ()

    @property
    def linked_ports(self) -> Mapping[str, tuple[str, ...]]:
        """The ports, by unit, that everybody else reaches through a link.

        Some fault breaks it, or its traffic is read.
        """
        return self.linked_with(())

    def linked_with(self, more: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
        """The same, with `more` of them: units and ports."""
        ports: dict[str, dict[str, None]] = {}
        used: list[tuple[str, str | None]] = [*more]
        used += [(fault.unit, fault.port) for fault in self.faults]
        used += [(tap.unit, tap.port) for tap in self.taps]
        for name, port in used:
            if port is not None:
                ports.setdefault(name, {})[port] = None
        has_hosts = any(unit.host is not None for unit in self.units)
        for unit in self.units if has_hosts else ():  # it has one address for all its ports
            if unit.name in ports:
                ports[unit.name] = dict.fromkeys(unit.ports)
        return {unit: tuple(names) for unit, names in ports.items()}


class Scenario(NamedTuple):
    """One result to be: a group in one mode, one combination of parameters, one repeat.

    `units` holds the enabled units in start order (dependencies first, ties by init). `skip` is
    the reason why it is not run, or "". `folder_name` is its folder below the run's folder, with
    `/`. `unmet` is the requirement that is missing where `--strict` makes that an error, or "".
    """

    id: str
    group: Group
    units: tuple[Unit, ...]
    mode: str = "DEBUG"
    params: Mapping[str, str] = EMPTY
    repeat: int = 0
    skip: str = ""
    folder_name: str = ""
    unmet: str = ""
    #: How much worse (0.2: 20 %) figures may be than in earlier runs, where [metrics] does not say.
    max_regression: float | None = None
    #: `--strict`: a group that proves nothing is a finding, not a note.
    strict: bool = False
    #: What `${param.…}` and `${property.…}` give, by the whole name.
    values: Mapping[str, str] = EMPTY
    #: The NAME of each `${env.NAME}` that it declares, whose values are hidden in what is shown.
    env_names: tuple[str, ...] = ()
    #: The order in which its units go on at points; None: as they come.
    schedule: Schedule | None = None
    #: The file with the arguments that were generated for its entrypoints, or "".
    generated: str = ""

    @property
    def replays(self) -> bool:
        """Whether it has an order, or a drawn example, which can be repeated."""
        return self.schedule is not None or bool(self.generated)

    @property
    def linked_ports(self) -> Mapping[str, tuple[str, ...]]:
        """The ports, by unit, that everybody else reaches through a link."""
        return self.group.linked_with(self.schedule.links if self.schedule is not None else ())

    @property
    def proves(self) -> bool:
        """Whether it declares anything but exit codes: what is found in it can be wrong."""
        group = self.group
        return bool(
            group.circuits
            or group.checks
            or group.metrics
            or group.histories
            or group.test_modules
            or any(
                unit.events or unit.stop_events or unit.ready_event or unit.kind in KINDS
                for unit in self.units
            )
        )

    def is_under_classic_rule(self, unit: Unit) -> bool:
        """Whether `classic = true` may stop it: it should end by itself, and no unit needs it."""
        return (
            unit.stop == "self"
            and unit.has_process
            and all(unit.name not in other.dependencies for other in self.units)
        )
