"""Probes that are missing: required ones, an end of a key, planned faults; and damaged evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from math import inf

from testrium.declared.faults import OUTSIDE_ACTS, Fault
from testrium.declared.groups import Scenario
from testrium.declared.taps import CLIENT
from testrium.evidence import Damage, Event, Evidence, Finding, Unrecorded
from testrium.phrases import listed, plural, shown, time_span, times
from testrium.tuples import NamedTuple
from testrium.verify.findings import Draft, Drafts, distinct, place_of
from testrium.verify.index import EventIndex, Hole, Process, holes, process_of
from testrium.verify.timing import Row, Timeline, low_ns, surely_before
from testrium.words import RESERVED_UNITS, Code, EventType, Place


def required_places(scenario: Scenario, index: EventIndex) -> tuple[list[Place], list[Place]]:
    """The required probes that were emitted, and those that were not, as declared."""
    required = dict.fromkeys(
        Place(unit.name, step)
        for unit in scenario.units
        for step in (*unit.events, *unit.stop_events)
    )
    completed = [place for place in required if place in index.by_place]
    return completed, [place for place in required if place not in index.by_place]


def missing_probes(missing: list[Place], scenario: Scenario, index: EventIndex) -> list[Finding]:
    """A finding for each required probe that was not emitted."""
    findings = []
    before_its_end = {(unit.name, step) for unit in scenario.units for step in unit.events}
    for place in missing:
        near = index.nearest_step(place.unit, place.step)
        hints = (
            [f"{place.unit} did emit {shown(near)}: is {place.step} misspelled?"] if near else []
        )
        elsewhere = [unit for unit, step in index.by_place if step == place.step]
        if elsewhere:
            hints.append(f"{listed(elsewhere)} emitted {shown(place.step)}")
        last = index.last_of(place.unit)
        if last is not None:
            hints.append(f"the last probe of {place.unit} was {shown(last.step)}")
        findings.append(
            Finding(
                Code.MISSING,
                str(place),
                f"{place.unit} never emitted {place.step}"
                + (", nor any other probe" if last is None else ""),
                events=() if last is None else (last.id,),
                hints=tuple(hints),
                unit=place.unit,
                declared_as="events" if place in before_its_end else "stop_events",
            )
        )
    return findings


# Orphans -----------------------------------------------------------------------------------------


def orphans(index: EventIndex, earlier_causes: Collection[str]) -> list[Draft]:
    """What `orphans = "forbid"` asks for: every key is sent and received, once at each place.

    `earlier_causes` are the keys that were sent in an earlier run.
    """
    sent: dict[str, list[Event]] = defaultdict(list)
    received: dict[str, list[Event]] = defaultdict(list)
    for kind, found in ((EventType.SEND, sent), (EventType.RECEIVE, received)):
        for event in index.of_type(kind):
            if event.key is not None:
                found[event.key].append(event)

    def rows(key: str | None) -> Row:
        return () if key is None else (sent.get(key, ()), received.get(key, ()))

    drafts = Drafts(None, rows)
    for key, sends in sent.items():
        receives = received.get(key, [])
        if not receives:
            drafts.add_event(Code.LOST, sends[0])
        elif any(surely_before(event, sends[0]) for event in receives):
            times_sent = Timeline(sends)
            for event in receives:
                if not times_sent.not_later(event):
                    drafts.add_event(Code.CAUSALITY, event, other=sends[0])
        _check_once(drafts, sends, 0)
        _check_once(drafts, receives, 1)
    for key, receives in received.items():
        if key not in sent:
            if key in earlier_causes:  # nothing more is asked of what is not of this run
                drafts.add_event(Code.STALE, receives[0])
                continue
            drafts.add_event(Code.PHANTOM, receives[0])
            _check_once(drafts, receives, 1)
    return list(drafts)


def _check_once(drafts: Drafts, events: list[Event], position: int) -> None:
    """At most one Send and one Receive of a key at each place."""
    if len(events) == 1:
        return
    seen: set[tuple[str, str]] = set()
    for event in events:
        if (event.unit, event.step) in seen:
            drafts.add_event(Code.DUPLICATE, event, position=position)
        seen.add((event.unit, event.step))


def orphan_finding(draft: Draft) -> Finding:
    """A draft of `orphans` in words."""
    assert draft.event is not None
    keys = listed(draft.keys)
    it, was = ("it", "was") if len(draft.keys) == 1 else ("they", "were")
    hints: list[str] = []
    match draft.code:
        case Code.LOST:
            message = f"{keys} {was} sent at {draft.where} and never received"
        case Code.PHANTOM:
            message = f"{keys} {was} received at {draft.where} and never sent"
        case Code.STALE:
            message = f"{keys} {was} received at {draft.where}, left over from an earlier run"
        case Code.DUPLICATE:
            message = f"{keys} occurred more than once at {draft.where}"
            here = [e for e in draft.witnesses() if place_of(e) == draft.where]
            hints.append(
                f"{shown(draft.key or '')} {times(len(here))},"
                f" in {listed(distinct(f'process {e.pid}' for e in here))}"
            )
        case _:
            assert draft.other is not None
            gap = low_ns(draft.other) - draft.event.t_ns
            before = f"{time_span(gap)} before" if gap > 0 else "before"
            message = (
                f"{keys} {was} received at {draft.where} {before}"
                f" {it} {was} sent at {place_of(draft.other)}"
            )
    return Finding(
        draft.code,
        draft.where,
        message,
        key=draft.key,
        keys=draft.keys,
        events=tuple(event.id for event in draft.witnesses()),
        hints=tuple(hints),
        unit=draft.event.unit,
        t_ns=draft.t_ns,
    )


# Damaged evidence ----------------------------------------------------------------------------


class Gap(NamedTuple):
    """A finding that evidence is damaged, and how much may be missing because of it.

    `sources` are the units that a process, or the writer of the file, emits for, each with the
    number of probes that may be missing. With `places` it is about these alone, and unless it is
    `certain` a finding only where something is missing there.
    """

    finding: Finding
    sources: tuple[tuple[frozenset[str], float], ...]
    places: frozenset[tuple[str, str]] | None = None
    certain: bool = False

    @property
    def units(self) -> frozenset[str]:
        return frozenset().union(*(units for units, _ in self.sources))

    def capacity(self, units: frozenset[str]) -> float:
        """How many probes of some units may be missing."""
        return sum(missing for others, missing in self.sources if units & others)


def tapped_places(scenario: Scenario) -> dict[str, frozenset[tuple[str, str]]]:
    """Of each tapped link the places whose probes are made of what passes it."""
    units = (*(unit.name for unit in scenario.units), *RESERVED_UNITS)
    return {
        tap.link: frozenset(
            (unit, probe.at.step)
            for probe in tap.probes
            for unit in (units if probe.at.unit == CLIENT else (probe.at.unit,))
        )
        for tap in scenario.group.taps
    }


def gaps(scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[Gap]:
    """A gap for each unit whose evidence has holes, or lines that are not probes."""
    damaged: dict[str, list[Damage]] = defaultdict(list)
    for damage in evidence.damages:
        if damage.attempt == evidence.attempt:
            damaged[damage.unit].append(damage)
    torn: dict[str, list[Hole]] = defaultdict(list)
    # A process may have begun in an attempt that was given up: its first numbers are there.
    found = holes(evidence.events)
    current = {process_of(event) for event in index.events} if found else set()
    for hole in found:
        if hole.process in current:
            torn[hole.process[0]].append(hole)
    if not damaged and not torn:
        return []
    spoken: dict[Process, set[str]] = defaultdict(set)
    for event in index.events:
        spoken[process_of(event)].add(event.unit)
    found_gaps = []
    tapped = tapped_places(scenario)
    for unit in dict.fromkeys((*damaged, *torn)):
        finding = _gap(unit, damaged[unit], torn[unit])
        sources = _sources(unit, damaged[unit], torn[unit], spoken)
        if places := tapped.get(unit):
            sources = (*sources, (frozenset(name for name, _ in places), inf))
        found_gaps.append(Gap(finding, sources, places or None, certain=True))
    return found_gaps


def unrecorded_gaps(evidence: Evidence) -> list[Gap]:
    """A gap for each unit whose spans or log records may not have come."""
    by_unit: dict[str, list[Unrecorded]] = defaultdict(list)
    for each in evidence.unrecorded:
        by_unit[each.unit].append(each)
    gaps = []
    for unit, several in by_unit.items():
        places = frozenset(place for each in several for place in each.places)
        hints = [each.reason for each in several[1:3]]
        named = listed(sorted(str(Place(*place)) for place in places))
        hints.append(f"what is missing at {named} cannot be judged")
        finding = Finding(Code.GAP, unit, several[0].reason, hints=tuple(hints), unit=unit)
        sources = ((frozenset(unit for unit, _ in places), inf),)
        gaps.append(Gap(finding, sources, places))
    return gaps


def _sources(
    unit: str, damages: list[Damage], torn: list[Hole], spoken: dict[Process, set[str]]
) -> tuple[tuple[frozenset[str], float], ...]:
    sources = [
        (frozenset((unit, *spoken.get(hole.process, ()))), float(hole.missing)) for hole in torn
    ]
    if damages:
        of_file = {unit}.union(*(units for process, units in spoken.items() if process[0] == unit))
        lines = sum(1.0 if damage.line else inf for damage in damages)
        sources.append((frozenset(of_file), lines))
    return tuple(sources)


def _gap(unit: str, damages: list[Damage], torn: list[Hole]) -> Finding:
    parts, hints = [], []
    if missing := sum(hole.missing for hole in torn):
        parts.append(f"{plural(missing, 'probe')} of {unit} never arrived")
    if twice := sum(hole.twice for hole in torn):
        parts.append(f"{unit} gave {plural(twice, 'number')} to several probes")
    for hole in torn[:3]:
        if hole.missing:
            hints.append(
                f"process {hole.process[2]} numbered its probes up to {hole.last},"
                f" and {_numbers(hole)} is missing"
            )
        else:
            hints.append(f"process {hole.process[2]} counts from 1 to {hole.last}, and again")
    if lines := [damage for damage in damages if damage.line]:
        parts.append(f"{plural(len(lines), 'line')} of the probe file of {unit} cannot be read")
        hints += [f"{damage.reason}: {shown(damage.line)}" for damage in lines[:3]]
    parts += [damage.reason for damage in damages if not damage.line][:1]
    hints += [damage.reason for damage in damages if not damage.line][1:3]
    hints.append(f"what {unit} did meanwhile is not known: its missing events cannot be judged")
    return Finding(Code.GAP, unit, " and ".join(parts), hints=tuple(hints), unit=unit)


def _numbers(hole: Hole) -> str:
    more = hole.missing - 1
    return f"number {hole.first}" + (f" (and {more} more)" if more else "")


def unproved_faults(scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[Finding]:
    """A finding for each planned fault that never happened.

    Of a clock that moves only the stored times of probes, the program has seen nothing. Nor has
    any unit noticed what was done to a link without connections.
    """
    unused = {event.step for event in evidence.faults if _is_unused(event)}
    happened = {event.step for event in evidence.faults if event.meta.get("by") != "probes"}
    happened -= unused
    return [
        Finding(
            Code.VACUOUS,
            fault.name,
            "the planned fault"
            f" {'met no connection' if fault.name in unused else 'never happened'}, so it proved"
            " nothing:"
            f" {fault.name}",
            hints=tuple(_why(fault, scenario, evidence, index)),
            unit=fault.unit,
        )
        for fault in scenario.group.faults
        if fault.name not in happened
    ]


def _is_unused(event: Event) -> bool:
    """Whether a link had no connection until its fault ended; a cut may refuse all."""
    return event.meta.get("used") is False and event.meta.get("do") != "cut"


def _why(fault: Fault, scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[str]:
    place = fault.at or fault.after
    if fault.do == "clock":
        unit = next((unit for unit in scenario.units if unit.name == fault.unit), None)
        if unit is not None and not unit.is_python:
            needs = "faketime's library (libfaketime), and a program that is not linked statically"
            return [f"{fault.unit} is not Python: its clock needs {needs}"]
        if any(event.step == fault.name for event in evidence.faults):  # by its probes alone
            hint = f"the clock of {fault.unit} did not move: it needs faketime's library"
            return [f"{hint} (libfaketime), for Python a newer one than 0.9.10"]
    if any(event.step == fault.name and _is_unused(event) for event in evidence.faults):
        port = f"${{unit.{fault.unit}.port.{fault.port}}}"
        return [f"no client connected through its link meanwhile: clients find it as {port}"]
    if place is None:
        return []
    reached = [
        event
        for event in evidence.events
        if place.matches(event.unit, event.step) and fault.key in (None, event.key)
    ]
    of_key = "" if not fault.key else f" with the key {shown(fault.key)}"
    if not reached:
        near = index.nearest_step(place.unit, place.step)
        guess = (
            f"; {place.unit} did emit {shown(near)}: is {place.step} misspelled?" if near else ""
        )
        return [f"{place} was never emitted{of_key}{guess}"]
    if fault.at is not None and len(reached) < fault.on:
        return [f"{place} was emitted {times(len(reached))}{of_key}, and on = {fault.on}"]
    if fault.at is not None:
        return [_too_late(fault, scenario, reached)]
    return []


def _too_late(fault: Fault, scenario: Scenario, reached: list[Event]) -> str:
    owner = reached[fault.on - 1].owner
    if owner not in RESERVED_UNITS and owner not in {unit.name for unit in scenario.units}:
        return (
            f"{fault.target} is a message that {owner} carried: a fault acts only at probes that a"
            " unit emits itself, or that are lines of its log"
        )
    if fault.do in OUTSIDE_ACTS:
        if owner in RESERVED_UNITS:
            return (
                f"{fault.target} was emitted by {owner}, and a fault cannot kill or pause that unit"
            )
        return f"the process of {owner} ended before the fault could act"
    return (
        f"a fault acts only at probes of Testrium's library,"
        f" and {fault.target} was emitted another way"
    )
