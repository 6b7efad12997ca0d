"""Holds the threads of units at probes, and lets one go on at a time, in the order of a schedule.

    {"order": [["reached", "a:read", "a"], ["released", "a:read", "a"], ["ended", "a ends", "a"]],
     "diverged": [{"at": "a:read", "missing": ["b:read"]}], "overdue": 0}

is what `schedule.json` in the run's folder tells of it. Whether anything moves is looked at again
and again, as nothing tells of it: every millisecond, and only while a thread is held.

Source of the priorities: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, A Randomized
Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.declared.faults import Schedule
from testrium.errors import InfraError
from testrium.interleavings import TRACE_FILE, end_of, priority
from testrium.system.platform import system

if TYPE_CHECKING:
    from testrium.record.recorder import Recorder
    from testrium.record.waits import LineId, ThreadId

#: Seconds between two looks at what moves.
_PAUSE_S = 0.001
#: How many looks in a row must see the same.
_LOOKS = 3
#: Turns of the loop in which a question that has come is taken.
_TURNS = 8


@dataclass(eq=False)
class _HeldThread:
    """A thread that waits at a point: its process and its number; None: a message of a link."""

    label: str
    thread: str
    thread_id: tuple[int, int] | None
    rank: tuple[int, str]
    since_ns: int
    go_on: asyncio.Future[None] = field(default_factory=asyncio.Future)


class Points:
    """The points of one group's run.

    `beginning` tells whether a process is about to start; it is set by who starts them.
    """

    def __init__(self, schedule: Schedule, units: Sequence[str], recorder: Recorder) -> None:
        """`units` are those of the group in their declared order."""
        self.beginning: Callable[[], bool] = lambda: False
        self._schedule = schedule
        self._ranks = {unit: number for number, unit in enumerate(units)}
        self._recorder = recorder
        self._firsts: dict[str, set[str]] = {}
        for decision in schedule.decisions:
            self._firsts.setdefault(decision.held, set()).add(decision.first)
        self._changes = {at: -(value + 1) for value, at in enumerate(schedule.changes)}
        self._priorities: dict[str, float] = {}
        self._held: list[_HeldThread] = []
        self._come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._processes: dict[str, dict[int, int]] = {}  # unit -> pid -> its number
        self._counts: Counter[str] = Counter()
        self._count = 0
        self._threads: dict[str, tuple[int, int]] = {}  # those that have not ended
        self._reached: set[str] = set()
        self._order: list[tuple[str, str, str]] = []
        self._diverged: list[dict[str, Any]] = []
        self._overdue = 0

    async def hold(self, place: str, line: LineId, thread: ThreadId) -> None:
        """Return when the thread that has reached a point may go on."""
        if not self._over:
            await self._wait(self._arrived(place, line, thread))

    async def hold_message(self, link: str, connection: int, direction: str) -> None:
        """Return when a link may pass what was sent; `direction` is `in` or `out` of its unit."""
        if not self._over:
            name = f"{link}/{connection}.{direction}"
            rank = (len(self._ranks), f"{link}/{connection:06}.{direction}")
            await self._wait(self._come_to(name, "message", None, rank))

    async def _wait(self, held: _HeldThread) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._held.append(held)
        self._come.set()
        await held.go_on

    def release(self) -> None:
        """Hold nothing any more: the group is being stopped."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
        for held in self._held:
            if not held.go_on.done():
                held.go_on.set_result(None)
        self._held.clear()

    def finish(self, folder: Path) -> tuple[dict[str, Any], ...]:
        """Write what happened into the run's folder; where it differed from the decisions.

        Raises OSError.
        """
        self.release()
        known = {label for kind, label, _ in self._order if kind == "reached"}
        told = {one["at"] for one in self._diverged}
        for held, firsts in self._firsts.items():
            if held not in known and held not in told:
                self._diverged.append({"at": held, "missing": sorted(firsts), "never": True})
        document = {"order": self._order, "diverged": self._diverged, "overdue": self._overdue}
        (folder / TRACE_FILE).write_text(json.dumps(document) + "\n", encoding="utf-8")
        return tuple(self._diverged)

    def _arrived(self, place: str, line: LineId, thread: ThreadId) -> _HeldThread:
        file, pid, _ = line
        owner = Path(file).parent.name
        numbers = self._processes.setdefault(owner, {})
        number = numbers.setdefault(pid, len(numbers) + 1)
        own = place.removeprefix(f"{owner}:")  # with the unit where it speaks for another one
        name = owner if number == 1 or self._ended_before(owner, pid) else f"{owner}.{number}"
        if thread[0]:
            name += f"/{thread[0]}"
        self._threads[name] = (pid, thread[1])
        rank = (self._ranks.get(owner, len(self._ranks)), name)
        return self._come_to(name, own, (pid, thread[1]), rank)

    def _come_to(
        self, name: str, step: str, thread_id: tuple[int, int] | None, rank: tuple[int, str]
    ) -> _HeldThread:
        """Note that a thread, or the next message of a link, has come to a point."""
        self._counts[f"{name}:{step}"] += 1
        count = self._counts[f"{name}:{step}"]
        label = f"{name}:{step}" + (f" ({count})" if count > 1 else "")
        self._count += 1
        own_priority = self._priorities.get(name) or priority(self._schedule.seed, name)
        self._priorities[name] = self._changes.get(self._count, own_priority)
        self._reached.add(label)
        self._order.append(("reached", label, name))
        return _HeldThread(label, name, thread_id, rank, time.monotonic_ns())

    def _ended_before(self, unit: str, pid: int) -> bool:
        """Whether this process is the only one of its unit: it has been started again."""
        return all(
            other == pid or not system.has_thread(other, other) for other in self._processes[unit]
        )

    async def _run(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            try:
                while self._held:
                    await self._take_turn()
            except InfraError:  # the group ends of it, and knows why
                self.release()

    async def _take_turn(self) -> None:
        """Let one thread go on, as soon as nothing else moves, or it was held for too long."""
        seen: object = None
        same = 0
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            await asyncio.sleep(_PAUSE_S)
            await self._recorder.sync()
            limit_ns = time.monotonic_ns() - self._schedule.hold_ns
            overdue = next((one for one in self._held if one.since_ns < limit_ns), None)
            if overdue is not None:
                self._overdue += 1
                self._let_go(overdue)
                return
            now = None if self.beginning() else system.activity(os.getpid())
            same = same + 1 if now is not None and now == seen else 0
            seen = now
            if same + 1 >= _LOOKS:
                self._note_ends()
                if self._held:
                    self._let_go(self._next())
                return

    def _next(self) -> _HeldThread:
        allowed = [one for one in self._held if not self._missing(one.label)]
        if self._schedule.seed:
            return max(allowed, key=lambda one: self._priorities[one.thread])
        return min(allowed or self._held, key=lambda one: one.rank)

    def _missing(self, label: str) -> list[str]:
        return sorted(self._firsts.get(label, set()) - self._reached)

    def _let_go(self, held: _HeldThread) -> None:
        self._held.remove(held)
        if missing := self._missing(held.label):
            self._diverged.append({"at": held.label, "missing": missing})
        self._order.append(("released", held.label, held.thread))
        if not held.go_on.done():
            held.go_on.set_result(None)

    def _note_ends(self) -> None:
        """Which threads are not there any more: they reach nothing, and are not held."""
        for name, thread_id in tuple(self._threads.items()):
            if not system.has_thread(*thread_id):
                del self._threads[name]
                label = end_of(name)
                self._reached.add(label)
                self._order.append(("ended", label, name))
                for held in [one for one in self._held if one.thread_id == thread_id]:
                    self._held.remove(held)
                    with contextlib.suppress(asyncio.InvalidStateError):
                        held.go_on.set_result(None)
