"""What every key must have passed: the tables `[[circuits]]` and `[verify]`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from testrium.words import (
    EMPTY,
    Place,
)


class Hop(NamedTuple):
    """A station of a route: one of `places`, `least` to `most` times (None: no upper bound).

    `text` is what the user wrote, without its count: the hop's place in findings.
    """

    text: str
    places: tuple[Place, ...]
    least: int = 1
    most: int | None = 1


class Circuit(NamedTuple):
    """The declared path from cause to effect.

    `stages` are passed one after the other; the hops of one stage in any order. `keys` bounds the
    number of instances (None: no upper bound). `budgets` maps a percentile (50, 95, 99) to ns.
    """

    name: str
    stages: tuple[tuple[Hop, ...], ...]
    keys: tuple[int, int | None] = (1, None)
    within_ns: int | None = None
    budgets: Mapping[int, int] = EMPTY
    same: tuple[str, ...] = ()
    never: tuple[Hop, ...] = ()
    fifo: bool = False
    open: bool = False
    per: Literal["key", "run"] = "key"

    @property
    def hops(self) -> tuple[Hop, ...]:
        return tuple(hop for stage in self.stages for hop in stage)


class Rules(NamedTuple):
    """The `[verify]` table, defaults decided. `linger_ns` None: until the deadline.

    `mask` are patterns of secrets, hidden in what leaves the folder of the run.
    """

    settle_ns: int = 100_000_000
    allow: tuple[Place, ...] = ()
    linger_ns: int | None = None
    stderr: Literal["uncaught", "forbid", "allow"] = "uncaught"
    orphans: Literal["forbid", "allow"] = "forbid"
    mask: tuple[str, ...] = ()

    def allows(self, unit: str, step: str) -> bool:
        """Whether an Exception event of this unit and step is expected."""
        return any(one.unit in ("*", unit) and one.step in ("*", step) for one in self.allow)
