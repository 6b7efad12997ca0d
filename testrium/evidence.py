"""What happened while a scenario ran: events, ends of units, findings, moments.

Frozen and standard library only. Durations carry their unit in the name (`_s`, `_ns`, `_ms`); `_ns`
times are CLOCK_MONOTONIC. `None` means "undefined" or "no limit", never zero.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from testrium.declared.checks import Better
from testrium.declared.units import Unit, is_accepted
from testrium.host_clocks import middle_here
from testrium.tuples import NamedTuple
from testrium.words import (
    EMPTY,
    Code,
    Verdict,
)

if TYPE_CHECKING:
    from testrium.host_clocks import KnownClock


class Finding(NamedTuple):
    """One thing that is wrong.

    `where` is its place as the contract defines it for the code. `keys` are its keys, of very many
    the first ones: then `key_count` is how many there are in all. `key` is the witness whose events
    are shown. `events` are ids, in the order that explains it.
    `hints` are sentences of evidence, each one line ("last seen at client:sent, 1.2 ms in").
    `unit` is the unit to look at, where there is one. `explained_by` is "code where" of its cause.
    `declared_as` is the key of that unit's file which does not hold, where it is about one.
    """

    code: Code
    where: str
    message: str
    circuit: str | None = None
    key: str | None = None
    keys: tuple[str, ...] = ()
    events: tuple[int, ...] = ()
    hints: tuple[str, ...] = ()
    unit: str | None = None
    t_ns: int | None = None
    explained_by: str | None = None
    key_count: int = 0
    declared_as: str = ""

    @property
    def title(self) -> str:
        """Its kind and its place, in words: "lost at host:received"."""
        return f"{self.code} at {self.where}"

    @property
    def number_of_keys(self) -> int:
        """How many keys it has, also those that are not in `keys`."""
        return max(self.key_count, len(self.keys))


Owed = Literal["", "output", "probe"]


class CheckResult(NamedTuple):
    """The result of a check. `details` are the lines that show it, or a diff.

    `unit` is the unit to look at, where there is one. `owed` tells what is missing, "output" or
    "probe": a unit that ended badly may be the cause. It is "" for what exists and must not.
    """

    name: str
    passed: bool
    message: str = ""
    details: tuple[str, ...] = ()
    duration_s: float = 0.0
    unit: str | None = None
    owed: Owed = ""


class Reported(NamedTuple):
    """One call of `testrium.metric`; `reporter` is the unit whose process called it."""

    name: str
    value: float
    unit: str
    better: Better
    reporter: str = ""
    attempt: int = 1
    details: Mapping[str, Any] = EMPTY


class Event(NamedTuple):
    """The stored record of a probe.

    A tuple, not a dataclass: a million of them are made while a run is judged, and this halves
    time and memory. `id` counts in the order of storing. `t_low_ns` is None where `t_ns` was taken
    in the unit; else `t_ns` is when the line was read (an upper bound) and `t_low_ns` the lower
    bound. `pid` is 0 where the process did not say, and -1 or -2 for a line of stdout or stderr
    that counts as a probe, -3 for a span or a log record. `start` counts the starts of the unit
    from 1, `attempt` those of the whole circuit. `owner` is the unit in whose probe file the line
    stood: mostly `unit` itself.
    """

    id: int
    unit: str
    step: str
    type: str
    key: str | None
    cause: tuple[str, ...]
    t_ns: int
    t_low_ns: int | None
    wall_ns: int
    domain: str
    pid: int
    seq: int | None
    start: int
    attempt: int
    owner: str
    meta: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where in the group it was emitted: "host:received"."""
        return f"{self.unit}:{self.step}"

    @property
    def here_ns(self) -> int:
        """About when it happened, on the runner's clock where that is known: for drawings."""
        return middle_here(self.domain, self.t_ns)


class Damage(NamedTuple):
    """A line of a probe file that cannot be read as a probe; `line` is cut to 200 characters."""

    unit: str
    reason: str
    line: str = ""
    attempt: int = 1


class Unrecorded(NamedTuple):
    """Events of some places that may have happened, and that no probe could tell.

    `unit` is the one whose evidence is incomplete, `reason` says why, as a sentence. `places` are
    units and steps.
    """

    unit: str
    reason: str
    places: tuple[tuple[str, str], ...]


class Leak(NamedTuple):
    """A process that was alive 200 ms after the unit that started it had ended."""

    pid: int
    command_line: str


class LatePort(NamedTuple):
    """A port without a listener when its unit said that it was ready (CLOCK_MONOTONIC).

    `listened_ns` is None where no process did until `looked_ns`, the last time that was asked.
    """

    unit: str
    port: str
    ready_ns: int
    looked_ns: int
    listened_ns: int | None = None


class OpenWait(NamedTuple):
    """How long the runner waited for what was expected, once nothing else was to be done.

    `what` was open when it began, `left` when it was over: () where all has come. `limit` is what
    bounded it, "linger" or "deadline".
    """

    started_ns: int
    ended_ns: int
    limit: str
    what: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Sample(NamedTuple):
    """What a unit and all that it has started used at `t_ns` (CLOCK_MONOTONIC).

    `cpu_s` is the CPU time since the start in seconds, `cpu_percent` that of one core since the
    sample before, None for the first one. `rss` is in bytes; memory that processes share counts in
    each of them. `children` does not count the unit itself.
    """

    unit: str
    start: int
    t_ns: int
    cpu_s: float
    cpu_percent: float | None
    rss: int
    threads: int
    fds: int
    children: int


class Use(NamedTuple):
    """What a unit used in all its starts, at most; None where it was not measured.

    `cpu_s` (seconds) is the sum of its starts, `max_rss` is in bytes, `peak_cpu` in percent of one
    core.
    """

    cpu_s: float | None = None
    max_rss: int | None = None
    peak_cpu: float | None = None
    peak_threads: int | None = None
    peak_fds: int | None = None
    peak_children: int | None = None


class EndCause(StrEnum):
    """Why a unit has no process any more."""

    SELF = "self"  # it ended by itself, well or badly
    STOPPED = "stopped"  # the runner stopped it, as it does with services
    OVERDUE = "overdue"  # alive at the group's deadline although it should have ended
    TIMEOUT = "timeout"  # reached its own `timeout`
    UNREADY = "unready"  # stopped because it did not become ready in time
    ABANDONED = "abandoned"  # stopped because another finding ended the group
    NOTRUN = "notrun"  # never started, because of another finding
    INFRA = "infra"  # the runner or the machine failed it


class UnitState(StrEnum):
    """The states of a unit, as stored in `UnitStatus`."""

    CREATED = "created"
    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class End(NamedTuple):
    """How one unit's last process ended (`starts` counts all starts of the unit).

    `exit_code` and `signal` (its name, "SIGSEGV") exclude each other; both None for a unit without
    a process. `was_ready` says whether it became ready at its last start. `message` says in words
    what the runner saw ("no probe 'ready' within 3 s"); `blocked_by` names the unit (or `setup`)
    because of which it was not started. `last_lines` are the last lines of its output.
    """

    unit: str
    cause: EndCause
    state: UnitState
    pid: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    starts: int = 0
    attempt: int = 1
    was_ready: bool = False
    started_ns: int | None = None
    ready_ns: int | None = None
    ended_ns: int | None = None
    message: str = ""
    blocked_by: str | None = None
    leaks: tuple[Leak, ...] = ()
    last_lines: tuple[str, ...] = ()
    #: The planned fault that ended it, in words ("kill at host:received"), or "".
    fault: str = ""
    #: Where its threads were when it was found hanging or not ready, a line for each.
    threads: tuple[str, ...] = ()
    use: Use = Use()
    #: False where the process of test functions, setup.py or a suite ended before its conclusion.
    concluded: bool = True


def ended_as_told(end: End, unit: Unit) -> bool:
    """Whether a unit that the runner stopped has ended in an accepted way.

    With an accepted exit code, by the signal, with 128 + its number (as a shell says it), or killed
    after its grace.
    """
    if end.pid is None and end.exit_code is None and end.signal is None:
        return True  # it has no process of its own
    name = f"SIG{unit.stop_signal.removeprefix('SIG')}"
    number = getattr(signal, name, 0)
    accepted = is_accepted(end.exit_code, (*unit.exit, 128 + number))
    return accepted if end.signal is None else end.signal in (name, "SIGKILL")


class TestResult(NamedTuple):
    """The result of a `test_*` function or a callback; `where` is the finding's place."""

    name: str
    passed: bool
    duration_s: float
    message: str = ""
    traceback: str = ""
    #: Whose test it is: the group's own test functions are those of the unit `tests`.
    unit: str = "tests"
    #: It asked to be skipped; `message` is the reason, and it counts as passed.
    skipped: bool = False
    #: It asked for the end of the group; `message` is the reason.
    aborted: bool = False
    #: Codes and texts of notes about it.
    remarks: tuple[tuple[str, str], ...] = ()
    #: The line of the group's code that failed, else where the test begins.
    file: str = ""
    line: int | None = None
    #: What it has printed, where it failed.
    output: str = ""
    #: The files that it has attached, below the group's run folder.
    attachments: tuple[str, ...] = ()
    #: It looks at the stored run only: `testrium verify` repeats it.
    verification: bool = False
    #: A step of a check by hand has no answer: it neither passed nor failed.
    unanswered: bool = False

    @property
    def verdict(self) -> Verdict:
        """What reports call it."""
        if self.aborted:
            return Verdict.ERROR
        if self.skipped:
            return Verdict.SKIP
        if self.unanswered:
            return Verdict.UNKNOWN
        return Verdict.PASS if self.passed else Verdict.FAIL

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Restore one that was stored as JSON."""
        known = {name: fields[name] for name in cls._fields if name in fields}
        known["remarks"] = tuple(map(tuple, fields.get("remarks", ())))
        known["attachments"] = tuple(fields.get("attachments", ()))
        return cls(**known)


TestResult.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


class EarlierRun(NamedTuple):
    """The keys of an earlier kept run, by unit, step and type.

    `joined` are keys of one instance.
    """

    keys: Mapping[tuple[str, str, str], frozenset[str]]
    joined: tuple[tuple[str, ...], ...] = ()


class Evidence(NamedTuple):
    """All that verification may look at, besides the scenario."""

    events: tuple[Event, ...] = ()
    ends: tuple[End, ...] = ()
    damages: tuple[Damage, ...] = ()
    #: What spans that never came would have told.
    unrecorded: tuple[Unrecorded, ...] = ()
    #: Rules of `[otlp]` that were about nothing: their place, and a sentence.
    unmatched: tuple[tuple[str, str], ...] = ()
    tests: tuple[TestResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    #: The keys whose cause occurred in an earlier kept run, by circuit; under "" those that were
    #: sent in one. Asked only to explain a phantom.
    earlier_causes: Mapping[str, frozenset[str]] = EMPTY
    attempt: int = 1
    started_ns: int | None = None
    ended_ns: int | None = None
    #: Where units said that they were ready before they listened.
    late_ports: tuple[LatePort, ...] = ()
    #: Waits for what was expected that took a while.
    waits: tuple[OpenWait, ...] = ()
    #: Set when the runner or the machine failed the group: what happened.
    infra: str = ""
    #: The host where that happened; "": it concerns the whole group.
    infra_at: str = ""
    #: The clocks of other hosts, with what was read of them.
    clocks: tuple[KnownClock, ...] = ()  # light to import without that module
    interrupted: bool = False
    #: How long the machine was suspended meanwhile: CLOCK_MONOTONIC stands still then.
    suspended_ns: int = 0
    #: The events that tell which planned faults have happened; not among `events`.
    faults: tuple[Event, ...] = ()
    #: What was found by other means (limit, metric), to be ranked with the rest.
    findings: tuple[Finding, ...] = ()
    #: What units wrote on stderr; looked at only where `[verify] stderr` is "forbid".
    stderr: Mapping[str, str] = EMPTY
    #: Of the units that have a limit, in the order of time.
    samples: tuple[Sample, ...] = ()
    #: What processes reported with `testrium.metric`, in the order of storing.
    metrics: tuple[Reported, ...] = ()
    #: Name and unit of a figure -> its values in earlier comparable runs, the latest first; None
    #: where nothing is compared.
    baseline: Mapping[tuple[str, str], tuple[float, ...]] | None = None


class StateChange(NamedTuple):
    """A unit reached a state (`UnitState`, or a state of the classic API) at `t_ns`."""

    unit: str
    state: str
    t_ns: int


class OutputMark(NamedTuple):
    """At least this many bytes of a unit's logs were written at `t_ns`."""

    unit: str
    t_ns: int
    stdout: int
    stderr: int


class Moments(NamedTuple):
    """How a run went, each in the order of time."""

    states: tuple[StateChange, ...] = ()
    outputs: tuple[OutputMark, ...] = ()
    samples: tuple[Sample, ...] = ()
    waits: tuple[OpenWait, ...] = ()


class LogPiece(NamedTuple):
    """A part of a log: whole lines, the first of which begins at the byte `offset`."""

    offset: int
    data: bytes


class StoredLog(NamedTuple):
    """What a unit wrote to one of its streams; of a long one the beginning and the end."""

    unit: str
    stream: str  # stdout or stderr
    size: int  # bytes
    pieces: tuple[LogPiece, ...]
    encoding: str = "utf-8"
