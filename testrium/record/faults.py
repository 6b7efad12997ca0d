"""What the stored events tell of the faults that were planned."""

from __future__ import annotations

from collections.abc import Sequence

from testrium.errors import InjectedFault
from testrium.evidence import End, EndCause, Event

#: Ends to which a unit comes because it does not go on.
_STUCK = (EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY)


def without_faults(events: Sequence[Event]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """The events of probes, and those that tell of planned faults: these have no owner."""
    return (
        tuple([event for event in events if event.owner]),
        tuple([event for event in events if not event.owner]),
    )


def with_fault(end: End, events: Sequence[Event], faults: Sequence[Event]) -> End:
    """The end with the planned fault that has caused it, if one has."""
    for fault in faults:
        mine = fault.meta.get("unit") == end.unit and fault.start == end.starts
        if mine and _explains(fault, end, events):
            return end._replace(fault=fault.step)
    return end


def _explains(fault: Event, end: End, events: Sequence[Event]) -> bool:
    if end.cause in _STUCK:
        for_ns = fault.meta.get("for_ns")
        ended_ns = end.ended_ns or 0
        lasts = for_ns is None or (isinstance(for_ns, int) and fault.t_ns + for_ns > ended_ns)
        return fault.meta.get("do") in ("hang", "pause", "delay") and lasts
    if end.cause is not EndCause.SELF:
        return False
    match fault.meta.get("do"):
        case "kill":
            return end.signal == "SIGKILL"
        case "exit":
            return end.exit_code == fault.meta.get("code") and end.pid == fault.pid
        case "raise":
            return end.pid == fault.pid and _died_of_it(end, events)
    return False


def _died_of_it(end: End, events: Sequence[Event]) -> bool:
    return any(
        event.step == InjectedFault.__name__
        and event.owner == end.unit
        and event.pid == end.pid
        and event.meta.get("uncaught") == "main"
        for event in events
    )
