"""Circuits guessed from a run that passed: routes, counts, number of keys, limits.

What is guessed holds for every key of that run, so the circuit passes on it; whether it was meant
so only a person can tell. Each guess carries its support in words. `proposal` writes it as TOML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.units import Unit
from testrium.evidence import Event, Evidence
from testrium.measures import time_span
from testrium.statistics import nearest_rank
from testrium.verify.circuits import unclaimed_events
from testrium.verify.index import EventIndex
from testrium.verify.instances import Instances
from testrium.verify.proposal import Proposal
from testrium.verify.route import Route
from testrium.verify.timing import LEAST_SAMPLES
from testrium.verify.tracks import Track, alternatives, stages_of
from testrium.verify.wording import number_of, times
from testrium.words import RESERVED_UNITS, EventType, Place

#: A hop that was passed more often than this is proposed without an upper bound.
MOST_COUNTED = 5

#: Limits: so many times what was measured, and never less than this (ns): a busy machine is slow.
WITHIN_FACTOR, LEAST_WITHIN_NS = 10, 100_000_000
P95_FACTOR, LEAST_P95_NS = 5, 20_000_000

#: Where nothing but the times of a few keys, or of one burst, say that a hop follows another.
DOUBT = "; that it comes after the hop before it may be a coincidence"

#: Steps that cannot be written in a route: signs of its notation, and blanks at the ends.
_UNWRITABLE = re.compile(r"[|*{}]|[?+]$|^\s|\s$")


def learn(units: Sequence[Unit], events: Sequence[Event]) -> tuple[Proposal, ...]:
    """Guess the circuits of a run that passed.

    Keys that were never at more than one place tell of no way, and places whose events are not
    all keyed can stand in no route that is per key; both are left out.

    Args:
        units: the group's units; places of others are left out. Hops without an order stand in
            the order of their units.
        events: of the whole run; those of the last attempt count.
    """
    attempt = max((event.attempt for event in events), default=1)
    index = EventIndex(Evidence(events=tuple(events), attempt=attempt))
    known = [*(unit.name for unit in sorted(units, key=lambda unit: unit.init)), *RESERVED_UNITS]
    stations = [
        Place(*place)
        for place, found in index.by_place.items()
        if place[0] in known and _is_station(place[1], found)
    ]
    stations.sort(key=lambda place: known.index(place.unit))
    proposals: list[Proposal] = []
    instances: list[Instances] = []
    for family in _families(stations, index):
        found = _collect(family, index)
        proposals.append(_propose(family, found, {one.circuit.name for one in proposals}))
        instances.append(found)
    strays = unclaimed_events([one.circuit for one in proposals], index)
    return tuple(
        _opened(one, found, strays) for one, found in zip(proposals, instances, strict=True)
    )


def _is_station(step: str, events: Iterable[Event]) -> bool:
    """Whether a route may name this step, and each of its events has a key."""
    return not _UNWRITABLE.search(step) and all(
        event.key is not None and event.type != EventType.EXCEPTION for event in events
    )


def _collect(places: Iterable[Place], index: EventIndex) -> Instances:
    """The instances that the verifier will see in a circuit of these places."""
    stages = tuple((Hop(str(place), (place,), 0, None),) for place in places)
    return Instances(Circuit("", stages), index)


def _families(stations: Sequence[Place], index: EventIndex) -> Iterator[list[Place]]:
    """Places that keys have in common, two at least."""
    found = _collect(stations, index)
    above = list(range(len(stations)))

    def root_of(number: int) -> int:
        while above[number] != number:
            number = above[number]
        return number

    first_seen: dict[str, int] = {}
    for number, column in enumerate(found.columns):
        for name in column:
            above[root_of(number)] = root_of(first_seen.setdefault(name, number))
    families: dict[int, list[Place]] = {}
    for number, place in enumerate(stations):
        families.setdefault(root_of(number), []).append(place)
    return (family for family in families.values() if len(family) > 1)


def _propose(family: Sequence[Place], found: Instances, taken: set[str]) -> Proposal:
    total = len(found)
    tracks = [
        Track((place,), {name: column.of(name) for name in column})
        for place, column in zip(family, found.columns, strict=True)
    ]
    stages = stages_of(alternatives(tracks, total), total)
    hops = {track: _hop(track, total) for stage in stages for track in stage.tracks}
    circuit = Circuit(
        name=_name(hops[stages[0].tracks[0]].places[0], taken),
        stages=tuple(tuple(hops[track] for track in stage.tracks) for stage in stages),
        keys=(total, total),
    )
    reasons = {
        hops[track].text: _support(track, total) + (DOUBT if stage.doubtful else "")
        for stage in stages
        for track in stage.tracks
    }
    several = "" if total == 1 else 'write "1.." where the number varies'
    reasons["keys"] = "; ".join(filter(None, (f"{number_of(total, 'key')} in this run", several)))
    circuit, limits = _limited(circuit, [track for stage in stages for track in stage.tracks])
    remarks = {number: stage.remark for number, stage in enumerate(stages) if stage.remark}
    return Proposal(circuit, total, reasons | limits, remarks)


def _name(place: Place, taken: set[str]) -> str:
    """The step in which the circuit begins, or more of its place where that is taken."""
    if place.step not in taken:
        return place.step
    return str(place)  # one circuit claims all of a place's events: no other begins here


def _hop(track: Track, total: int) -> Hop:
    counts = track.counts()
    least = track.least if len(track.rows) == total else 0
    highest = max(counts)
    most = highest if highest <= MOST_COUNTED or highest == least else None
    return Hop("|".join(map(str, track.places)), track.places, least, most)


def _support(track: Track, total: int) -> str:
    """`97 of 97 keys; 2 of them more than once, 3 times at most`."""
    present = track.numbers()
    words = [f"{' and '.join(map(str, present))} of {number_of(total, 'key')}"]
    counts = track.counts()
    several = sum(1 for count in counts if count > 1)
    if several and min(counts) == max(counts):
        words.append(f"{times(counts[0])} each")
    elif several:
        words.append(f"{several} of them more than once, {times(max(counts))} at most")
    return "; ".join(words)


# Limits ----------------------------------------------------------------------------------------


def _limited(circuit: Circuit, tracks: Sequence[Track]) -> tuple[Circuit, dict[str, str]]:
    """The circuit with `within` and p95, where its times can be known."""
    route = Route(circuit)
    if not route.last:
        return circuit, {}
    names = {name for track in tracks for name in track.rows}
    rows = ([track.rows.get(name, ()) for track in tracks] for name in names)
    taken = sorted(route.latency(row).high for row in rows)
    if taken[-1] == inf:
        return circuit, {}
    within_ns = _rounded_up(max(WITHIN_FACTOR * taken[-1], LEAST_WITHIN_NS))
    circuit = circuit._replace(within_ns=within_ns)
    reasons = {
        "within": f"{times(WITHIN_FACTOR)} the slowest of {number_of(len(taken), 'key')}"
        f" ({time_span(taken[-1])}), {time_span(LEAST_WITHIN_NS)} at least"
    }
    if len(taken) >= LEAST_SAMPLES[95]:
        p95_ns = nearest_rank(taken, 95)
        budget_ns = min(within_ns, _rounded_up(max(P95_FACTOR * p95_ns, LEAST_P95_NS)))
        circuit = circuit._replace(budgets={95: budget_ns})
        reasons["p95"] = (
            f"{times(P95_FACTOR)} the p95 of this run ({time_span(p95_ns)}),"
            f" {time_span(LEAST_P95_NS)} at least"
        )
    return circuit, reasons


def _rounded_up(span_ns: float) -> int:
    """To the next 1, 2 or 5 with zeros behind it."""
    scale = 1
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= span_ns:
                return digit * scale
        scale *= 10


def _opened(proposal: Proposal, found: Instances, strays: Sequence[Event]) -> Proposal:
    """Open the circuit where its keys were sent or received at places that were left out."""
    outside = dict.fromkeys(
        str(Place(event.unit, event.step))
        for event in strays
        if event.key is not None and found.name_of(event.key) is not None
    )
    if not outside:
        return proposal
    reason = f"its keys were also at {', '.join(outside)}, which no route can name"
    return proposal._replace(
        circuit=proposal.circuit._replace(open=True),
        reasons={**proposal.reasons, "open": reason},
    )
