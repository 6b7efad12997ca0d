"""What a unit and everything below it use: sampled while it lives, measured against its limits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from testrium.run import linux
from testrium.run.supervision import Process

#: Seconds between samples. The contract promises one every 250 ms, also from a busy loop.
INTERVAL_S = 0.2

#: Over so long a time CPU use is averaged before it is compared with `max_cpu`.
CPU_WINDOW_NS = 1_000_000_000


class Sample(NamedTuple):
    """The use of one unit, its descendants included, at `t_ns`.

    `cpu_percent` is of one core, since the sample before; None for the first one. `rss` is in
    bytes; memory that processes share counts in each of them. `children` does not count the unit.
    """

    t_ns: int
    cpu_percent: float | None
    rss: int
    threads: int
    fds: int
    children: int


class Breach(NamedTuple):
    """The first sample over a limit: bytes for `max_rss`, percent of one core for `max_cpu`."""

    limit: Literal["max_rss", "max_cpu"]
    value: float
    allowed: float
    t_ns: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest values of all samples; None where there was none."""

    cpu_percent: float | None
    rss: int | None


class Monitor:
    """Samples one process from its start to its end; `on_breach` is called once per limit."""

    def __init__(
        self,
        process: Process,
        *,
        max_rss: int | None = None,
        max_cpu: float | None = None,
        on_breach: Callable[[Breach], None] = lambda _: None,
    ) -> None:
        self.samples: list[Sample] = []
        self.breaches: list[Breach] = []
        self._process = process
        self._max_rss = max_rss
        self._max_cpu = max_cpu
        self._on_breach = on_breach
        self._used: deque[tuple[int, float]] = deque()  # (t_ns, CPU seconds so far)

    @property
    def peak(self) -> Peak:
        cpu = [sample.cpu_percent for sample in self.samples if sample.cpu_percent is not None]
        rss = [sample.rss for sample in self.samples]
        return Peak(max(cpu, default=None), max(rss, default=None))

    async def run(self) -> None:
        """Sample until the process has ended. Never raises because of what became of it."""
        ended = self._process.ended
        while not ended.done():
            self._sample()
            await asyncio.wait({ended}, timeout=INTERVAL_S)

    def _sample(self) -> None:
        keeper = linux.process_entry(self._process.keeper)
        below = linux.descendants(self._process.keeper)
        if keeper is None or not below:
            return
        t_ns = time.monotonic_ns()
        # What ended in between counts for who has waited for it, in the end the keeper.
        cpu_s = keeper.waited_cpu_s + sum(entry.cpu_s + entry.waited_cpu_s for entry in below)
        sample = Sample(
            t_ns,
            _percent(self._used[-1], (t_ns, cpu_s)) if self._used else None,
            rss=sum(entry.rss for entry in below),
            threads=sum(entry.threads for entry in below),
            fds=sum(linux.open_files(entry.pid) for entry in below),
            children=len(below) - 1,
        )
        self.samples.append(sample)
        self._used.append((t_ns, cpu_s))
        self._compare(sample)

    def _compare(self, sample: Sample) -> None:
        if self._max_rss is not None and sample.rss > self._max_rss:
            self._breach(Breach("max_rss", sample.rss, self._max_rss, sample.t_ns))
        now = self._used[-1]
        while len(self._used) > 1 and now[0] - self._used[1][0] >= CPU_WINDOW_NS:
            self._used.popleft()
        if self._max_cpu is not None and now[0] - self._used[0][0] >= CPU_WINDOW_NS:
            mean = _percent(self._used[0], now)
            if mean > self._max_cpu:
                self._breach(Breach("max_cpu", mean, self._max_cpu, sample.t_ns))

    def _breach(self, breach: Breach) -> None:
        if all(known.limit != breach.limit for known in self.breaches):
            self.breaches.append(breach)
            self._on_breach(breach)


def _percent(before: tuple[int, float], now: tuple[int, float]) -> float:
    """CPU use of one core between two readings; a clock of 10 ms makes it coarse."""
    return max(0.0, now[1] - before[1]) / ((now[0] - before[0]) / 1e9) * 100
