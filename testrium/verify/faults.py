"""Planned faults: one that has not happened proves nothing."""

from __future__ import annotations

from testrium.declared.faults import OUTSIDE_ACTS, Fault
from testrium.declared.groups import Scenario
from testrium.evidence import Event, Evidence, Finding
from testrium.verify.index import EventIndex
from testrium.verify.wording import close_to, shown, times
from testrium.words import RESERVED_UNITS, Code


def unproved_faults(scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[Finding]:
    """A finding for each planned fault that never happened."""
    happened = {event.step for event in evidence.faults}
    return [
        Finding(
            Code.VACUOUS,
            fault.name,
            f"the planned fault never happened, so it proved nothing: {fault.name}",
            hints=tuple(_why(fault, scenario, evidence, index)),
            unit=fault.unit,
        )
        for fault in scenario.group.faults
        if fault.name not in happened
    ]


def _why(fault: Fault, scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[str]:
    place = fault.at or fault.after
    if fault.do == "clock":
        unit = next((unit for unit in scenario.units if unit.name == fault.unit), None)
        if unit is not None and not unit.is_python:
            return [f"{fault.unit} is not Python: its clock needs faketime's library (libfaketime)"]
    if place is None:
        return []
    reached = [
        event
        for event in evidence.events
        if place.unit in ("*", event.unit)
        and place.step in ("*", event.step)
        and fault.key in (None, event.key)
    ]
    of_key = "" if not fault.key else f" with the key {shown(fault.key)}"
    if not reached:
        near = close_to(place.step, index.steps_of(place.unit))
        guess = (
            f"; {place.unit} did emit {shown(near)}: is {place.step} misspelled?" if near else ""
        )
        return [f"{place} was never emitted{of_key}{guess}"]
    if fault.at is not None and len(reached) < fault.on:
        return [f"{place} was emitted {times(len(reached))}{of_key}, and on = {fault.on}"]
    if fault.at is not None:
        return [_too_late(fault, reached)]
    return []


def _too_late(fault: Fault, reached: list[Event]) -> str:
    owner = reached[fault.on - 1].owner
    if fault.do in OUTSIDE_ACTS:
        if owner in RESERVED_UNITS:
            return f"{fault.target} was emitted by {owner}, which is never killed or paused"
        return f"the process of {owner} had ended when that was to be done"
    return f"only testrium's own library obeys at a probe, and {fault.target} came another way"
