"""Where something was broken on purpose, for the drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testrium.model import Event


def struck_events(faults: Sequence[Event]) -> Mapping[int, str]:
    """The events at which a failpoint struck, by id, with what it did.

    Args:
        faults: the events that tell of planned faults (`GroupResult.faults`).
    """
    return {
        event.meta["event"]: f"planned {event.meta.get('do', 'fault')}"
        for event in faults
        if isinstance(event.meta.get("event"), int)
    }
