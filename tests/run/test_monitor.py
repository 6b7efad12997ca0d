"""Use of CPU and memory, with everything that a unit has started."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.run import linux, monitor
from testrium.run.monitor import Breach, Monitor, Sample
from testrium.run.supervision import Supervisor

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder

MB = 1_000_000


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "INTERVAL_S", 0.01)


def watched(folder: UnitFolder, code: str, **limits: float) -> Monitor:
    """Run `main` of this code until it has breached its limits; without any, for some samples."""
    launch = folder.launch(code)

    async def story(supervisor: Supervisor) -> Monitor:
        process = await supervisor.spawn(launch)
        reached = asyncio.Event()

        def breached(_: Breach) -> None:
            if len(seen.breaches) == len(limits):
                reached.set()

        seen = Monitor(process, on_breach=breached, **limits)  # type: ignore[arg-type]
        sampling = asyncio.create_task(seen.run())
        if limits:
            await reached.wait()
        else:
            await folder.wait_lines()
            await folder.until(lambda: len(seen.samples) > 2)
            seen.samples.clear()
            await folder.until(lambda: len(seen.samples) > 2)
        process.kill()
        await sampling
        return seen

    return folder.run(story)


def test_a_sample_counts_descendants(folder: UnitFolder) -> None:
    code = """
        import os, signal, threading
        def main():
            if os.fork() == 0:
                os.setsid()
                held = [os.pipe() for _ in range(20)]
                signal.pause()
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            print("ready")
            signal.pause()
    """
    sample = watched(folder, code).samples[-1]
    assert sample.children == 1
    assert sample.threads == 3
    assert sample.fds >= 40
    assert sample.rss > 2 * MB
    assert sample.cpu_percent is not None


def test_memory_over_its_limit_is_told_once(folder: UnitFolder) -> None:
    code = """
        import signal
        def main():
            kept = bytearray(120_000_000)
            signal.pause()
    """
    seen = watched(folder, code, max_rss=100 * MB)
    [breach] = seen.breaches
    assert (breach.limit, breach.allowed) == ("max_rss", 100 * MB)
    assert 100 * MB < breach.value < 200 * MB
    assert seen.peak.rss is not None
    assert seen.peak.rss >= breach.value


def test_cpu_over_its_limit_is_a_mean(folder: UnitFolder) -> None:
    seen = watched(folder, "def main():\n    while True: pass", max_cpu=20)
    [breach] = seen.breaches
    assert breach.limit == "max_cpu"
    assert 20 < breach.value < 150
    first = seen.samples[0]
    assert breach.t_ns - first.t_ns >= monitor.CPU_WINDOW_NS


def test_cpu_of_children_that_have_ended_counts(folder: UnitFolder) -> None:
    """Each of them lives shorter than the time between two samples."""
    code = """
        import os
        def main():
            while True:
                if os.fork() == 0:
                    sum(range(300_000))
                    os._exit(0)
                os.wait()
    """
    assert watched(folder, code, max_cpu=20).breaches[0].value > 20


def test_a_unit_that_has_ended_is_not_sampled(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> Monitor:
        process = await supervisor.spawn(folder.launch(command=["true"]))
        await process.cleared
        seen = Monitor(process)
        await seen.run()
        return seen

    seen = folder.run(story)
    assert seen.samples == []
    assert (seen.peak.cpu_percent, seen.peak.rss) == (None, None)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 100)), min_size=2, max_size=50))
def test_the_mean_covers_at_least_a_second(steps: list[tuple[int, int]]) -> None:
    """Against the definition: no shorter window, and the shortest that is long enough."""
    seen = Monitor.__new__(Monitor)
    Monitor.__init__(seen, None, max_cpu=50)  # type: ignore[arg-type]
    t_ns, cpu_s = 0, 0.0
    readings = []
    for elapsed_ms, percent in steps:
        t_ns += elapsed_ms * 1_000_000
        cpu_s += elapsed_ms / 1000 * percent / 100
        readings.append((t_ns, cpu_s))
        seen._used.append((t_ns, cpu_s))
        seen._compare(Sample(t_ns, None, 0, 0, 0, 0))
    means = []
    for index, (now_ns, now_s) in enumerate(readings):
        longer = [(a, s) for a, s in readings[:index] if now_ns - a >= monitor.CPU_WINDOW_NS]
        if longer:
            then_ns, then_s = longer[-1]
            means.append((now_s - then_s) / (now_ns - then_ns) * 1e9 * 100)
    assert [b.value for b in seen.breaches] == pytest.approx([m for m in means if m > 50][:1])


def test_usage_of_a_process_is_read(folder: UnitFolder) -> None:
    """Against what the process says of itself."""
    entry = linux.process_entry(os.getpid())
    assert entry is not None
    assert entry.parent == os.getppid()
    assert (entry.group, entry.session) == (os.getpgrp(), os.getsid(0))
    times = os.times()
    assert entry.cpu_s == pytest.approx(times.user + times.system, abs=0.1)
    assert entry.waited_cpu_s == pytest.approx(times.children_user + times.children_system, abs=0.1)
    assert entry.rss > 10 * MB


def test_a_name_cannot_confuse_the_reader() -> None:
    """A process may call itself `) Z 1 1`."""
    code = "open('/proc/self/comm', 'w').write(') Z 1 1'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        entry = linux.process_entry(other.pid)
        other.kill()
    assert entry is not None
    assert (entry.state in "SR", entry.parent) == (True, os.getpid())
