"""Which group runs when: side by side as far as they may."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

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


class Turn:
    """The place of a scenario among those that run.

    `over` once the next one may start in its place: it is done, or only its judging is left. Then
    `next` gives the turn of the one that has started, None where none may.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self.next: asyncio.Future[Turn | None] = loop.create_future()

    def end(self) -> None:
        """Give the place to the next scenario."""
        if not self.over.done():
            self.over.set_result(None)


async def run_scheduled(
    scenarios: tuple[Scenario, ...],
    run: Callable[[Scenario, Turn], Awaitable[T]],
    *,
    jobs: int,
    stop: Callable[[list[T]], bool],
    sequence: Iterable[Scenario] | None = None,
    apart: bool = False,
) -> list[T]:
    """Run all, at most `jobs` at once.

    Args:
        scenarios: in the order in which their results come back.
        run: runs one of them; the next one starts when its turn is over.
        jobs: how many may run side by side.
        stop: asked before each start whether, given the results so far, nothing more may begin.
        sequence: the same scenarios in the order in which they start; None for their own order.
        apart: each runs on a machine or in a copy of its own, so only `jobs` holds.
    """
    pending = list(scenarios if sequence is None else sequence)
    turns: dict[asyncio.Future[T], tuple[Scenario, Turn]] = {}
    results: dict[int, T] = {}
    place = {id(scenario): number for number, scenario in enumerate(scenarios)}
    while pending or turns:
        if stop(list(results.values())):
            pending.clear()
        running = [scenario for scenario, turn in turns.values() if not turn.over.done()]
        given = [turn for _, turn in turns.values() if turn.over.done() and not turn.next.done()]
        for scenario in list(pending):
            if len(running) >= jobs:
                break
            if apart:
                fits = True
            elif scenario.group.exclusive and running:
                break  # it comes next, alone; no other overtakes it
            else:
                fits = may_start(scenario, running, jobs)
            if fits:
                pending.remove(scenario)
                running.append(scenario)
                turn = Turn()
                turns[asyncio.ensure_future(run(scenario, turn))] = scenario, turn
                if given:
                    given.pop(0).next.set_result(turn)
        for turn in given:
            turn.next.set_result(None)
        if not turns:
            break
        overs = (turn.over for _, turn in turns.values() if not turn.over.done())
        changes: list[asyncio.Future[Any]] = [*turns, *overs]
        await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in turns if task.done()]:
            scenario, turn = turns.pop(task)
            turn.end()
            results[place[id(scenario)]] = task.result()
    return [results[number] for number in sorted(results)]
