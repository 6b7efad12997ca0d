"""What is broken on purpose, or held: the tables `[[faults]]`, `[chaos]` and `[explore]`."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from testrium.declared.circuits import PlaceText, parse_place
from testrium.declared.keys import DECIDED, Key, Written, table
from testrium.declared.quantities import (
    DURATION,
    FILLED,
    LONGER_THAN_NOTHING,
    UNIQUE,
    FilledText,
    Name,
    Names,
    PositiveCount,
    Signal,
    Step,
    between,
)
from testrium.words import Place

#: What a failpoint can do to the unit that has reached a probe; `testrium chaos` draws these.
DrawnAct = Literal["kill", "exit", "raise", "delay", "hang", "pause"]
FailpointAct = Literal[DrawnAct, "signal", "restart"]
#: What can be done to a link, the way to a port of a unit.
LinkAct = Literal["latency", "reset", "blackhole", "throttle", "cut", "half-open"]
#: What can be done to a unit's clock.
ClockAct = Literal["clock"]
ChaosAct = Literal[DrawnAct, LinkAct]
Act = Literal[FailpointAct, LinkAct, ClockAct]
#: Who gets the signal of a fault: the unit's main process, its session, who emitted the probe.
Signalled = Literal["process", "session", "emitter"]

DRAWN_ACTS: tuple[DrawnAct, ...] = get_args(DrawnAct)
FAILPOINT_ACTS: tuple[FailpointAct, ...] = get_args(FailpointAct)
#: Whom an act of these concerns where its fault does not say so.
SIGNALLED: Mapping[str, Signalled] = {"kill": "session", "pause": "session", "signal": "process"}
#: What Testrium does to a process from outside, whatever program it is.
OUTSIDE_ACTS: tuple[FailpointAct, ...] = ("kill", "pause", "signal", "restart")
#: What ends a process.
ENDING_ACTS: tuple[FailpointAct, ...] = ("kill", "exit", "restart")
LINK_ACTS: tuple[LinkAct, ...] = get_args(LinkAct)
CLOCK_ACTS: tuple[ClockAct, ...] = get_args(ClockAct)

#: Characters of a default name; a number may follow, and both are the step of an event (200).
MOST_OF_NAME: Final = 190


@table
class Fault:
    """One thing that is broken on purpose: a failpoint, a link, or a unit's clock.

    A failpoint has `at`: it strikes the unit that emits that probe, at the `on`-th time (counted
    over all starts; with `key` only probes with that key). A link has `port`, a port of `unit`;
    it and a clock are broken from the first event at `after` on, None for the start. `for_ns` is
    how long it lasts, None for "to the end". What `value` says depends on `do`: `value_ns` is the
    latency added in each direction, or what is added to the clock (it may be negative);
    `bytes_per_s` is what a throttled link lets through; `first_bytes` pass in each direction of a
    connection before it is reset or swallowed. `jitter_ns` is by how much a latency varies, at
    most. `signal` is sent with `do = "signal"`; `to` is whom a signal, a kill or a pause
    concerns. After loading, `name` is unique in its group, and `unit` is whose process or
    port it is.
    """

    EXCLUSIVE: ClassVar = (("at", "link"), ("at", "unit"), ("link", "unit"))

    name: Annotated[Step, Key(default='`"kill at worker:taken"`')] = ""
    """the name in reports; unique in the group"""
    do: Annotated[Act, Key(required=True)] = "kill"
    """what happens: see [at a probe](faults.md#at-a-probe), [links](faults.md#links),
    [clocks](faults.md#clocks)
    """
    unit: Name = ""
    """the unit whose clock is changed. Give one of `at`, `link` and `unit`"""
    at: PlaceText | None = None
    """the probe, `unit:step`, at which it happens: one unit, one step, no `*`"""
    on: PositiveCount = 1
    """with `at`: at which time it happens, counted over all starts, processes and threads of the
    unit. A unit that was started again is not hit again
    """
    key: FilledText | None = None
    """with `at`: count only probes with this key"""
    port: Annotated[str | None, DECIDED] = None
    after: PlaceText | None = None
    """with `link` or `unit`: begins at the first event of this probe; without it, at the start"""
    for_ns: Annotated[int | None, LONGER_THAN_NOTHING, Key("for")] = None
    """seconds, or a duration: how long it lasts; without it, to the end"""
    value_ns: Annotated[int | None, DECIDED] = None
    bytes_per_s: Annotated[int | None, DECIDED] = None
    jitter_ns: Annotated[int, DURATION, Key("jitter")] = 0
    """with `do = "latency"`: seconds, or a duration, by which the latency varies at most, in both
    directions
    """
    first_bytes: Annotated[int, DECIDED] = 0
    signal: Signal | None = None
    """with `do = "signal"`, where it is required: any signal, such as `"TERM"`, `"HUP"` or `"USR1"`
    """
    to: Annotated[Signalled | None, Key(default="by `do`")] = None
    """who gets a `kill`, `pause` or `signal`: the main `"process"` of the unit, its `"session"`
    (children included), or the `"emitter"`, the process that emitted the probe. The default is
    `"process"` for `signal`, `"session"` for the others
    """
    link: FilledText | None = field(default=None, compare=False)
    """`UNIT.PORT`: the port of a unit, which all others reach through a proxy"""
    value: FilledText | None = field(default=None, compare=False)
    """how much: a duration for `latency`, a rate (`"64kB/s"`) for `throttle`, a size for `reset`
    and `blackhole`, a shift (`"+1h"`) for `clock`
    """

    @property
    def default_name(self) -> str:
        """What it is called where its file gives it no name: `kill at host:received`."""
        word = "at" if self.at is not None else "of" if self.port is None else "on"
        do = self.signal or self.do
        return f"{do} {word} {self.target}"[:MOST_OF_NAME]

    @property
    def receiver(self) -> Signalled:
        """Which processes receive a signal, a kill or a pause."""
        return self.to or SIGNALLED.get(self.do, "session")

    @property
    def target(self) -> str:
        """What is broken, as the user names it: `host:received`, `api.http` or `host`."""
        if self.at is not None:
            return str(self.at)
        return self.unit if self.port is None else f"{self.unit}.{self.port}"


def _link(value: Any) -> Any:
    """`UNIT.PORT`; which point parts them is known once the units are."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, tuple) and len(value) == 2:  # as a scenario is stored
        return value
    raise ValueError("must be a non-empty string")


#: Ports, `UNIT.PORT`, the way to which goes through a link.
Links = Annotated[
    tuple[Annotated[tuple[str, str], Written(_link, {"type": "string"}, list)], ...],
    UNIQUE,
    Key(items="links"),
]


@table
class Chaos:
    """What a campaign may break, and how much of it: the table `[chaos]`.

    `links` are units and their ports. A plan has up to `budget` faults, of which none lasts longer
    than `longest_ns`. `do` is what may be done; () for all that a unit can recover from.
    """

    units: Names = ()
    """units that may be broken, at the probes that they emit"""
    links: Links = ()
    """ports, `UNIT.PORT`, whose links may be broken"""
    budget: Annotated[int, *between(1, 5)] = 2
    """the most faults in one plan, 1 to 5"""
    do: Annotated[tuple[ChaosAct, ...], FILLED, UNIQUE, Key(default="what units recover from")] = ()
    """the only kinds of faults that a plan may use; the default is
    [below](faults.md#what-a-plan-may-do)
    """
    longest_ns: Annotated[int, LONGER_THAN_NOTHING, Key("longest")] = 500_000_000
    """seconds, or a duration: the longest that one fault lasts"""


def _read_point(value: Any) -> Place:
    if isinstance(value, str) and 0 < value.find(":") < len(value.strip()) - 1:
        return parse_place(value)
    name = value.strip(" :") if isinstance(value, str) else "worker"
    raise ValueError(f'must be unit:step, such as "{name or "worker"}:*" or "*:read"')


PointText = Annotated[Place, Written(_read_point, {"type": "string", "minLength": 3}, str)]


@table
class Explore:
    """Where `testrium explore` may hold units, and how it orders them: the table `[explore]`."""

    points: Annotated[
        tuple[PointText, ...],
        FILLED,
        UNIQUE,
        Key(items="places", default='`["*:*"]`: all of Python units'),
    ] = (Place("*", "*"),)
    """probes of Python units at which the scheduler may hold a unit: `"unit:step"`, `*` for either
    """
    links: Links = ()
    """ports, `UNIT.PORT`: what is sent through these links may be held back too; the order within
    one direction of a connection is kept
    """
    depth: Annotated[int, *between(0, 10)] = 3
    """the most points at which priorities change in one run, 0 to 10"""
    hold_ns: Annotated[int, LONGER_THAN_NOTHING, Key("hold")] = 200_000_000
    """seconds, or a duration: the longest that a unit is held at a point"""


@table
class Decision:
    """One decision of a schedule: the unit at the point `held` continues only after `first`.

    Points are named `unit:step`, from the second time on with the number: `unit:step (2)`.
    """

    first: str = ""
    held: str = ""


@table
class Schedule:
    """An order in which units continue from points; the same schedule gives the same order.

    With a seed, each unit (process, thread) has a random priority, and the one that is let go on
    when the n-th point of the run is reached gets the lowest one, for each n in `changes`. Without
    one, units go on in their declared order, apart from `decisions`.
    """

    points: tuple[PointText, ...] = (Place("*", "*"),)
    links: tuple[Annotated[tuple[str, str], Written(_link, {}, list)], ...] = ()
    hold_ns: int = 200_000_000
    seed: str = ""
    changes: tuple[int, ...] = ()
    decisions: tuple[Decision, ...] = ()
