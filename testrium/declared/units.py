"""The actors of a group: `units/*.toml` and `fixtures/*.toml`."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from shutil import which
from typing import Final, Literal, NamedTuple

from testrium.system.safe_open import read_regular
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


#: How far into a file its first lines are looked for: the kernel reads 256 bytes.
_LONGEST_HEAD = 1024


class LogProbe(NamedTuple):
    """A line of a unit's output that counts as a probe; `key` and `meta` may use its groups."""

    pattern: str
    step: str
    type: EventType = EventType.DEFAULT
    key: str | None = None
    meta: Mapping[str, str] = EMPTY


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
    stop_to: Literal["process", "session"] = "process"
    graceful: bool = False
    may_leave: tuple[str, ...] = ()
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
        """Whether it runs Python code: an entrypoint, `python...`, or a script for it on PATH."""
        return self.entrypoint is not None or is_python((self.command or ("",))[0])

    @property
    def has_process(self) -> bool:
        return self.entrypoint is not None or self.command is not None
