"""The classic view of a run's events: Send and Receive paired by key, from columns of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import lt, sub
from typing import Any, TypeVar

from testrium.evidence import Event
from testrium.tuples import NamedTuple

T = TypeVar("T")


class KeyColumn(NamedTuple):
    """All keyed events of one type: lists of equal length.

    `times` are nanoseconds of one clock, the same one for both types.
    """

    keys: list[str]
    times: list[int]
    units: list[str]
    steps: list[str]


class Pairing(NamedTuple):
    """Pairs of Send and Receive. Orphans are positions in their columns, by key, then by time."""

    paired: list[dict[str, Any]]
    orphan_sends: list[int]
    orphan_receives: list[int]
    duplicates: list[dict[str, Any]]
    average_latency_s: float | None


def pair(sends: KeyColumn, receives: KeyColumn) -> Pairing:
    """The first Send and the first Receive of each key, in the order of the keys.

    A latency is in seconds. Where the Receive is older it is 0.0, as it always was in this view:
    that something arrived before it was sent is a finding of its own (`causality`).
    """
    both, sent_at, received_at = _matches(sends, receives)
    latencies = _latencies_s(sends, receives, sent_at, received_at)
    paired: list[dict[str, Any]] = [
        {
            "event_key": key,
            "send_unit": send_unit,
            "receive_unit": receive_unit,
            "send_step": send_step,
            "receive_step": receive_step,
            "latency": latency,
        }
        for key, send_unit, send_step, receive_unit, receive_step, latency in zip(
            both,
            _at(sends.units, sent_at),
            _at(sends.steps, sent_at),
            _at(receives.units, received_at),
            _at(receives.steps, received_at),
            latencies,
            strict=True,
        )
    ]
    simple = len(both) == len(sends.keys) == len(receives.keys)  # they need no other columns
    return Pairing(
        paired,
        [] if simple else _orphans(sends, receives),
        [] if simple else _orphans(receives, sends),
        [] if simple else _duplicates(sends, receives),
        sum(latencies) / len(latencies) if latencies else None,
    )


def _latencies_s(
    sends: KeyColumn, receives: KeyColumn, sent_at: Sequence[int], received_at: Sequence[int]
) -> list[float]:
    took_ns = map(sub, _at(receives.times, received_at), _at(sends.times, sent_at))
    return [ns / 1e9 if ns > 0 else 0.0 for ns in took_ns]


def _matches(
    sends: KeyColumn, receives: KeyColumn
) -> tuple[Sequence[str], Sequence[int], Sequence[int]]:
    """The keys that were sent and received, sorted, and the first position of each in time."""
    keys = sends.keys
    if keys == receives.keys and all(map(lt, keys, islice(keys, 1, None))):
        everywhere = range(len(keys))  # sorted already, each once: so it mostly is, and fast
        return keys, everywhere, everywhere
    sent, received = _first(sends), _first(receives)
    both = sorted(sent.keys() & received.keys())
    return both, [sent[key] for key in both], [received[key] for key in both]


def _first(column: KeyColumn) -> dict[str, int]:
    """The first position of each key in time."""
    keys, times = column.keys, column.times
    latest_first = sorted(range(len(times)), key=lambda i: (times[i], i), reverse=True)
    return {keys[i]: i for i in latest_first}  # the earliest overwrites the others


def _at(values: Sequence[T], positions: Sequence[int]) -> Iterable[T]:
    return values if isinstance(positions, range) else map(values.__getitem__, positions)


def _orphans(column: KeyColumn, other: KeyColumn) -> list[int]:
    keys, times, matched = column.keys, column.times, set(other.keys)
    orphans = (i for i, key in enumerate(keys) if key not in matched)
    return sorted(orphans, key=lambda i: (keys[i], times[i]))


def _duplicates(sends: KeyColumn, receives: KeyColumn) -> list[dict[str, Any]]:
    sent, received = Counter(sends.keys), Counter(receives.keys)
    return [
        {"event_key": key, "send_count": sent[key], "receive_count": received[key]}
        for key in sorted(sent.keys() | received.keys())
        if sent[key] > 1 or received[key] > 1
    ]


def classic_correlations(events: Sequence[Event]) -> dict[str, Any]:
    """The dictionary of `Events_Manager.correlate_send_receive`; an average of nothing is 0.0."""
    sends, receives, one_clock = _keyed(events)
    found = pair(_column(sends, one_clock), _column(receives, one_clock))
    return {
        "paired": found.paired,
        "orphan_sends": [classic_event(sends[i]) for i in found.orphan_sends],
        "orphan_receives": [classic_event(receives[i]) for i in found.orphan_receives],
        "duplicate_keys": found.duplicates,
        "average_latency": found.average_latency_s or 0.0,
    }


def average_latency_s(events: Sequence[Event]) -> float | None:
    """That of all pairs, without a list of what has no other half; None without a pair."""
    sends, receives, one_clock = _keyed(events)
    if not sends or not receives:
        return None
    columns = _column(sends, one_clock), _column(receives, one_clock)
    _, sent_at, received_at = _matches(*columns)
    latencies = _latencies_s(columns[0], columns[1], sent_at, received_at)
    return sum(latencies) / len(latencies) if latencies else None


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


def _keyed(events: Sequence[Event]) -> tuple[list[Event], list[Event], bool]:
    """The Sends and Receives, and whether monotonic times tell what they took.

    Those of two clocks do not compare; then the wall clock has to do.
    """
    keyed = [event for event in events if event.key is not None]
    sends = [event for event in keyed if event.type == "Send"]
    receives = [event for event in keyed if event.type == "Receive"]
    domains = {event.domain for event in sends}.union(event.domain for event in receives)
    return sends, receives, len(domains) <= 1


def _column(events: Sequence[Event], one_clock: bool) -> KeyColumn:
    return KeyColumn(
        [event.key or "" for event in events],
        [event.t_ns if one_clock else event.wall_ns for event in events],
        [event.unit for event in events],
        [event.step for event in events],
    )
