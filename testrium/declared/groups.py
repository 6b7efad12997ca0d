"""A group as its `config.toml` declares it, and the scenarios that are run from it."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from annotated_types import MinLen

from testrium.declared.checks import Check, Metric
from testrium.declared.circuits import Circuit, Rules
from testrium.declared.faults import Chaos, Fault
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
    POSITIVE_SECONDS,
    FilledText,
    Labels,
    Name,
    Names,
    PositiveCount,
    Text,
    Unique,
    Variables,
    Whole,
    between,
)
from testrium.declared.units import KINDS, Unit
from testrium.errors import Problem
from testrium.words import EMPTY

Mode = Literal["DEBUG", "INFO", "WARNING", "EXCEPT"]
MODES: Final[tuple[Mode, ...]] = ("DEBUG", "INFO", "WARNING", "EXCEPT")
#: What `test-modes = "All"` becomes: the debug-modes of the group take its place.
ALL_MODES: Final = ("All",)


class Combination(NamedTuple):
    """One value, as text, of each parameter of the `[matrix]`.

    One that is not `primary` is run only with `--all-modes`.
    """

    params: Mapping[str, str]
    primary: bool = True

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
    """under what they appear; not the name of a unit"""
    pid: PositiveCount | None = None
    """the process with this number and those below it"""
    process: FilledText | None = None
    """or all whose command line matches this regular expression, and those below them, as one;
    looked for every second. The runner and what it was started by are none of them
    """


def _modes(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_MODES_SCHEMA: Final = {"type": "array", "minItems": 1, "items": {"enum": list(MODES)}}


@keyword_table
class Configs:
    """The table `[Configs]` of a group, defaults decided."""

    unit_names: Annotated[Names, Key("units", required=True)] = field(default=(), compare=False)
    """the units' names; a file in `units/` that is not listed is an error"""
    enabled: bool = True
    """`false`: skipped, and the report says so"""
    timeout_s: Annotated[float, POSITIVE_SECONDS, Key("timeout")] = 30.0
    """seconds for the whole circuit, from the start of the first unit"""
    repeat: Annotated[int, *between(0, 10)] = 0
    """extra runs, 0 to 10; each is a result of its own"""
    debug_modes: Annotated[
        tuple[Mode, ...], MinLen(1), Unique(), Key("debug-modes", default="all four")
    ] = MODES
    """the log levels that the group supports: `DEBUG`, `INFO`, `WARNING`, `EXCEPT`"""
    test_modes: Annotated[
        tuple[Literal["DEBUG", "INFO", "WARNING", "EXCEPT", "All"], ...],
        MinLen(1),
        Unique(),
        Prepared(_modes, {"anyOf": [{"enum": [*MODES, "All"]}, _MODES_SCHEMA]}),
        Key("test-modes", default='`["DEBUG"]`'),
    ] = ("DEBUG",)
    """those to run now, one run each: a name, a list, or `"All"`. Units see `TESTRIUM_MODE`,
    and Python's root logger has the level
    """
    diagnostics: bool = True
    """after a failure keep stacks of live units, ends of logs, processes and their use of
    resources.
    """
    detect_bad_behavior: Annotated[bool, Key("detect-bad-behavior")] = True
    """`false`: leaks, silent units and exceptions outside of probes are notes instead of
    findings
    """
    save_resume: Annotated[bool, Key("save-resume")] = True
    """write `summary.json` and `summary.txt` into the run's folder"""
    gen_metrics: Annotated[bool, Key("gen-metrics", old="analitics")] = True
    """percentiles of each circuit"""
    save_metrics: Annotated[bool, Key("save-metrics", old="save-analitics")] = True
    """append the result to the history"""
    save_scores: Annotated[bool, Key("save-scores", old="save-performance")] = True
    """store the [machine's score](command-line.md#testrium-benchmark) with it, if one was
    measured, so that the durations of two machines compare
    """
    use_ai: Annotated[bool, Key("use-ai")] = False
    """hand the evidence of a failure to the command in `[ai]` of the project file, and attach
    its answer, marked unverified, see [below](#asking-a-command-about-failures)
    """
    title: Text = ""
    """text for people"""
    purpose: Text = ""
    """text for people"""
    tags: Labels = ()
    """for `--tag`"""
    requirements: Labels = ()
    """ids of requirements that the group covers"""
    skip: Text = ""
    """a reason: not run, verdict `skip`"""
    requires: Labels = ()
    """programs on PATH, or `python:MODULE`. Where one is missing the group is skipped and the
    reason names it
    """
    expect_fail: Annotated[Text, Key("expect-fail")] = ""
    """a reason: a failure is expected (`xfail`, exit code 0), and a pass is then a failure"""
    order: Whole = 0
    """lower starts first"""
    exclusive: bool = False
    """no other group runs beside it"""
    fixtures: Names = ()
    """services that the group shares with others, see [Fixtures](fixtures.md)"""
    subgroups: bool = False
    """`true`: there are groups inside this group's folder. Without it they are an error"""
    side_by_side: Annotated[bool, Key("side-by-side")] = False
    """`true`: its results (repeats, modes, matrix) may run beside each other: nothing writes into
    its folder
    """
    inherit_env: Annotated[bool, Key("inherit-env")] = True
    """`false`: units get only `PATH`, `HOME`, `LANG`, `TMPDIR` and what is declared"""


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
    chaos: Chaos | None = None
    checks: tuple[Check, ...] = ()
    metrics: tuple[Metric, ...] = ()
    monitors: Annotated[tuple[Monitored, ...], Key("monitor")] = ()
    #: What `fixtures` names. Every unit of a scenario depends on all of them.
    fixture_units: Annotated[tuple[Unit, ...], DECIDED] = ()
    #: Empty without `[matrix]`: then there is one result for each mode and repeat.
    matrix: tuple[Combination, ...] = ()
    has_setup: Annotated[bool, DECIDED] = False
    has_teardown: Annotated[bool, DECIDED] = False
    #: The modules with `test_*` functions or callbacks, test_case (which may define more) first.
    test_modules: Annotated[tuple[str, ...], DECIDED] = ()
    notices: Annotated[tuple[Problem, ...], DECIDED] = ()

    @property
    def linked_ports(self) -> Mapping[str, tuple[str, ...]]:
        """The ports, by unit, that everybody else reaches through a link: some fault breaks it."""
        ports: dict[str, dict[str, None]] = {}
        for fault in self.faults:
            if fault.port is not None:
                ports.setdefault(fault.unit, {})[fault.port] = None
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

    @property
    def proves(self) -> bool:
        """Whether it declares anything but exit codes: what is found in it can be wrong."""
        group = self.group
        return bool(
            group.circuits
            or group.checks
            or group.metrics
            or group.test_modules
            or any(
                unit.events or unit.stop_events or unit.ready_event or unit.kind in KINDS
                for unit in self.units
            )
        )
