"""What the active faults of a link do to what passes it. Pure: no sockets, no clock."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, Self

#: A throttled link passes what it carries in so short a time (seconds), not more at once.
SLICE_S = 0.02


class Impairment(NamedTuple):
    """What one fault does to a link.

    Args:
        do: `latency`, `throttle`, `reset`, `blackhole`, `half-open` or `cut`.
        delay_ns: added in each direction; `jitter_ns` is by how much more or less, at most.
        rate: bytes per second of each direction, all connections together.
        first: so many bytes of each direction of a connection pass before reset or blackhole.
    """

    do: str
    delay_ns: int = 0
    jitter_ns: int = 0
    rate: int = 0
    first: int = 0

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        return cls(**message)


class Fate(Enum):
    """What becomes of the next byte of a connection."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"  # it is neither delivered nor refused
    CLOSE = "close"  # both ends are told that the connection is over
    RESET = "reset"
    HALF_OPEN = "half-open"  # the unit's end is gone, and the other end is not told


class Condition:
    """The faults of one link that are active now, taken together.

    `random` returns numbers from 0 to 1, for jitter.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._active: dict[int, Impairment] = {}
        self._random = random

    def begin(self, fault: int, impairment: Impairment) -> None:
        self._active[fault] = impairment

    def end(self, fault: int) -> Impairment:
        return self._active.pop(fault)

    @property
    def is_cut(self) -> bool:
        """Whether nobody can connect."""
        return any(each.do == "cut" for each in self._active.values())

    def delay_ns(self) -> int:
        """By how much what is read now arrives later."""
        spread = sum(each.jitter_ns for each in self._active.values())
        delay = sum(each.delay_ns for each in self._active.values())
        return max(0, delay + round((2 * self._random() - 1) * spread)) if spread else delay

    @property
    def rate(self) -> int | None:
        """Bytes per second of each direction; None without a bound."""
        return min((each.rate for each in self._active.values() if each.rate), default=None)

    def fate(self, passed: int) -> Fate:
        """What becomes of the next byte of a direction that has carried `passed` bytes."""
        reached = {each.do for each in self._active.values() if passed >= each.first}
        for do, fate in _FATES.items():
            if do in reached:
                return fate
        return Fate.PASS

    def at_once(self, passed: int, wanted: int) -> int:
        """How many of `wanted` bytes, 1 or more, may pass before the fate is asked for again."""
        bounds = [wanted]
        bounds += [each.first - passed for each in self._active.values() if each.first > passed]
        if self.rate is not None:
            bounds.append(int(self.rate * SLICE_S))
        return max(1, min(bounds))


#: The strongest first.
_FATES = {
    "reset": Fate.RESET,
    "cut": Fate.CLOSE,
    "half-open": Fate.HALF_OPEN,
    "blackhole": Fate.WAIT,
}


class ThrottleQueue:
    """The queue in front of a throttled direction: who comes later waits for those before."""

    def __init__(self) -> None:
        self._free_ns = 0

    def reserve(self, size: int, rate: int | None, now_ns: int) -> int:
        """When (CLOCK_MONOTONIC) the last of `size` bytes has passed at `rate` bytes per second."""
        if rate is None:
            return now_ns
        self._free_ns = max(self._free_ns, now_ns) + size * 1_000_000_000 // rate
        return self._free_ns
