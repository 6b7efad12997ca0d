"""What must hold: the tables `[verify]` and `[[circuits]]`, and what a route may name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from testrium.declared.circuits import Circuit, Hop, RouteError, Rules
from testrium.declared.keys import field_named
from testrium.load.document import Spot
from testrium.load.validate import Table, read, read_list
from testrium.phrases import did_you_mean, nearest_word
from testrium.tuples import NamedTuple
from testrium.words import ANY, RESERVED_UNITS, Place

#: How much a step of a route must look like a declared one to be taken for a misspelling.
_STEP_LIKENESS = 0.75
_ALTERNATIVE = re.compile(r"[^|\s](?:[^|]*[^|\s])?")


class KnownPlaces(NamedTuple):
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


def read_rules(spot: Spot, places: KnownPlaces, *, has_circuits: bool) -> Rules:
    """The `[verify]` table with its defaults; what is wrong is noted.

    Whether a circuit is declared decides the default of `orphans`.
    """
    reading = read(Rules, {} if spot.raw is None else spot.raw, spot)
    for index, place in enumerate(reading.value.allow):
        check_unit(place, reading.item("allow", index), places)
    for where, text in reading.texts("mask"):
        check_expression(text, where)
    if "orphans" in reading.spots:
        return reading.value
    return replace(reading.value, orphans="allow" if has_circuits else "forbid")


def read_circuits(spot: Spot, places: KnownPlaces) -> tuple[Circuit, ...]:
    """The `[[circuits]]` tables; what is wrong is noted, and left out."""
    circuits: dict[str, Circuit] = {}
    for reading in read_list(Circuit, _with_colons(spot, places.units), "circuits"):
        circuit = reading.value
        _check_hops(reading, places)
        _check_limits(reading)
        if circuit.name and circuit.name in circuits:
            reading.at("name").wrong(f"another circuit has the name {circuit.name!r}")
        circuits[circuit.name] = circuit
    return tuple(circuits.values())


def _with_colons(spot: Spot, units: Collection[str]) -> Spot:
    """The tables with `unit:step` in place of `unit.step`, which is noted.

    What a hop looks like is known without the units; what was meant is not.
    """
    tables = spot.raw
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return spot
    found = []
    for number, table in enumerate(tables):
        found.append(changed := dict(table))
        for key, value in table.items():
            field = field_named(Circuit, key)
            if field and field.name in ("stages", "never") and isinstance(value, list):
                changed[key] = _hops_with_colons(value, spot.at(number, key), units)
    return spot if found == tables else spot.replaced(found)


def _hops_with_colons(value: Any, spot: Spot, units: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_hops_with_colons(hop, spot.at(index), units) for index, hop in enumerate(value)]
    if not isinstance(value, str):
        return value
    proper = value
    for match in re.finditer(_ALTERNATIVE, value):
        word = match[0]
        unit = max((each for each in units if word.startswith(f"{each}.")), key=len, default=None)
        if unit is not None and ":" not in word and len(word) > len(unit) + 1:
            hop = f"{unit}:{word[len(unit) + 1 :]}"
            reason = f"expected unit:step, found {word!r}: write {hop!r}"
            spot.wrong(str(RouteError(value, match.start() + 1, reason)))
            proper = f"{proper[: match.start()]}{hop}{proper[match.end() :]}"
    return proper


def _check_hops(reading: Table[Circuit], places: KnownPlaces) -> None:
    for index, stage in enumerate(reading.value.stages):
        spot = reading.item("stages", index)
        several = isinstance(spot.raw, list)
        for number, hop in enumerate(stage):
            check_hop(hop, spot.at(number) if several else spot, places)
    for index, hop in enumerate(reading.value.never):
        check_hop(hop, reading.item("never", index), places)


def _check_limits(reading: Table[Circuit]) -> None:
    """Limits that no run could meet or miss."""
    circuit = reading.value
    if circuit.per == "run" and circuit.p50_ns is not None:
        reading.at("p50_ns").wrong(
            "needs two keys or more, and per = 'run' makes one instance: use within"
        )
    optional = circuit.stages and all(hop.least == 0 for hop in circuit.hops)
    if circuit.within_ns is not None and optional:
        reading.at("within_ns").wrong("is never checked: every hop of the route is optional")


def check_expression(text: str, spot: Spot) -> None:
    """Note what is wrong with a regular expression."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        spot.wrong(f"invalid regular expression: {error}")


def check_hop(hop: Hop, spot: Spot, places: KnownPlaces) -> None:
    """Note what a hop names that is not there, or probably not."""
    for place in hop.places:
        if check_unit(place, spot, places):
            check_step(place, spot, places)


def check_unit(place: Place, spot: Spot, places: KnownPlaces) -> bool:
    """Whether the unit of a place is one of the group; noted where it is not."""
    if place.unit == ANY or place.unit in places.units:
        return True
    text = str(spot.raw)
    found = re.search(rf"(?:^|\|)\s*({re.escape(place.unit)})\s*:", text)
    column = found.start(1) + 1 if found else 1
    guess = did_you_mean(place.unit, places.units)
    spot.wrong(f"{text!r}, column {column}: unknown unit {place.unit!r}{guess}")
    return False


def check_step(place: Place, spot: Spot, places: KnownPlaces) -> None:
    """Steps need not be declared; but one that nearly is was probably meant to be that one."""
    known = places.steps.get(place.unit, frozenset())
    if place.step == ANY or place.step in known:
        return
    if place.unit in places.shared:
        there = ", ".join(sorted(known)) or "none"
        spot.wrong(
            f"{str(place)!r}: of a fixture that groups share only the ready_event ({there})"
            " is an event of each group; with scope = 'group' all are"
        )
        return
    if nearest := nearest_word(place.step, sorted(known), _STEP_LIKENESS):
        spot.notice(f"no file mentions the step {str(place)!r}; did you mean {nearest!r}?")
