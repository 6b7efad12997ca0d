"""In which order keys passed the stations of their way: for `learn`.

The order of two stations is what the verifier would say of it (`order.misplaced`), and is believed
where every key agrees and coincidence is unlikely. Stations without an order form one stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import combinations, pairwise
from typing import NamedTuple

from testrium.evidence import Event
from testrium.phrases import plural
from testrium.verify.timing import Order, misplaced, order_of
from testrium.words import EventType, Place

#: So many times in the same order are no coincidence any more: 1 in 128, were it a coin's.
LEAST_AGREEING = 8

#: So often a sender must have been the first, for others to be taken for those who pass it on.
LEAST_BEGINNING = 3


@dataclass(eq=False)
class HopGuess:
    """The events of a station, by instance and time. Several places are alternatives."""

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
    """Stations that were passed in any order; `remark` says why, where there are several.

    `doubtful`: that it comes after the stage before it may be a coincidence.
    """

    tracks: tuple[HopGuess, ...]
    remark: str = ""
    doubtful: bool = False


class Relation(Enum):
    """How two stations follow each other, over all instances that passed both."""

    BEFORE = "before"
    AFTER = "after"
    MIXED = "mixed"
    APART = "apart"  # no instance passed both

    @property
    def mirrored(self) -> Relation:
        """The same, seen from the other station."""
        return {Relation.BEFORE: Relation.AFTER, Relation.AFTER: Relation.BEFORE}.get(self, self)


def relation(one: HopGuess, other: HopGuess) -> Relation:
    """The order of two stations, as far as all instances agree."""
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
    """Join stations of which each of `total` instances passed exactly one."""
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
    """Whether joining the parts loses no order towards another station."""
    if any(relation(part, other) is Relation.MIXED for part in parts):
        return True
    return relation(wider, other) is not Relation.MIXED


def _positions(tracks: Sequence[HopGuess]) -> dict[HopGuess, float]:
    """At which place of an instance's way each station is, on average."""
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
    """Put stations into stages, such that the verifier finds every instance in order."""
    _relax(tracks)
    relations: dict[tuple[HopGuess, HopGuess], Relation] = {}
    for one, other in combinations(tracks, 2):
        relations[one, other] = found = relation(one, other)
        relations[other, one] = found.mirrored
    before = {pair for pair, found in relations.items() if found is Relation.BEFORE}
    proven = _closure(_proven(before, tracks, total), tracks)
    believed = _closure(proven | {pair for pair in before if not _may_be_siblings(*pair)}, tracks)
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
    """Where a station is passed several times, ask only for once if that keeps an order."""
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
    """The orders that are no coincidence: one unit's own, a message's, a key's beginning, and
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
    return LEAST_BEGINNING if _may_be_siblings(one, other) else 1


def _may_be_siblings(one: HopGuess, other: HopGuess) -> bool:
    """Whether they may race: both got the same message, both send to a third one, or do the same
    work in two units."""
    same_step = {place.step for place in one.places} & {place.step for place in other.places}
    same_type = one.types == other.types and one.types in ({EventType.RECEIVE}, {EventType.SEND})
    return bool(same_step) or same_type


def _episodes(one: HopGuess, other: HopGuess) -> int:
    """How often it went from one station to the other.

    Keys that come in a burst are no independent witnesses: a process that is scheduled first has
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
    waiting = {
        number: {
            other
            for other, group in enumerate(groups)
            if other != number and (group[0], groups[number][0]) in reach
        }
        for number in range(len(groups))
    }

    def entry(number: int) -> tuple[float, int]:
        return min(positions[track] for track in groups[number]), number

    free = [entry(number) for number, others in waiting.items() if not others]
    heapify(free)
    ordered = []
    while free:
        _, number = heappop(free)
        ordered.append(groups[number])
        for other, others in waiting.items():
            if number in others:
                others.remove(number)
                if not others:
                    heappush(free, entry(other))
    return ordered


def _remark(group: Sequence[HopGuess]) -> str:
    """Why these stations have no order: which of them came first."""
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
