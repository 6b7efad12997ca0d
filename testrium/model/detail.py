"""What a report draws of a run besides its result: read from the run's folder when it is asked for.

No part of `testrium.model` itself: a run that makes no page never imports this.
"""

from __future__ import annotations

from typing import NamedTuple

from testrium.model.declared import Circuit
from testrium.model.happened import Event, Sample


class StateChange(NamedTuple):
    """A unit came to a state (`UnitState`, or what the classic API calls one) at `t_ns`."""

    unit: str
    state: str
    t_ns: int


class OutputMark(NamedTuple):
    """So many bytes of a unit's logs were written at `t_ns`, at least."""

    unit: str
    t_ns: int
    stdout: int
    stderr: int


class Moments(NamedTuple):
    """How a run went, each in the order of time."""

    states: tuple[StateChange, ...] = ()
    outputs: tuple[OutputMark, ...] = ()
    samples: tuple[Sample, ...] = ()


class Piece(NamedTuple):
    """A part of a log: whole lines, the first of which begins at the byte `offset`."""

    offset: int
    data: bytes


class Log(NamedTuple):
    """What a unit wrote to one of its streams; of a long one the beginning and the end."""

    unit: str
    stream: str  # stdout or stderr
    size: int  # bytes
    pieces: tuple[Piece, ...]


class Lack(NamedTuple):
    """A hop that a way should have passed more often; `reached` is the last event before it."""

    hop: str
    reached: int | None


class Way(NamedTuple):
    """The way of one instance through its circuit.

    `low_ns` and `high_ns` bound its latency: equal where it is exact, infinite where it was not
    answered, None for effects without a cause, which have none.
    """

    name: str
    events: tuple[Event, ...]
    low_ns: float | None = None
    high_ns: float | None = None
    lacks: tuple[Lack, ...] = ()


class CircuitWays(NamedTuple):
    """All instances of a circuit, in the order in which they were seen."""

    circuit: Circuit
    ways: tuple[Way, ...]


class Detail(NamedTuple):
    """All that is known of one group's run. `events` are those of the attempt that counts.

    `config` is the scenario as it was run, as TOML.
    """

    events: tuple[Event, ...] = ()
    moments: Moments = Moments()
    circuits: tuple[CircuitWays, ...] = ()
    logs: tuple[Log, ...] = ()
    config: str = ""
