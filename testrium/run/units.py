"""All units of a group together: started by dependencies, watched to completion, stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from testrium.declared.units import Unit
from testrium.errors import HostError, InfraError
from testrium.evidence import End, EndCause, Event, OpenWait, UnitState
from testrium.results import LONG_WAIT_NS, Awaited
from testrium.run.change import ChangeSignal
from testrium.run.context import GroupContext, defect
from testrium.run.expectations import Expectations
from testrium.run.unit import EARLIER_END, RunningUnit
from testrium.words import EventType

if TYPE_CHECKING:
    from testrium.run.telemetry.control import TelemetryReceiver


class DependentUnit(Protocol):
    """A unit, as far as others of its group depend on it; a `RunningUnit` is one."""

    @property
    def unit(self) -> Unit: ...

    @property
    def state(self) -> UnitState: ...

    @property
    def change(self) -> ChangeSignal:
        """Wakes tasks that wait for this unit."""

    @property
    def gone(self) -> bool: ...

    @property
    def alive(self) -> bool: ...

    @property
    def passed_ready(self) -> bool: ...


class Dependencies:
    """Each set holds the names of the units that are so now. Fixtures do nothing by themselves."""

    def __init__(self, dependents: Mapping[str, DependentUnit]) -> None:
        self._dependents = dependents
        self._dependants: dict[str, list[str]] = {name: [] for name in dependents}
        for name, dependent in dependents.items():
            for needed in dict.fromkeys(dependent.unit.dependencies):
                self._dependants[needed].append(name)
        # Units with a process, but for fixtures: it lives, they are not gone, it does not run yet.
        self._alive: set[str] = set()
        self._present: set[str] = set()
        self._beginning: set[str] = set()
        self._to_end: set[str] = set()  # `self` units that are not gone
        self._opening: set[str] = set()  # fixtures that are not ready
        self._next: set[str] = set()  # units without a process that are about to begin
        self._lacking = {n: set(dependent.unit.dependencies) for n, dependent in dependents.items()}
        self._lost: dict[str, set[str]] = {name: set() for name in dependents}
        for dependent in dependents.values():
            self.update(dependent)

    def update(self, dependent: DependentUnit) -> None:
        """Something about this unit may have changed: wake the tasks that depend on it."""
        unit = dependent.unit
        name, gone, ready = unit.name, dependent.gone, dependent.passed_ready
        if unit.scope:
            _put(self._opening, name, not (gone or ready))
        elif unit.has_process:
            _put(self._alive, name, dependent.alive)
            _put(self._present, name, not gone)
            begins = dependent.state in (UnitState.CREATED, UnitState.STARTING)
            _put(self._beginning, name, begins)
            _put(self._to_end, name, unit.stop == "self" and not gone)
        else:
            self._look_whether_next(dependent)
        for dependant in self.dependants(name):
            other = dependant.unit.name
            _put(self._lacking[other], name, not ready)
            _put(self._lost[other], name, gone and not ready)
            if not self._lacking[other] or self._lost[other]:
                dependant.change.notify()
            if not dependant.unit.has_process:
                self._look_whether_next(dependant)
        dependent.change.notify()

    def wake(self) -> None:
        """Something has changed for all units: wake all tasks."""
        for dependent in self._dependents.values():
            dependent.change.notify()

    def may_start(self, name: str) -> bool:
        """Whether all that the unit depends on is ready."""
        return not self._lacking[name]

    def in_the_way(self, name: str) -> str | None:
        """The first of those it depends on that has ended without becoming ready."""
        return self._first(name, self._lost)

    def missing(self, name: str) -> str | None:
        """The first of those it depends on that is not ready."""
        return self._first(name, self._lacking)

    def dependants(self, name: str) -> Iterable[DependentUnit]:
        """The units that depend on this one, in the declared order."""
        return (self._dependents[other] for other in self._dependants[name])

    @property
    def alive(self) -> bool:
        """Whether a process of a unit lives; those of fixtures do not count."""
        return bool(self._alive)

    @property
    def all_gone(self) -> bool:
        """Whether no unit can do anything any more."""
        return not (self._opening or self._present or self._next)

    @property
    def played(self) -> bool:
        """Whether all units have begun, and all that should end by themselves have ended."""
        return self.begun and not self._to_end

    @property
    def begun(self) -> bool:
        """Whether everybody has begun."""
        return not (self._opening or self._beginning or self._next)

    @property
    def not_ended(self) -> AbstractSet[str]:
        """The units that should end by themselves, and have not."""
        return self._to_end

    def _look_whether_next(self, dependent: DependentUnit) -> None:
        name = dependent.unit.name
        begun = dependent.gone or dependent.state is not UnitState.CREATED
        held_up = self._lacking[name] and not self._lost[name]
        _put(self._next, name, not (begun or held_up or dependent.unit.scope))

    def _first(self, name: str, names: Mapping[str, set[str]]) -> str | None:
        found = names[name]
        if not found:
            return None
        return next(one for one in self._dependents[name].unit.dependencies if one in found)


def _put(names: set[str], name: str, belongs: bool) -> None:
    if belongs:
        names.add(name)
    else:
        names.discard(name)


#: So long the units of a `classic` group may go on once all events are in.
CLASSIC_END_NS = 500_000_000

#: How many units begin in one turn of the loop: it has deadlines to heed.
TURN = 50


#: How often the runner reports at most what it waits for, and the part of the time for that.
TELL_NS = 100_000_000
TELL_SHARE = 0.05


class Completion(Enum):
    """How the circuit phase of a group ended."""

    COMPLETE = "complete"
    DEADLINE = "deadline"
    STOPPED = "stopped"  # a unit ended in a way it must not
    INTERRUPTED = "interrupted"


class GroupUnits:
    """The units of one group and the rules of their common life.

    `setup` is the running of setup.py while it runs, or None. With `tests_drive` the test functions
    are what sets the circuit in motion: expectations are not waited for before them.
    """

    def __init__(
        self,
        context: GroupContext,
        *,
        setup_done: asyncio.Event,
        tests_drive: bool = False,
    ) -> None:
        self.context = context
        self.running_units = {
            unit.name: _running_unit(unit, context) for unit in context.scenario.units
        }
        self.infra = self.infra_at = ""
        self._expectations = Expectations(context.scenario)
        self._setup_done = setup_done
        self._tests_drive = tests_drive
        self._some_use_setup = any(unit.use_setup for unit in context.scenario.units)
        self._culprit: str | None = None  # because of whom the group was stopped
        self._stopping = False
        self._again = False  # a unit asked for Resume-ALL
        self._restarts_of_all = 0
        self._has_scopes = any(unit.unit.scope for unit in self.running_units.values())
        self._dependencies = Dependencies(self.running_units)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._was_held = context.held
        self._idle_since_ns: int | None = None  # when the last `self` unit had ended
        scenario = context.scenario
        self._classic = frozenset(
            unit.name
            for unit in scenario.units
            if scenario.group.classic and scenario.is_under_classic_rule(unit)
        )
        self._classic_end_ns: int | None = None  # until when the end of those is waited for
        self._open_wait: OpenWait | None = None  # since then, while something is expected
        self._seen = 0  # events
        self._seen_in_vain: int | None = None  # how many there were when `linger` was over
        self._tell_again_ns = 0  # when the runner reports again what it waits for
        self._will_tell = False  # a timer wakes for that
        for running in self.running_units.values():
            running.on_change = self._dependencies.update
        context.recorder.subscribe(self._see)
        context.logs.on_error = self.give_up
        for host in context.hosts.values():
            host.on_failure = self._lose_host
        if context.injector is not None:
            context.injector.targets = self.running_units
        if context.points is not None:
            context.points.beginning = self._is_beginning

    def start(self) -> None:
        """Let the units start, by their dependencies."""
        self._starting = asyncio.create_task(self._start_all())

    async def wait_completion(self) -> Completion:
        """Return when the circuit is complete or cannot become so.

        Where a unit asks for Resume-ALL, all units are stopped and started again.
        """
        while True:
            outcome = await self._completion()
            self._note_wait()
            if not self._again or outcome is Completion.INTERRUPTED:
                return outcome
            await self.stop(EndCause.ABANDONED, at_once=True)
            if self.context.links is not None:
                await self.context.links.begin_attempt()
            self._begin_again()
            self.start()

    async def wait_ready(self) -> None:
        """Return when all units with a process are ready; never where one does not become so."""
        waited = [one for one in self.running_units.values() if one.unit.has_process]
        while not all(running.passed_ready for running in waited):
            await self.context.change.wait()

    async def wait_expectations(self) -> None:
        """Wait for what the test functions set in motion, as long as it may take.

        Where they set nothing in motion, what had not come within `linger` does not come now.
        """
        self._tests_drive = False
        await self.context.recorder.sync()
        if self._seen == self._seen_in_vain:
            return
        self._idle_since_ns = None
        await self._completion()
        self._note_wait()

    async def settle(self) -> None:
        """Continue observing for a while, as long as a unit is alive."""
        settle_ns = self.context.scenario.group.rules.settle_ns
        if (telemetry := self.context.telemetry) is not None:
            await telemetry.flush()
            settle_ns = max(settle_ns, self._last_batch_ns(telemetry))
            self._tell_last_batch(telemetry, settle_ns)
        end_ns = time.monotonic_ns() + settle_ns
        asked = self.context.services.interrupt.asked
        while self._dependencies.alive and not asked.is_set():
            if not await self._changed_before(end_ns):
                return

    def _last_batch_ns(self, telemetry: TelemetryReceiver) -> int:
        """How long live units may keep spans that have ended."""
        return telemetry.last_batch_ns(self._exporting(telemetry))

    def _exporting(self, telemetry: TelemetryReceiver) -> list[str]:
        alive = [running.name for running in self.running_units.values() if running.alive]
        return telemetry.exporting(alive)

    def _tell_last_batch(self, telemetry: TelemetryReceiver, for_ns: int) -> None:
        what = tuple(f"the last batch of {name}" for name in self._exporting(telemetry))
        if what:
            awaited = Awaited(what, time.monotonic_ns() + for_ns)
            self.context.services.observer.waiting(self.context.scenario, awaited)

    async def fixtures_ready(self) -> bool:
        """Wait until all fixtures are ready; False when the group is over before."""
        fixtures = [running for running in self.running_units.values() if running.unit.scope]
        while not self._over:
            if all(running.passed_ready for running in fixtures):
                return True
            await self.context.change.wait()
        return False

    async def stop(self, cause: EndCause, *, at_once: bool = False) -> None:
        """Stop what is alive: dependants before what they depend on, unless `at_once`."""
        self._stopping = self.context.endings.stopping = True
        if self._starting is None:  # setup failed: every unit learns that it does not run
            self.start()
            assert self._starting is not None
        self.wake()
        await self._starting
        self._starting = None
        at_once = at_once or self._culprit is not None
        await asyncio.gather(
            *(self._stop_unit(running, cause, at_once) for running in self.running_units.values())
        )
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        for running in self.running_units.values():
            await running.cleared()

    def kill(self) -> None:
        for running in self.running_units.values():
            running.kill()

    def abort(self, culprit: str) -> None:
        """End the group because of a unit (or `setup`)."""
        if self._culprit is None:
            self._culprit = culprit
            self.context.endings.stopping = True
            reason = f"the end of {culprit} stops the group" if culprit else self.infra
            self.context.diagnostics.note(reason)
            for running in self.running_units.values():
                if not (self.context.services.holds_failures and running.alive):
                    running.stop(EndCause.ABANDONED)
            self.wake()

    def _is_beginning(self) -> bool:
        """Whether the process of a unit is about to start."""
        return any(
            running.unit.has_process
            and not (running.gone or running.alive)
            and (
                running.state is UnitState.STARTING
                or (running.state is UnitState.CREATED and self._may_start(running))
            )
            for running in self.running_units.values()
        )

    def wake(self) -> None:
        """Something has changed for all units."""
        self._dependencies.wake()
        self.context.change.notify()

    def give_up(self, reason: str, at: str = "") -> None:
        """End the group because the runner, the machine or the host `at` has failed it."""
        if not self.infra:
            self.infra, self.infra_at = reason, at
        self.abort("")

    @property
    def aborted(self) -> bool:
        return self._culprit is not None

    def has_failed(self) -> bool:
        """Whether a unit has ended in a way that is not accepted."""
        return any(
            running.end and not running.ended_well(running.end)
            for running in self.running_units.values()
        )

    def ends(self) -> tuple[End, ...]:
        return tuple(
            running.end for running in self.running_units.values() if running.end is not None
        )

    # The life of one attempt ------------------------------------------------------------------

    async def _start_all(self) -> None:
        for number, running in enumerate(self.running_units.values(), 1):
            self._tasks.append(asyncio.create_task(self._guarded(running), name=running.name))
            if number % TURN == 0:
                await asyncio.sleep(0)

    def _begin_again(self) -> None:
        self._again = self._stopping = False
        self._idle_since_ns = self._classic_end_ns = None
        self.context.attempt += 1
        self.context.endings.forget()
        self.context.recorder.new_attempt(self.context.attempt)
        self._expectations.reset()
        for running in self.running_units.values():
            running.reset()

    async def _guarded(self, running: RunningUnit) -> None:
        try:
            await self._live(running)
        except HostError as error:  # the host is what has failed, not its units
            await running.fail(str(error), EndCause.ABANDONED)
            self._lose_host(error)
        except InfraError as error:
            await self._fail(running, str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hold the group up
            await self._fail(running, defect(error))
        if running.unit.has_process and running.end is not None:
            self.context.endings.tell(running.end)

    async def _fail(self, running: RunningUnit, reason: str) -> None:
        await running.fail(reason)
        self.give_up(reason)

    def _lose_host(self, error: HostError) -> None:
        self.give_up(str(error), error.host)

    async def _live(self, running: RunningUnit) -> None:
        blocked_by = await self._wait_startable(running)
        if blocked_by:
            running.not_run(f"waited for {blocked_by}", blocked_by)
            return
        if blocked_by is not None or self._too_late():
            running.not_run(EARLIER_END)
            return
        while True:
            if not running.unit.scope:  # how long a fixture takes is not the group's time
                self.context.begin()
            end = await self._run_once(running)
            if running.starts_again(end) and not (self._over or self._too_late()):
                continue
            final = self._over or end.cause is EndCause.NOTRUN or running.ended_well(end)
            if final or not self._start_again(running):
                running.finish(end)
                return

    async def _run_once(self, running: RunningUnit) -> End:
        """One start of the unit; links to it are up as long as it has a process."""
        links = self.context.links if running.unit.has_process else None
        if links is not None:
            await links.set_up(running.name, up=True)
        end = await running.run_once()
        if links is not None:
            await links.set_up(running.name, up=False)
        if self.context.telemetry is not None:
            self.context.telemetry.ended(end, self.context.attempt)
        return end

    async def _wait_startable(self, running: RunningUnit) -> str | None:
        """None when the unit may start; else the unit that blocks it for good, "" without one."""
        while not self._over:
            if (dead := self._dependencies.in_the_way(running.name)) is not None:
                return dead
            if self._may_start(running):
                return None
            await running.change.wait()
        return self._culprit or self._dependencies.missing(running.name) or ""

    def _may_start(self, running: RunningUnit) -> bool:
        waits_for_setup = self._is_behind_setup(running) and not self._setup_done.is_set()
        return not waits_for_setup and self._dependencies.may_start(running.name)

    def _is_behind_setup(self, running: RunningUnit) -> bool:
        """All units are, where none asks for it; fixtures never: setup.py may need them."""
        return not running.unit.scope and (running.unit.use_setup or not self._some_use_setup)

    def _start_again(self, running: RunningUnit) -> bool:
        """What `in-except` says after an unaccepted end: True to start the unit again."""
        match running.unit.in_except:
            case "Resume":
                return False
            case "Reload" if running.reloads < running.unit.restarts and not self._too_late():
                running.reload()
                return True
            case "Resume-ALL" if self._restarts_of_all < running.unit.restarts:
                self._restarts_of_all += 1
                self._again = True
                self.wake()
                return False
            case _:
                self.abort(running.name)
                return False

    def _too_late(self) -> bool:
        deadline_ns = self.context.deadline_ns
        return deadline_ns is not None and time.monotonic_ns() >= deadline_ns

    async def _stop_unit(self, running: RunningUnit, cause: EndCause, at_once: bool) -> None:
        if not at_once:
            for other in self._dependencies.dependants(running.name):
                while not other.gone:
                    await other.change.wait()
        running.stop(EndCause.STOPPED if running.unit.stop == "runner" else cause)
        while not running.gone:
            await running.change.wait()

    # Completion -------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self._stopping or self._again or self._culprit is not None

    def _see(self, events: tuple[Event, ...]) -> None:
        self._seen += len(events)
        self._expectations.feed([event for event in events if event.owner])
        self.context.services.observer.events_stored(self.context.scenario, events)
        for event in events:  # of a burst: little may be done for each
            if event.type != EventType.EXCEPTION and not self._has_scopes:
                continue
            if (running := self.running_units.get(event.unit)) is not None:
                running.see(event)
                if running.unit.scope and event.step == running.unit.ready_event:
                    self.context.keep_values(event)
        self.context.change.notify()

    async def _completion(self) -> Completion:
        interrupt = self.context.services.interrupt
        while True:
            if interrupt.asked.is_set():
                return Completion.INTERRUPTED
            if self._culprit is not None:
                return Completion.STOPPED
            if self._again:
                return Completion.COMPLETE
            if self._complete():
                return Completion.COMPLETE
            limit_ns, outcome = self._limit()
            self._tell_waiting(limit_ns)
            if not await self._changed_before(limit_ns):
                return await self._at_limit(outcome)

    def _complete(self) -> bool:
        if not self._some_use_setup and not self._setup_done.is_set():
            return False
        if self._dependencies.all_gone:
            return True
        if self.context.held:
            return False
        if not (self._dependencies.played or self._is_over_by_classic_rule()):
            return False
        if self._idle_since_ns is None:
            self._idle_since_ns = time.monotonic_ns()
        return self._expectations_met()

    def _is_over_by_classic_rule(self) -> bool:
        """Whether those that have not ended are such as `classic = true` stops, and it is time to.

        What they do after their last event has as long to come to an end as it had in 0.3.0.
        """
        waited_for = self._dependencies.not_ended
        done = waited_for <= self._classic and self._dependencies.begun and self._expectations_met()
        if not (done and all(map(self._expectations.has_events_of, waited_for))):
            self._classic_end_ns = None
            return False
        now_ns = time.monotonic_ns()
        if self._classic_end_ns is None:
            self._classic_end_ns = now_ns + CLASSIC_END_NS
        return now_ns >= self._classic_end_ns

    def _expectations_met(self) -> bool:
        return self._tests_drive or self._expectations.met()

    def _tell_waiting(self, limit_ns: int | None) -> None:
        """Tell the observer what is waited for, some times a second at most."""
        now_ns = time.monotonic_ns()
        if (left_ns := self._tell_again_ns - now_ns) > 0:
            if not self._will_tell:
                self._will_tell = True
                asyncio.get_running_loop().call_later(left_ns / 1e9, self._wake_to_tell)
            return
        what, idle_ns = self._waiting(), self._idle_since_ns
        cost_ns = time.monotonic_ns() - now_ns
        self._tell_again_ns = now_ns + max(TELL_NS, int(cost_ns / TELL_SHARE))
        if idle_ns is not None and self._open_wait is None:
            limit = "deadline" if limit_ns == self.context.deadline_ns else "linger"
            self._open_wait = OpenWait(idle_ns, 0, limit, what)
            long_s = LONG_WAIT_NS / 1e9  # reported once more, where nothing changes until then
            asyncio.get_running_loop().call_later(long_s, self.context.change.notify)
        awaited = Awaited(what, limit_ns, units=idle_ns is None) if what else None
        self.context.services.observer.waiting(self.context.scenario, awaited)

    def _wake_to_tell(self) -> None:
        self._will_tell = False
        self.context.change.notify()

    def _waiting(self) -> tuple[str, ...]:
        """What is waited for, and in whom; units that should become ready or end come first."""
        if self._idle_since_ns is not None:
            return self._expectations.waiting()
        units = [running.unit for running in self.running_units.values()]
        states = {unit.name: self.running_units[unit.name].state for unit in units}
        starting = [name for name, state in states.items() if state is UnitState.STARTING]
        if starting:
            return tuple(f"{name} to become ready" for name in starting)
        ending = [unit.name for unit in units if unit.stop == "self" and unit.has_process]
        return tuple(f"{name} to end" for name in ending if not self.running_units[name].gone)

    def _note_wait(self) -> None:
        """What was waited for is over: keep how long it took, if it took a while."""
        self.context.services.observer.waiting(self.context.scenario, None)
        if (wait := self._open_wait) is None:
            return
        self._open_wait, now_ns = None, time.monotonic_ns()
        if now_ns - wait.started_ns >= TELL_NS:
            left = () if self._expectations.met() else self._expectations.waiting()
            self.context.waits.append(wait._replace(ended_ns=now_ns, left=left))

    def _limit(self) -> tuple[int | None, Completion]:
        """Until when to wait for completion, and what it means when nothing came."""
        deadline_ns = self.context.deadline_ns
        if self._classic_end_ns is not None:
            return min(
                self._classic_end_ns, deadline_ns or self._classic_end_ns
            ), Completion.COMPLETE
        linger_ns = self.context.scenario.group.rules.linger_ns
        if linger_ns is not None and self._idle_since_ns is not None:
            if self.context.telemetry is not None:  # what is missing may be in a batch
                linger_ns = max(linger_ns, self._last_batch_ns(self.context.telemetry))
            linger_end_ns = self._idle_since_ns + linger_ns
            if deadline_ns is None or linger_end_ns < deadline_ns:
                return linger_end_ns, Completion.COMPLETE
        return deadline_ns, Completion.DEADLINE

    async def _at_limit(self, outcome: Completion) -> Completion:
        """At the deadline: what should have ended or become ready by now is over."""
        if self.context.telemetry is not None:
            await self.context.telemetry.flush()
        await self.context.recorder.sync()
        if self._complete():
            return Completion.COMPLETE
        if outcome is Completion.COMPLETE:
            self._seen_in_vain = self._seen
            return Completion.COMPLETE
        for running in self.running_units.values():
            waits = running.unit.stop == "runner" or not running.alive  # nothing else would stop it
            if running.state is UnitState.STARTING and waits:
                running.stop(EndCause.UNREADY)
        if self.context.services.holds_failures:
            return outcome
        for running in self.running_units.values():
            if running.unit.stop == "self" and running.alive and self._was_held:
                # It was started without a deadline. Who wants no patience has ended it himself.
                running.stop(EndCause.OVERDUE if self.context.patient else EndCause.STOPPED)
            while running.unit.stop == "self" and running.alive:
                await self.context.change.wait()  # the supervisor is stopping it
        return outcome

    async def _changed_before(self, limit_ns: int | None) -> bool:
        """Wait for a change; False when the limit (CLOCK_MONOTONIC) came first."""
        limit_s = None if limit_ns is None else limit_ns / 1e9
        try:
            async with asyncio.timeout_at(limit_s):
                await self.context.change.wait()
        except TimeoutError:
            return False
        return True


def _running_unit(unit: Unit, context: GroupContext) -> RunningUnit:
    """The running unit of this name."""
    kept = context.services.kept.get(unit.name)
    if kept is None and unit.scope != "run":
        return RunningUnit(unit, context)
    from testrium.run.fixtures import FixtureInGroup, KeptUnit

    if kept is not None:
        return KeptUnit(unit, context, kept)
    return FixtureInGroup(unit, context, context.services.fixtures[unit.file])
