"""Which group runs when: side by side as far as they may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from testrium.declared.groups import Scenario

T = TypeVar("T")

_CGROUP_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """The cores that this process may use: its affinity and the cgroup's limit respected.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _CGROUP_CPU_LIMIT.read_text(encoding="utf-8").split()
        limit = int(quota) // int(period)
    except (OSError, ValueError):  # no such cgroup, or "max": no limit
        limit = cores or 1
    return max(1, min(cores or 1, limit))


def may_start(scenario: Scenario, running: Iterable[Scenario], jobs: int) -> bool:
    """Whether `scenario` may run beside `running`.

    Results of one group share its folder and run side by side only where it says so; an exclusive
    group runs alone.
    """
    beside = list(running)
    if len(beside) >= jobs:
        return False
    if any(other.group.exclusive for other in beside) or (scenario.group.exclusive and beside):
        return False
    own = scenario.group
    return own.side_by_side or all(other.group.folder != own.folder for other in beside)


async def run_scheduled(
    scenarios: tuple[Scenario, ...],
    run: Callable[[Scenario], Awaitable[T]],
    *,
    jobs: int,
    stop: Callable[[list[T]], bool],
    sequence: Iterable[Scenario] | None = None,
    apart: bool = False,
) -> list[T]:
    """Run all, at most `jobs` at once.

    Args:
        scenarios: in the order in which their results come back.
        run: runs one of them.
        jobs: how many may run side by side.
        stop: asked before each start whether, given the results so far, nothing more may begin.
        sequence: the same scenarios in the order in which they start; None for their own order.
        apart: each runs on a machine or in a copy of its own, so only `jobs` holds.
    """
    pending = list(scenarios if sequence is None else sequence)
    running: dict[asyncio.Future[T], Scenario] = {}
    results: dict[int, T] = {}
    place = {id(scenario): number for number, scenario in enumerate(scenarios)}
    while pending or running:
        if stop(list(results.values())):
            pending.clear()
        for scenario in list(pending):
            if len(running) >= jobs:
                break
            if apart:
                fits = True
            elif scenario.group.exclusive and running:
                break  # it comes next, alone; no other overtakes it
            else:
                fits = may_start(scenario, running.values(), jobs)
            if fits:
                pending.remove(scenario)
                running[asyncio.ensure_future(run(scenario))] = scenario
        if not running:
            break
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            results[place[id(running.pop(task))]] = task.result()
    return [results[number] for number in sorted(results)]
