"""Send and Receive paired by key over a whole run: the classic view of a circuit.

Used by the classic API in unit processes, so the model is imported for types only.
"""

from __future__ import annotations

from collections import Counter
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testrium.model import Correlations, Event


class Column(NamedTuple):
    """All keyed events of one type, in the order of storing: lists of equal length.

    `times` are nanoseconds of one clock, the same one for both types.
    """

    keys: Sequence[str]
    times: Sequence[int]
    units: Sequence[str]
    steps: Sequence[str]


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
    sends, send_order = _by_time(sends)
    receives, receive_order = _by_time(receives)
    sent, received = _first(sends.keys), _first(receives.keys)
    both = sorted(filter(received.__contains__, sent))
    _, send_times, send_units, send_steps = sends
    _, receive_times, receive_units, receive_steps = receives
    paired: list[dict[str, Any]] = [
        {
            "event_key": key,
            "send_unit": send_units[s],
            "receive_unit": receive_units[r],
            "send_step": send_steps[s],
            "receive_step": receive_steps[r],
            "latency": (took if (took := receive_times[r] - send_times[s]) > 0 else 0) / 1e9,
        }
        for key, s, r in zip(
            both, map(sent.__getitem__, both), map(received.__getitem__, both), strict=True
        )
    ]
    latencies = [one["latency"] for one in paired]
    return Pairing(
        paired,
        [send_order[i] for i in _orphans(sends, received)],
        [receive_order[i] for i in _orphans(receives, sent)],
        _duplicates(sends, receives)
        if _repeats(sends, sent) or _repeats(receives, received)
        else [],
        sum(latencies) / len(latencies) if latencies else None,
    )


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
    from testrium.model import Correlations

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


def _column(events: Iterable[Event], one_clock: bool) -> Column:
    rows = [
        (event.key or "", event.t_ns if one_clock else event.wall_ns, event.unit, event.step)
        for event in events
    ]
    return Column(*zip(*rows, strict=True)) if rows else Column((), (), (), ())


def _by_time(column: Column) -> tuple[Column, Sequence[int]]:
    """The column in the order of time, and where each place of it was before."""
    times = column.times
    order = sorted(range(len(times)), key=times.__getitem__)
    if order == list(range(len(times))):
        return column, order
    keys, times, units, steps = column
    return Column(
        [keys[i] for i in order],
        [times[i] for i in order],
        [units[i] for i in order],
        [steps[i] for i in order],
    ), order


def _first(keys: Sequence[str]) -> dict[str, int]:
    """The first position of each key, in the order of these positions."""
    found = dict(zip(keys, range(len(keys)), strict=True))
    if len(found) < len(keys):  # later ones have overwritten it
        last = range(len(keys) - 1, -1, -1)
        found = dict(sorted(dict(zip(reversed(keys), last, strict=True)).items(), key=_position))
    return found


def _position(item: tuple[str, int]) -> int:
    return item[1]


def _orphans(column: Column, others: dict[str, int]) -> list[int]:
    keys = column.keys
    if not any(True for _ in filterfalse(others.__contains__, keys)):
        return []
    positions = (i for i, key in enumerate(keys) if key not in others)
    return sorted(positions, key=keys.__getitem__)


def _repeats(column: Column, first: dict[str, int]) -> bool:
    return len(first) < len(column.keys)


def _duplicates(sends: Column, receives: Column) -> list[dict[str, Any]]:
    sent, received = Counter(sends.keys), Counter(receives.keys)
    return [
        {"event_key": key, "send_count": sent[key], "receive_count": received[key]}
        for key in sorted(sent.keys() | received.keys())
        if sent[key] > 1 or received[key] > 1
    ]
