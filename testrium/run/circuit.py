"""All units of a group together: started by dependencies, watched to completion, stopped."""

from __future__ import annotations

import asyncio
import time
from enum import Enum

from testrium.declared.units import Unit
from testrium.errors import InfraError
from testrium.evidence import End, EndCause, Event, UnitState
from testrium.run.actor import EARLIER_END, Actor
from testrium.run.cast import Cast
from testrium.run.defects import defect
from testrium.run.services import Expectations
from testrium.run.stage import Stage

#: So many units begin in one turn of the loop: it has deadlines to heed.
TURN = 50


class Outcome(Enum):
    """How the circuit phase of a group ended."""

    COMPLETE = "complete"
    DEADLINE = "deadline"
    STOPPED = "stopped"  # a unit ended in a way it must not
    INTERRUPTED = "interrupted"


class Circuit:
    """The units of one group and the rules of their common life.

    `setup` is the actor of setup.py while it runs, or None. With `tests_drive` the test functions
    are what sets the circuit in motion: expectations are not waited for before them.
    """

    def __init__(
        self,
        stage: Stage,
        expectations: Expectations,
        *,
        setup_done: asyncio.Event,
        tests_drive: bool = False,
    ) -> None:
        self.stage = stage
        self.actors = {unit.name: _actor(unit, stage) for unit in stage.scenario.units}
        self.infra = ""
        self._expectations = expectations
        self._setup_done = setup_done
        self._tests_drive = tests_drive
        self._some_use_setup = any(unit.use_setup for unit in stage.scenario.units)
        self._culprit: str | None = None  # because of whom the group was stopped
        self._stopping = False
        self._again = False  # a unit asked for Resume-ALL
        self._restarts_of_all = 0
        self._cast = Cast(self.actors)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._idle_since_ns: int | None = None  # when the last `self` unit had ended
        for actor in self.actors.values():
            actor.on_change = self._cast.update
        stage.recorder.subscribe(self._see)
        stage.logs.on_error = self.give_up
        if stage.injector is not None:
            stage.injector.actors = self.actors

    async def run(self) -> Outcome:
        """Start the units; return when the circuit is complete or cannot become so."""
        while True:
            self._starting = asyncio.create_task(self._start_all())
            outcome = await self._completion()
            if not self._again or outcome is Outcome.INTERRUPTED:
                return outcome
            await self.stop(EndCause.ABANDONED, at_once=True)
            self._begin_again()

    async def wait_expectations(self) -> None:
        """Wait for what the test functions set in motion, as long as it may take."""
        self._tests_drive = False
        self._idle_since_ns = None
        await self._completion()

    async def settle(self) -> None:
        """Go on observing for a while, as long as a unit is alive."""
        end_ns = time.monotonic_ns() + self.stage.scenario.group.rules.settle_ns
        asked = self.stage.services.interrupt.asked
        while self._cast.alive and not asked.is_set():
            if not await self._changed_before(end_ns):
                return

    async def fixtures_ready(self) -> bool:
        """Wait until all fixtures are ready; False when the group is over before."""
        fixtures = [actor for actor in self.actors.values() if actor.unit.scope]
        while not self._over:
            if all(actor.passed_ready for actor in fixtures):
                return True
            await self.stage.change.wait()
        return False

    async def stop(self, cause: EndCause, *, at_once: bool = False) -> None:
        """Stop what is alive: dependants before what they depend on, unless `at_once`."""
        self._stopping = self.stage.endings.stopping = True
        if self._starting is None:  # setup failed: every unit learns that it does not run
            self._starting = asyncio.create_task(self._start_all())
        self.wake()
        await self._starting
        self._starting = None
        at_once = at_once or self._culprit is not None
        await asyncio.gather(
            *(self._stop_actor(actor, cause, at_once) for actor in self.actors.values())
        )
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        for actor in self.actors.values():
            await actor.cleared()

    def kill(self) -> None:
        for actor in self.actors.values():
            actor.kill()

    def abort(self, culprit: str) -> None:
        """End the group because of a unit (or `setup`)."""
        if self._culprit is None:
            self._culprit = culprit
            self.stage.endings.stopping = True
            reason = f"the end of {culprit} stops the group" if culprit else self.infra
            self.stage.diagnostics.note(reason)
            for actor in self.actors.values():
                actor.stop(EndCause.ABANDONED)
            self.wake()

    def wake(self) -> None:
        """Something has changed that concerns all units."""
        self._cast.wake()
        self.stage.change.notify()

    def give_up(self, reason: str) -> None:
        """End the group because the runner or the machine has failed it."""
        self.infra = self.infra or reason
        self.abort("")

    @property
    def aborted(self) -> bool:
        return self._culprit is not None

    def has_failed(self) -> bool:
        """Whether a unit has come to an end that it must not come to."""
        return any(actor.end and not actor.ended_well(actor.end) for actor in self.actors.values())

    def ends(self) -> tuple[End, ...]:
        return tuple(actor.end for actor in self.actors.values() if actor.end is not None)

    # The life of one attempt ------------------------------------------------------------------

    async def _start_all(self) -> None:
        for number, actor in enumerate(self.actors.values(), 1):
            self._tasks.append(asyncio.create_task(self._guarded(actor), name=actor.name))
            if number % TURN == 0:
                await asyncio.sleep(0)

    def _begin_again(self) -> None:
        self._again = self._stopping = False
        self._idle_since_ns = None
        self.stage.attempt += 1
        self.stage.endings.forget()
        self.stage.recorder.new_attempt(self.stage.attempt)
        self._expectations.reset()
        for actor in self.actors.values():
            actor.reset()

    async def _guarded(self, actor: Actor) -> None:
        try:
            await self._live(actor)
        except InfraError as error:
            await self._fail(actor, str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hold the group up
            await self._fail(actor, defect(error))
        if actor.unit.has_process and actor.end is not None:
            self.stage.endings.tell(actor.end)

    async def _fail(self, actor: Actor, reason: str) -> None:
        await actor.fail(reason)
        self.give_up(reason)

    async def _live(self, actor: Actor) -> None:
        blocked_by = await self._wait_startable(actor)
        if blocked_by:
            actor.not_run(f"waited for {blocked_by}", blocked_by)
            return
        if blocked_by is not None or self._too_late():
            actor.not_run(EARLIER_END)
            return
        while True:
            if not actor.unit.scope:  # how long a fixture takes is not the group's time
                self.stage.begin()
            end = await self._run_once(actor)
            final = self._over or end.cause is EndCause.NOTRUN or actor.ended_well(end)
            if final or not self._start_again(actor):
                actor.finish(end)
                return

    async def _run_once(self, actor: Actor) -> End:
        """One start of the unit; links to it are up as long as it has a process."""
        links = self.stage.links
        if links is None or not actor.unit.has_process:
            return await actor.run_once()
        await links.set_up(actor.name, up=True)
        end = await actor.run_once()
        await links.set_up(actor.name, up=False)
        return end

    async def _wait_startable(self, actor: Actor) -> str | None:
        """None when the unit may start; else who is in its way for good, "" when nobody is."""
        while not self._over:
            if (dead := self._cast.in_the_way(actor.name)) is not None:
                return dead
            waits_for_setup = self._is_behind_setup(actor) and not self._setup_done.is_set()
            if not waits_for_setup and self._cast.may_start(actor.name):
                return None
            await actor.change.wait()
        return self._culprit or self._cast.missing(actor.name) or ""

    def _is_behind_setup(self, actor: Actor) -> bool:
        """All units are, where none asks for it; fixtures never: setup.py may need them."""
        return not actor.unit.scope and (actor.unit.use_setup or not self._some_use_setup)

    def _start_again(self, actor: Actor) -> bool:
        """What `in-except` says after a bad end: True to start the unit again."""
        match actor.unit.in_except:
            case "Resume":
                return False
            case "Reload" if actor.reloads < actor.unit.restarts and not self._too_late():
                actor.reload()
                return True
            case "Resume-ALL" if self._restarts_of_all < actor.unit.restarts:
                self._restarts_of_all += 1
                self._again = True
                self.wake()
                return False
            case _:
                self.abort(actor.name)
                return False

    def _too_late(self) -> bool:
        deadline_ns = self.stage.deadline_ns
        return deadline_ns is not None and time.monotonic_ns() >= deadline_ns

    async def _stop_actor(self, actor: Actor, cause: EndCause, at_once: bool) -> None:
        if not at_once:
            for other in self._cast.dependants(actor.name):
                while not other.gone:
                    await other.change.wait()
        actor.stop(EndCause.STOPPED if actor.unit.stop == "runner" else cause)
        while not actor.gone:
            await actor.change.wait()

    # Completion -------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self._stopping or self._again or self._culprit is not None

    def _see(self, events: tuple[Event, ...]) -> None:
        self._expectations.feed([event for event in events if event.owner])
        self.stage.services.observer.events_stored(self.stage.scenario, events)
        for event in events:
            if (actor := self.actors.get(event.unit)) is not None:
                actor.see(event)
                if actor.unit.scope and event.step == actor.unit.ready_event:
                    self.stage.keep_values(event)
        self.stage.change.notify()

    async def _completion(self) -> Outcome:
        interrupt = self.stage.services.interrupt
        while True:
            if interrupt.asked.is_set():
                return Outcome.INTERRUPTED
            if self._culprit is not None:
                return Outcome.STOPPED
            if self._again:
                return Outcome.COMPLETE
            if self._complete():
                return Outcome.COMPLETE
            limit_ns, outcome = self._limit()
            if not await self._changed_before(limit_ns):
                return await self._at_limit(outcome)

    def _complete(self) -> bool:
        if not self._some_use_setup and not self._setup_done.is_set():
            return False
        if self._cast.all_gone:
            return True
        if not self._cast.played:
            return False
        if self._idle_since_ns is None:
            self._idle_since_ns = time.monotonic_ns()
        return self._tests_drive or self._expectations.met()

    def _limit(self) -> tuple[int | None, Outcome]:
        """Until when to wait for completion, and what it means when nothing came."""
        deadline_ns = self.stage.deadline_ns
        linger_ns = self.stage.scenario.group.rules.linger_ns
        if linger_ns is not None and self._idle_since_ns is not None:
            linger_end_ns = self._idle_since_ns + linger_ns
            if deadline_ns is None or linger_end_ns < deadline_ns:
                return linger_end_ns, Outcome.COMPLETE
        return deadline_ns, Outcome.DEADLINE

    async def _at_limit(self, outcome: Outcome) -> Outcome:
        """At the deadline: what should have ended or become ready by now is over."""
        await self.stage.recorder.sync()
        if self._complete() or outcome is Outcome.COMPLETE:
            return Outcome.COMPLETE
        for actor in self.actors.values():
            waits = actor.unit.stop == "runner" or not actor.alive  # nothing else would stop it
            if actor.state is UnitState.STARTING and waits:
                actor.stop(EndCause.UNREADY)
        for actor in self.actors.values():
            while actor.unit.stop == "self" and actor.alive:
                await self.stage.change.wait()  # the supervisor is stopping it
        return outcome

    async def _changed_before(self, limit_ns: int | None) -> bool:
        """Wait for a change; False when the limit (CLOCK_MONOTONIC) came first."""
        limit_s = None if limit_ns is None else limit_ns / 1e9
        try:
            async with asyncio.timeout_at(limit_s):
                await self.stage.change.wait()
        except TimeoutError:
            return False
        return True


def _actor(unit: Unit, stage: Stage) -> Actor:
    """Who plays the unit in this group."""
    if unit.scope != "run":
        return Actor(unit, stage)
    from testrium.run.borrowed import Borrowed

    return Borrowed(unit, stage)
