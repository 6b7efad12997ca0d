"""The life of one group, from its folder to its evidence.

folder -> setup.py -> units -> test functions -> settle -> stop -> tests_results -> teardown.py
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.evidence import End, EndCause, Event
from testrium.record.scenario import write_scenario
from testrium.run.context import GroupContext, open_context
from testrium.run.environment import Ports
from testrium.run.folder import RunFolder
from testrium.run.services import RunServices
from testrium.run.unit import RunningUnit
from testrium.run.units import Completion, GroupUnits
from testrium.system.platform import system
from testrium.words import RESERVED_UNITS

if TYPE_CHECKING:
    from testrium.run.clocks import Clocks
    from testrium.run.faults.links.control import Links
    from testrium.run.observe.monitor import ProcessMonitors
    from testrium.run.tests import Tests

#: The clocks of a machine that was not suspended differ by less.
SUSPENDED_NS = 100_000_000


async def run_group(scenario: Scenario, services: RunServices) -> Path:
    """Run one scenario. Everything that it started is gone when this returns or raises.

    Returns:
        The database that holds the evidence.

    Raises:
        InfraError: the run folder or its store cannot be written.
    """
    folder = RunFolder(services.folder / scenario.folder_name)
    try:
        folder.create((*(unit.name for unit in scenario.units), *RESERVED_UNITS))
        write_scenario(scenario, folder.scenario)
    except OSError as error:
        raise InfraError(f"cannot make the run folder {folder.path}: {error}") from error
    services.observer.group_started(scenario, folder.path)
    shared: Ports = {}
    if any(unit.scope == "run" for unit in scenario.units):
        from testrium.run.fixtures import shared_ports

        shared = await shared_ports(scenario.units, services)
    async with open_context(scenario, services, folder, shared) as (context, sockets):
        life = GroupRun(context, sockets)
        watch = asyncio.create_task(life.heed_interrupt())
        try:
            await life.live()
        finally:
            watch.cancel()
    return folder.database


class GroupRun:
    """The phases of a group's life, in the order of the contract."""

    def __init__(self, context: GroupContext, sockets: Path) -> None:
        group = context.scenario.group
        self._context = context
        self._setup_done = asyncio.Event()
        self._setup: RunningUnit | None = None
        self._setup_life: asyncio.Task[End | None] | None = None
        self._setup_over: asyncio.Task[None] | None = None
        self._tests: Tests | None = None
        if group.has_tests:
            from testrium.run.tests import Tests

            self._tests = Tests(context, sockets)
        self._circuit = GroupUnits(
            context,
            context.services.expectations(context.scenario),
            setup_done=self._setup_done,
            tests_drive=self._tests is not None and tests_drive(context.scenario),
        )
        self._ends: list[End] = []
        self._outcome: Completion | None = None
        self._infra = ""
        self._clocks: Clocks | None = None
        if any(fault.do == "clock" for fault in context.scenario.group.faults):
            from testrium.run.clocks import Clocks

            self._clocks = Clocks(context.scenario, context.recorder, context.folder)
        self._bystanders: ProcessMonitors | None = None
        if context.scenario.group.monitors:
            from testrium.run.observe.monitor import ProcessMonitors

            self._bystanders = ProcessMonitors(
                context.scenario.group.monitors,
                context.recorder,
                lambda text: context.services.observer.notice(f"{context.scenario.id}: {text}"),
            )
        self._suspended_before_ns = system.suspended_ns()
        self._links: Links | None = None
        if context.surroundings.links:
            from testrium.run.faults.links.control import Links

            context.links = self._links = Links(
                context.scenario,
                context.surroundings,
                context.recorder,
                context.services.supervisor,
                sockets,
                context.folder.path,
                self._circuit.give_up,
            )

    async def live(self) -> None:
        try:
            if self._links is not None:
                await self._links.open()
            if self._clocks is not None:
                await self._clocks.open()
            if self._bystanders is not None:
                self._bystanders.open()
            if await self._set_up():
                await self._run()
        except InfraError as error:
            self._infra = str(error)
        finally:
            await self._end()

    async def heed_interrupt(self) -> None:
        """Wake the phases when the user asks to stop; kill when he asks twice."""
        interrupt = self._context.services.interrupt
        await interrupt.asked.wait()
        self._context.diagnostics.note("the run was interrupted")
        self._context.change.notify()
        if self._setup is not None:
            self._setup.stop(EndCause.ABANDONED)
        await interrupt.now.wait()
        self._circuit.kill()
        if self._setup is not None:
            self._setup.kill()

    # Phases -----------------------------------------------------------------------------------

    async def _set_up(self) -> bool:
        """Run setup.py; False when it failed.

        Where units ask for `use_setup`, the others start beside it: setup may need them. Fixtures
        are ready before it begins.
        """
        group = self._context.scenario.group
        if not group.has_setup:
            self._setup_done.set()
            return True
        from testrium.run.tests import setup_unit

        self._setup = RunningUnit(setup_unit(group.timeout_s), self._context)
        self._setup_life = asyncio.create_task(self._live_setup(self._setup))
        ready = asyncio.ensure_future(self._context.recorder.wait_for("*", "setup-ready"))
        self._setup_over = asyncio.create_task(self._set_up_over(self._setup_life, ready))
        if any(unit.use_setup or unit.scope for unit in self._context.scenario.units):
            return True
        await self._setup_over
        return self._setup_done.is_set()

    async def _live_setup(self, setup: RunningUnit) -> End | None:
        """Run setup.py; None when a fixture that it would need is not ready."""
        if not await self._circuit.fixtures_ready():
            return None
        from testrium.run.tests import run_to_end

        return await run_to_end(setup)

    async def _set_up_over(
        self, life: asyncio.Task[End | None], ready: asyncio.Future[Event]
    ) -> None:
        both: set[asyncio.Future[Any]] = {life, ready}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            ready.cancel()
            assert self._setup is not None
            end = life.result()
            if end is None:
                return
            if not self._setup.ended_well(end):
                self._circuit.abort("setup")
                return
        self._setup_done.set()
        self._circuit.wake()

    async def _run(self) -> None:
        self._outcome = await self._circuit.run()
        if self._outcome in (Completion.STOPPED, Completion.INTERRUPTED):
            return
        if self._tests is not None:
            await self._tests.run()
            await self._circuit.wait_expectations()
        await self._circuit.settle()

    async def _end(self) -> None:
        """Stop what is left, whatever happened; run the last callbacks; store the evidence."""
        context, recorder = self._context, self._context.recorder
        interrupted = context.services.interrupt.asked.is_set()
        failed = interrupted or self._circuit.aborted
        if not failed and (reason := self._failure()) is not None:
            failed = True
            context.diagnostics.note(reason)
        await self._circuit.stop(EndCause.ABANDONED if interrupted else EndCause.STOPPED)
        self._ends.extend(self._circuit.ends())
        if self._setup and self._setup_life and self._setup_over:
            self._setup.stop(EndCause.STOPPED)
            if end := await self._setup_life:
                self._ends.append(end)
            await self._setup_over
        await recorder.sync()
        if context.scenario.group.checks and not interrupted:
            await self._check(rewrite=not failed)
            interrupted = context.services.interrupt.asked.is_set()
        if self._tests is not None:
            await self._conclude(self._tests, interrupted=interrupted)
        if context.scenario.group.has_teardown:
            from testrium.run.tests import run_to_end, teardown_unit

            teardown = RunningUnit(teardown_unit(context.scenario.group.timeout_s), context)
            self._ends.append(await run_to_end(teardown))
            if not teardown.ended_well(self._ends[-1]):
                failed = True
                context.diagnostics.note("teardown.py failed")
        if self._links is not None:
            await self._links.close()
        if self._clocks is not None:
            await self._clocks.close()
        if self._bystanders is not None:
            await self._bystanders.close()
        if failed:
            context.diagnostics.write()
        await recorder.sync()
        self._store(interrupted)

    def _failure(self) -> str | None:
        """What is known to be wrong before verification, if units may still tell more about it."""
        if self._outcome is Completion.DEADLINE:
            return "the group's deadline"
        if self._circuit.has_failed():
            return "a unit has failed"
        if self._tests is not None and not all(test.passed for test in self._tests.results):
            return "a test has failed"
        return None

    async def _check(self, *, rewrite: bool) -> None:
        """Make the declared checks, before teardown.py removes what they look at.

        An interrupt ends them.
        `rewrite`: nothing has failed so far, so that reference files may become what was written.
        """
        context = self._context
        context.recorder.store_meta(attempt=context.attempt, ports=context.surroundings.ports)
        try:
            results = await context.services.checks(
                context.scenario, context.folder.database, rewrite, context.services.interrupt.asked
            )
        except InfraError as error:  # what is left to be done is done nevertheless
            self._infra = self._infra or str(error)
            return
        if results is not None:
            context.recorder.store_meta(checks=[result._asdict() for result in results])

    async def _conclude(self, tests: Tests, *, interrupted: bool) -> None:
        """Call `tests_results` with what is known so far, unless the run was interrupted."""
        if not interrupted and await tests.open() and tests.wants_results:
            self._store_ends(tests)
            context = self._context
            begun = context.started_ns or time.monotonic_ns()
            duration_s = (time.monotonic_ns() - begun) / 1e9
            data = await context.services.classic_results(
                context.scenario, context.folder.database, duration_s
            )
            await tests.conclude(data)
        await tests.close()
        self._ends.extend(_one_end(tests.ends))

    def _store_ends(self, tests: Tests) -> None:
        self._context.recorder.store_ends(tuple(self._ends))
        self._context.recorder.store_tests(tuple(tests.results))

    def _store(self, interrupted: bool) -> None:
        recorder = self._context.recorder
        recorder.store_ends(tuple(self._ends))
        recorder.store_tests(tuple(self._tests.results) if self._tests is not None else ())
        recorder.store_meta(
            attempt=self._context.attempt,
            started_ns=self._context.started_ns,
            ended_ns=time.monotonic_ns(),
            infra=self._infra or self._circuit.infra,
            interrupted=interrupted,
            suspended_ns=self._suspended_ns(),
        )

    def _suspended_ns(self) -> int:
        """How long the machine was suspended since this life began; two clocks differ by a bit."""
        gone_ns = system.suspended_ns() - self._suspended_before_ns
        return gone_ns if gone_ns > SUSPENDED_NS else 0


def tests_drive(scenario: Scenario) -> bool:
    """Whether the test functions are what sets the circuit in motion.

    So it is where no unit ends by itself, where a unit has no process (its probes come from test
    functions), or where a route begins in the unit `tests`. There, expectations cannot be met
    before the test functions ran, and are waited for after them.
    """
    units = [unit for unit in scenario.units if not unit.scope]
    return (
        not any(unit.stop == "self" and unit.has_process for unit in units)
        or any(not unit.has_process for unit in units)
        or any(
            place.unit == "tests"
            for circuit in scenario.group.circuits
            for hop in circuit.hops
            for place in hop.places
        )
    )


def _one_end(ends: list[End]) -> tuple[End, ...]:
    """The processes of `tests` as one unit: a bad end if there was one, and all leaks."""
    if not ends:
        return ()
    worst = next((end for end in ends if end.exit_code != 0), ends[-1])
    leaks = tuple(leak for end in ends for leak in end.leaks)
    return (worst._replace(leaks=leaks, starts=len(ends)),)
