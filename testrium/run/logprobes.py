"""Lines of a unit's output that count as probes (`[["NAME".probes]]`)."""

from __future__ import annotations

import re
from typing import Any

from testrium.model import LogProbe
from testrium.record.recorder import Recorder
from testrium.variables import substitute


class LogProbes:
    """The log probes of one start of a unit; called with each line of its output."""

    def __init__(
        self, unit: str, start: int, probes: tuple[LogProbe, ...], recorder: Recorder
    ) -> None:
        self._unit = unit
        self._start = start
        self._probes = [(re.compile(probe.pattern), probe) for probe in probes]
        self._recorder = recorder

    def read(self, line: str, low_ns: int) -> None:
        """Record an event for every probe whose pattern is found in `line`.

        `low_ns`: the line is not older (CLOCK_MONOTONIC).
        """
        for pattern, probe in self._probes:
            if (match := pattern.search(line)) is not None:
                groups = match.groupdict(default="")
                key = None if probe.key is None else substitute(probe.key, groups.__getitem__)
                meta: dict[str, Any] = {
                    name: substitute(text, groups.__getitem__) for name, text in probe.meta.items()
                }
                self._recorder.add_event(
                    self._unit,
                    probe.step,
                    type=probe.type,
                    key=key,
                    meta=meta,
                    start=self._start,
                    t_low_ns=low_ns,
                    line=line,
                )
