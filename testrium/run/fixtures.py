"""Fixtures that all groups of a run share: started when the first of them needs it, stopped last.

A fixture has a stage of its own, as a group has: its folder, its store, its ports. In each group
that uses it somebody stands for it (`Borrowed`), who becomes ready with it and ends with it. So a
group waits for it, stops because of it and blames it by the rules for all units.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from testrium.errors import InfraError, Problem
from testrium.model import (
    FIXTURE_PREFIX,
    End,
    EndCause,
    Event,
    Group,
    GroupResult,
    Scenario,
    Unit,
    UnitState,
)
from testrium.run.actor import Actor
from testrium.run.change import Change
from testrium.run.defects import defect
from testrium.run.environment import Ports
from testrium.run.folder import RunFolder
from testrium.run.group import open_stage
from testrium.run.services import Services
from testrium.run.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = "fixtures"

#: Bytes of each of a fixture's logs that a group's folder gets at most: the last ones.
LOG_LIMIT = 1_000_000


async def shared_ports(units: Iterable[Unit], services: Services) -> Ports:
    """The ports of those units that are fixtures of the whole run, by name.

    Raises:
        InfraError: the folder or the store of one cannot be made.
    """
    ports = {}
    for unit in units:
        if unit.scope == "run":
            shared = services.fixtures.get(unit.file)
            if shared is None:
                shared = services.fixtures[unit.file] = Shared(unit, services)
            ports[unit.name] = (await shared.opened).surroundings.ports[unit.name]
    return ports


async def close_fixtures(services: Services, *, keep: bool) -> None:
    """Stop all fixtures of the run; `keep` tells whether their folders stay."""
    await asyncio.gather(*(shared.close(keep=keep) for shared in services.fixtures.values()))


@dataclass(slots=True)
class Life:
    """From one start of a fixture to its `end`."""

    end: End | None = None


class Shared:
    """A fixture of the whole run; at most one process at a time."""

    def __init__(self, unit: Unit, services: Services) -> None:
        self.unit = unit._replace(scope="group")  # in its own scenario it has no other one
        self.listeners: set[Change] = set()
        self.opened: asyncio.Future[Stage] = asyncio.get_running_loop().create_future()
        self._services = replace(services, observer=_Nobody(), verbose=False)
        self._notice = services.observer.notice
        self._folder = RunFolder(services.folder / FOLDER / _folder_name(unit, services))
        self._actor: Actor | None = None
        self._life: Life | None = None
        self._lives = 0
        self._wanted = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._play())

    @property
    def actor(self) -> Actor:
        """Who plays it, once its stage is open."""
        assert self._actor is not None
        return self._actor

    @property
    def logs(self) -> tuple[Path, Path]:
        """Its standard output and its standard error, of all its starts."""
        return self._folder.stdout(self.unit.name), self._folder.stderr(self.unit.name)

    def borrow(self) -> Life:
        """Its life, which begins now if there is none; the last one if there can be no other.

        One that did not become ready is not tried again: every group would wait for nothing.
        """
        life = self._life
        if life is None or (life.end is not None and self._may_start_again(life.end)):
            life = self._life = Life()
            self._lives += 1
            self._wanted.set()
        return life

    def is_ready(self, life: Life) -> bool:
        """Whether it has become ready in this life, and is alive."""
        # A life that was asked for begins a moment later: until then the actor tells of the last.
        return life.end is None and self.actor.starts == self._lives and self.actor.was_ready

    async def close(self, *, keep: bool) -> None:
        """Stop it, at once if the user asked twice."""
        self._closing = True
        self._wanted.set()
        if self._actor is not None:
            self._actor.stop(EndCause.STOPPED)
        hurry = asyncio.create_task(self._kill_when_asked())
        await asyncio.wait({self._task})
        hurry.cancel()
        if not self.opened.done() or self.opened.exception() is not None:
            return  # told by the groups that wanted it
        for leak in () if self.actor.end is None else self.actor.end.leaks:
            self._notice(f"{self.unit.name} left a process: {leak.pid} {leak.command_line}")
        if not keep:
            from testrium.record.runs import discard_group

            discard_group(self._services.folder, self._folder.path)

    def _may_start_again(self, end: End) -> bool:
        failed_us = end.cause is EndCause.INFRA
        return end.was_ready and not failed_us and self._lives <= self.unit.restarts

    async def _kill_when_asked(self) -> None:
        await self._services.interrupt.now.wait()
        if self._actor is not None:
            self._actor.kill()

    async def _play(self) -> None:
        scenario = _scenario_of(self.unit)
        try:
            self._folder.create((self.unit.name,))
            async with open_stage(scenario, self._services, self._folder) as (stage, _):
                self._actor = Actor(self.unit, stage)
                stage.recorder.subscribe(self._see)
                echo = asyncio.create_task(self._echo(stage.change))
                self.opened.set_result(stage)
                try:
                    await self._live(self._actor)
                finally:
                    echo.cancel()
        except (InfraError, OSError) as error:
            if not self.opened.done():
                self.opened.set_exception(InfraError(f"{self.unit.name}: {error}"))

    async def _live(self, actor: Actor) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._closing:
                return
            assert self._life is not None
            if actor.gone:
                actor.reset()
            try:
                actor.finish(await actor.run_once())
                await actor.cleared()
            except InfraError as error:
                await actor.fail(str(error))
            except Exception as error:  # noqa: BLE001 - a defect of ours must not hold groups up
                await actor.fail(defect(error))
            self._life.end = actor.end
            self._tell()

    def _see(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.unit == self.unit.name:
                self.actor.see(event)

    async def _echo(self, change: Change) -> None:
        while True:
            await change.wait()
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.notify()


class Borrowed(Actor):
    """Stands for a fixture of the whole run in one group that uses it."""

    def __init__(self, unit: Unit, stage: Stage) -> None:
        super().__init__(unit, stage)
        self._shared = stage.services.fixtures[unit.file]
        self._life: Life | None = None

    @property
    def alive(self) -> bool:
        return not self.gone and self._life is not None and self._shared.is_ready(self._life)

    async def run_once(self) -> End:
        """Wait for the fixture, then until it ends or this group does not need it any more."""
        self.starts += 1
        self.was_ready = False
        self._started_ns = time.monotonic_ns()
        self._ready_ns = None
        change, listeners = self.stage.change, self._shared.listeners
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
        finally:
            listeners.discard(change)
            self._keep_logs(sizes)
        if life.end is None:
            return self._made_end(self._stop_cause or EndCause.STOPPED)
        if life.end.cause is EndCause.INFRA:
            raise InfraError(life.end.message)
        return life.end._replace(starts=self.starts, attempt=self.stage.attempt)

    def stop(self, cause: EndCause) -> None:
        """Do without the fixture from now on; it goes on for others."""
        super().stop(cause)
        self.stage.change.notify()

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
            with contextlib.suppress(OSError), log.open("rb") as source:
                source.seek(max(size, source.seek(0, os.SEEK_END) - LOG_LIMIT))
                copy = self.stage.folder.unit(self.name) / log.name
                copy.touch(mode=0o600)
                with copy.open("ab") as target:
                    target.write(source.read(LOG_LIMIT))

    async def _pass_on_values(self) -> None:
        """Make the probe that told its readiness an event of this group too."""
        step = self.unit.ready_event
        if step is None:
            return
        stage = await self._shared.opened
        event = await stage.recorder.wait_for(self.name, step, start=self._shared.actor.starts)
        path = self.stage.folder.probes(self.name, self.starts)
        self.stage.recorder.watch(self.name, self.starts, self.stage.attempt, path, event.t_ns)
        line = json.dumps({"step": step, "t_ns": event.t_ns, "meta": dict(event.meta)})
        try:
            _append(path, line)
        except OSError as error:
            raise InfraError(f"cannot write {path}: {error}") from error
        await self.stage.recorder.sync()


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def _scenario_of(unit: Unit) -> Scenario:
    """The scenario of which a fixture is the only unit. Nothing but the end of the run ends it."""
    assert unit.folder is not None
    id_ = f"{FOLDER}/{unit.name.removeprefix(FIXTURE_PREFIX)}"
    group = Group(id_, unit.folder, (unit,), gen_metrics=False)
    return Scenario(id_, group, (unit,), folder_name=id_)


def _folder_name(unit: Unit, services: Services) -> str:
    """Its name, with a number where another file has the same one."""
    same = sum(other.unit.name == unit.name for other in services.fixtures.values())
    name = unit.name.removeprefix(FIXTURE_PREFIX)
    return f"{name}~{same + 1}" if same else name


class _Nobody:
    """Observes nothing: what a fixture does is told by the groups that use it."""

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None: ...

    def notice(self, text: str | Problem) -> None: ...

    def group_started(self, scenario: Scenario, run_dir: Path) -> None: ...

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None: ...

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None: ...

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None: ...

    def group_ended(self, result: GroupResult) -> None: ...
