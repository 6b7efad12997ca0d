"""What is broken on purpose: the tables `[[faults]]` and `[chaos]`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from testrium.words import (
    Place,
)

#: What a failpoint can do to the unit that has reached a probe.
FailpointAct = Literal["kill", "exit", "raise", "delay", "hang", "pause", "signal", "restart"]

#: Who gets the signal of a fault: the unit's main process, its session, who emitted the probe.
Signalled = Literal["process", "session", "emitter"]

#: What can be done to a link, the way to a port of a unit.
LinkAct = Literal["latency", "reset", "blackhole", "throttle", "cut", "half-open"]

#: What can be done to a unit's clock.
ClockAct = Literal["clock"]

FAILPOINT_ACTS: tuple[FailpointAct, ...] = (
    "kill",
    "exit",
    "raise",
    "delay",
    "hang",
    "pause",
    "signal",
    "restart",
)

#: Those of them that `testrium chaos` draws.
DRAWN_ACTS: tuple[FailpointAct, ...] = ("kill", "exit", "raise", "delay", "hang", "pause")

#: Whom an act of these concerns where its fault does not say so.
SIGNALLED: Mapping[str, Signalled] = {"kill": "session", "pause": "session", "signal": "process"}

#: What Testrium does to a process from outside, whatever program it is.
OUTSIDE_ACTS: tuple[FailpointAct, ...] = ("kill", "pause", "signal", "restart")

LINK_ACTS: tuple[LinkAct, ...] = (
    "latency",
    "reset",
    "blackhole",
    "throttle",
    "cut",
    "half-open",
)

CLOCK_ACTS: tuple[ClockAct, ...] = ("clock",)

#: Characters of a default name; a number may follow, and both are the step of an event (200).
MOST_OF_NAME = 190


class Fault(NamedTuple):
    """One thing that is broken on purpose: a failpoint, a link, or a unit's clock.

    A failpoint has `at`: it strikes whoever emits that probe, at the `on`-th time (counted over all
    starts; with `key` only probes with that key). A link has `port`, one of the ports of `unit`;
    it and a clock are broken from the first event at `after` on, None for the start. `for_ns` is
    how long it lasts, None for "to the end". `value_ns` is the latency added in each direction, or
    what is added to the clock (it may be negative); `jitter_ns` is by how much a latency varies, at
    most. `bytes_per_s` is what a throttled link lets through; `first_bytes` pass in each direction
    of a connection before it is reset or swallowed. `signal` is sent with `do = "signal"`; `to` is
    whom a signal, a kill or a pause concerns. `name` is unique in its group.
    """

    name: str
    do: FailpointAct | LinkAct | ClockAct
    unit: str
    at: Place | None = None
    on: int = 1
    key: str | None = None
    port: str | None = None
    after: Place | None = None
    for_ns: int | None = None
    value_ns: int | None = None
    bytes_per_s: int | None = None
    jitter_ns: int = 0
    first_bytes: int = 0
    signal: str | None = None
    to: Signalled | None = None

    @property
    def default_name(self) -> str:
        """What it is called where its file gives it no name: `kill at host:received`."""
        word = "at" if self.at is not None else "of" if self.port is None else "on"
        do = self.signal or self.do
        return f"{do} {word} {self.target}"[:MOST_OF_NAME]

    @property
    def receiver(self) -> Signalled:
        """Whom a signal, a kill or a pause concerns."""
        return self.to or SIGNALLED.get(self.do, "session")

    @property
    def target(self) -> str:
        """What is broken, as the user names it: `host:received`, `api.http` or `host`."""
        if self.at is not None:
            return str(self.at)
        return self.unit if self.port is None else f"{self.unit}.{self.port}"


class Chaos(NamedTuple):
    """What a campaign may break, and how much of it: the table `[chaos]`.

    `links` are units and their ports. A plan has up to `budget` faults, of which none lasts longer
    than `longest_ns`. `do` is what may be done; () for all that a unit can recover from.
    """

    units: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    budget: int = 2
    do: tuple[str, ...] = ()
    longest_ns: int = 500_000_000
