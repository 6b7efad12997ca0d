"""The actors of a group: `units/*.toml` and `fixtures/*.toml`."""

from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from shutil import which
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import MinLen

from testrium.declared.keys import DECIDED, Key, Prepared, Written, nothing, table
from testrium.declared.quantities import (
    POSITIVE_SECONDS,
    SECONDS,
    SIZE,
    Count,
    Encoding,
    Entrypoint,
    FilledText,
    Name,
    Named,
    Names,
    Positive,
    Settings,
    Signal,
    Step,
    Steps,
    Text,
    Unique,
    Variables,
    Words,
    between,
)
from testrium.phrases import did_you_mean
from testrium.system.files import read_regular
from testrium.words import EventType

#: A fixture is a unit of each group that lists it, whose name begins so.
FIXTURE_PREFIX: Final = "fixture."
#: What a unit can be besides a function and a command.
KINDS: Final = ("pytest", "unittest", "doctest", "manual")
#: What readiness can ask.
READY_KINDS: Final = ("tcp", "http", "log", "file", "command", "plugin", "ended")


@table
class Readiness:
    """A condition from outside that makes a unit ready; values may hold `${...}`."""

    EXCLUSIVE: ClassVar = (READY_KINDS,)

    tcp: FilledText | None = None
    http: FilledText | None = None
    status: Annotated[int | None, *between(100, 599), Key(default="200")] = None
    log: FilledText | None = None
    file: FilledText | None = None
    command: Annotated[tuple[Text, ...], MinLen(1)] = ()
    plugin: Name | None = None
    settings: Settings = field(default_factory=nothing)
    ended: Literal[True] | None = None
    error: FilledText | None = None

    @property
    def kind(self) -> Literal["tcp", "http", "log", "file", "command", "ended"]:
        """What is asked; a plugin is asked by a command."""
        if self.ended:
            return "ended"
        for kind in ("tcp", "http", "log", "file"):
            if getattr(self, kind) is not None:
                return kind
        return "command"

    @property
    def target(self) -> str:
        """The address, pattern or path that is asked for; "" for a command."""
        return self.tcp or self.http or self.log or self.file or ""


def _conditions(value: Any) -> Any:
    return (value,) if isinstance(value, dict) else value


Conditions = Annotated[
    tuple[Readiness, ...], Prepared(_conditions, {}), Key(items="tables, or one table")
]

_EVENT_TYPES: Final = tuple(str(each) for each in EventType)


def _event_type(value: Any) -> EventType:
    if isinstance(value, str) and value in _EVENT_TYPES:
        return EventType(value)
    guess = did_you_mean(value, _EVENT_TYPES) if isinstance(value, str) else ""
    raise ValueError(f"must be one of: {', '.join(_EVENT_TYPES)}{guess}")


@table
class LogProbe:
    """A line of a unit's output that counts as a probe; `key` and `meta` may use its groups."""

    pattern: Annotated[FilledText, Key("log", required=True)] = ""
    step: Annotated[Step, Key(required=True)] = ""
    type: Annotated[EventType, Written(_event_type, {"enum": list(_EVENT_TYPES)}, str)] = (
        EventType.DEFAULT
    )
    key: FilledText | None = None
    meta: Annotated[Mapping[str, Text], Named(r".+", "name of a field")] = field(
        default_factory=nothing
    )


@table
class ManualStep:
    """What a person has to do, and what should be seen then; texts may hold `${...}`."""

    name: Annotated[Step, Key(default="`step-N`")] = ""
    do: Annotated[FilledText, Key(required=True)] = ""
    expect: Annotated[FilledText, Key(required=True)] = ""


#: How far into a file its first lines are looked for: the kernel reads 256 bytes.
_LONGEST_HEAD: Final = 1024


@lru_cache(maxsize=1000)
def is_python(program: str, folder: Path | None = None) -> bool:
    """Whether a program is called `python...`, or is a script that its first line gives to one.

    A relative path with a folder in it is looked for in `folder`.
    """
    if program.rpartition("/")[2].startswith("python"):
        return True
    found = str(folder / program) if folder and "/" in program else which(program)
    try:
        with read_regular(found or "") as file:
            head = file.read(_LONGEST_HEAD).split(b"\n")
    except OSError:
        return False
    # A path too long for a first line stands in the second, behind the start of a text in Python.
    if head[0].startswith(b"#!/bin/sh") and head[1:2] and head[1].startswith(b"'''exec"):
        head[0] = b"#!" + head[1]
    words = head[0].removeprefix(b"#!").split() if head[0].startswith(b"#!") else []
    return any(word.rpartition(b"/")[2].startswith(b"python") for word in words)


def _exit_code(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    if isinstance(value, str) and (value in ANY_EXIT or "${" in value):
        return value
    raise ValueError('must be an integer between 0 and 255, "!=0" or "any"')


#: What stands for several exit codes.
ANY_EXIT: Final = ("any", "!=0")
_EXIT_SCHEMA: Final = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "string"}]
}
ExitCodes = Annotated[
    tuple[Annotated[int | str, Written(_exit_code, _EXIT_SCHEMA)], ...],
    MinLen(1),
    Prepared(
        lambda value: value if isinstance(value, tuple) else (value,),
        {"anyOf": [*_EXIT_SCHEMA["anyOf"], {"type": "array", "items": _EXIT_SCHEMA}]},
    ),
]


def is_accepted(code: int | None, accepted: tuple[int | str, ...]) -> bool:
    """Whether an exit code is one of those of a unit's `exit`; None, a signal's end, never is."""
    if code is None:
        return False
    words = "any" in accepted or ("!=0" in accepted and code != 0)
    return words or code in accepted


@table
class Unit:
    """One actor of a group: at most one process at a time.

    After loading, `init`, `stop`, `quiet` and `restarts` are decided (their defaults depend on
    other keys and units). A unit with neither `entrypoint` nor `command` has no process of its own.
    """

    EXCLUSIVE: ClassVar = (("entrypoint", "command", "kind"), ("ready_event", "ready"))

    name: Annotated[str, DECIDED] = ""
    init: Annotated[Count, Key(default="its place in `units`")] = 0
    """an integer from 0, unique in the group: orders units that could start together"""
    file: Annotated[str, DECIDED] = ""
    entrypoint: Entrypoint | None = None
    """`module:function`, in the group's folder or importable"""
    command: Annotated[tuple[Text, ...] | None, MinLen(1)] = None
    """a list of strings: any program, without a shell. One of `entrypoint` and `command`, or
    neither for a unit whose probes come from other processes
    """
    cwd: Annotated[FilledText | None, Key(default="the group's folder")] = None
    """where the process starts"""
    env: Variables = field(default_factory=nothing)
    """added variables"""
    ports: Names = ()
    """names; each gets a free TCP port, see below"""
    events: Steps = ()
    """steps that must have been emitted at least once"""
    stop_events: Steps = ()
    """the same, but only after the runner has told it to stop"""
    ready_event: Step | None = None
    """ready when this step was emitted"""
    ready: Conditions = ()
    """ready when this holds: `{tcp = "${port.http}"}`, `{http = "URL", status = 200}`, `{log =
    "regex"}`, `{file = "path"}`, `{command = [...]}` (it exits with 0), `{ended = true}` (it has
    ended with an accepted exit code: a migration, a seed), `{plugin = "name", settings = {...}}`
    ([plugins](plugins.md#readiness)); a list of such: all of them. Beside any of them `error =
    "regex"`: a matching line of its output ends the wait at once
    """
    ready_timeout_s: Annotated[float, POSITIVE_SECONDS, Key("ready_timeout")] = 10.0
    """seconds"""
    timeout_s: Annotated[float | None, POSITIVE_SECONDS, Key("timeout")] = None
    """seconds that this unit may live"""
    dependencies: Annotated[Names, Key("unit_dependencies", old="unity_depencies")] = ()
    """started when all of these are ready. Units that wait for the same thing start together"""
    use_setup: bool = False
    """starts after `main()` of setup.py has returned, or the probe `setup-ready` was emitted;
    without a setup.py there is nothing to wait for, and a notice
    """
    stop: Annotated[Literal["self", "runner"], Key(default="see below")] = "self"
    """`"self"`: it must end by itself. `"runner"`: a service, which the runner stops"""
    stop_signal: Signal = "TERM"
    """the signal, then SIGKILL after so many seconds"""
    grace_s: Annotated[float, SECONDS, Key("grace")] = 2.0
    """the signal, then SIGKILL after so many seconds"""
    stop_to: Literal["process", "session"] = "process"
    """who gets the signal. `"process"`: its main process, as in a container. Once that has ended,
    the rest of its session is killed at once, and is no leak. `"session"`: all of its session at
    once
    """
    graceful: bool = False
    """`true`: if it has to be killed after `grace`, that is a finding `unstopped`; otherwise it is
    a note
    """
    may_leave: Annotated[tuple[FilledText, ...], Unique(), Key(items="programs")] = ()
    """names of programs that it may leave behind (`epmd`): they live until the group ends, then
    Testrium ends them, and they are no [`leak`](../findings/leak.md)
    """
    exit: ExitCodes = (0,)
    """exit codes that are accepted: a number, `"!=0"`, `"any"`, a text with `${param.NAME}`, or a
    list of such. A signal is never accepted
    """
    encoding: Encoding = "utf-8"
    """of its output, for log probes, checks and reports: one of Python's names (`latin-1`,
    `cp1252`, `utf-16`); a byte that does not fit stays visible as `\\xff`
    """
    in_except: Annotated[Literal["Stop", "Resume", "Reload", "Resume-ALL"], Key("in-except")] = (
        "Stop"
    )
    """when it ends in a way it must not: `Stop` ends the group at once; `Resume` leaves it
    dead; `Reload` starts it again; `Resume-ALL` stops all units and starts the circuit
    again
    """
    restarts: Annotated[Count, Key(default="`0`")] = 0
    """how often at most; 1 with `Reload` and `Resume-ALL`"""
    enabled: bool = True
    """`false`: not started; depending on it is an error"""
    quiet: Annotated[bool, Key(default="`false`")] = False
    """`true`: no probes are expected of it. The default is `true` for commands"""
    max_rss: Annotated[int | None, SIZE] = None  # bytes
    """`"200MB"`, percent of one core; over it is a finding, the unit goes on."""
    max_cpu: Positive | None = None  # percent of one core
    """`"200MB"`, percent of one core; over it is a finding, the unit goes on."""
    probes: Annotated[tuple[LogProbe, ...], Key(items="tables")] = ()
    """lines of its output that count as probes, see below"""
    kind: Name | None = None
    """`"pytest"`, `"unittest"`, `"doctest"` or `"manual"` in place of `entrypoint` and
    `command`, see [below](#suites-of-tests); or a [plugin](plugins.md#kinds-of-units)
    """
    settings: Settings = field(default_factory=nothing)
    """what a `kind` that is a plugin is told: texts by name"""
    paths: Annotated[tuple[FilledText, ...], MinLen(1), Key(items="paths")] = ()
    """of a suite: its files and folders, below the group's folder; further arguments for
    pytest
    """
    args: Words = ()
    """of a suite: its files and folders, below the group's folder; further arguments for
    pytest
    """
    steps: Annotated[tuple[ManualStep, ...], MinLen(1), Key(items="tables")] = ()
    """of a check by hand: `do`, `expect`, and a `name` for each"""
    #: Of a fixture: whether all groups of the run share one, or each has its own; "" of a unit.
    scope: Annotated[Literal["", "run", "group"], DECIDED] = ""
    #: Where a fixture's code lies; None: in the group's folder.
    folder: Annotated[Path | None, Written(Path, {}, str), DECIDED] = None

    @property
    def is_python(self) -> bool:
        """Whether it runs Python code: an entrypoint, `python...`, or a script for it on PATH."""
        return self.entrypoint is not None or is_python((self.command or ("",))[0])

    @property
    def has_process(self) -> bool:
        return self.entrypoint is not None or self.command is not None


@table
class Fixture:
    """A service or a function that groups share: a unit with fewer keys.

    What a key means where nothing is said here is what it means for a unit.
    """

    EXCLUSIVE: ClassVar = (("entrypoint", "command"), ("ready_event", "ready"))

    scope: Literal["run", "group"] = "run"
    """`"run"`: one for all groups. `"group"`: each group starts its own, as it does with a
    unit
    """
    entrypoint: Entrypoint | None = None
    """one of them. An entrypoint is `module:function` beside the fixture's file, or importable"""
    command: Annotated[tuple[Text, ...] | None, MinLen(1)] = None
    """one of them. An entrypoint is `module:function` beside the fixture's file, or importable"""
    cwd: Annotated[FilledText | None, Key(default="`fixtures/`")] = None
    """for the process"""
    env: Variables = field(default_factory=nothing)
    """added variables"""
    ports: Names = ()
    """names; each gets a free TCP port, see below"""
    ready_event: Step | None = None
    """ready when this step was emitted"""
    ready: Conditions = ()
    """ready when this holds: `{tcp = "${port.http}"}`, `{http = "URL", status = 200}`, `{log =
    "regex"}`, `{file = "path"}`, `{command = [...]}` (it exits with 0), `{ended = true}` (it has
    ended with an accepted exit code: a migration, a seed), `{plugin = "name", settings = {...}}`
    ([plugins](plugins.md#readiness)); a list of such: all of them. Beside any of them `error =
    "regex"`: a matching line of its output ends the wait at once
    """
    ready_timeout_s: Annotated[float, POSITIVE_SECONDS, Key("ready_timeout")] = 10.0
    """seconds"""
    stop_to: Literal["process", "session"] = "process"
    """who gets the signal. `"process"`: its main process, as in a container. Once that has ended,
    the rest of its session is killed at once, and is no leak. `"session"`: all of its session at
    once
    """
    may_leave: Annotated[tuple[FilledText, ...], Unique(), Key(items="programs")] = ()
    """names of programs that it may leave behind (`epmd`): they live until the group ends, then
    Testrium ends them, and they are no [`leak`](../findings/leak.md)
    """
    exit: ExitCodes = (0,)
    """of a function: accepted exit codes"""
    encoding: Encoding = "utf-8"
    """of its output, for log probes, checks and reports"""
    stop_signal: Signal = "TERM"
    """the signal, then SIGKILL after so many seconds"""
    grace_s: Annotated[float, SECONDS, Key("grace")] = 2.0
    """the signal, then SIGKILL after so many seconds"""
    max_rss: Annotated[int | None, SIZE] = None
    """with scope `group` only"""
    max_cpu: Positive | None = None
    """with scope `group` only"""
    stop: Literal["self", "runner"] = "runner"
    """`"runner"`: a service, which Testrium stops. `"self"`: [a function](#functions), which
    ends
    """
    restarts: Count = 1
    """with scope `run`: how often it may be started again, for the next group, after it has
    ended
    """
