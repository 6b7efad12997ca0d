"""Events that no probe file tells: what the runner saw in a log, and what it broke on purpose."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from testrium.evidence import Event
from testrium.record.database import Reading
from testrium.record.lines import check_fields
from testrium.words import EMPTY, FAULTS, EventType


class Seen(NamedTuple):
    """What the runner saw; its time is now, at most.

    `t_low_ns`: it cannot be older; None where it is exactly of now. `line` is the text that it was
    seen in, for the damage that it becomes where it is no probe. `owner` is `unit` unless given.
    """

    unit: str
    step: str
    type: EventType = EventType.DEFAULT
    key: str | None = None
    meta: Mapping[str, Any] = EMPTY
    start: int = 1
    pid: int = 0
    t_low_ns: int | None = None
    line: str = ""
    owner: str | None = None


def injected(
    fault: str,
    *,
    do: str,
    unit: str,
    start: int = 0,
    pid: int = 0,
    key: str | None = None,
    **facts: Any,
) -> Seen:
    """The event that a planned fault has happened.

    Args:
        fault: its name.
        do: what was done.
        unit: to whom; `start` and `pid` tell the process, 0 where it is no process.
        key: of the probe that it happened at.
        facts: what else is worth keeping, as metadata.
    """
    meta = {"do": do, "unit": unit, **facts}
    return Seen(FAULTS, fault, key=key, meta=meta, start=start, pid=pid, owner="")


def made_event(seen: Seen, *, domain: str, attempt: int) -> Reading:
    """The event as it is stored; it is numbered then.

    Args:
        domain: the clock of now.
        attempt: counts the starts of the circuit from 1.

    Raises:
        BadLineError: it is no probe.
    """
    fields = {"step": seen.step, "type": str(seen.type), "key": seen.key, "meta": dict(seen.meta)}
    checked = check_fields(fields)
    event = Event(
        id=0,
        unit=seen.unit,
        step=seen.step,
        type=checked.type,
        key=seen.key,
        cause=(),
        t_ns=time.monotonic_ns(),
        t_low_ns=seen.t_low_ns,
        wall_ns=time.time_ns(),
        domain=domain,
        pid=seen.pid,
        seq=None,
        start=seen.start,
        attempt=attempt,
        owner=seen.unit if seen.owner is None else seen.owner,
        meta=checked.meta,
    )
    return event, None, checked.meta_json
