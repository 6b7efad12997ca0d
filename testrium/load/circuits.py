"""What must hold: the tables `[verify]` and `[[circuits]]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.load.document import Spot
from testrium.load.routes import RouteError, Stations, parse_place, read_hop, read_route
from testrium.load.schema import CIRCUIT, VERIFY
from testrium.words import Place

_PERCENTILES = (50, 95, 99)


def read_rules(table: Any, spot: Spot, stations: Stations, *, has_circuits: bool) -> Rules:
    """The `[verify]` table with its defaults; what is wrong is noted.

    Args:
        table: the table; {} where there is none.
        spot: where it stands.
        stations: what `allow` may name.
        has_circuits: whether a circuit is declared; it decides the default of `orphans`.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        table = {}
    reading = VERIFY.read(table, spot)
    return Rules(
        settle_ns=reading["settle_ns"],
        allow=_allowed(reading["allow"], reading.at("allow"), stations),
        linger_ns=reading["linger_ns"],
        stderr=reading["stderr"],
        orphans=reading["orphans"] or ("allow" if has_circuits else "forbid"),
        mask=_patterns(reading["mask"], reading.at("mask")),
    )


def _patterns(texts: tuple[str, ...], spot: Spot) -> tuple[str, ...]:
    for index, text in enumerate(texts):
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            spot.at(index).wrong(f"invalid regular expression: {error}")
    return texts


def _allowed(texts: tuple[str, ...], spot: Spot, stations: Stations) -> tuple[Place, ...]:
    places = []
    for index, text in enumerate(texts):
        try:
            places.append(parse_place(text, stations.units))
        except RouteError as error:
            spot.at(index).wrong(str(error))
    return tuple(places)


def read_circuits(value: Any, spot: Spot, stations: Stations) -> tuple[Circuit, ...]:
    """The `[[circuits]]` tables; what is wrong is noted, and left out.

    Args:
        value: the list of tables.
        spot: where it stands.
        stations: what routes may name.
    """
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        spot.wrong("must be a list of tables: [[circuits]]")
        return ()
    circuits: dict[str, Circuit] = {}
    for index, table in enumerate(value):
        place = spot.at(index)
        circuit = _read_circuit(table, place, stations)
        if circuit.name and circuit.name in circuits:
            place.at("name").wrong(f"another circuit has the name {circuit.name!r}")
        circuits[circuit.name] = circuit
    return tuple(circuits.values())


def _read_circuit(table: Mapping[str, Any], spot: Spot, stations: Stations) -> Circuit:
    reading = CIRCUIT.read(table, spot)
    stages: tuple[tuple[Hop, ...], ...] = ()
    if "route" in reading.spots:
        stages = read_route(reading["route"], reading.at("route"), stations)
    budgets = {p: reading[f"p{p}"] for p in _PERCENTILES if reading[f"p{p}"] is not None}
    return Circuit(
        name=reading["name"],
        stages=stages,
        keys=reading["keys"],
        within_ns=reading["within_ns"],
        budgets=budgets,
        same=reading["same"],
        never=_never(reading["never"], reading.at("never"), stations),
        fifo=reading["fifo"],
        open=reading["open"],
        per=reading["per"],
    )


def _never(texts: tuple[str, ...], spot: Spot, stations: Stations) -> tuple[Hop, ...]:
    hops = []
    for index, text in enumerate(texts):
        hop = read_hop(text, spot.at(index), stations)
        if hop is not None and (hop.least, hop.most) != (1, 1):
            spot.at(index).wrong(f"{text!r}: what must never happen has no count")
        elif hop is not None:
            hops.append(hop)
    return tuple(hops)
