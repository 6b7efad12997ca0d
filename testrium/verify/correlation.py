"""The classic view of a run's events: Send and Receive paired by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testrium.evidence import Event
from testrium.pairing import Column, Pairing, pair
from testrium.results import Correlations


def classic_correlations(events: Sequence[Event]) -> dict[str, Any]:
    """The dictionary of `Events_Manager.correlate_send_receive`; an average of nothing is 0.0."""
    found, sends, receives = _pair_events(events)
    return {
        "paired": found.paired,
        "orphan_sends": [classic_event(sends[i]) for i in found.orphan_sends],
        "orphan_receives": [classic_event(receives[i]) for i in found.orphan_receives],
        "duplicate_keys": found.duplicates,
        "average_latency": found.average_latency_s or 0.0,
    }


def correlate(events: Sequence[Event]) -> Correlations:
    """The same as a `Correlations`, where an average of nothing is None."""
    found, sends, receives = _pair_events(events)
    return Correlations(
        tuple(found.paired),
        tuple(classic_event(sends[i]) for i in found.orphan_sends),
        tuple(classic_event(receives[i]) for i in found.orphan_receives),
        tuple(found.duplicates),
        found.average_latency_s,
    )


def classic_event(event: Event) -> dict[str, Any]:
    """An event as `Events_Manager.list_events` shows it."""
    return {
        "ID": event.id,
        "Unit": event.unit,
        "StepCompleted": event.step,
        "EventType": event.type,
        "EventKey": event.key or "",
        "Time": event.wall_ns / 1e9,
        "Metadata": dict(event.meta),
    }


def _pair_events(events: Sequence[Event]) -> tuple[Pairing, list[Event], list[Event]]:
    keyed = [event for event in events if event.key is not None]
    sends = [event for event in keyed if event.type == "Send"]
    receives = [event for event in keyed if event.type == "Receive"]
    # Monotonic times of two clocks do not compare; then the wall clock has to do.
    one_clock = len({event.domain for event in (*sends, *receives)}) <= 1
    found = pair(_column(sends, one_clock), _column(receives, one_clock))
    return found, sends, receives


def _column(events: Sequence[Event], one_clock: bool) -> Column:
    return Column(
        [event.key or "" for event in events],
        [event.t_ns if one_clock else event.wall_ns for event in events],
        [event.unit for event in events],
        [event.step for event in events],
    )
