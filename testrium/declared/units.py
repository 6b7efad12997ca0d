"""The actors of a group: `units/*.toml` and `fixtures/*.toml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from testrium.words import (
    EMPTY,
    EventType,
)


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
