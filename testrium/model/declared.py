"""What the user declared, and the scenario that is run from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from testrium.errors import Problem
from testrium.model.checked import Check
from testrium.model.faults import Chaos, Fault
from testrium.model.metrics import Metric
from testrium.model.places import Place
from testrium.model.words import EMPTY, EventType


class Readiness(NamedTuple):
    """A condition from outside that makes a unit ready; values may hold `${...}`."""

    kind: Literal["tcp", "http", "log", "file", "command"]
    target: str = ""
    status: int = 200
    command: tuple[str, ...] = ()
    #: The plugin that `command` asks, or "".
    plugin: str = ""


class LogProbe(NamedTuple):
    """A line of a unit's output that counts as a probe; `key` and `meta` may use its groups."""

    pattern: str
    step: str
    type: EventType = EventType.DEFAULT
    key: str | None = None
    meta: Mapping[str, str] = EMPTY


def is_python(program: str) -> bool:
    """Whether a program is called `python...`, wherever it lies."""
    return program.rpartition("/")[2].startswith("python")


class ManualStep(NamedTuple):
    """What a person has to do, and what should be seen then; texts may hold `${...}`."""

    name: str
    do: str
    expect: str


#: A fixture is a unit of each group that lists it, whose name begins so.
FIXTURE_PREFIX: Final = "fixture."


class Unit(NamedTuple):
    """One actor of a group: at most one process at a time.

    After loading, `stop` and `quiet` are decided (the contract's defaults depend on the other
    units). A unit with neither `entrypoint` nor `command` has no process of its own.
    """

    name: str
    init: int
    file: str
    entrypoint: str | None = None
    command: tuple[str, ...] | None = None
    cwd: str | None = None
    env: Mapping[str, str] = EMPTY
    ports: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    stop_events: tuple[str, ...] = ()
    ready_event: str | None = None
    ready: Readiness | None = None
    ready_timeout_s: float = 10.0
    timeout_s: float | None = None
    dependencies: tuple[str, ...] = ()
    use_setup: bool = False
    stop: Literal["self", "runner"] = "self"
    stop_signal: str = "TERM"
    grace_s: float = 2.0
    exit: tuple[int, ...] = (0,)
    in_except: Literal["Stop", "Resume", "Reload", "Resume-ALL"] = "Stop"
    restarts: int = 0
    enabled: bool = True
    quiet: bool = False
    max_rss: int | None = None  # bytes
    max_cpu: float | None = None  # percent of one core
    probes: tuple[LogProbe, ...] = ()
    #: A suite of tests; its entrypoint is then one of Testrium's own.
    kind: Literal["pytest", "unittest", "doctest", "manual"] | None = None
    settings: Mapping[str, str] = EMPTY
    paths: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    steps: tuple[ManualStep, ...] = ()
    #: Of a fixture: whether all groups of the run share one, or each has its own; "" of a unit.
    scope: Literal["", "run", "group"] = ""
    #: Where a fixture's code lies; None: in the group's folder.
    folder: Path | None = None

    @property
    def is_python(self) -> bool:
        """Whether it runs Python code: an entrypoint, or a program called `python...`."""
        return self.entrypoint is not None or is_python((self.command or ("",))[0])

    @property
    def has_process(self) -> bool:
        return self.entrypoint is not None or self.command is not None


class Hop(NamedTuple):
    """A station of a route: one of `places`, `least` to `most` times (None: no upper bound).

    `text` is what the user wrote, without its count: the hop's place in findings.
    """

    text: str
    places: tuple[Place, ...]
    least: int = 1
    most: int | None = 1


class Circuit(NamedTuple):
    """The declared path from cause to effect.

    `stages` are passed one after the other; the hops of one stage in any order. `keys` bounds the
    number of instances (None: no upper bound). `budgets` maps a percentile (50, 95, 99) to ns.
    """

    name: str
    stages: tuple[tuple[Hop, ...], ...]
    keys: tuple[int, int | None] = (1, None)
    within_ns: int | None = None
    budgets: Mapping[int, int] = EMPTY
    same: tuple[str, ...] = ()
    never: tuple[Hop, ...] = ()
    fifo: bool = False
    open: bool = False
    per: Literal["key", "run"] = "key"

    @property
    def hops(self) -> tuple[Hop, ...]:
        return tuple(hop for stage in self.stages for hop in stage)


class Rules(NamedTuple):
    """The `[verify]` table, defaults decided. `linger_ns` None: until the deadline."""

    settle_ns: int = 100_000_000
    allow: tuple[Place, ...] = ()
    linger_ns: int | None = None
    stderr: Literal["uncaught", "forbid", "allow"] = "uncaught"
    orphans: Literal["forbid", "allow"] = "forbid"

    def allows(self, unit: str, step: str) -> bool:
        """Whether an Exception event of this unit and step is expected."""
        return any(one.unit in ("*", unit) and one.step in ("*", step) for one in self.allow)


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


class Monitored(NamedTuple):
    """Processes of others to be sampled: the one with `pid`, or all whose command line matches.

    `name` is under what their samples are stored, as those of units are. `process` is a regular
    expression.
    """

    name: str
    pid: int | None = None
    process: str | None = None


class Group(NamedTuple):
    """A folder with `config.toml` and `units/*.toml`, as declared."""

    id: str
    folder: Path
    units: tuple[Unit, ...]
    enabled: bool = True
    timeout_s: float = 30.0
    repeat: int = 0
    debug_modes: tuple[str, ...] = ("DEBUG", "INFO", "WARNING", "EXCEPT")
    test_modes: tuple[str, ...] = ("DEBUG",)
    diagnostics: bool = True
    detect_bad_behavior: bool = True
    save_resume: bool = True
    gen_metrics: bool = True
    save_metrics: bool = True
    save_scores: bool = True
    use_ai: bool = False
    title: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    skip: str = ""
    requires: tuple[str, ...] = ()
    expect_fail: str = ""
    order: int = 0
    exclusive: bool = False
    fixtures: tuple[str, ...] = ()
    inherit_env: bool = True
    env: Mapping[str, str] = EMPTY
    rules: Rules = Rules()
    circuits: tuple[Circuit, ...] = ()
    faults: tuple[Fault, ...] = ()
    chaos: Chaos | None = None
    checks: tuple[Check, ...] = ()
    metrics: tuple[Metric, ...] = ()
    monitors: tuple[Monitored, ...] = ()
    #: What `fixtures` names. Every unit of a scenario depends on all of them.
    fixture_units: tuple[Unit, ...] = ()
    #: Empty without `[matrix]`: then there is one result for each mode and repeat.
    matrix: tuple[Combination, ...] = ()
    has_setup: bool = False
    has_teardown: bool = False
    #: False only where test_case.py certainly defines neither `test_*` nor a callback.
    has_tests: bool = False
    notices: tuple[Problem, ...] = ()

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
