"""Figures that code under test reports: `testrium.metric`."""

from __future__ import annotations

import os
from time import monotonic_ns

from testrium.probe import environment as names
from testrium.probe.emitter import emitter_of, quoted
from testrium.probe.rules import check_metric


def metric(name: str, value: float, unit: str = "", better: str = "smaller") -> None:
    """Report a figure of this run: a throughput, a size, a time that the code itself took.

    Several reports of one name, from any process, are aggregated. Outside a run it does nothing. A
    report that returned is never lost.

    Args:
        name: up to 200 characters, none of them a control one.
        value: a finite number, in `unit`.
        unit: up to 32 characters: "ms", "1/s"; "" for a plain number.
        better: "smaller" or "larger"; a regression is a change the other way.

    Raises:
        TypeError, ValueError: no name, value or unit for a metric; nothing was written.
        OSError: it could not be written.
    """
    path = os.environ.get(names.PROBES)
    if not path:
        return
    number = check_metric(name, value, unit, better)
    line = (
        f'{{"metric":{quoted(name)},"value":{number!r},"unit":{quoted(unit)},"better":"{better}"'
        f',"t_ns":{monotonic_ns()},"pid":{os.getpid()}}}\n'
    )
    emitter_of(path, os.environ.get(names.DOMAIN, "")).append(line.encode())
