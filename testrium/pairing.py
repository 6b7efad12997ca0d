"""Send and Receive paired by key: the classic view of a circuit.

Standard library only, and below all phases: judging a run needs it, and so does the classic API
inside unit processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import lt, sub
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Column(NamedTuple):
    """All keyed events of one type: lists of equal length.

    `times` are nanoseconds of one clock, the same one for both types.
    """

    keys: list[str]
    times: list[int]
    units: list[str]
    steps: list[str]


class Pairing(NamedTuple):
    """Who found whom. The orphans are positions in their columns, by key and then by time."""

    paired: list[dict[str, Any]]
    orphan_sends: list[int]
    orphan_receives: list[int]
    duplicates: list[dict[str, Any]]
    average_latency_s: float | None


def pair(sends: Column, receives: Column) -> Pairing:
    """The first Send and the first Receive of each key, in the order of the keys.

    A latency is in seconds. Where the Receive is older it is 0.0, as it always was in this view:
    that something arrived before it was sent is a finding of its own (`causality`).
    """
    both, sent_at, received_at = _matches(sends, receives)
    took_ns = map(sub, _at(receives.times, received_at), _at(sends.times, sent_at))
    latencies = [ns / 1e9 if ns > 0 else 0.0 for ns in took_ns]
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
    simple = len(both) == len(sends.keys) == len(receives.keys)  # nothing else is to be told
    return Pairing(
        paired,
        [] if simple else _orphans(sends, receives),
        [] if simple else _orphans(receives, sends),
        [] if simple else _duplicates(sends, receives),
        sum(latencies) / len(latencies) if latencies else None,
    )


def _matches(sends: Column, receives: Column) -> tuple[Sequence[str], Sequence[int], Sequence[int]]:
    """The keys that were sent and received, sorted, and where each stands first in time."""
    keys = sends.keys
    if keys == receives.keys and all(map(lt, keys, islice(keys, 1, None))):
        everywhere = range(len(keys))  # sorted already, each once: so it mostly is, and fast
        return keys, everywhere, everywhere
    sent, received = _first(sends), _first(receives)
    both = sorted(sent.keys() & received.keys())
    return both, [sent[key] for key in both], [received[key] for key in both]


def _first(column: Column) -> dict[str, int]:
    """Where each key stands first in time."""
    keys, times = column.keys, column.times
    latest_first = sorted(range(len(times)), key=lambda i: (times[i], i), reverse=True)
    return {keys[i]: i for i in latest_first}  # the earliest overwrites the others


def _at(values: Sequence[T], positions: Sequence[int]) -> Iterable[T]:
    return values if isinstance(positions, range) else map(values.__getitem__, positions)


def _orphans(column: Column, other: Column) -> list[int]:
    keys, times, matched = column.keys, column.times, set(other.keys)
    orphans = (i for i, key in enumerate(keys) if key not in matched)
    return sorted(orphans, key=lambda i: (keys[i], times[i]))


def _duplicates(sends: Column, receives: Column) -> list[dict[str, Any]]:
    sent, received = Counter(sends.keys), Counter(receives.keys)
    return [
        {"event_key": key, "send_count": sent[key], "receive_count": received[key]}
        for key in sorted(sent.keys() | received.keys())
        if sent[key] > 1 or received[key] > 1
    ]
