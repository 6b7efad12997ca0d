"""Samples what units use while they live, and processes that no unit started (`[[monitor]]`)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from testrium.declared.groups import Group, Monitored
from testrium.declared.units import Unit
from testrium.errors import InfraError
from testrium.evidence import Sample, Use
from testrium.record.recorder import Recorder
from testrium.run.logs import bounded
from testrium.run.supervisor.client import Exit, SupervisedProcess
from testrium.system.platform import system

if TYPE_CHECKING:
    from testrium.system.processes import ProcessFigures

_Number = TypeVar("_Number", int, float)

#: Seconds between samples. The contract promises one every 250 ms, also from a busy loop.
INTERVAL_S = 0.2

#: A unit without limits that ends sooner costs nothing: the kernel's figures at its end must do.
FIRST_AFTER_S = 0.1

#: At most this part of a core goes into samples that no limit asks for.
SHARE = 0.02


class SamplingPace:
    """How often a process is looked at, depending on how many of all groups are watched."""

    def __init__(self) -> None:
        self.watched = 0

    def pause_s(self, cost_s: float, *, limited: bool) -> float:
        """The time until the next sample, where the last one took `cost_s` of a core."""
        return INTERVAL_S if limited else max(INTERVAL_S, cost_s * self.watched / SHARE)


class Monitor:
    """Samples one start of a unit, from the start of its process until it ends.

    `limited`: it has max_rss or max_cpu, so it is sampled from its first moment and at the
    pace that the contract promises, whatever that costs.
    """

    def __init__(
        self, process: SupervisedProcess, start: int, pace: SamplingPace, *, limited: bool
    ) -> None:
        self.samples: list[Sample] = []
        self._process = process
        self._start = start
        self._pace = pace
        self._limited = limited

    async def run(self) -> None:
        """Sample until the process has ended. Never raises when the process vanishes."""
        ended = self._process.ended
        self._pace.watched += 1
        try:
            if not self._limited:
                await asyncio.wait({ended}, timeout=FIRST_AFTER_S)
            while not ended.done():
                cost_s = 0.0
                if self._process.is_remote:
                    await self._sample_there()
                else:
                    cost_s = _cpu_time_of(self._sample)
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
        from testrium.system import processes  # psutil, see there; short units need no sample

        keeper = self._process.keeper
        below = processes.figures_of(system.unit_pids(self._process.pid, keeper))
        if not below:
            return
        # What ended in between counts for who has waited for it, in the end the keeper.
        kept = processes.figures(keeper) if keeper else None
        files = sum(processes.open_files(entry.pid) for entry in below)
        waited_s = kept.waited_cpu_s - self._process.waited_before_s if kept else 0.0
        self._keep(below, waited_s, files)

    async def _sample_there(self) -> None:
        """The same on another host."""
        with contextlib.suppress(InfraError):  # the group learns of it elsewhere
            below, waited_s = await self._process.figures()
            if below:
                self._keep(below, waited_s, sum(entry.files for entry in below))

    def _keep(self, below: Sequence[ProcessFigures], waited_s: float, files: int) -> None:
        cpu_s = waited_s + sum(entry.cpu_s + entry.waited_cpu_s for entry in below)
        unit = self._process.launch.unit
        _add(self.samples, unit, below, self._start, cpu_s, files=files, children=len(below) - 1)


class Usage:
    """What a unit uses in all its starts; only sampled processes are known.

    `wanted`: figures are asked for; `limited`: limits are checked, see `Monitor`.
    """

    def __init__(self, pace: SamplingPace, *, wanted: bool, limited: bool) -> None:
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

    def begin(self, process: SupervisedProcess, start: int) -> None:
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


def usage_of(unit: Unit, group: Group, pace: SamplingPace) -> Usage:
    """Nothing used so far, by a unit of this group."""
    measured = any(one.source == "unit" and one.owner == unit.name for one in group.metrics)
    limited = measured or unit.max_rss is not None or unit.max_cpu is not None
    return Usage(pace, wanted=group.gen_metrics, limited=limited)


def joined(first: Use, second: Use) -> Use:
    """The use of two starts of one unit."""
    highest = Use._make(map(_highest, zip(first, second, strict=True)))
    known = _known((first.cpu_s, second.cpu_s))
    return highest._replace(cpu_s=sum(known) if known else None)


def _add(
    samples: list[Sample],
    unit: str,
    entries: Collection[ProcessFigures],
    start: int,
    cpu_s: float,
    *,
    files: int,
    children: int,
) -> None:
    """Add what some processes use now. A clock of 10 ms makes their percentage coarse."""
    t_ns, percent = time.monotonic_ns(), None
    if samples:
        used_s, passed_s = cpu_s - samples[-1].cpu_s, (t_ns - samples[-1].t_ns) / 1e9
        percent = round(max(0.0, used_s) / passed_s * 100, 1)
    rss, threads = sum(each.rss for each in entries), sum(each.threads for each in entries)
    samples.append(Sample(unit, start, t_ns, cpu_s, percent, rss, threads, files, children))


def _known(values: Iterable[_Number | None]) -> list[_Number]:
    return [value for value in values if value is not None]


def _highest(values: Iterable[_Number | None]) -> _Number | None:
    return max(_known(values), default=None)


#: Seconds between looks at all processes of the machine for those with a pattern.
SEARCH_S = 1.0


class ProcessMonitors:
    """Samples the processes that a group wants to have watched, from `open` to `close`.

    `notice` tells the user a sentence about one of them.
    """

    def __init__(
        self,
        wanted: Iterable[Monitored],
        pace: SamplingPace,
        recorder: Recorder,
        notice: Callable[[str], None],
    ) -> None:
        self._pace = pace
        self._recorder = recorder
        self._notice = notice
        self._watched = [_MonitoredProcesses(each) for each in wanted]
        self._sampling: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._sampling = asyncio.create_task(self._sample(), name="process monitors")

    async def close(self) -> None:
        """Store the samples, and notices about processes that were never seen."""
        if self._sampling is None:
            return
        self._sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sampling
        for watched in self._watched:
            self._recorder.add_samples(watched.samples)
            if not watched.samples:
                self._tell(watched, "no such process was seen")

    async def _sample(self) -> None:
        self._pace.watched += 1
        try:
            while True:
                cost_s = await self._look()
                await asyncio.sleep(self._pace.pause_s(cost_s, limited=False))
        finally:
            self._pace.watched -= 1

    async def _look(self) -> float:
        """Take a sample of each; returns the CPU time that they took."""
        cost_s = 0.0
        for watched in tuple(self._watched):
            try:
                cost_s += await watched.look()
            except InfraError as error:
                self._watched.remove(watched)
                self._recorder.add_samples(watched.samples)
                self._tell(watched, str(error))
        return cost_s

    def _tell(self, watched: _MonitoredProcesses, text: str) -> None:
        self._notice(f"monitor {watched.name}: {text}")


class _MonitoredProcesses:
    """One entry: the processes it means, and those below them."""

    def __init__(self, wanted: Monitored) -> None:
        self.name = wanted.name
        self.samples: list[Sample] = []
        self._pid = wanted.pid
        self._pattern = re.compile(wanted.process or "")
        self._roots: set[int] = set()
        self._searched_at = -SEARCH_S
        self._cpu_s = 0.0  # of all processes, since each was seen first
        self._before: dict[int, float] = {}

    async def look(self) -> float:
        """Take a sample, if there is such a process; returns the CPU time that it took.

        Raises InfraError: its pattern takes too long.
        """
        cost_s = 0.0
        if self._pid is not None:
            self._roots = {self._pid}
        elif time.monotonic() - self._searched_at >= SEARCH_S:
            self._searched_at = time.monotonic()
            # All processes of a machine may be many. But a search has a limit in this thread only.
            lines: dict[int, str] = {}
            cost_s = await asyncio.to_thread(_cpu_time_of, lambda: lines.update(_command_lines()))
            self._search(lines)
        return cost_s + await asyncio.to_thread(_cpu_time_of, self._sample)

    def _sample(self) -> None:
        from testrium.system import processes  # as in `Monitor`

        below = {pid for root in self._roots for pid in processes.tree(root)}
        entries = {entry.pid: entry for entry in processes.figures_of(below) if entry.alive}
        if entries:
            self._note(entries)

    def _search(self, lines: Mapping[int, str]) -> None:
        with bounded(lambda: f"its pattern {self._pattern.pattern!r}"):
            self._roots = {pid for pid, line in lines.items() if self._pattern.search(line)}

    def _note(self, entries: Mapping[int, ProcessFigures]) -> None:
        from testrium.system.processes import open_files  # as in `Monitor`

        used = {pid: entry.cpu_s for pid, entry in entries.items()}
        self._cpu_s += sum(cpu_s - self._before.get(pid, cpu_s) for pid, cpu_s in used.items())
        self._before = used
        files, children = sum(map(open_files, entries)), len(entries.keys() - self._roots)
        _add(
            self.samples, self.name, entries.values(), 1, self._cpu_s,
            files=files, children=children,
        )  # fmt: skip


def _command_lines() -> dict[int, str]:
    """Of all processes but this run's."""
    from testrium.system import processes  # as in `Monitor`

    others = processes.pids() - processes.this_and_above()
    return {pid: processes.command_line(pid) for pid in others}


def _cpu_time_of(work: Callable[[], object]) -> float:
    """Do it; the CPU time in seconds that it took in this thread."""
    began = time.thread_time()
    work()
    return time.thread_time() - began
