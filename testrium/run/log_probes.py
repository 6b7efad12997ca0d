"""Lines of a unit's output that count as probes (`[["NAME".probes]]`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from testrium.declared.units import LogProbe, Unit
from testrium.record.recorder import Recorder, RunnerEvent
from testrium.run.context import GroupContext
from testrium.run.launch import Values
from testrium.run.logs import bounded
from testrium.variables import substitute


def follow_logs(
    unit: Unit, start: int, context: GroupContext, values: Values, started_ns: int
) -> None:
    """Read the output of one start of `unit` while it runs, where it is needed."""
    services = context.services
    if not unit.probes and not services.verbose:
        return
    probes = LogProbes(unit.name, start, unit.probes, context.recorder, values.lookup)

    def read(lines: list[str], low_ns: int, log: int) -> None:
        # Of another host: how long a line was on its way is unknown.
        probes.read(lines, low_ns if unit.host is None else started_ns, log)
        if services.verbose:
            for line in lines:
                services.observer.unit_output(context.scenario, unit.name, f"{line}\n")

    logs = (context.folder.stdout(unit.name), context.folder.stderr(unit.name))
    for number, log in enumerate(logs, 1):
        context.logs.follow(log, partial(read, log=number), started_ns, unit.encoding)


class LogProbes:
    """The log probes of one start of a unit; called with each line of its output.

    `lookup` gives the values of `${...}`; in a pattern they are literal text. In `key` and
    `meta` the named groups of the pattern come first.
    """

    def __init__(
        self,
        unit: str,
        start: int,
        probes: tuple[LogProbe, ...],
        recorder: Recorder,
        lookup: Callable[[str], str],
    ) -> None:
        self._unit = unit
        self._start = start
        self._probes = [
            (re.compile(substitute(probe.pattern, lambda name: re.escape(lookup(name)))), probe)
            for probe in probes
        ]
        self._recorder = recorder
        self._lookup = lookup

    def read(self, lines: Sequence[str], low_ns: int, log: int = 1) -> None:
        """Record an event for every probe whose pattern is found in a line.

        Args:
            lines: some lines in their order.
            low_ns: they are not older (CLOCK_MONOTONIC).
            log: the number of their log. Lines of one log have an order, those of two have none,
                and none with the lines of a probe file: the events get its negative as their pid.

        Raises:
            InfraError: a pattern takes too long.
        """
        for line, probe, match in self._found(lines) if self._probes else ():
            groups = match.groupdict(default="")

            def value(name: str, groups: dict[str, str] = groups) -> str:
                return groups[name] if name in groups else self._lookup(name)

            key = None if probe.key is None else substitute(probe.key, value)
            meta = {name: substitute(text, value) for name, text in probe.meta.items()}
            self._recorder.add_event(
                RunnerEvent(
                    self._unit,
                    probe.step,
                    type=probe.type,
                    key=key,
                    meta=meta,
                    start=self._start,
                    pid=-log,
                    t_low_ns=low_ns,
                    line=line,
                )
            )

    def _found(self, lines: Sequence[str]) -> list[tuple[str, LogProbe, re.Match[str]]]:
        """All matches first, and the events then: nothing else may be broken off midway."""
        found = []
        written = ""
        with bounded(lambda: f"unit {self._unit}: the log probe {written!r}"):
            for line in lines:
                for pattern, probe in self._probes:
                    written = probe.pattern
                    if (match := pattern.search(line)) is not None:
                        found.append((line, probe, match))
        return found
