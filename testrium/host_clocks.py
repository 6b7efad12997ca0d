"""How the clocks of other hosts relate to the runner's: readings, and what follows from them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from testrium.tuples import NamedTuple


class ClockReading(NamedTuple):
    """How much later the clock of another host was than the runner's when it showed `t_ns`.

    From four times (RFC 5905, figure 15): what is sent here at T1 comes there at T2, the answer
    leaves there at T3 and comes here at T4. So the difference (ns) is at least `low` = T3 - T4 and
    at most `high` = T2 - T1, however long each way took.
    """

    t_ns: int
    low: int
    high: int


def reading_of(t1: int, t2: int, t3: int, t4: int) -> ClockReading:
    """What an exchange of four times says, also of the clocks' drift from T2 to T3."""
    drift = int((t3 - t2) * MOST_DRIFT) + 1
    return ClockReading((t2 + t3) // 2, t3 - t4 - drift, t2 - t1 + drift)


#: How much faster than another one a clock can be: crystals and their steering (adjtimex(2) steers
#: by 500 ppm at most) of both hosts together.
MOST_DRIFT = 1e-3

#: How many readings on each side of a time are asked for its bounds.
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


class KnownClock(str):
    """The name of the clock of another host, and what was read of it; it compares as its name.

    `home` is the runner's clock. So an event carries with its clock how its time compares.
    """

    host: str
    home: str
    readings: tuple[ClockReading, ...]
    _known: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, name: str, host: str, home: str, readings: Iterable[Sequence[int]]) -> KnownClock:
        """Args: `readings` are in the order of time, at least one."""
        clock = cls(name)
        clock.host, clock.home = host, home
        clock.readings = tuple(ClockReading(*reading) for reading in readings)
        clock._known = {}
        return clock

    def offset_at(self, t_ns: int) -> tuple[int, int]:
        """See the function of this name."""
        if (found := self._known.get(t_ns)) is None:
            found = self._known[t_ns] = offset_at(t_ns, self.readings)
        return found

    @property
    def bound_ns(self) -> int:
        """How far off, at most, a time of this clock is on the runner's; at its readings."""
        return max(
            (high - low + 1) // 2
            for low, high in (self.offset_at(one.t_ns) for one in self.readings)
        )

    @property
    def offset_ns(self) -> int:
        """About how much later it is than the runner's, at its first reading."""
        low, high = self.offset_at(self.readings[0].t_ns)
        return (low + high) // 2

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than the runner's it went, in millionths; None where it is too little."""
        first, last = self.readings[0].t_ns, self.readings[-1].t_ns
        low, high = self.offset_at(last)
        drift_ns = (low + high) // 2 - self.offset_ns
        if abs(drift_ns) <= self.bound_ns or first == last:
            return None
        return drift_ns / (last - first) * 1e6


def base_of(clock: str) -> str:
    """The clock on which times of this one can be given: the runner's, for a known one."""
    return clock.home if isinstance(clock, KnownClock) else clock


def middle_here(clock: str, t_ns: int) -> int:
    """About when it was on the clock `base_of` says: for drawings, which prove nothing."""
    if not isinstance(clock, KnownClock):
        return t_ns
    low, high = clock.offset_at(t_ns)
    return t_ns - (low + high) // 2


def bounds_here(clock: str, low_ns: int, high_ns: int) -> tuple[int, int]:
    """From when to when it was on the clock `base_of` says."""
    if not isinstance(clock, KnownClock):
        return low_ns, high_ns
    return low_ns - clock.offset_at(low_ns)[1], high_ns - clock.offset_at(high_ns)[0]
