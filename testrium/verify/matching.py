"""Which events a hop, a `never` or an `allow` speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from testrium.declared.circuits import Hop
from testrium.words import Place

ANY = "*"


def matches(place: Place, unit: str, step: str) -> bool:
    """Whether `place`, in which `*` stands for any, speaks of this unit and step."""
    return place.unit in (ANY, unit) and place.step in (ANY, step)


def any_matches(places: Iterable[Place], unit: str, step: str) -> bool:
    """Whether one of `places` speaks of this unit and step."""
    return any(matches(place, unit, step) for place in places)


def matching_hops(hops: Sequence[Hop], unit: str, step: str) -> tuple[int, ...]:
    """The indices of the hops that an event at this place may belong to, the best one first.

    A hop that names the place goes before one that only matches it by a star; else the route's
    order counts, so that a route may pass one place twice.
    """
    found = [
        (min(_stars(place) for place in hop.places if matches(place, unit, step)), index)
        for index, hop in enumerate(hops)
        if any_matches(hop.places, unit, step)
    ]
    return tuple(index for _, index in sorted(found))


def choose_hop(candidates: Sequence[int], counts: Sequence[int], hops: Sequence[Hop]) -> int:
    """The first of `candidates` that still has room for one more event; else the first of all."""
    for index in candidates:
        most = hops[index].most
        if most is None or counts[index] < most:
            return index
    return candidates[0]


def _stars(place: Place) -> int:
    return (place.unit == ANY) + (place.step == ANY)
