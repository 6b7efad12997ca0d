"""`testrium learn`: circuits that are guessed from a run that passed, as TOML to paste."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from itertools import combinations, pairwise
from math import inf
from typing import NamedTuple

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.units import Unit
from testrium.evidence import Event, Evidence
from testrium.phrases import duration_text, plural, time_span, times
from testrium.statistics import nearest_rank
from testrium.verify.circuits import Unclaimed
from testrium.verify.index import EventIndex, join_keys
from testrium.verify.instances import Instances, Route
from testrium.verify.timing import LEAST_SAMPLES, Order, misplaced, order_of
from testrium.words import RESERVED_UNITS, EventType, Place

#: How many times in the same order exclude a coincidence: 1 in 128, were it a coin's.
LEAST_AGREEING = 8

#: How often a sender must have been the first, for others to be taken for those who pass it on.
LEAST_BEGINNING = 3


@dataclass(eq=False)
class HopGuess:
    """The events of a hop, by instance and time. Several places are alternatives."""

    places: tuple[Place, ...]
    rows: Mapping[str, Sequence[Event]]

    def __post_init__(self) -> None:
        #: How many of its events each event behind it has to wait for.
        self.least = min(self.counts())

    def counts(self) -> list[int]:
        return [len(events) for events in self.rows.values()]

    def numbers(self) -> list[int]:
        """How many instances were at each of its places."""
        at = Counter((row[0].unit, row[0].step) for row in self.rows.values())
        return [at[place] for place in self.places]

    @cached_property
    def unit(self) -> str | None:
        """Its one unit, if it has one."""
        units = {place.unit for place in self.places}
        return units.pop() if len(units) == 1 else None

    @cached_property
    def types(self) -> set[str]:
        """The types of its events."""
        return {event.type for row in self.rows.values() for event in row}


class StageGuess(NamedTuple):
    """Hops that were passed in any order; `remark` says why, where there are several.

    `doubtful`: that it comes after the stage before it may be a coincidence.
    """

    tracks: tuple[HopGuess, ...]
    remark: str = ""
    doubtful: bool = False


class Relation(Enum):
    """How two hops follow each other, over all instances that passed both."""

    BEFORE = "before"
    AFTER = "after"
    MIXED = "mixed"
    APART = "apart"  # no instance passed both

    @property
    def mirrored(self) -> Relation:
        """The same, seen from the other hop."""
        return {Relation.BEFORE: Relation.AFTER, Relation.AFTER: Relation.BEFORE}.get(self, self)


def relation(one: HopGuess, other: HopGuess) -> Relation:
    """The order of two hops, as far as all instances agree."""
    few, many = sorted((one.rows, other.rows), key=len)
    common = [name for name in few if name in many]
    if not common:
        return Relation.APART
    before = all(_follows(one.rows[name], other.rows[name], one.least) for name in common)
    after = all(_follows(other.rows[name], one.rows[name], other.least) for name in common)
    if before and after:  # no rule would be broken either way: is one of them certain?
        before = all(_certain(one.rows[name], other.rows[name]) for name in common)
        after = all(_certain(other.rows[name], one.rows[name]) for name in common)
    if before == after:
        return Relation.MIXED
    return Relation.BEFORE if before else Relation.AFTER


def _follows(prior: Sequence[Event], later: Sequence[Event], least: int) -> bool:
    if len(prior) == len(later) == 1:  # nearly always, and much faster
        return order_of(prior[0], later[0]) <= Order.OVERLAPPING
    return not misplaced([[(0, least)], [(1, 1)]], (prior, later))


def _certain(prior: Sequence[Event], later: Sequence[Event]) -> bool:
    return order_of(prior[0], later[0]) is Order.EARLIER


# Alternatives ------------------------------------------------------------------------------------


def alternatives(tracks: Sequence[HopGuess], total: int) -> list[HopGuess]:
    """Join hops of which each of `total` instances passed exactly one."""
    found = list(tracks)
    positions = _positions(tracks)
    for track in tracks:
        if track not in found or len(track.rows) == total:
            continue
        merged = track
        others = [one for one in found if one is not track and len(one.rows) < total]
        for other in sorted(others, key=lambda o: abs(positions[o] - positions[track])):
            if merged.rows.keys().isdisjoint(other.rows):
                wider = HopGuess(merged.places + other.places, {**merged.rows, **other.rows})
                rest = [one for one in found if not set(wider.places).issuperset(one.places)]
                if all(_stays_ordered((merged, other), wider, one) for one in rest):
                    merged = wider
        if len(merged.rows) == total:
            joined = set(merged.places)
            found = [one for one in found if not joined.issuperset(one.places)]
            found.append(merged)
    return found


def _stays_ordered(parts: Sequence[HopGuess], wider: HopGuess, other: HopGuess) -> bool:
    """Whether joining the parts loses no order towards another hop."""
    if any(relation(part, other) is Relation.MIXED for part in parts):
        return True
    return relation(wider, other) is not Relation.MIXED


def _positions(tracks: Sequence[HopGuess]) -> dict[HopGuess, float]:
    """At which place of an instance's path each hop is, on average."""
    ways: dict[str, list[tuple[int, int]]] = {}
    for number, track in enumerate(tracks):
        for name, events in track.rows.items():
            ways.setdefault(name, []).append((events[0].t_ns, number))
    sums = [0] * len(tracks)
    for way in ways.values():
        for position, (_, number) in enumerate(sorted(way)):
            sums[number] += position
    return {track: total / len(track.rows) for track, total in zip(tracks, sums, strict=True)}


# Stages ------------------------------------------------------------------------------------------


def stages_of(tracks: Sequence[HopGuess], total: int) -> list[StageGuess]:
    """Put hops into stages, such that the verifier finds every instance in order."""
    _relax(tracks)
    relations: dict[tuple[HopGuess, HopGuess], Relation] = {}
    for one, other in combinations(tracks, 2):
        relations[one, other] = found = relation(one, other)
        relations[other, one] = found.mirrored
    before = {pair for pair, found in relations.items() if found is Relation.BEFORE}
    proven = _closure(_proven(before, tracks, total), tracks)
    believed = _closure(proven | {pair for pair in before if not _may_be_parallel(*pair)}, tracks)
    loose = {pair for pair, found in relations.items() if found is Relation.MIXED}
    loose |= before - believed
    reach = _closure(before | loose | {(other, one) for one, other in loose}, tracks)
    groups: list[list[HopGuess]] = []
    for track in tracks:
        for group in groups:
            if (track, group[0]) in reach and (group[0], track) in reach:
                group.append(track)
                break
        else:
            groups.append([track])
    ordered = _in_order(groups, reach, _positions(tracks))
    return [
        StageGuess(
            tuple(group),
            _remark(group),
            number > 0 and _doubtful(ordered[number - 1], group, proven),
        )
        for number, group in enumerate(ordered)
    ]


def _doubtful(
    before: Sequence[HopGuess], group: Sequence[HopGuess], proven: set[tuple[HopGuess, HopGuess]]
) -> bool:
    """Whether only the times of this run say that one stage follows another."""
    return not any((one, other) in proven for one in before for other in group)


def _relax(tracks: Sequence[HopGuess]) -> None:
    """Where a hop is passed several times, ask only for once if that keeps an order."""
    for track in tracks:
        least = track.least
        if least == 1:
            continue
        strict = [relation(track, other) for other in tracks if other is not track]
        track.least = 1
        if strict == [relation(track, other) for other in tracks if other is not track]:
            track.least = least


def _proven(
    before: set[tuple[HopGuess, HopGuess]], tracks: Sequence[HopGuess], total: int
) -> set[tuple[HopGuess, HopGuess]]:
    """The orders that are not a coincidence: one unit's own, a message's, a key's beginning, and
    those that were seen often."""
    sends = {track for track in tracks if track.types == {EventType.SEND}}
    receives = {track for track in tracks if track.types == {EventType.RECEIVE}}
    begin = {
        track
        for track in tracks
        if len(track.rows) == total
        and all((track, other) in before for other in tracks if other is not track)
    }
    return {
        (one, other)
        for one, other in before
        if (one.unit is not None and one.unit == other.unit)
        or (one in sends and other in receives)
        or _episodes(one, other) >= _needed(one, other, begins=one in begin)
    }


def _needed(one: HopGuess, other: HopGuess, *, begins: bool) -> int:
    """How often an order must have been seen to be no coincidence."""
    if not begins:
        return LEAST_AGREEING
    return LEAST_BEGINNING if _may_be_parallel(one, other) else 1


def _may_be_parallel(one: HopGuess, other: HopGuess) -> bool:
    """Whether they may race: both got the same message, both send to a third one, or do the same
    work in two units."""
    same_step = {place.step for place in one.places} & {place.step for place in other.places}
    same_type = one.types == other.types and one.types in ({EventType.RECEIVE}, {EventType.SEND})
    return bool(same_step) or same_type


def _episodes(one: HopGuess, other: HopGuess) -> int:
    """How often it went from one hop to the other.

    Keys that come in a burst are not independent: a process that is scheduled first has
    seen all of them before the next one has seen any.
    """
    firsts = sorted(
        (track.rows[name][0].t_ns, track is other)
        for name in one.rows
        if name in other.rows
        for track in (one, other)
    )
    return sum(not here and there for (_, here), (_, there) in pairwise(firsts))


def _closure(
    links: set[tuple[HopGuess, HopGuess]], tracks: Sequence[HopGuess]
) -> set[tuple[HopGuess, HopGuess]]:
    """All pairs that a chain of links connects (Warshall)."""
    found = set(links)
    for middle in tracks:
        into = [one for one in tracks if (one, middle) in found]
        out = [other for other in tracks if (middle, other) in found]
        found.update((one, other) for one in into for other in out)
    return found


def _in_order(
    groups: Sequence[list[HopGuess]],
    reach: set[tuple[HopGuess, HopGuess]],
    positions: Mapping[HopGuess, float],
) -> list[list[HopGuess]]:
    """The groups, none before one that it follows; else as they lie on the way, on average."""
    sorter = TopologicalSorter(
        {
            number: [
                other
                for other, group in enumerate(groups)
                if other != number and (group[0], groups[number][0]) in reach
            ]
            for number in range(len(groups))
        }
    )
    sorter.prepare()
    free: list[tuple[float, int]] = []
    ordered = []
    while sorter.is_active():
        for number in sorter.get_ready():
            heappush(free, (min(positions[track] for track in groups[number]), number))
        _, number = heappop(free)
        ordered.append(groups[number])
        sorter.done(number)
    return ordered


def _remark(group: Sequence[HopGuess]) -> str:
    """Why these hops have no order: which of them came first."""
    if len(group) == 1:
        return ""
    ways: dict[str, list[tuple[int, int]]] = {}
    for number, track in enumerate(group):
        for name, events in track.rows.items():
            ways.setdefault(name, []).append((events[0].t_ns, number))
    firsts = Counter(min(way)[1] for way in ways.values() if len(way) > 1)
    if len(firsts) == 1:
        keys = plural(firsts.total(), "key")
        return f"in any order: {keys} came in the same one, which may be a coincidence"
    first = [f"{group[number].places[0]} ({count})" for number, count in firsts.most_common(3)]
    return f"in any order: first came {', '.join(first)}"


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
            route.append((f"{indent}{quoted(hop.written)},", reasons[hop.text]))
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

#: Limits: this many times what was measured, and never less than this (ns): a busy machine is slow.
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
    hops = [
        Place(*place)
        for place, found in index.by_place.items()
        if place[0] in known and _can_be_hop(place[1], found)
    ]
    hops.sort(key=lambda place: known.index(place.unit))
    proposals: list[Proposal] = []
    instances: list[Instances] = []
    for family in _families(hops, index):
        found = _collect(family, index)
        proposals.append(_propose(family, found, {one.circuit.name for one in proposals}))
        instances.append(found)
    strays = Unclaimed([one.circuit for one in proposals], index).events
    return tuple(
        _opened(one, found, strays) for one, found in zip(proposals, instances, strict=True)
    )


def _can_be_hop(step: str, events: Iterable[Event]) -> bool:
    """Whether a route may name this step, and each of its events has a key."""
    return not _UNWRITABLE.search(step) and all(
        event.key is not None and event.type != EventType.EXCEPTION for event in events
    )


def _collect(places: Iterable[Place], index: EventIndex) -> Instances:
    """The instances that the verifier will see in a circuit of these places."""
    stages = tuple((Hop(str(place), (place,), 0, None),) for place in places)
    return Instances(Circuit("", stages), index)


def _families(hops: Sequence[Place], index: EventIndex) -> Iterator[list[Place]]:
    """Places that keys have in common, two at least."""
    found = _collect(hops, index)
    first_seen: dict[str, int] = {}
    joined = join_keys(
        (first_seen.setdefault(name, number), number)
        for number, column in enumerate(found.columns)
        for name in column
    )
    families: dict[int, list[Place]] = {}
    for number, place in enumerate(hops):
        families.setdefault(joined[number], []).append(place)
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
