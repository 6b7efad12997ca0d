"""Fixtures that all groups of a run share: started by the first user, stopped last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from testrium.declared.groups import Group, Scenario
from testrium.declared.units import FIXTURE_PREFIX, Unit
from testrium.errors import InfraError
from testrium.evidence import End, EndCause, Event, UnitState
from testrium.record.runs import discard_group
from testrium.results import SilentObserver
from testrium.run.change import ChangeSignal
from testrium.run.context import GroupContext, defect, open_context
from testrium.run.environment import Ports
from testrium.run.folder import RunFolder
from testrium.run.services import FixtureStart, RunServices, SharedUnit, StandingService
from testrium.run.unit import RunningUnit
from testrium.system.files import read_regular
from testrium.variables import env_names
from testrium.words import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testrium.run.supervisor.client import SupervisedProcess

#: Bytes of each of a fixture's logs that a group's folder gets at most: the last ones.
LOG_LIMIT = 1_000_000


class FixtureInGroup(RunningUnit):
    """Represents a fixture of the whole run in one group that uses it."""

    def __init__(self, unit: Unit, context: GroupContext, shared: SharedUnit) -> None:
        super().__init__(unit, context)
        self._shared = shared
        self._life: FixtureStart | None = None

    @property
    def alive(self) -> bool:
        return not self.gone and self._life is not None and self._shared.is_ready(self._life)

    async def run_once(self) -> End:
        """Wait for the fixture, then until it ends or this group does not need it any more."""
        self.starts += 1
        self.was_ready = False
        self._started_ns = time.monotonic_ns()
        self._ready_ns = None
        change, listeners = self.context.change, self._shared.listeners
        self._set_state(UnitState.STARTING)
        life = self._life = self._shared.borrow()
        sizes = {log: log.stat().st_size if log.exists() else 0 for log in self._shared.logs}
        listeners.add(change)
        try:
            while life.end is None and self._stop_cause is None:
                if not self.was_ready and self._shared.is_ready(life):
                    await self._pass_on_values()
                    self._become_ready()
                else:
                    await change.wait()
                    self.on_change(self)  # whether it is alive depends on others
        finally:
            listeners.discard(change)
            self._keep_logs(sizes)
        if life.end is None:
            return self._made_end(self._stop_cause or EndCause.STOPPED)
        if life.end.cause is EndCause.INFRA:
            raise InfraError(life.end.message)
        return life.end._replace(starts=self.starts, attempt=self.context.attempt)

    def stop(self, cause: EndCause) -> None:
        """Use the fixture no longer; it stays up for others."""
        super().stop(cause)
        self.context.change.notify()

    def finish(self, end: End) -> None:
        super().finish(end)
        assert self.end is not None
        if self._life is not None and (its := self._life.end) is not None:
            self.end = self.end._replace(
                last_lines=its.last_lines, threads=its.threads, leaks=its.leaks
            )

    def _keep_logs(self, sizes: Mapping[Path, int]) -> None:
        """Copy what the fixture wrote meanwhile to where the logs of the group's units lie."""
        for log, size in sizes.items():
            with contextlib.suppress(OSError), read_regular(log) as source:
                source.seek(max(size, source.seek(0, os.SEEK_END) - LOG_LIMIT))
                self._append_log(log, source.read(LOG_LIMIT))

    def _append_log(self, log: Path, data: bytes) -> None:
        """Append to the copy of a log. Raises OSError."""
        copy = self.context.folder.unit(self.name) / log.name
        copy.touch(mode=0o600)
        with copy.open("ab") as target:
            target.write(data)

    async def _pass_on_values(self) -> None:
        """Make the probe that told its readiness an event of this group too."""
        step = self.unit.ready_event
        if step is None:
            return
        event = await self.context.services.fixtures[self.unit.file].told(step)
        path = self.context.folder.probes(self.name, self.starts)
        self.context.recorder.watch(self.name, self.starts, self.context.attempt, path, event.t_ns)
        line = json.dumps({"step": step, "t_ns": event.t_ns, "meta": dict(event.meta)})
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise InfraError(f"cannot write {path}: {error}") from error
        await self.context.recorder.sync()


class KeptUnit(FixtureInGroup):
    """Represents a service that stays up in one run of its group."""

    def __init__(self, unit: Unit, context: GroupContext, kept: StandingService) -> None:
        super().__init__(unit, context, kept)
        self._kept = kept

    async def run_once(self) -> End:
        """Use the service until this run is over; a unit that has ended before has done its part.

        Raises InfraError.
        """
        recorder = self.context.recorder
        try:
            if self._kept.has_ended:
                return await self._repeated(self._kept.end)
            return await super().run_once()
        finally:
            await self._kept.leave(recorder)
            await recorder.sync()

    async def _repeated(self, end: End) -> End:
        """Its only end counts for each run, and so does what it has emitted."""
        self.starts += 1
        self._kept.join(self.context.recorder)
        self._keep_logs(dict.fromkeys(self._kept.logs, 0))
        if end.was_ready:
            self._become_ready()
        return end._replace(starts=self.starts, attempt=self.context.attempt)

    async def _pass_on_values(self) -> None:
        self._kept.join(self.context.recorder)
        await self.context.recorder.sync()

    def _keep_logs(self, sizes: Mapping[Path, int]) -> None:
        """What it wrote until it was ready comes first: so it is in a run that starts it."""
        for log, size in self._kept.log_sizes.items():
            if not self._kept.has_ended:
                with contextlib.suppress(OSError), read_regular(log) as source:
                    self._append_log(log, source.read(min(size, LOG_LIMIT)))
        super()._keep_logs(sizes)


FOLDER = "fixtures"

#: A fixture that takes longer to stop (seconds) is named, to tell what the run waits for.
SLOW_STOP_S = 1.0


async def shared_ports(scenario: Scenario, services: RunServices) -> Ports:
    """The ports of those units of a group that are fixtures of the whole run, by name.

    Raises:
        InfraError: the folder or the store of one cannot be made.
    """
    ports = {}
    for unit in scenario.units:
        if unit.scope == "run":
            shared = services.fixtures.get(unit.file)
            if shared is None:
                properties = {
                    name: value
                    for name, value in scenario.values.items()
                    if name.startswith("property.")
                }
                shared = RunFixture(unit, services, properties)
                services.fixtures[unit.file] = shared
            ports[unit.name] = await shared.ports()
    return ports


async def close_fixtures(services: RunServices, *, keep: bool) -> None:
    """Stop all fixtures of the run; `keep` tells whether their folders stay."""
    await asyncio.gather(*(shared.close(keep=keep) for shared in services.fixtures.values()))


class RunFixture:
    """A fixture of the whole run; at most one process at a time.

    `properties` are those of the project, by their whole names.
    """

    def __init__(self, unit: Unit, services: RunServices, properties: Mapping[str, str]) -> None:
        self.unit = replace(unit, scope="group")  # in its own scenario it has no other one
        self._properties = properties
        self.listeners: set[ChangeSignal] = set()
        self._opened: asyncio.Future[GroupContext] = asyncio.get_running_loop().create_future()
        self._services = services._replace(observer=SilentObserver(), verbose=False)
        self._notice = services.observer.notice
        self._folder = RunFolder(services.folder / FOLDER / _folder_name(unit, services))
        self._actor: RunningUnit | None = None
        self._life: FixtureStart | None = None
        self._lives = 0
        self._wanted = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._play())

    @property
    def running(self) -> RunningUnit:
        """The fixture's unit, once its context is open."""
        assert self._actor is not None
        return self._actor

    @property
    def started(self) -> Sequence[SupervisedProcess]:
        """The processes of all its starts."""
        return () if self._actor is None else self._actor.context.started

    @property
    def logs(self) -> tuple[Path, Path]:
        """Its standard output and its standard error, of all its starts."""
        return self._folder.stdout(self.unit.name), self._folder.stderr(self.unit.name)

    async def ports(self) -> Mapping[str, int]:
        return (await self._opened).surroundings.ports.get(self.unit.name, {})

    def borrow(self) -> FixtureStart:
        """The current start of the fixture; starts it if needed and still possible.

        One that did not become ready is not tried again: every group would wait for nothing.
        """
        life = self._life
        if life is None or (life.end is not None and self._may_start_again(life.end)):
            life = self._life = FixtureStart()
            self._lives += 1
            self._wanted.set()
        return life

    def is_ready(self, life: FixtureStart) -> bool:
        """Whether it has become ready in this life, and is alive."""
        # A life that was asked for begins a moment later: until then the unit tells of the last.
        return life.done or (
            life.end is None and self.running.starts == self._lives and self.running.was_ready
        )

    async def told(self, step: str) -> Event:
        recorder = (await self._opened).recorder
        return await recorder.wait_for(self.unit.name, step, start=self.running.starts)

    async def close(self, *, keep: bool) -> None:
        self._closing = True
        self._wanted.set()
        if self._actor is not None:
            self._actor.stop(EndCause.STOPPED)
        hurry = asyncio.create_task(self._kill_when_asked())
        await asyncio.wait({self._task}, timeout=SLOW_STOP_S)
        if not self._task.done():
            again = "Ctrl-C" if self._services.interrupt.asked.is_set() else "Ctrl-C twice"
            self._notice(
                f"{self.unit.name} is slow to stop: it is killed {self.unit.grace_s:g} s after"
                f" {self.unit.stop_signal} ({again}: at once)"
            )
            await asyncio.wait({self._task})
        hurry.cancel()
        if not self._opened.done() or self._opened.exception() is not None:
            return  # told by the groups that wanted it
        for leak in () if self.running.end is None else self.running.end.leaks:
            self._notice(f"{self.unit.name} left a process: {leak.pid} {leak.command_line}")
        if not keep:
            discard_group(self._services.folder, self._folder.path)

    def _may_start_again(self, end: End) -> bool:
        failed_us = end.cause is EndCause.INFRA
        return end.was_ready and not failed_us and self._lives <= self.unit.restarts

    async def _kill_when_asked(self) -> None:
        await self._services.interrupt.now.wait()
        if self._actor is not None:
            self._actor.kill()

    async def _play(self) -> None:
        scenario = _scenario_of(self.unit, self._properties)
        try:
            self._folder.create((self.unit.name,))
            async with open_context(scenario, self._services, self._folder, {}) as (context, _):
                self._actor = RunningUnit(self.unit, context)
                context.recorder.subscribe(self._see)
                echo = asyncio.create_task(self._echo(context.change))
                self._opened.set_result(context)
                try:
                    await self._live(self._actor)
                finally:
                    echo.cancel()
        except (InfraError, OSError) as error:
            if not self._opened.done():
                self._opened.set_exception(InfraError(f"{self.unit.name}: {error}"))

    async def _live(self, running: RunningUnit) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._closing:
                return
            assert self._life is not None
            if running.gone:
                running.reset()
            try:
                running.finish(await running.run_once())
                await running.cleared()
            except InfraError as error:
                await running.fail(str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours must not hold groups up
                await running.fail(defect(error))
            end = running.end
            assert end is not None
            if self.unit.stop == "self" and running.ended_well(end) and end.cause is EndCause.SELF:
                self._life.done = True
            else:
                self._life.end = end
                self._tell_unseen(end)
            self._tell()

    def _tell_unseen(self, end: End) -> None:
        """Say that it died where no group uses it, and so none can say it."""
        if end.cause is EndCause.SELF and not self.listeners:
            how = end.signal or f"exit code {end.exit_code}"
            self._notice(f"{self.unit.name} ended with {how} while no group used it")

    def _see(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.unit == self.unit.name:
                self.running.see(event)
                if event.type == EventType.EXCEPTION and event.meta.get("uncaught") != "main":
                    message = event.meta.get("message", "")
                    self._notice(f"{self.unit.name} reported {event.step}: {message}")

    async def _echo(self, change: ChangeSignal) -> None:
        while True:
            await change.wait()
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.notify()


def _scenario_of(unit: Unit, properties: Mapping[str, str]) -> Scenario:
    """The scenario of which a fixture is the only unit. Nothing but the end of the run ends it."""
    assert unit.folder is not None
    id_ = f"{FOLDER}/{unit.name.removeprefix(FIXTURE_PREFIX)}"
    group = Group(id_, unit.folder, (unit,), gen_metrics=False)
    hidden = tuple(sorted(env_names(unit)))
    return Scenario(id_, group, (unit,), folder_name=id_, values=properties, env_names=hidden)


def _folder_name(unit: Unit, services: RunServices) -> str:
    """Its name, with a number where another file has the same one."""
    same = sum(other.unit.name == unit.name for other in services.fixtures.values())
    name = unit.name.removeprefix(FIXTURE_PREFIX)
    return f"{name}~{same + 1}" if same else name
