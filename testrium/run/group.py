"""The run of one group, phase by phase: `testrium.session` says in which order.

start (folder, setup.py, units) -> observe (completion, test functions, settle) -> stop
-> conclude (tests_results, teardown.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.declared.groups import Scenario
from testrium.errors import HostError, InfraError
from testrium.evidence import CheckResult, End, EndCause, Event, TestResult, UnitState
from testrium.record.scenario import write_scenario
from testrium.run.context import GroupContext, open_context
from testrium.run.environment import LOOPBACK, Ports
from testrium.run.folder import RunFolder
from testrium.run.monitor import joined
from testrium.run.services import Hold, RunServices
from testrium.run.unit import RunningUnit
from testrium.run.units import Completion, GroupUnits
from testrium.system.platform import system
from testrium.words import RESERVED_UNITS

if TYPE_CHECKING:
    from testrium.run.clocks import Clocks
    from testrium.run.faults.links.control import Links
    from testrium.run.monitor import ProcessMonitors
    from testrium.run.tests import Tests

#: The clocks of a machine that was not suspended differ by less.
SUSPENDED_NS = 100_000_000


@contextlib.asynccontextmanager
async def open_group(
    scenario: Scenario,
    services: RunServices,
    hold: Hold | None = None,
) -> AsyncIterator[GroupRun]:
    """The folder, store, sockets and ports of one group; everything is gone at the end.

    Args:
        scenario: the group, as it is run now.
        services: what it shares with the other groups of the run.
        hold: keeps its units up; its test functions are not run then.

    Raises:
        InfraError: the run folder or its store cannot be written.
    """
    folder = RunFolder(services.folder / scenario.folder_name)
    try:
        folder.create((*(unit.name for unit in scenario.units), *reserved_units(scenario)))
        write_scenario(scenario, folder.scenario)
    except OSError as error:
        raise InfraError(f"cannot make the run folder {folder.path}: {error}") from error
    services.observer.group_started(scenario, folder.path)
    shared: Ports = {}
    if any(unit.scope == "run" for unit in scenario.units):
        from testrium.run.fixtures import shared_ports

        shared = await shared_ports(scenario, services)
    if services.kept:
        shared = {**shared, **{name: await one.ports() for name, one in services.kept.items()}}
    async with open_context(scenario, services, folder, shared) as (context, sockets):
        context.held = hold is not None
        group = GroupRun(context, sockets, hold)
        watch = asyncio.create_task(group.watch_interrupt())
        try:
            yield group
        finally:
            try:
                await group.close()
            finally:
                watch.cancel()


def reserved_units(scenario: Scenario) -> Iterator[str]:
    """Testrium's own units that the group has: each folder costs as much as a query."""
    group = scenario.group
    resets = group.generate is not None and group.generate.reset is not None
    has = (group.has_setup or resets, group.test_modules, group.has_teardown)
    return itertools.compress(RESERVED_UNITS, has)


#: So long probes are still stored after Ctrl-C; the others wait in their files.
BACKLOG_LIMIT_S = 0.3


class GroupRun:
    """One group while it runs. Each phase is called once, in the order of this class.

    What the runner or the machine fails in is kept as the group's `infra`: the phases after it
    still stop what was started, and record what there is.
    """

    def __init__(
        self,
        context: GroupContext,
        sockets: Path,
        hold: Hold | None = None,
    ) -> None:
        scenario = context.scenario
        self._context = context
        self._sockets = sockets
        self._hold = hold
        self._setup_done = asyncio.Event()
        self._setup: RunningUnit | None = None
        self._setup_end: asyncio.Task[End | None] | None = None
        self._setup_over: asyncio.Task[None] | None = None
        self._tests: Tests | None = None
        if scenario.group.test_modules and hold is None:
            from testrium.run.tests import Tests

            self._tests = Tests(context, sockets)
        self._units = GroupUnits(
            context,
            setup_done=self._setup_done,
            tests_drive=self._tests is not None and tests_drive(scenario),
        )
        self._ends: list[End] = []
        self._completion: Completion | None = None
        self._infra = self._infra_at = ""
        self._started = self._stopped = self._concluded = self._failed = False
        self._interrupted = False
        self._clocks: Clocks | None = None
        if any(fault.do == "clock" for fault in scenario.group.faults):
            from testrium.run.clocks import Clocks

            self._clocks = Clocks(scenario, context.recorder, context.folder)
        self._monitors: ProcessMonitors | None = None
        if scenario.group.monitors:
            from testrium.run.monitor import ProcessMonitors

            self._monitors = ProcessMonitors(
                scenario.group.monitors,
                context.services.pace,
                context.recorder,
                lambda text: context.services.observer.notice(f"{scenario.id}: {text}"),
            )
        self._suspended_before_ns = system.suspended_ns()
        self._links: Links | None = None
        if context.surroundings.links:
            from testrium.run.faults.links.control import Links

            context.links = self._links = Links(
                scenario,
                context.surroundings,
                context.recorder,
                context.services.supervisor,
                sockets,
                context.folder,
                self._units.give_up,
            )

    @property
    def database(self) -> Path:
        """The store that holds the evidence."""
        return self._context.folder.database

    @property
    def scenario(self) -> Scenario:
        """The group, as it is run now."""
        return self._context.scenario

    @property
    def path(self) -> Path:
        """The folder of the group's run."""
        return self._context.folder.path

    @property
    def context(self) -> GroupContext:
        """What its units share."""
        return self._context

    @property
    def running_units(self) -> Mapping[str, RunningUnit]:
        """Its units, by name."""
        return self._units.running_units

    @property
    def ports(self) -> Ports:
        """Unit -> name -> the TCP port at which others reach it, which may be a link's."""
        around = self._context.surroundings
        return {
            unit: {**ports, **around.links.get(unit, {})} for unit, ports in around.ports.items()
        }

    def states(self) -> Mapping[str, tuple[UnitState, int | None]]:
        """Unit -> its state, and the pid of its process if it has one now."""
        return {
            name: (running.state, running.process.pid if running.process else None)
            for name, running in self._units.running_units.items()
        }

    async def wait_for(self, unit: str, step: str, key: str | None = None) -> Event:
        """The first such event, stored already or still to come."""
        return await self._context.recorder.wait_for(unit, step, key)

    @property
    def duration_s(self) -> float:
        """Seconds since the first unit started."""
        begun = self._context.started_ns or time.monotonic_ns()
        return (time.monotonic_ns() - begun) / 1e9

    @property
    def failed(self) -> bool:
        """Whether something is known to be wrong before verification."""
        return self._failed

    @property
    def interrupted(self) -> bool:
        """Whether the user has asked the run to stop before this group was over."""
        return self._interrupted

    # Phases -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open links and receivers, run setup.py, let the units start."""
        context = self._context
        try:
            if self._context.lost_host is not None:
                raise self._context.lost_host
            if self._links is not None:
                points = self._context.points
                self._links.hold = None if points is None else points.hold_message
                if context.hosts:
                    from testrium.run.hosts.home import with_links

                    context.around_hosts = await with_links(
                        context.around_hosts, context.hosts, self._links
                    )
                await self._links.open()
            if context.scenario.group.otlp is not None:
                await self._receive_telemetry()
            if self._clocks is not None:
                await self._clocks.open()
            if self._monitors is not None:
                self._monitors.open()
            if await self._set_up():
                self._units.start()
                self._started = True
        except InfraError as error:
            self.fail(error)

    async def observe(self) -> None:
        """Wait until the circuit is complete, run the test functions, look on for `settle`."""
        if not self._started:
            return
        keeping = None if self._hold is None else asyncio.create_task(self._keep_up(self._hold))
        try:
            self._completion = await self._units.wait_completion()
            if self._completion in (Completion.STOPPED, Completion.INTERRUPTED):
                return
            if self._tests is not None:
                await self._tests.run()
                if self._tests.aborted:
                    return
                await self._units.wait_expectations()
            await self._units.settle()
        except InfraError as error:
            self.fail(error)
        finally:
            if keeping is not None:
                keeping.cancel()

    async def stop(self) -> None:
        """Stop what is left, whatever happened; then the logs and probes are complete."""
        self._stopped = True
        context = self._context
        if context.points is not None:
            context.points.release()
        self._interrupted = self._is_asked_to_stop()
        self._failed = self._interrupted or self._units.aborted
        if not self._failed and (reason := self._failure()) is not None:
            self._failed = True
            context.diagnostics.note(reason)
        await self._units.stop(self._why_stopped())
        self._ends.extend(self._units.ends())
        if self._setup and self._setup_end and self._setup_over:
            self._setup.stop(EndCause.STOPPED)
            if end := await self._setup_end:
                self._ends.append(end)
            await self._setup_over
        try:
            for host in context.hosts.values():
                await host.bring_files(context.scenario)
        except HostError as error:
            self.fail(error)
        if context.telemetry is not None:
            with contextlib.suppress(InfraError):  # it was reported when it happened
                await context.telemetry.flush()
                context.recorder.store_meta(
                    unrecorded=context.telemetry.unrecorded(),
                    unmatched=context.telemetry.unmatched(),
                )
        if self._links is not None:
            await self._links.read_all()
        await context.recorder.sync()
        if context.scenario.group.checks:
            context.recorder.store_meta(attempt=context.attempt, ports=context.surroundings.ports)

    def keep_checks(self, results: tuple[CheckResult, ...] | None) -> None:
        """Record what the declared checks came to; None when the user asked to stop meanwhile."""
        self._interrupted = self._is_asked_to_stop()
        if results is not None:
            self._context.recorder.store_meta(checks=[result._asdict() for result in results])

    async def wants_results(self) -> bool:
        """Whether the group has a `tests_results` callback; its data is stored then."""
        tests = self._tests
        if tests is None or self._interrupted or not await tests.open() or not tests.wants_results:
            return False
        self._context.recorder.store_results(*self._results())
        return True

    async def conclude(self, results: Mapping[str, Any] | None) -> None:
        """Call `tests_results` with the results so far, run teardown.py, store the evidence.

        Args:
            results: the dictionary for the callback; None where there is none to be called.
        """
        self._concluded = True
        context = self._context
        if self._tests is not None:
            if results is not None:
                await self._tests.conclude(results)
            await self._tests.close()
            self._ends.extend(one_end(self._tests.ends))
        if context.scenario.group.has_teardown:
            await self._tear_down()
        if self._links is not None:
            await self._links.close()
        if context.telemetry is not None:
            await context.telemetry.close()
        if self._clocks is not None:
            await self._clocks.close()
        if self._monitors is not None:
            await self._monitors.close()
        if self._failed:
            context.diagnostics.write()
        await context.recorder.sync()
        self._store()

    def fail(self, error: InfraError) -> None:
        """Note that the runner or the machine has failed the group; the first reason stays."""
        if not self._infra:
            self._infra = str(error)
            self._infra_at = error.host if isinstance(error, HostError) else ""

    async def close(self) -> None:
        """Go through the phases that were not reached: nothing that was started may stay."""
        if not self._stopped:
            await self.stop()
        if not self._concluded:
            await self.conclude(None)

    async def watch_interrupt(self) -> None:
        """Wake the phases when the user asks to stop; kill when he asks twice."""
        interrupt = self._context.services.interrupt
        await interrupt.asked.wait()
        self._context.diagnostics.note("the run was interrupted")
        self._context.recorder.hurry(BACKLOG_LIMIT_S)
        self._context.change.notify()
        if self._setup is not None:
            self._setup.stop(EndCause.ABANDONED)
        await interrupt.now.wait()
        self._units.kill()
        if self._setup is not None:
            self._setup.kill()

    async def _keep_up(self, hold: Hold) -> None:
        await self._units.wait_ready()
        await hold.until_released(self)
        self._context.let_go(hold.patience_s)

    async def _receive_telemetry(self) -> None:
        """Let all processes find the receiver of the group's spans. Raises InfraError."""
        from testrium.run.telemetry.control import TelemetryReceiver

        context = self._context
        context.telemetry = TelemetryReceiver(
            context.surroundings,
            context.recorder,
            context.services.supervisor,
            self._sockets,
            self._units.give_up,
        )
        clocks = {name: host.domain for name, host in context.hosts.items()}
        foreign = {clock for clock in clocks.values() if clock != context.services.domain}
        ports = await context.telemetry.open(sorted(foreign))
        endpoint = f"http://{LOOPBACK}:{ports['']}"
        context.surroundings = context.surroundings._replace(otlp=endpoint)
        if context.hosts:
            from testrium.run.hosts.home import with_telemetry

            context.around_hosts = await with_telemetry(
                context.around_hosts, context.hosts, context.telemetry, ports
            )

    # Their parts ------------------------------------------------------------------------------

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

        self._setup = RunningUnit(setup_unit(group), self._context)
        self._setup_end = asyncio.create_task(self._run_setup(self._setup))
        ready = asyncio.ensure_future(self._context.recorder.wait_for("*", "setup-ready"))
        self._setup_over = asyncio.create_task(self._set_up_over(self._setup_end, ready))
        if any(unit.use_setup or unit.scope for unit in self._context.scenario.units):
            return True
        await self._setup_over
        return self._setup_done.is_set()

    async def _run_setup(self, setup: RunningUnit) -> End | None:
        """Run setup.py; None when a fixture that it would need is not ready."""
        if not await self._units.fixtures_ready():
            return None
        from testrium.run.tests import run_to_end

        def end_overdue() -> None:
            if not self._setup_done.is_set():
                setup.stop(EndCause.TIMEOUT)

        # Once it has said `setup-ready`, it may serve as long as the group lasts.
        limit_s = self._context.scenario.group.timeout_s
        timer = asyncio.get_running_loop().call_later(limit_s, end_overdue)
        try:
            return await run_to_end(setup)
        finally:
            timer.cancel()

    async def _set_up_over(
        self, ending: asyncio.Task[End | None], ready: asyncio.Future[Event]
    ) -> None:
        both: set[asyncio.Future[Any]] = {ending, ready}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            ready.cancel()
            assert self._setup is not None
            end = ending.result()
            if end is None:
                return
            if not self._setup.ended_well(end):
                self._units.abort("setup")
                return
        self._setup_done.set()
        self._units.wake()

    async def _tear_down(self) -> None:
        from testrium.run.tests import run_to_end, teardown_unit

        context = self._context
        teardown = RunningUnit(teardown_unit(context.scenario.group), context)
        self._ends.append(await run_to_end(teardown))
        if not teardown.ended_well(self._ends[-1]):
            self._failed = True
            context.diagnostics.note("teardown.py failed")

    def _why_stopped(self) -> EndCause:
        """What is said of units that end by themselves, and are alive yet."""
        if self._interrupted:
            return EndCause.ABANDONED
        if self._context.services.holds_failures:  # else they are stopped already
            if self._units.aborted:
                return EndCause.ABANDONED
            if self._completion is Completion.DEADLINE:
                return EndCause.OVERDUE
        return EndCause.STOPPED

    def has_failed_so_far(self) -> bool:
        """Whether something is known to be wrong, while the units are still there."""
        return bool(self._infra) or self._units.aborted or self._failure() is not None

    async def store_so_far(self) -> None:
        """Store what there is, so it can be looked at before the group ends."""
        await self._context.recorder.sync()
        self._context.recorder.store_results(*self._results())

    def _is_asked_to_stop(self) -> bool:
        return self._context.services.interrupt.asked.is_set()

    def _failure(self) -> str | None:
        """What is known to be wrong before verification, if units may still tell more about it."""
        if self._completion is Completion.DEADLINE:
            return "the group's deadline"
        if self._units.has_failed():
            return "a unit has failed"
        if self._tests is not None and not all(test.passed for test in self._tests.results):
            return "a test has failed"
        return None

    def _store(self) -> None:
        recorder = self._context.recorder
        infra = self._infra or self._units.infra
        recorder.owe_results(
            *self._results(),
            attempt=self._context.attempt,
            started_ns=self._context.started_ns,
            ended_ns=time.monotonic_ns(),
            infra=infra and self._context.env_values.hidden(infra),
            infra_at=self._infra_at if self._infra else self._units.infra_at,
            interrupted=self._interrupted,
            suspended_ns=self._suspended_ns(),
            late_ports=self._context.late_ports,
            waits=self._context.waits,
        )
        if self._context.points is not None:
            try:
                diverged = self._context.points.finish(self._context.folder.path)
            except OSError as error:
                raise InfraError(f"cannot write the schedule: {error}") from error
            recorder.store_meta(diverged=diverged)

    def _results(self) -> tuple[Iterable[End], Iterable[TestResult]]:
        """The ends and the results of tests so far, with no value from the environment in them."""
        hidden_in = self._context.env_values.hidden_in
        tests = self._tests.results if self._tests is not None else ()
        return map(hidden_in, self._ends), map(hidden_in, tests)

    def _suspended_ns(self) -> int:
        """How long the machine was suspended since the group began; two clocks differ by a bit."""
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


def one_end(ends: list[End]) -> tuple[End, ...]:
    """The processes of `tests` as one unit: the worst end, all leaks, all use."""
    if not ends:
        return ()
    worst = next((end for end in ends if end.exit_code != 0), ends[-1])
    leaks = tuple(leak for end in ends for leak in end.leaks)
    use = functools.reduce(joined, (end.use for end in ends))
    return (worst._replace(leaks=leaks, starts=len(ends), use=use),)
