"""`testrium generate`: run a group with arguments that Hypothesis draws, and shrink what fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from testrium.declared.faults import Decision, Fault, Schedule
from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.errors import ExitCode, InfraError, UsageError
from testrium.exploration import DrawnRuns, order_of, trace_of
from testrium.interleavings import decisions_of, explained, fewest
from testrium.loaded_by_name import GENERATOR, import_of
from testrium.results import GroupResult
from testrium.run.supervisor.client import Supervisor
from testrium.session import Session, run_scenario
from testrium.words import BAD_VERDICTS, Verdict

if TYPE_CHECKING:
    from testrium.evidence import Finding
    from testrium.load.project import Project
    from testrium.results import RunResult
    from testrium.run.kept_services import KeptServices

#: What is drawn, and Hypothesis' database, are in this folder of the state folder.
FOLDER = "generate"
#: How many orders of units are drawn from with `--explore`.
ORDERS = 999
#: How many files of arguments stay.
KEPT = 50
#: How many runs are made at most to find which faults, and which decisions, an example needs.
TRIES = 40


class Example(NamedTuple):
    """A run with drawn arguments, their text by unit. `number` counts shrinking too, from 1.

    `faults` are those of the run. `order` has the lines of its order, where
    it is reduced to few decisions.
    """

    number: int
    text: dict[str, str]
    schedule: Schedule | None
    result: GroupResult
    faults: tuple[Fault, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def finding(self) -> Finding | None:
        """What is wrong first, apart from faults that never happened: they need not in each."""
        return self.result.judgement.first_besides({fault.name for fault in self.faults})

    @property
    def failed(self) -> bool:
        return self.result.verdict is Verdict.FAIL and self.finding is not None

    @property
    def undecided(self) -> bool:
        return self.result.verdict in BAD_VERDICTS and not self.failed and self.finding is not None

    @property
    def kind(self) -> str:
        """What tells failures apart; "" for an example that did not fail."""
        finding = self.finding
        return finding.title if self.failed and finding else ""


class StayingUp(NamedTuple):
    """The units that stay up between examples; where the group wants it in vain, `why_not`."""

    names: tuple[str, ...] = ()
    why_not: str = ""


class Generated(NamedTuple):
    """What a generation came to.

    `smallest` is the smallest example that fails, `run` the run that is kept of it. `flaky` says
    in words that it did not fail each time. `services` tells how those that stayed up ended,
    where they failed when they were stopped.
    """

    tried: int
    undecided: int
    first: Example | None
    smallest: Example | None
    run: RunResult | None
    flaky: str
    exit_code: ExitCode
    staying: StayingUp = StayingUp()
    services: GroupResult | None = None


class GenerationWatcher(Protocol):
    """Hears what a generation does."""

    def began(self, scenario: Scenario, units: tuple[str, ...], staying: StayingUp) -> None: ...

    def starts_anew(self, staying: StayingUp) -> None: ...

    def tried(self, example: Example) -> None: ...


def generate(asked: DrawnRuns, watcher: GenerationWatcher, *, explore: bool) -> Generated:
    """Run a group with drawn arguments; shrink what fails, and keep a run of the smallest.

    With `explore` each example runs in an order of its units that is drawn too.

    Raises:
        ConfigError, UsageError, NoGroupsError: nothing was started, or nothing is drawn.
        InfraError: the state folder cannot be written, or the generator has died.
    """
    if find_spec("hypothesis") is None:
        raise UsageError("testrium generate needs Hypothesis: pip install 'testrium[generate]'")
    with Supervisor.launch() as supervisor:  # it starts while the group is loaded
        project, scenario = asked.near_scenario("generate")
        apart = project._replace(state_folder=project.state_folder / FOLDER)
        session = Session(asked.request, apart, supervisor)
        examples = _Examples(asked, session, scenario, watcher, explore=explore)
        try:
            found = asyncio.run(examples.go_on(project))
        except BaseException:
            examples.arguments.unlink(missing_ok=True)
            raise
    smallest = found.smallest
    if smallest is None or found.exit_code.is_interruption:
        examples.arguments.unlink(missing_ok=True)
        return found
    kept = scenario._replace(
        generated=str(examples.arguments),
        schedule=smallest.schedule,
        group=replace(scenario.group, faults=smallest.faults),
    )
    return found._replace(run=run_scenario(asked.request, project, kept))


def staying_up(scenario: Scenario, drawn: Collection[str], *, explore: bool) -> StayingUp:
    """The units that may stay up from one example to the next, and all that they depend on.

    Args:
        scenario: the group.
        drawn: the units whose arguments are drawn: they begin anew for each example.
        explore: whether units are held at their probes.
    """
    table = scenario.group.generate
    if table is None or table.reset is None:
        return StayingUp()
    units = {unit.name: unit for unit in scenario.units if unit.scope != "run"}
    left = [name for name, unit in units.items() if unit.stop == "runner" and unit.has_process]
    left = [name for name in left if name not in drawn]
    names: set[str] = set()
    while left:
        names.add(name := left.pop())
        left += [one for one in units[name].dependencies if one in units and one not in names]
    staying = [unit for unit in scenario.units if unit.name in names]
    if why := _in_the_way(scenario, staying, drawn, explore=explore):
        return StayingUp(why_not=why)
    return StayingUp(tuple(unit.name for unit in staying))


def _in_the_way(
    scenario: Scenario, staying: list[Unit], drawn: Collection[str], *, explore: bool
) -> str:
    """Why these units cannot stay up, or ""."""
    group, names = scenario.group, {unit.name for unit in staying}
    if not names:
        return "no unit is a service that could stay up"
    if explore:
        return "an order of units begins with their start"
    if group.otlp is not None:
        return "[otlp]: a batch of spans may come after its example"
    broken = [fault.unit for fault in group.faults if fault.port is None and fault.unit in names]
    if broken:
        return f"[[faults]]: {broken[0]} is broken on purpose"
    linked = scenario.linked_ports
    for unit in staying:
        if unit.name in drawn:
            return f"a service depends on {unit.name}, whose argument is drawn"
        if unit.host is not None:
            return f"{unit.name} runs on another host"
        if unit.in_except in ("Reload", "Resume-ALL"):
            return f'{unit.name} has in-except = "{unit.in_except}"'
        if unit.max_rss is not None or unit.max_cpu is not None:
            return f"{unit.name} has a limit, which counts from its start"
        if far := [name for name in unit.dependencies if name in linked and name in names]:
            return f"{unit.name} reaches {far[0]} through a link"
    return ""


class _Examples:
    """Runs examples of one group, in one session."""

    def __init__(
        self,
        asked: DrawnRuns,
        session: Session,
        scenario: Scenario,
        watcher: GenerationWatcher,
        *,
        explore: bool,
    ) -> None:
        self._asked = asked
        self._explore = explore
        self._session = session
        self._scenario = scenario._replace(group=replace(scenario.group, save_resume=False))
        self._watcher = watcher
        self._points = 10  # of the last run, about
        self._kept: list[GroupResult] = []
        self._staying = StayingUp()
        self._services: KeptServices | None = None
        self._ended: GroupResult | None = None  # of the services, when they were stopped
        self._count = self._opened = 0
        self.arguments = Path()

    async def go_on(self, project: Project) -> Generated:
        """Try examples to the end. Raises UsageError, InfraError."""
        first = smallest = None
        undecided = 0
        flaky = ""
        async with self._session.opened() as interrupt:
            self._make_folders(project)
            async with self._generator(project) as generator, self._services_ended():
                last = None
                while not interrupt.asked.is_set():
                    message = await _heard(generator)
                    if "done" in message:
                        flaky = message["flaky"]
                        smallest = last if message["done"] is not None else None
                        break
                    last = await self._run(message)
                    if interrupt.asked.is_set():
                        break
                    self._watcher.tried(last)
                    undecided += last.undecided
                    first = first or (last if last.failed else None)
                    _tell(generator, failed=last.kind)
                if smallest is not None and not flaky:
                    smallest = await self._reduced(smallest)
        code = (await self._session.recorded(self._kept)).exit_code
        if not code.is_interruption:
            ended = Verdict.PASS if self._ended is None else self._ended.verdict
            code = ExitCode.UNKNOWN if undecided or ended in BAD_VERDICTS else ExitCode.SUCCESS
            code = ExitCode.FAILURE if smallest or ended is Verdict.FAIL else code
        tried = self._count
        return Generated(
            tried, undecided, first, smallest, None, flaky, code, self._staying, self._ended
        )

    def _make_folders(self, project: Project) -> None:
        folder = project.state_folder / FOLDER / "arguments"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in sorted(folder.iterdir())[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise InfraError(f"cannot write {folder}: {error.strerror}") from error
        self.arguments = folder / f"{self._session.id}.pickle"

    @contextlib.asynccontextmanager
    async def _generator(self, project: Project) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process that draws. Raises UsageError: there is nothing to draw."""
        program = f"{import_of(GENERATOR)}; serve({os.getpid()})"
        group = self._scenario.group
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=group.folder,
            limit=1 << 22,
        )
        own = [unit for unit in self._scenario.units if not unit.scope]  # no fixtures
        entrypoints = {unit.name: unit.entrypoint for unit in own}
        database = project.state_folder / FOLDER / "examples" / group.id.replace("/", "-")
        _tell(
            process,
            folders=[str(group.folder), *map(str, project.pythonpath)],
            units={name: function for name, function in entrypoints.items() if function},
            examples=self._asked.number,
            seed=self._asked.seed,
            database=str(database),
            file=str(self.arguments),
            orders=ORDERS if self._explore else 0,
        )
        try:
            units = tuple((await _heard(process))["units"])
            if not units:
                raise UsageError(
                    f"{group.id}: nothing to generate: no entrypoint of its units has"
                    " @testing.generate(strategy)"
                )
            self._staying = staying_up(self._scenario, units, explore=self._explore)
            self._watcher.began(self._scenario, units, self._staying)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run(self, message: Mapping[str, Any]) -> Example:
        """Run the example that the generator has drawn. Raises UsageError, InfraError."""
        schedule = None
        if self._explore:
            schedule = order_of(self._scenario, self._asked.seed, message["order"], self._points)
        await self._bring_up_services()
        return await self._once(message["text"], schedule, self._scenario.group.faults)

    async def _once(
        self, text: dict[str, str], schedule: Schedule | None, faults: tuple[Fault, ...]
    ) -> Example:
        """Run the arguments that are in the file. Raises InfraError."""
        self._count += 1
        group = replace(self._scenario.group, faults=faults)
        if self._services is not None:
            group = replace(group, has_setup=False, has_teardown=False)
        scenario = self._scenario._replace(
            group=group,
            generated=str(self.arguments),
            schedule=schedule,
            folder_name=f"example-{self._count}",
        )
        result = await self._session.run_one(scenario)
        if result.verdict is Verdict.ERROR and not self._session.interrupted:
            raise InfraError(result.judgement.findings[0].message)
        if result.verdict not in BAD_VERDICTS and result.run_dir is not None:
            shutil.rmtree(result.run_dir, ignore_errors=True)
        else:
            self._kept.append(result)
        return Example(self._count, text, schedule, result, faults)

    # Services that stay up --------------------------------------------------------------------

    async def _bring_up_services(self) -> None:
        """Start those that stay up, or reset them. Raises UsageError, InfraError."""
        table = self._scenario.group.generate
        if not self._staying.names or table is None or table.reset is None:
            return
        if self._services is not None and self._services.lost:  # its example has told it
            await self._services.close()
            self._use(None)
        if self._services is not None:
            failed = await self._services.reset(table.reset)
            if failed and not self._session.interrupted:
                raise UsageError(
                    f"{self._scenario.id}: [generate] reset = {table.reset!r} failed after example"
                    f" {self._count}: {failed}"
                )
            if not self._services.lost:
                return
            await self._services.close()
        self._opened += 1
        folder = f"services-{self._opened}"
        services = self._session.kept_services(self._scenario, self._staying.names, folder)
        if await services.open():
            self._use(services)
            return
        await services.close()
        if not self._session.interrupted:  # an example tells why, as a run does
            self._staying = StayingUp(why_not="they did not become ready")
            self._watcher.starts_anew(self._staying)

    def _use(self, services: KeptServices | None) -> None:
        self._services = services
        self._session.use_services(services)

    @contextlib.asynccontextmanager
    async def _services_ended(self) -> AsyncIterator[None]:
        """Stop the services that stayed up, at the end, and judge what that came to."""
        try:
            yield
        finally:
            services = self._services
            self._use(None)
            if services is not None and services.lost:
                await services.close()
            elif services is not None:
                result = await self._session.ended_services(services)
                if result.verdict in BAD_VERDICTS and not self._session.interrupted:
                    self._ended = result

    # What an example needs --------------------------------------------------------------------

    async def _reduced(self, example: Example) -> Example:
        """The same under the fewest faults, and in an order of the fewest decisions.

        Raises InfraError.
        """
        tried: dict[Any, Example] = {}

        async def fails(faults: tuple[Fault, ...], schedule: Schedule | None) -> bool:
            if self._session.interrupted:
                return False
            await self._bring_up_services()
            again = await self._once(example.text, schedule, faults)
            tried[faults, schedule] = again
            return again.kind == example.kind

        faults, schedule = example.faults, example.schedule
        if faults:
            faults = await _least(faults, lambda some: fails(some, schedule))
        if schedule is not None and schedule.seed:
            steps = trace_of(tried.get((faults, schedule), example).result).steps
            baseline = replace(schedule, seed="", changes=())

            def ordered(decisions: tuple[Decision, ...]) -> Schedule:
                return replace(baseline, decisions=decisions)

            whole = decisions_of(steps)
            if await fails(faults, ordered(whole)):
                kept = await _least(whole, lambda some: fails(faults, ordered(some)))
                schedule = ordered(kept)
        best = tried.get((faults, schedule), example)
        decisions = () if schedule is None else schedule.decisions
        return best._replace(order=explained(decisions, trace_of(best.result).steps))


T = TypeVar("T", Fault, Decision)


async def _least(
    things: tuple[T, ...], fails: Callable[[tuple[T, ...]], Coroutine[Any, Any, bool]]
) -> tuple[T, ...]:
    """The fewest of these that were found to fail still, perhaps none."""
    loop = asyncio.get_running_loop()
    if await fails(()):
        return ()

    def still(some: tuple[T, ...]) -> bool:
        return asyncio.run_coroutine_threadsafe(fails(some), loop).result()

    return await asyncio.to_thread(fewest, things, still, TRIES)


def _tell(process: asyncio.subprocess.Process, **message: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


async def _heard(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next message. Raises UsageError: the group's code raised; InfraError: it has died."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise InfraError(f"the process that draws examples ended with {await process.wait()}")
    message: dict[str, Any] = json.loads(line)
    if "error" in message:
        raise UsageError(f"the examples could not be drawn: {message['error']}")
    return message
