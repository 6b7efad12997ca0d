"""Where something was broken on purpose, for the drawings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from testrium.model import Event, Fault
from testrium.report.wording import duration


def struck_events(faults: Sequence[Fault], events: Iterable[Event]) -> Mapping[int, str]:
    """The events at which a failpoint struck, with what it did: "kill, as planned"."""
    failpoints = [fault for fault in faults if fault.at is not None]
    if not failpoints:
        return {}
    counts = [0] * len(failpoints)
    struck: dict[int, str] = {}
    for event in sorted(events, key=lambda event: (event.t_ns, event.id)):
        for number, fault in enumerate(failpoints):
            if not _is_at(fault, event):
                continue
            counts[number] += 1
            if counts[number] == fault.on:
                lasting = "" if fault.for_ns is None else f" for {duration(fault.for_ns / 1e9)}"
                struck[event.id] = f"{fault.do}{lasting}, as planned"
    return struck


def _is_at(fault: Fault, event: Event) -> bool:
    assert fault.at is not None
    return (
        fault.at.unit in ("*", event.unit)
        and fault.at.step in ("*", event.step)
        and fault.key in (None, event.key)
    )
