"""Services that stay up while one group runs again and again, and a reset between two runs.

They are a group of their own, held up until they are not needed any more. In each run of the group
a service is represented by a `KeptUnit`: what the service emits meanwhile is an event of that run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.declared.groups import Scenario
from testrium.evidence import End, EndCause, Event
from testrium.record.recorder import Recorder
from testrium.results import SilentObserver
from testrium.run.change import ChangeSignal
from testrium.run.group import GroupRun, open_group
from testrium.run.services import FixtureStart, HeldGroup, RunServices
from testrium.run.tests import reset_unit, run_to_end
from testrium.run.unit import RunningUnit

if TYPE_CHECKING:
    from testrium.run.supervisor.client import SupervisedProcess


class KeptService:
    """One unit that stays up, as the runs of its group need it."""

    def __init__(self, running: RunningUnit, owners: frozenset[str]) -> None:
        """`owners` are the units whose events it passes on."""
        self.unit = running.unit
        self.listeners: set[ChangeSignal] = set()
        self.log_sizes: Mapping[Path, int] = {}
        self._running = running
        self._owners = owners
        self._begun: list[Event] = []  # what was emitted before it was used first
        self._last: dict[int, int] = {}  # the last number in the sequence of each process
        self._skipped: dict[int, int] = {}  # how many of these are not of the current run
        self._life = FixtureStart()
        self._joined: Recorder | None = None
        self._was_joined = self._ended_before = False

    @property
    def started(self) -> Sequence[SupervisedProcess]:
        """Its process is one of its own group."""
        return self._running.context.started

    @property
    def logs(self) -> tuple[Path, Path]:
        folder, name = self._running.context.folder, self.unit.name
        return folder.stdout(name), folder.stderr(name)

    @property
    def end(self) -> End:
        """How it has ended."""
        assert self._running.end is not None
        return self._running.end

    @property
    def has_ended(self) -> bool:
        """Whether it has ended as it should: it has done its part, and is not a service."""
        return self._running.end is not None and self._running.ended_well(self._running.end)

    @property
    def is_lost(self) -> bool:
        """Whether it has ended and should not have: a service, once it is used."""
        service = self.unit.stop == "runner" and self.unit.has_process
        in_use = service and self._was_joined and not self._ended_before
        return self._running.end is not None and (in_use or not self.has_ended)

    async def ports(self) -> Mapping[str, int]:
        return self._running.context.surroundings.ports.get(self.unit.name, {})

    def borrow(self) -> FixtureStart:
        return self._life

    def is_ready(self, life: FixtureStart) -> bool:
        return life.end is None and self._running.was_ready and self._running.alive

    def join(self, recorder: Recorder) -> None:
        """Make what it has emitted so far, and what it will emit, events of this recorder too."""
        if not self._was_joined:
            self._was_joined = True
            self._ended_before = self.has_ended
            self.log_sizes = {log: log.stat().st_size for log in self.logs if log.exists()}
        begun = {event.pid: event.seq or 0 for event in self._begun}
        self._skipped = {pid: last - begun.get(pid, 0) for pid, last in self._last.items()}
        recorder.add_copies(self._begun)
        self._joined = recorder

    async def leave(self, recorder: Recorder) -> None:
        """Pass on what it has emitted until now, and no more. Raises InfraError."""
        await self._running.context.recorder.sync()
        if self._joined is recorder:
            self._joined = None

    def see(self, events: Iterable[Event]) -> None:
        """Pass on those of these events that are its own."""
        mine = [event for event in events if event.owner in self._owners]
        if self._joined is not None:
            self._joined.add_copies(map(self._numbered, mine))
        elif not self._was_joined:
            self._begun += mine
        self._last |= {event.pid: event.seq for event in mine if event.seq is not None}

    def _numbered(self, event: Event) -> Event:
        """The same with its number among those of this run, where only what is lost leaves gaps."""
        if event.seq is None:
            return event
        return event._replace(seq=event.seq - self._skipped.get(event.pid, 0))

    def tell(self) -> None:
        """Something may have changed: notify those who use it."""
        if self._running.end is not None:
            self._life.end = self._running.end
        for listener in self.listeners:
            listener.notify()


class KeptServices:
    """Some units of a group, kept up: opened, reset between two runs of the group, and closed.

    setup.py runs before them, and teardown.py behind them.
    """

    #: They are held: nothing waits for their end.
    patience_s: float | None = None

    def __init__(
        self,
        scenario: Scenario,
        names: Iterable[str],
        services: RunServices,
        folder_name: str,
    ) -> None:
        """Nothing is started yet.

        Args:
            scenario: the group, and `folder_name` the folder of these services in that of the run.
            names: those of its units that stay up; what they depend on is among them.
            services: what all groups of the run share.
        """
        self.scenario = _scenario_of(scenario, frozenset(names), folder_name)
        self.by_name: Mapping[str, KeptService] = {}
        self._services = services._replace(observer=SilentObserver(), verbose=False)
        self._open = contextlib.AsyncExitStack()
        self._ready = asyncio.Event()
        self._resetting: RunningUnit | None = None
        self._group: GroupRun

    @property
    def database(self) -> Path:
        """The store of what they did."""
        return self._group.database

    @property
    def lost(self) -> bool:
        """Whether one of them has ended."""
        return any(service.is_lost for service in self.by_name.values())

    async def open(self) -> bool:
        """Start them; False where one did not become ready. Raises InfraError."""
        scenario = self.scenario
        opening = open_group(scenario, self._services, self)
        self._group = group = await self._open.enter_async_context(opening)
        context, first = group.context, True
        by_name = {}
        for name, running in group.running_units.items():
            if running.unit.scope != "run":
                owners = frozenset({name, "setup"} if first else {name})
                by_name[name] = KeptService(running, owners)
                first = False
        self.by_name = by_name
        context.recorder.subscribe(self._see)
        self._begin(self._echo(context.change))
        await group.start()
        observing = self._begin(group.observe())
        ready = self._begin(self._ready.wait())
        await asyncio.wait({observing, ready}, return_when=asyncio.FIRST_COMPLETED)
        await context.recorder.sync()
        return self._ready.is_set() and not self.lost

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do this until they are closed."""
        task = asyncio.create_task(work)
        self._open.callback(task.cancel)
        return task

    async def until_released(self, group: HeldGroup) -> None:  # noqa: ARG002 - as `Hold` has it
        """All are ready; they are not released before they are closed."""
        self._ready.set()
        await asyncio.Event().wait()

    async def reset(self, function: str) -> str:
        """Call `function` in a process of its own; why it failed, or "". Raises InfraError."""
        context, group = self._group.context, self.scenario.group
        if self._resetting is None:
            self._resetting = RunningUnit(reset_unit(group, function), context)
            self._resetting.starts = int(group.has_setup)  # of the same unit
        running = self._resetting
        running.reset()
        end = await run_to_end(running)
        await context.recorder.sync()  # what it made the services emit is of no run
        return "" if running.ended_well(end) else _why(end, group.timeout_s)

    async def close(self) -> None:
        """Stop them. Raises InfraError."""
        await self._open.aclose()

    def _see(self, events: tuple[Event, ...]) -> None:
        for service in self.by_name.values():
            service.see(events)

    async def _echo(self, change: ChangeSignal) -> None:
        while True:
            await change.wait()
            for service in self.by_name.values():
                service.tell()


def _why(end: End, limit_s: float) -> str:
    if end.cause is EndCause.TIMEOUT:
        return f"it took longer than {limit_s:g} s"
    if end.signal is not None:
        return f"it was ended by {end.signal}"
    return end.last_lines[-1] if end.last_lines else f"it ended with exit code {end.exit_code}"


def _scenario_of(scenario: Scenario, names: frozenset[str], folder_name: str) -> Scenario:
    """The scenario of these units alone: nothing is asked of them but that they live."""
    group = replace(
        scenario.group,
        circuits=(),
        checks=(),
        faults=(),
        histories=(),
        metrics=(),
        monitors=(),
        taps=(),
        test_modules=(),
        save_metrics=False,
    )
    units = tuple(
        replace(unit, events=(), in_except="Stop")
        for unit in scenario.units
        if unit.name in names or unit.scope == "run"
    )
    return scenario._replace(group=group, units=units, folder_name=folder_name, generated="")
