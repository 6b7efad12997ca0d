"""Routes as users write them: `host:received+`, `c1:sent|c2:sent{1,3}`, lists for any order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from testrium.declared.circuits import Hop
from testrium.load.document import Spot, did_you_mean, nearest_word
from testrium.load.kinds import (
    CONTROL,
    NAME,
    STEP_LENGTH,
)
from testrium.words import RESERVED_UNITS, Place

ANY = "*"

_COUNT = re.compile(r"[?*+]|\{(?P<least>[0-9]+)(?P<comma>,(?P<most>[0-9]+)?)?\}")
_COUNT_AT_END = re.compile(rf"(?:{_COUNT.pattern})$")
_BOUNDS: Mapping[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}

#: How much a step of a route must look like a declared one to be taken for a misspelling.
_STEP_LIKENESS = 0.75


class RouteError(ValueError):
    """A hop that cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        super().__init__(f"{text!r}, column {column}: {reason}")


class Stations(NamedTuple):
    """What a route may name: all units of the group, and the steps that their files mention.

    `shared` are the fixtures that other groups use too. Only the steps that their files mention
    are events of this group, and nothing is done to their processes here. `folder` is the group's.
    """

    steps: Mapping[str, frozenset[str]]
    shared: frozenset[str] = frozenset()
    folder: Path | None = None

    @property
    def units(self) -> tuple[str, ...]:
        """Declared and reserved units."""
        return (*self.steps, *RESERVED_UNITS)


def parse_hop(text: str, units: Iterable[str]) -> Hop:
    """Read one hop: alternatives and a count.

    Args:
        text: what the user wrote.
        units: the units that may be named.

    Raises:
        RouteError: it is no hop, or names an unknown unit.
    """
    least, most, end = _count(text)
    places = []
    start = 0
    for alternative in text[:end].split("|"):
        places.append(_place(text, alternative, start, units))
        start += len(alternative) + 1
    if len(set(places)) < len(places):
        raise RouteError(text, 1, "an alternative stands there twice")
    return Hop(text[:end].strip(), tuple(places), least, most)


def parse_place(text: str, units: Iterable[str]) -> Place:
    """Read `unit:step`, `*` for either.

    Raises:
        RouteError: it is no such place, or names an unknown unit.
    """
    return _place(text, text, 0, units)


def _count(text: str) -> tuple[int, int | None, int]:
    """The count at the end of a hop, and where it begins."""
    stripped = text.rstrip()
    match = _COUNT_AT_END.search(stripped)
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
    """Whether a step stands in the last alternative of a hop."""
    return bool(text.rpartition("|")[2].partition(":")[2].strip())


def _place(text: str, alternative: str, start: int, units: Iterable[str]) -> Place:
    begin = start + len(alternative) - len(alternative.lstrip()) + 1
    word = alternative.strip()
    unit, colon, step = (part.strip() for part in word.partition(":"))
    if not colon:
        raise RouteError(text, begin, f"expected unit:step, found {word!r}")
    if unit != ANY:
        if not NAME.fullmatch(unit):
            raise RouteError(text, begin, f"{unit!r} is no name of a unit")
        known = list(units)
        if unit not in known:
            raise RouteError(text, begin, f"unknown unit {unit!r}{did_you_mean(unit, known)}")
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
            text, column + step.index(ANY), "'*' stands for a whole step, not for a part of it"
        )


def read_route(value: Any, spot: Spot, stations: Stations) -> tuple[tuple[Hop, ...], ...]:
    """The stages of a route; what is wrong is noted at its place, and left out.

    Args:
        value: a list of hops and of lists of hops.
        spot: where it stands.
        stations: what it may name.
    """
    if not isinstance(value, list):
        spot.wrong("must be a list of hops")
        return ()
    if not value:
        spot.wrong("must not be empty")
    stages = []
    for index, stage in enumerate(value):
        place = spot.at(index)
        if isinstance(stage, list) and not stage:
            place.wrong("must not be empty")
        texts = stage if isinstance(stage, list) else [stage]
        places = [place.at(i) for i in range(len(stage))] if isinstance(stage, list) else [place]
        hops = [read_hop(text, at, stations) for text, at in zip(texts, places, strict=True)]
        stages.append(tuple(hop for hop in hops if hop is not None))
    return tuple(stage for stage in stages if stage)


def read_hop(value: Any, spot: Spot, stations: Stations) -> Hop | None:
    """One hop; None, and a problem noted, where it cannot be read."""
    if not isinstance(value, str):
        spot.wrong('must be a hop such as "unit:step", or a list of them')
        return None
    try:
        hop = parse_hop(value, stations.units)
    except RouteError as error:
        spot.wrong(str(error))
        return None
    for place in hop.places:
        check_step(place, spot, stations)
    return hop


def check_step(place: Place, spot: Spot, stations: Stations) -> None:
    """Steps need not be declared; but one that nearly is was probably meant to be that one."""
    known = stations.steps.get(place.unit, frozenset())
    if place.step == ANY or place.step in known:
        return
    if place.unit in stations.shared:
        there = ", ".join(sorted(known)) or "none"
        spot.wrong(
            f"{str(place)!r}: of a fixture that groups share only the ready_event ({there})"
            " is an event of each group; with scope = 'group' all are"
        )
        return
    if nearest := nearest_word(place.step, sorted(known), _STEP_LIKENESS):
        spot.notice(f"no file mentions the step {str(place)!r}; did you mean {nearest!r}?")
