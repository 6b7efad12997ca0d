"""What every key must have passed: the tables `[[circuits]]` and `[verify]`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from testrium.declared.keys import Key, Prepared, Written, table
from testrium.declared.quantities import (
    CONTROL,
    DURATION,
    FILLED,
    KEY_RANGE,
    NAME,
    STEP_LENGTH,
    UNIQUE,
    FilledText,
    Label,
    one_or_more,
)
from testrium.tuples import NamedTuple
from testrium.words import ANY, Place

#: The key of the one instance of a circuit per run.
WHOLE_RUN: Final = ""

_COUNT: Final = r"[?*+]|\{(?P<least>[0-9]+)(?P<comma>,(?P<most>[0-9]+)?)?\}"
_COUNT_AT_END: Final = rf"(?:{_COUNT})$"
_BOUNDS: Final[Mapping[str, tuple[int, int | None]]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}


class RouteError(ValueError):
    """A hop that cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        super().__init__(f"{text!r}, column {column}: {reason}")


class Hop(NamedTuple):
    """A part of a route: one of `places`, `least` to `most` times (None: no upper bound).

    `text` is what the user wrote, without its count: the hop's place in findings.
    """

    text: str
    places: tuple[Place, ...]
    least: int = 1
    most: int | None = 1

    @property
    def written(self) -> str:
        """The hop with its count, as files have it."""
        match (self.least, self.most):
            case (1, 1):
                count = ""
            case (0, 1):
                count = "?"
            case (0, None):
                count = "*"
            case (1, None):
                count = "+"
            case (least, None):
                count = f"{{{least},}}"
            case (least, most):
                count = f"{{{least}}}" if least == most else f"{{{least},{most}}}"
        return self.text + count


def any_matches(places: Iterable[Place], unit: str, step: str) -> bool:
    """Whether one of `places` speaks of this unit and step."""
    return any(place.matches(unit, step) for place in places)


class Claim(NamedTuple):
    """The indices of the hops that a place may belong to, in the route's order.

    `by_star`: no hop names it. Then events without a key are none of a circuit per key.
    """

    hops: tuple[int, ...] = ()
    by_star: bool = False


def claim_of(hops: Sequence[Hop], unit: str, step: str) -> Claim:
    """The hops that may have an event of this place: those that name it, else those with `*`."""
    named = [index for index, hop in enumerate(hops) if Place(unit, step) in hop.places]
    if named:
        return Claim(tuple(named))
    starred = [index for index, hop in enumerate(hops) if any_matches(hop.places, unit, step)]
    return Claim(tuple(starred), by_star=bool(starred))


def first_open(candidates: Sequence[int], counts: Sequence[int], hops: Sequence[Hop]) -> int:
    """The first of `candidates` that still needs an event, else that has room; else the first."""
    for index in candidates:
        if counts[index] < hops[index].least:
            return index
    return first_with_room(candidates, counts, hops)


def first_with_room(candidates: Sequence[int], counts: Sequence[int], hops: Sequence[Hop]) -> int:
    """The first of `candidates` that may have one more event; else the first of all."""
    for index in candidates:
        most = hops[index].most
        if most is None or counts[index] < most:
            return index
    return candidates[0]


def parse_hop(text: str) -> Hop:
    """Read one hop: alternatives and a count.

    Raises:
        RouteError: it is not a hop.
    """
    least, most, end = _count(text)
    places = []
    start = 0
    for alternative in text[:end].split("|"):
        places.append(_place(text, alternative, start))
        start += len(alternative) + 1
    if len(set(places)) < len(places):
        raise RouteError(text, 1, "an alternative is given twice")
    return Hop(text[:end].strip(), tuple(places), least, most)


def parse_place(text: str) -> Place:
    """Read `unit:step`, `*` for either.

    Raises:
        RouteError: it is not such a place.
    """
    return _place(text, text, 0)


def _count(text: str) -> tuple[int, int | None, int]:
    """The count at the end of a hop, and where it begins."""
    stripped = text.rstrip()
    match = re.search(_COUNT_AT_END, stripped)
    if match is None or (match[0] == ANY and not _has_step(stripped[: match.start()])):
        return 1, 1, len(stripped)  # in `unit:*` the star is any step
    column = match.start() + 1
    if match[0] in _BOUNDS:
        least, most = _BOUNDS[match[0]]
    else:
        least = int(match["least"])
        most = least if match["comma"] is None else int(match["most"]) if match["most"] else None
        if most is not None and most < max(least, 1):
            reason = f"{most} is less than {least}" if most < least else "must allow at least one"
            raise RouteError(text, column, f"the count {match[0]}: {reason}")
    return least, most, match.start()


def _has_step(text: str) -> bool:
    """Whether a step is in the last alternative of a hop."""
    return bool(text.rpartition("|")[2].partition(":")[2].strip())


def _place(text: str, alternative: str, start: int) -> Place:
    begin = start + len(alternative) - len(alternative.lstrip()) + 1
    word = alternative.strip()
    unit, colon, step = (part.strip() for part in word.partition(":"))
    if not colon:
        raise RouteError(text, begin, f"expected unit:step, found {word!r}")
    if unit != ANY and not NAME.fullmatch(unit):
        raise RouteError(text, begin, f"{unit!r} is not a name of a unit")
    step_column = begin + len(word) - len(step)
    if not step:
        raise RouteError(text, step_column, "the step is missing")
    if step != ANY:
        _check_step(text, step, step_column)
    return Place(unit, step)


def _check_step(text: str, step: str, column: int) -> None:
    if len(step) > STEP_LENGTH or CONTROL.search(step):
        raise RouteError(
            text, column, f"a step has up to {STEP_LENGTH} characters and no control characters"
        )
    if found := re.search(r"[{}]", step):
        raise RouteError(
            text,
            column + found.start(),
            f"unexpected {found[0]!r}: a count is one of ? * + {{n}} {{n,}} {{n,m}}, at the end",
        )
    if found := re.search(r"[?+*]$", step):
        raise RouteError(
            text,
            column + found.start(),
            f"unexpected {found[0]!r}: a hop has one count, behind its last alternative",
        )
    if ANY in step:
        raise RouteError(
            text, column + step.index(ANY), "'*' matches a whole step, not a part of it"
        )


_ARROW: Final = r"\s*(?:->|=>|\u2192)\s*"


def _read_hop(value: Any) -> Hop:
    if not isinstance(value, str):
        raise ValueError('must be a hop such as "unit:step", or a list of them')  # noqa: TRY004 - shown
    hops = re.split(_ARROW, value)
    if len(hops) > 1:
        proper = ", ".join(f'"{hop.strip()}"' for hop in hops)
        raise ValueError(f"{value!r}: a route is a list of hops, without arrows: [{proper}]")
    return parse_hop(value)


def _route(value: Any) -> Any:
    if isinstance(value, str):
        proper = ", ".join(f'"{hop.strip()}"' for hop in re.split(_ARROW, value))
        raise ValueError(f"must be a list of hops: write [{proper}]")  # noqa: TRY004 - shown
    if not isinstance(value, tuple):
        raise ValueError("must be a list of hops")  # noqa: TRY004 - shown
    return value


def _read_never(value: Any) -> Hop:
    hop = _read_hop(value)
    if (hop.least, hop.most) != (1, 1):
        raise ValueError(f"{value!r}: what must never happen has no count")
    return hop


def _read_place(value: Any) -> Place:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a non-empty string")
    if ":" not in value:
        raise ValueError(
            f'must be unit:TypeName, such as "{value.strip()}:ValueError" or "*:{value.strip()}"'
        )
    return parse_place(value)


_HOP_SCHEMA: Final = {"type": "string", "minLength": 1}
_ROUTE_SCHEMA: Final = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [_HOP_SCHEMA, {"type": "array", "minItems": 1, "items": _HOP_SCHEMA}]},
}
HopText = Annotated[Hop, Written(_read_hop, _HOP_SCHEMA, lambda hop: hop.written)]
NeverText = Annotated[Hop, Written(_read_never, _HOP_SCHEMA, lambda hop: hop.written)]
PlaceText = Annotated[Place, Written(_read_place, _HOP_SCHEMA, str)]
Stage = Annotated[tuple[HopText, ...], FILLED, Prepared(one_or_more, _HOP_SCHEMA)]


@table
class Circuit:
    """The declared path from cause to effect.

    `stages` are passed one after the other; the hops of one stage in any order. `keys` bounds the
    number of instances (None: no upper bound).
    """

    name: Annotated[Label, Key(required=True)] = ""
    """the name in reports; unique in the group"""
    stages: Annotated[
        tuple[Stage, ...], FILLED, Prepared(_route, _ROUTE_SCHEMA), Key("route", required=True)
    ] = ()
    """the stages that each key must pass, in order: [hops](circuits.md#hops); a nested list is one
    stage whose hops come in any order
    """
    keys: Annotated[tuple[int, int | None], KEY_RANGE, Key(default='`"1.."`')] = (1, None)
    """how many instances are expected: `"100"`, `"1.."` (at least one), `"0..5"`"""
    within_ns: Annotated[int | None, DURATION, Key("within")] = None
    """the longest time from the first event of the first stage to the event that completes the last
    required stage: seconds or a duration such as `"200ms"`. A key that takes longer is
    [`late`](../findings/late.md)
    """
    p50_ns: Annotated[int | None, DURATION, Key("p50")] = None
    """the longest median latency (nearest rank, at least 2 keys); a key without an answer counts as
    infinite. Over it: [`budget`](../findings/budget.md)
    """
    p95_ns: Annotated[int | None, DURATION, Key("p95")] = None
    """the same for the 95th percentile; needs at least 20 keys"""
    p99_ns: Annotated[int | None, DURATION, Key("p99")] = None
    """the same for the 99th percentile; needs at least 100 keys"""
    same: Annotated[tuple[FilledText, ...], UNIQUE] = ()
    """names of metadata fields that must be equal on every event of a key that has them"""
    never: Annotated[tuple[NeverText, ...], UNIQUE, Key(items="hops")] = ()
    """places (`"unit:step"`) that no key of the circuit may reach. An event without a key counts
    too, for the whole run
    """
    fifo: bool = False
    """`true`: keys must arrive in the order in which they were sent"""
    open: bool = False
    """`true`: keys of this circuit may also be sent and received outside of its route"""
    per: Literal["key", "run"] = "key"
    """`"key"`: one instance for each key. `"run"`: one instance for the whole run, keys are ignored
    """

    @property
    def hops(self) -> tuple[Hop, ...]:
        return tuple(hop for stage in self.stages for hop in stage)

    @property
    def budgets(self) -> Mapping[int, int]:
        """The percentiles (50, 95, 99) that have a budget, with it in ns."""
        given = {50: self.p50_ns, 95: self.p95_ns, 99: self.p99_ns}
        return {percentile: ns for percentile, ns in given.items() if ns is not None}


@table
class Rules:
    """The `[verify]` table, defaults decided. `linger_ns` None: until the deadline.

    `mask` are patterns of secrets, hidden in what leaves the folder of the run.
    """

    settle_ns: Annotated[int, DURATION, Key("settle")] = 100_000_000
    """seconds, or a duration: how long Testrium keeps watching after the circuit is complete, to
    see what comes too often. Choose it longer than the time after which a broker delivers a message
    again
    """
    allow: Annotated[tuple[PlaceText, ...], UNIQUE, Key(items="places")] = ()
    """exceptions that are expected: `"unit:TypeName"`, `*` for either part"""
    linger_ns: Annotated[int | None, DURATION, Key("linger", default="the deadline")] = None
    """seconds, or a duration: how long Testrium waits for open expectations (a key on its way, a
    missing probe) after the last unit that ends by itself has ended. A short value makes a loss
    fail fast; without it Testrium waits until the deadline (`timeout`)
    """
    stderr: Literal["uncaught", "forbid", "allow"] = "uncaught"
    """`"uncaught"`: exceptions that the interpreter reports count. `"forbid"`: any traceback on the
    stderr of a unit counts, caught or not, of any program. `"allow"`: neither counts
    """
    orphans: Annotated[
        Literal["forbid", "allow"], Key(default='`"forbid"` without circuits, else `"allow"`')
    ] = "forbid"
    """a key with a Send and no Receive, or a Receive and no Send: `"forbid"` or `"allow"`, see
    [below](circuits.md#orphans)
    """
    mask: Annotated[tuple[FilledText, ...], UNIQUE, Key(items="regular expressions")] = ()
    """regular expressions of secrets: a match in output, keys or metadata is shown as `***` on the
    console, in reports and in archives. The run folder keeps the original
    """

    def allows(self, unit: str, step: str) -> bool:
        """Whether an Exception event of this unit and step is expected."""
        return any_matches(self.allow, unit, step)
