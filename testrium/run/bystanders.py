"""Processes that no unit has started, sampled beside the units: `[[monitor]]`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping

from testrium.declared.groups import Monitored
from testrium.errors import InfraError
from testrium.evidence import Sample
from testrium.record.recorder import Recorder
from testrium.run.monitor import INTERVAL_S
from testrium.run.observe.logs import bounded
from testrium.run.platform import system
from testrium.run.process_entry import ProcessEntry
from testrium.run.sweep import this_and_above

#: Seconds between looks at all processes of the machine for those with a pattern.
SEARCH_S = 1.0


class Bystanders:
    """Samples the processes that a group wants to have watched, from `open` to `close`.

    `notice` tells the user a sentence about one of them.
    """

    def __init__(
        self, wanted: Iterable[Monitored], recorder: Recorder, notice: Callable[[str], None]
    ) -> None:
        self._recorder = recorder
        self._notice = notice
        self._watched = [_Watched(each) for each in wanted]
        self._sampling: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._sampling = asyncio.create_task(self._sample(), name="bystanders")

    async def close(self) -> None:
        """Store the samples; what was never seen is told."""
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
        while True:
            for watched in tuple(self._watched):
                try:
                    await watched.look()
                except InfraError as error:
                    self._watched.remove(watched)
                    self._recorder.add_samples(watched.samples)
                    self._tell(watched, str(error))
            await asyncio.sleep(INTERVAL_S)

    def _tell(self, watched: _Watched, text: str) -> None:
        self._notice(f"monitor {watched.name}: {text}")


class _Watched:
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

    async def look(self) -> None:
        """Take a sample, if there is such a process.

        Raises InfraError: its pattern takes too long.
        """
        if self._pid is not None:
            self._roots = {self._pid}
        elif time.monotonic() - self._searched_at >= SEARCH_S:
            self._searched_at = time.monotonic()
            # All processes of a machine may be many. But a search has a limit in this thread only.
            self._search(await asyncio.to_thread(_command_lines))
        await asyncio.to_thread(self._sample)

    def _sample(self) -> None:
        entries = {
            entry.pid: entry for root in self._roots for entry in system.tree(root) if entry.alive
        }
        if entries:
            self._add(entries)

    def _search(self, lines: Mapping[int, str]) -> None:
        with bounded(lambda: f"its pattern {self._pattern.pattern!r}"):
            self._roots = {pid for pid, line in lines.items() if self._pattern.search(line)}

    def _add(self, entries: Mapping[int, ProcessEntry]) -> None:
        t_ns = time.monotonic_ns()
        used = {pid: entry.cpu_s for pid, entry in entries.items()}
        grown_s = sum(cpu_s - self._before.get(pid, cpu_s) for pid, cpu_s in used.items())
        self._cpu_s += grown_s
        self._before = used
        percent = None
        if self.samples:
            percent = round(grown_s / ((t_ns - self.samples[-1].t_ns) / 1e9) * 100, 1)
        self.samples.append(
            Sample(
                unit=self.name,
                start=1,
                t_ns=t_ns,
                cpu_s=self._cpu_s,
                cpu_percent=percent,
                rss=sum(entry.rss for entry in entries.values()),
                threads=sum(entry.threads for entry in entries.values()),
                fds=sum(system.open_files(pid) for pid in entries),
                children=len(entries.keys() - self._roots),
            )
        )


def _command_lines() -> dict[int, str]:
    """Of all processes but this run's."""
    return {pid: system.command_line(pid) for pid in system.pids() - this_and_above()}
