"""What a unit and everything below it use: sampled while it lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TypeVar

from testrium.declared.groups import Group
from testrium.declared.units import Unit
from testrium.evidence import Sample, Use
from testrium.run.platform import system
from testrium.run.supervision import Exit, Process

_Number = TypeVar("_Number", int, float)

#: Seconds between samples. The contract promises one every 250 ms, also from a busy loop.
INTERVAL_S = 0.2

#: A unit without limits that ends sooner costs nothing: the kernel's figures at its end must do.
FIRST_AFTER_S = 0.1

#: At most this part of the runner's time goes into samples that no limit asks for.
SHARE = 0.05


class Pace:
    """How often a process is looked at, depending on how many of all groups are watched."""

    def __init__(self) -> None:
        self.watched = 0

    def pause_s(self, cost_s: float, *, limited: bool) -> float:
        """The time until the next sample, where the last one took `cost_s`."""
        return INTERVAL_S if limited else max(INTERVAL_S, cost_s * self.watched / SHARE)


class Monitor:
    """Samples one start of a unit, from the start of its process to its end.

    `limited`: it has max_rss or max_cpu, so that it is sampled from its first moment and at the
    pace that the contract promises, whatever that costs.
    """

    def __init__(self, process: Process, start: int, pace: Pace, *, limited: bool) -> None:
        self.samples: list[Sample] = []
        self._process = process
        self._start = start
        self._pace = pace
        self._limited = limited

    async def run(self) -> None:
        """Sample until the process has ended. Never raises because of what became of it."""
        ended = self._process.ended
        self._pace.watched += 1
        try:
            if not self._limited:
                await asyncio.wait({ended}, timeout=FIRST_AFTER_S)
            while not ended.done():
                began = time.perf_counter()
                self._sample()
                cost_s = time.perf_counter() - began
                pause_s = self._pace.pause_s(cost_s, limited=self._limited)
                await asyncio.wait({ended}, timeout=pause_s)
        finally:
            self._pace.watched -= 1

    def use(self, ended: Exit | None = None) -> Use:
        """What was used so far, or in all where `ended` is known.

        At the end the kernel tells of the process and the children that it waited for. Its figure
        of memory counts for Python units only: that of a program begins with what started it
        (getrusage(2): ru_maxrss is kept over an exec).
        """
        measured_s = self.samples[-1].cpu_s if self.samples else None
        peak_rss = _highest(sample.rss for sample in self.samples)
        if ended is not None:
            measured_s = _highest((measured_s, ended.cpu_s))
            if self._process.launch.command is None:
                peak_rss = _highest((peak_rss, ended.max_rss))
        return Use(
            cpu_s=measured_s,
            max_rss=peak_rss,
            peak_cpu=_highest(sample.cpu_percent for sample in self.samples),
            peak_threads=_highest(sample.threads for sample in self.samples),
            peak_fds=_highest(sample.fds for sample in self.samples),
            peak_children=_highest(sample.children for sample in self.samples),
        )

    def _sample(self) -> None:
        below = system.unit_processes(self._process.pid, self._process.keeper)
        if not below:
            return
        t_ns = time.monotonic_ns()
        # What ended in between counts for who has waited for it, in the end the keeper.
        cpu_s = system.cpu_of_the_gone(self._process.keeper)
        cpu_s += sum(entry.cpu_s + entry.waited_cpu_s for entry in below)
        before = self.samples[-1] if self.samples else None
        self.samples.append(
            Sample(
                unit=self._process.launch.unit,
                start=self._start,
                t_ns=t_ns,
                cpu_s=cpu_s,
                cpu_percent=None if before is None else _percent(before, t_ns, cpu_s),
                rss=sum(entry.rss for entry in below),
                threads=sum(entry.threads for entry in below),
                fds=sum(system.open_files(entry.pid) for entry in below),
                children=len(below) - 1,
            )
        )


class Usage:
    """What a unit uses in all its starts; nothing is known of those that nobody asks about.

    `wanted`: figures are asked for; `limited`: so that limits can be held, see `Monitor`.
    """

    def __init__(self, pace: Pace, *, wanted: bool, limited: bool) -> None:
        self._pace = pace
        self._wanted = wanted or limited
        self._limited = limited
        self._before = Use()  # in the starts that are over
        self._monitor: Monitor | None = None
        self._sampling: asyncio.Task[None] | None = None

    @property
    def so_far(self) -> Use:
        """In all starts."""
        if self._monitor is None:
            return self._before
        return joined(self._before, self._monitor.use())

    def begin(self, process: Process, start: int) -> None:
        """Sample this start of the unit."""
        if self._wanted:
            self._monitor = Monitor(process, start, self._pace, limited=self._limited)
            self._sampling = asyncio.create_task(self._monitor.run())

    async def end(self, ended: Exit) -> list[Sample]:
        """The start is over; its samples."""
        if self._monitor is None or self._sampling is None:
            return []
        await self._sampling
        monitor, self._monitor = self._monitor, None
        self._before = joined(self._before, monitor.use(ended))
        return monitor.samples


def usage_of(unit: Unit, group: Group, pace: Pace) -> Usage:
    """Nothing used so far, by a unit of this group."""
    measured = any(one.source == "unit" and one.owner == unit.name for one in group.metrics)
    limited = measured or unit.max_rss is not None or unit.max_cpu is not None
    return Usage(pace, wanted=group.gen_metrics, limited=limited)


def joined(first: Use, second: Use) -> Use:
    """The use of two starts of one unit."""
    return Use(
        cpu_s=sum(known) if (known := _known((first.cpu_s, second.cpu_s))) else None,
        max_rss=_highest((first.max_rss, second.max_rss)),
        peak_cpu=_highest((first.peak_cpu, second.peak_cpu)),
        peak_threads=_highest((first.peak_threads, second.peak_threads)),
        peak_fds=_highest((first.peak_fds, second.peak_fds)),
        peak_children=_highest((first.peak_children, second.peak_children)),
    )


def _percent(before: Sample, t_ns: int, cpu_s: float) -> float:
    """CPU use of one core between two readings; a clock of 10 ms makes it coarse."""
    return round(max(0.0, cpu_s - before.cpu_s) / ((t_ns - before.t_ns) / 1e9) * 100, 1)


def _known(values: Iterable[_Number | None]) -> list[_Number]:
    return [value for value in values if value is not None]


def _highest(values: Iterable[_Number | None]) -> _Number | None:
    return max(_known(values), default=None)
