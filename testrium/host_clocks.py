"""How the clocks of other hosts stand to the runner's: what was read of them, and what follows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class ClockReading(NamedTuple):
    """How much later the clock of another host was than the runner's when it showed `t_ns`.

    From four times (RFC 5905, figure 15): what is sent here at T1 comes there at T2, the answer
    leaves there at T3 and comes here at T4. So the difference (ns) is at least `low` = T3 - T4 and
    at most `high` = T2 - T1, however long each way took.
    """

    t_ns: int
    low: int
    high: int


#: How much faster than another one a clock can be: crystals and their steering (adjtimex(2) steers
#: by 500 ppm at most) of both hosts together.
MOST_DRIFT = 1e-3

#: So many readings on each side of a time are asked for its bounds.
_READINGS_ASKED = 8


def offset_at(t_ns: int, readings: Sequence[ClockReading]) -> tuple[int, int]:
    """Bounds of how much later that clock is than the runner's when it shows `t_ns`.

    Each reading holds at its own time, and is wider by the most drift away from it; all hold at
    once. `readings` are sorted, and at least one.
    """
    place = bisect_left(readings, (t_ns,))
    near = readings[max(0, place - _READINGS_ASKED) : place + _READINGS_ASKED]
    drifts = [int(abs(t_ns - one.t_ns) * MOST_DRIFT) + 1 for one in near]
    low = max(one.low - drift for one, drift in zip(near, drifts, strict=True))
    high = min(one.high + drift for one, drift in zip(near, drifts, strict=True))
    if low > high:  # a clock that was set meanwhile: what they say together
        return min(one.low for one in near), max(one.high for one in near)
    return low, high


class HostClock(NamedTuple):
    """The clock of another host, with its readings in the order of time."""

    host: str
    readings: tuple[ClockReading, ...]
