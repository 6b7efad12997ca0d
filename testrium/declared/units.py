"""The actors of a group: `units/*.toml` and `fixtures/*.toml`."""

from dataclasses import field
from functools import lru_cache
from pathlib import Path
from shutil import which
from typing import Annotated, Any, ClassVar, Final, Literal

from testrium.declared.keys import DECIDED, Key, Prepared, Written, keyword_table, nothing, table
from testrium.declared.quantities import (
    FILLED,
    POSITIVE_SECONDS,
    SECONDS,
    SIZE,
    UNIQUE,
    Count,
    Encoding,
    Entrypoint,
    FilledText,
    Metadata,
    Name,
    Names,
    Positive,
    Program,
    Settings,
    Signal,
    Step,
    Steps,
    Variables,
    Words,
    between,
    one_or_more,
)
from testrium.phrases import did_you_mean
from testrium.system.files import read_regular
from testrium.words import EventType

#: A fixture is a unit of each group that lists it, whose name begins so.
FIXTURE_PREFIX: Final = "fixture."
#: What a unit can be besides a function and a command.
KINDS: Final = ("pytest", "unittest", "doctest", "manual")
#: What other programs call keys of a unit.
_SYNONYMS: Final = {
    "depends_on": "unit_dependencies",
    "depends": "unit_dependencies",
    "needs": "unit_dependencies",
    "after": "unit_dependencies",
    "requires": "unit_dependencies",
    "environment": "env",
    "workdir": "cwd",
    "working_dir": "cwd",
    "healthcheck": "ready",
    "cmd": "command",
    "exec": "command",
    "run": "command",
    "retries": "restarts",
}
#: What readiness can ask.
READY_KINDS: Final = ("tcp", "http", "log", "file", "command", "plugin", "ended")


@table
class Readiness:
    """A condition from outside that makes a unit ready; values may hold `${...}`."""

    EXCLUSIVE: ClassVar = (READY_KINDS,)
    SYNONYMS: ClassVar = {"url": "http", "port": "tcp"}

    tcp: FilledText | None = None
    """a port number or `HOST:PORT` that accepts connections: `"${port.http}"`"""
    http: FilledText | None = None
    """a URL that answers with `status`"""
    status: Annotated[int | None, *between(100, 599), Key(default="200")] = None
    """the expected HTTP status"""
    log: FilledText | None = None
    """a regular expression that matches a line of the unit's output"""
    file: FilledText | None = None
    """a path that exists; a relative one is below the unit's `cwd`"""
    command: Program = ()
    """a program and its arguments, run again until it ends with exit code 0"""
    plugin: Name | None = None
    """a [readiness plugin](plugins.md#readiness)"""
    settings: Settings = field(default_factory=nothing)
    """settings of the `plugin`: texts by name"""
    ended: Literal[True] | None = None
    """`true`: the unit has ended with an accepted exit code, as a migration or a seed does"""
    error: FilledText | None = None
    """beside any of them, a regular expression: a matching line of the unit's output ends the wait
    at once, with the finding [`unready`](../findings/unready.md), however the unit ends then
    """

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


#: How a field for the type of an event is written.
EVENT_TYPE: Final = Written(_event_type, {"enum": list(_EVENT_TYPES)}, str)


@table
class LogProbe:
    """A line of a unit's output that counts as a probe; `key` and `meta` may use its groups."""

    pattern: Annotated[FilledText, Key("log", required=True)] = ""
    """a regular expression, searched in each line of stdout and stderr; a named group `(?P<id>...)`
    is `${id}` in `key` and `meta`
    """
    step: Annotated[Step, Key(required=True)] = ""
    """the step of the event"""
    type: Annotated[EventType, EVENT_TYPE] = EventType.DEFAULT
    """`"Default"`, `"Send"`, `"Receive"` or `"Exception"`"""
    key: FilledText | None = None
    """the key: text with `${GROUP}`. Send and Receive need one"""
    meta: Metadata = field(default_factory=nothing)
    """metadata: texts with `${GROUP}`, by name"""


@table
class ManualStep:
    """What a person has to do, and what should be seen then; texts may hold `${...}`."""

    name: Annotated[Step, Key(default="`step-N`")] = ""
    """the step of the probe with the answer"""
    do: Annotated[FilledText, Key(required=True)] = ""
    """what to do, for the person at the terminal"""
    expect: Annotated[FilledText, Key(required=True)] = ""
    """what that person should see"""


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
    raise ValueError(_NO_EXIT_CODE)


_NO_EXIT_CODE: Final = 'must be an integer between 0 and 255, "!=0" or "any"'


def exit_code_of(text: str) -> int | str:
    """What a text of `exit` means once it is filled in: a number, or the word for several.

    Raises ValueError: neither; says what it must be.
    """
    if text in ANY_EXIT:
        return text
    is_number = text.isascii() and text.isdecimal() and len(text) <= len("255")
    return _exit_code(int(text) if is_number else None)


#: The words that mean several exit codes.
ANY_EXIT: Final = ("any", "!=0")
_EXIT_SCHEMA: Final = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "string"}]
}
ExitCodes = Annotated[
    tuple[Annotated[int | str, Written(_exit_code, _EXIT_SCHEMA)], ...],
    FILLED,
    Prepared(
        one_or_more,
        {"anyOf": [*_EXIT_SCHEMA["anyOf"], {"type": "array", "items": _EXIT_SCHEMA}]},
    ),
]


def is_accepted(code: int | None, accepted: tuple[int | str, ...]) -> bool:
    """Whether an exit code is one of those of a unit's `exit`; None, a signal's end, never is."""
    if code is None:
        return False
    words = "any" in accepted or ("!=0" in accepted and code != 0)
    return words or code in accepted


@keyword_table
class ProcessTable:
    """The keys that units and fixtures share: how a process starts, is ready, stops and ends."""

    entrypoint: Entrypoint | None = None
    """`module:function`, in the group's folder (of a fixture: beside its file) or importable: a
    Python function, `async` or not, in a process of its own
    """
    command: Program | None = None
    """a program and its arguments, a list of strings; no shell. Give one of `entrypoint` and
    `command`, or neither for a unit whose probes come from other processes; a fixture needs one
    of them
    """
    cwd: Annotated[
        FilledText | None, Key(default="the group's folder; of a fixture `fixtures/`")
    ] = None
    """the folder in which the process starts"""
    env: Variables = field(default_factory=nothing)
    """environment variables to add, by name"""
    ports: Names = ()
    """names of ports. Each gets a free TCP port, see [Ports](groups.md#ports)"""
    ready_event: Step | None = None
    """ready when the unit has emitted this step. Without `ready_event` and `ready` a unit is ready
    once its process runs
    """
    ready: Conditions = ()
    """ready when this condition holds; a list: when all of them hold. The keys of a condition are
    [below](groups.md#readiness)
    """
    ready_timeout_s: Annotated[float, POSITIVE_SECONDS, Key("ready_timeout")] = 10.0
    """seconds, or a duration, within which it must become ready; else it is
    [`unready`](../findings/unready.md)
    """
    stop_signal: Signal = "TERM"
    """the signal that stops it: a name such as `"TERM"`, `"INT"` or `"HUP"`"""
    grace_s: Annotated[float, SECONDS, Key("grace")] = 2.0
    """seconds, or a duration, from the stop signal to SIGKILL"""
    stop_to: Literal["process", "session"] = "process"
    """who gets the stop signal. `"process"`: its main process, as in a container; when that has
    ended, Testrium kills the rest of its session at once, and that is not a leak. `"session"`: all
    processes of its session at once
    """
    may_leave: Annotated[tuple[FilledText, ...], UNIQUE, Key(items="programs")] = ()
    """names of programs that it may leave running (`["epmd"]`): Testrium ends them with the group,
    and they are not a [`leak`](../findings/leak.md)
    """
    exit: ExitCodes = (0,)
    """accepted exit codes: a number, `"!=0"`, `"any"`, a text with `${param.NAME}`, or a list of
    these. The end by a signal is never accepted. Of a fixture it belongs to `stop = "self"`
    and names properties only
    """
    encoding: Encoding = "utf-8"
    """of its output, for log probes, checks and reports: one of Python's names (`latin-1`,
    `cp1252`, `utf-16`); a byte that does not fit stays visible as `\\xff`
    """
    max_rss: Annotated[int | None, SIZE] = None  # bytes
    """a size such as `"200MB"`: the most memory of the process and its descendants. Over it is a
    finding [`limit`](../findings/limit.md); the process continues. Of a fixture only with `scope =
    "group"`
    """
    max_cpu: Positive | None = None  # percent of one core
    """the most CPU, in percent of one core (mean over 1 s). Over it is a finding `limit`; the
    process continues. Of a fixture as `max_rss`
    """


#: The keys of a unit that keep `${...}` until the unit starts.
FILLED_LATER: Final = frozenset(
    ("command", "env", "cwd", "exit", "paths", "args", "steps", "ready", "probes", "settings")
)


@table
class Unit(ProcessTable):
    """One actor of a group: at most one process at a time.

    After loading, `init`, `stop`, `quiet` and `restarts` are decided (their defaults depend on
    other keys and units). A unit with neither `entrypoint` nor `command` has no process of its own.
    """

    EXCLUSIVE: ClassVar = (("entrypoint", "command", "kind"), ("ready_event", "ready"))
    SYNONYMS: ClassVar = _SYNONYMS

    name: Annotated[str, DECIDED] = ""
    init: Annotated[Count, Key(default="its place in `units`")] = 0
    """a whole number from 0, unique in the group: the start order of units that could start
    together
    """
    file: Annotated[str, DECIDED] = ""
    host: Name | None = None
    """the [host](hosts.md) on which it runs: the name of a table `[hosts.NAME]`. Without it the
    unit runs on this machine
    """
    events: Steps = ()
    """steps that the unit must emit at least once; a missing one is
    [`missing`](../findings/missing.md)
    """
    stop_events: Steps = ()
    """the same, for steps that it emits only after Testrium has told it to stop (a flush on TERM).
    Testrium does not wait for them before
    """
    timeout_s: Annotated[float | None, POSITIVE_SECONDS, Key("timeout")] = None
    """seconds, or a duration, that the unit may live; longer is a [`hang`](../findings/hang.md)"""
    dependencies: Annotated[Names, Key("unit_dependencies", old="unity_depencies")] = ()
    """units that must be ready before this one starts. Units whose dependencies are ready start at
    the same time
    """
    use_setup: bool = False
    """`true`: starts only after `main()` of setup.py has returned, or the probe `setup-ready` was
    emitted
    """
    stop: Annotated[Literal["self", "runner"], Key(default="by dependencies")] = "self"
    """`"self"`: it must end by itself. `"runner"`: a service, which Testrium stops. The default is
    `"runner"` for a unit on which another enabled unit depends, `"self"` for others and for `ready
    = {ended = true}`
    """
    graceful: bool = False
    """`true`: having to be killed after `grace` is a finding
    [`unstopped`](../findings/unstopped.md); `false`: it is a note
    """
    in_except: Annotated[Literal["Stop", "Resume", "Reload", "Resume-ALL"], Key("in-except")] = (
        "Stop"
    )
    """what happens when the unit ends in a way it must not. `Stop`: the group ends at once.
    `Resume`: the unit stays dead, the others go on. `Reload`: the unit is started again.
    `Resume-ALL`: all units are stopped, and the circuit starts again
    """
    restarts: Annotated[Count, Key(default="by `in-except`")] = 0
    """how often it is started again, at most. The default is 1 with `Reload` and `Resume-ALL`,
    else 0
    """
    enabled: bool = True
    """`false`: not started; a unit that depends on it is an error"""
    quiet: Annotated[bool, Key(default="`true` for commands")] = False
    """`true`: no probes are expected of the unit. `false`: ending without one is
    [`silent`](../findings/silent.md)
    """
    probes: Annotated[tuple[LogProbe, ...], Key(items="tables")] = ()
    """lines of its output that count as probes: [log probes](groups.md#lines-of-output-as-probes)
    """
    kind: Name | None = None
    """`"pytest"`, `"unittest"`, `"doctest"` ([suites](groups.md#suites-of-tests)), `"manual"`
    ([checks by hand](groups.md#checks-by-hand)) or the name of a
    [plugin](plugins.md#kinds-of-units), in place of `entrypoint` and `command`
    """
    settings: Settings = field(default_factory=nothing)
    """settings of a `kind` that is a plugin: texts by name"""
    paths: Annotated[tuple[FilledText, ...], FILLED, Key(items="paths")] = ()
    """of a suite: its files and folders, below the group's folder"""
    args: Words = ()
    """of a suite with `kind = "pytest"`: more arguments for pytest"""
    steps: Annotated[tuple[ManualStep, ...], FILLED, Key(items="tables")] = ()
    """of `kind = "manual"`: [what to do and what to expect](groups.md#checks-by-hand)"""
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
class Fixture(ProcessTable):
    """A service or a function that groups share: a unit with fewer keys.

    What a key means where nothing is said here is what it means for a unit.
    """

    EXCLUSIVE: ClassVar = (("entrypoint", "command"), ("ready_event", "ready"))
    SYNONYMS: ClassVar = _SYNONYMS

    scope: Literal["run", "group"] = "run"
    """`"run"`: one for all groups. `"group"`: each group starts its own, like a unit"""
    stop: Literal["self", "runner"] = "runner"
    """`"runner"`: a service, which Testrium stops. `"self"`: [a function](fixtures.md#functions),
    which ends by itself
    """
    restarts: Count = 1
    """with `scope = "run"`: how often it is started again for the next group after it has ended"""
