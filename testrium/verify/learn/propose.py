"""A circuit that was learned, as TOML to paste: every guess with its support behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.units import Unit
from testrium.evidence import Event, Evidence
from testrium.phrases import duration_text, plural, time_span, times
from testrium.statistics import nearest_rank
from testrium.verify.circuits import Unclaimed
from testrium.verify.index import EventIndex
from testrium.verify.instances import Instances, Route
from testrium.verify.learn.learned_order import HopGuess, alternatives, stages_of
from testrium.verify.timing import LEAST_SAMPLES
from testrium.words import RESERVED_UNITS, EventType, Place


class Proposal(NamedTuple):
    """A circuit and the support of its parts.

    `reasons` has sentences by the text of a hop or the name of a key (`within`), `remarks` by the
    number of a stage. `instances` is the number of keys that it was learned from.
    """

    circuit: Circuit
    instances: int
    reasons: Mapping[str, str]
    remarks: Mapping[int, str]


def as_toml(proposal: Proposal) -> str:
    """The `[[circuits]]` table."""
    circuit, reasons = proposal.circuit, proposal.reasons
    route: list[tuple[str, str]] = []
    for number, stage in enumerate(circuit.stages):
        several = len(stage) > 1
        if several:
            route.append(("    [", proposal.remarks[number]))
        indent = " " * (8 if several else 4)
        for hop in stage:
            route.append((f"{indent}{quoted(hop.text + count_of(hop))},", reasons[hop.text]))
        if several:
            route.append(("    ],", ""))
    lines = ["[[circuits]]", f"name = {quoted(circuit.name)}", "route = [", *_aligned(route), "]"]
    least, most = circuit.keys
    keys = [(f'keys = "{least}"' if least == most else f'keys = "{least}.."', reasons["keys"])]
    if circuit.within_ns is not None:
        keys.append((f'within = "{duration_text(circuit.within_ns)}"', reasons["within"]))
    for percentile, budget_ns in circuit.budgets.items():
        name = f"p{percentile}"
        keys.append((f'{name} = "{duration_text(budget_ns)}"', reasons[name]))
    if circuit.open:
        keys.append(("open = true", reasons["open"]))
    lines += _aligned(keys)
    return "".join(f"{line}\n" for line in lines)


def count_of(hop: Hop) -> str:
    """A hop's count as it stands behind it: "", `?`, `+`, `{1,3}`."""
    match hop.least, hop.most:
        case 1, 1:
            return ""
        case 0, 1:
            return "?"
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case least, most if least == most:
            return f"{{{least}}}"
        case least, most:
            return f"{{{least},{'' if most is None else most}}}"


def quoted(text: str) -> str:
    """A TOML string on one line; what a terminal would not show is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _aligned(parts: Sequence[tuple[str, str]]) -> list[str]:
    """Lines, each with its remark behind it."""
    width = max(len(part) for part, _ in parts)
    return [f"{part:<{width}}  # {_visible(why)}" if why else part for part, why in parts]


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


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
    strays = Unclaimed([one.circuit for one in proposals], index).events
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
        HopGuess((place,), {name: column.of(name) for name in column})
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
    reasons["keys"] = "; ".join(filter(None, (f"{plural(total, 'key')} in this run", several)))
    circuit, limits = _limited(circuit, [track for stage in stages for track in stage.tracks])
    remarks = {number: stage.remark for number, stage in enumerate(stages) if stage.remark}
    return Proposal(circuit, total, reasons | limits, remarks)


def _name(place: Place, taken: set[str]) -> str:
    """The step in which the circuit begins, or more of its place where that is taken."""
    if place.step not in taken:
        return place.step
    return str(place)  # one circuit claims all of a place's events: no other begins here


def _hop(track: HopGuess, total: int) -> Hop:
    counts = track.counts()
    least = track.least if len(track.rows) == total else 0
    highest = max(counts)
    most = highest if highest <= MOST_COUNTED or highest == least else None
    return Hop("|".join(map(str, track.places)), track.places, least, most)


def _support(track: HopGuess, total: int) -> str:
    """`97 of 97 keys; 2 of them more than once, 3 times at most`."""
    present = track.numbers()
    words = [f"{' and '.join(map(str, present))} of {plural(total, 'key')}"]
    counts = track.counts()
    several = sum(1 for count in counts if count > 1)
    if several and min(counts) == max(counts):
        words.append(f"{times(counts[0])} each")
    elif several:
        words.append(f"{several} of them more than once, {times(max(counts))} at most")
    return "; ".join(words)


# Limits ----------------------------------------------------------------------------------------


def _limited(circuit: Circuit, tracks: Sequence[HopGuess]) -> tuple[Circuit, dict[str, str]]:
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
    circuit = replace(circuit, within_ns=within_ns)
    reasons = {
        "within": f"{times(WITHIN_FACTOR)} the slowest of {plural(len(taken), 'key')}"
        f" ({time_span(taken[-1])}), {time_span(LEAST_WITHIN_NS)} at least"
    }
    if len(taken) >= LEAST_SAMPLES[95]:
        p95_ns = nearest_rank(taken, 95)
        budget_ns = min(within_ns, _rounded_up(max(P95_FACTOR * p95_ns, LEAST_P95_NS)))
        circuit = replace(circuit, p95_ns=budget_ns)
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
        circuit=replace(proposal.circuit, open=True),
        reasons={**proposal.reasons, "open": reason},
    )
