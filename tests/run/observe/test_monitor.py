"""Use of CPU and memory, with everything that a unit has started."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from testrium.evidence import Sample, Use
from testrium.run import monitor
from testrium.run.monitor import Monitor, SamplingPace, joined
from testrium.run.supervisor.client import Exit, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.run.conftest import UnitFolder

MB = 1_000_000


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "INTERVAL_S", 0.01)
    monkeypatch.setattr(monitor, "FIRST_AFTER_S", 0.01)


def watched(
    folder: UnitFolder, code: str, until: Callable[[list[Sample]], bool]
) -> tuple[Monitor, Exit]:
    """Run `main` of this code until it has written a line and its samples are as asked."""
    launch = folder.launch(code)

    async def story(supervisor: Supervisor) -> tuple[Monitor, Exit]:
        process = await supervisor.spawn(launch)
        seen = Monitor(process, 1, SamplingPace(), limited=False)
        sampling = asyncio.create_task(seen.run())
        await folder.wait_lines()
        await folder.until(lambda: until(seen.samples))
        process.kill()
        await sampling
        return seen, await process.ended

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

    def complete(sample: Sample) -> bool:
        return sample.fds >= 40 and sample.threads == 3

    seen, _ = watched(folder, code, lambda samples: any(map(complete, samples)))
    # Not the last one: it may have been taken while they were killed.
    sample = next(filter(complete, seen.samples))
    assert (sample.unit, sample.start) == ("source", 1)
    assert sample.children == 1
    assert sample.rss > 2 * MB


def test_use_is_the_highest_of_all_samples_and_what_the_kernel_says(folder: UnitFolder) -> None:
    code = """
        import signal
        def main():
            kept = bytearray(60_000_000)
            del kept
            sum(range(3_000_000))
            print("done")
            signal.pause()
    """
    seen, end = watched(folder, code, lambda samples: len(samples) > 2)
    use = seen.use(end)
    assert use.max_rss is not None
    assert use.max_rss > 60 * MB
    assert use.cpu_s is not None
    assert use.cpu_s > 0.01
    assert use.peak_children == 0


def test_the_cpu_time_of_children_that_have_ended_counts(folder: UnitFolder) -> None:
    """Each of them lives shorter than the time between two samples."""
    code = """
        import os
        def main():
            print("go")
            while True:
                if os.fork() == 0:
                    sum(range(300_000))
                    os._exit(0)
                os.wait()
    """
    seen, _ = watched(folder, code, lambda samples: bool(samples) and samples[-1].cpu_s > 0.1)
    assert any(sample.cpu_percent for sample in seen.samples)


def test_a_program_is_not_charged_for_what_started_it(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> Use:
        process = await supervisor.spawn(folder.launch(command=["true"]))
        seen = Monitor(process, 1, SamplingPace(), limited=False)
        end = await process.ended
        return seen.use(end)

    use = folder.run(story)
    assert use.max_rss is None
    assert use.cpu_s is not None


def test_a_unit_that_has_ended_is_not_sampled(folder: UnitFolder) -> None:
    pace = SamplingPace()

    async def story(supervisor: Supervisor) -> Monitor:
        process = await supervisor.spawn(folder.launch(command=["true"]))
        await process.cleared
        seen = Monitor(process, 1, pace, limited=True)
        await seen.run()
        return seen

    seen = folder.run(story)
    assert seen.samples == []
    assert seen.use() == Use()
    assert pace.watched == 0


def test_the_use_of_two_starts_is_added_up() -> None:
    first = Use(cpu_s=1.0, max_rss=10, peak_children=None)
    second = Use(cpu_s=0.5, max_rss=5, peak_children=2)
    assert joined(first, second) == Use(cpu_s=1.5, max_rss=10, peak_children=2)
    assert joined(Use(), second) == second
    assert joined(Use(), Use()) == Use()


def test_many_processes_are_sampled_less_often_but_for_limits() -> None:
    pace = SamplingPace()
    pace.watched = 200
    assert pace.pause_s(0.0001, limited=False) == pytest.approx(0.0001 * 200 / monitor.SHARE)
    assert pace.pause_s(0.0001, limited=True) == monitor.INTERVAL_S
    pace.watched = 1
    assert pace.pause_s(0.0001, limited=False) == monitor.INTERVAL_S
