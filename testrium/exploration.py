"""`testrium explore` and `testrium replay`: run a group in many orders, and one order again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from testrium.declared.faults import Decision, Explore, Schedule
from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, InfraError, UsageError
from testrium.interleavings import (
    TRACE_FILE,
    Chance,
    Trace,
    baseline_schedule,
    chances,
    decisions_of,
    explained,
    fewest,
    read_trace,
    schedules,
)
from testrium.load.project import find_project
from testrium.plan.selection import Selection
from testrium.record.reader import load_evidence
from testrium.record.runs import find_run, list_runs
from testrium.record.scenario import FILE, restored_scenario
from testrium.results import GroupResult
from testrium.run.supervisor.client import Supervisor
from testrium.session import DATABASE, Request, Session, load, plan, run_scenario
from testrium.words import BAD_VERDICTS, Place, Verdict

if TYPE_CHECKING:
    from testrium.evidence import Finding
    from testrium.load.project import Project
    from testrium.results import Observer, RunResult

#: Runs of an exploration are kept apart, in this folder of the state folder, outside the history.
FOLDER = "explore"
#: How many runs are made at most to find the fewest decisions.
TRIES = 60
#: How often the fewest decisions are tried again before they are reported.
CONFIRMED = 2


class DrawnRuns(NamedTuple):
    """What is to be done: `number` plans, orders or examples of one group, drawn from `seed`."""

    path: str
    cwd: Path
    seed: int
    number: int
    observer: Observer
    fail_fast: bool = False

    @property
    def request(self) -> Request:
        """What the session is asked for, again and again."""
        return request_of(self.path, self.cwd, self.observer)

    def scenario(self, takes: str) -> tuple[Project, Scenario]:
        """The project, and the one group at `path`; it leaves nothing in the history.

        `takes` begins the sentence about several groups: "explore takes". Raises UsageError.
        """
        project, groups = load((self.path,), self.cwd)
        if len(groups) > 1:
            names = ", ".join(group.id for group in groups[:5])
            raise UsageError(f"{takes} one group, and {self.path} has more: {names}")
        scenario = plan(groups, Selection(), repeat=0)[0]
        if scenario.skip:
            raise UsageError(f"{scenario.id} would be skipped: {scenario.skip}")
        return project, scenario._replace(group=replace(scenario.group, save_metrics=False))

    def near_scenario(self, command: str) -> tuple[Project, Scenario]:
        """The same for `command`, which needs all units on this machine. Raises UsageError."""
        project, scenario = self.scenario(f"{command} takes")
        if far := [unit for unit in scenario.units if unit.host]:
            raise UsageError(
                f"{scenario.id}: {far[0].name} runs on host {far[0].host!r}: {command} needs all"
                " units on this machine"
            )
        return project, scenario


class Ordered(NamedTuple):
    """A run in some order. `number` counts from 1; 0 is the run in the declared order."""

    number: int
    schedule: Schedule
    result: GroupResult
    trace: Trace

    @property
    def finding(self) -> Finding | None:
        """What is wrong first."""
        return self.result.judgement.root

    @property
    def failed(self) -> bool:
        return self.result.verdict is Verdict.FAIL

    def fails_as(self, other: Ordered) -> bool:
        """Whether both fail, of the same at the same place."""
        ours, theirs = self.finding, other.finding
        return (
            self.failed
            and other.failed
            and ours is not None
            and theirs is not None
            and (ours.code, ours.where) == (theirs.code, theirs.where)
        )


class Race(NamedTuple):
    """An order that fails, and the fewest decisions that were found to fail as it does.

    `smallest` is None where it did not fail again. `run` is the run that is kept of it.
    """

    found: Ordered
    smallest: Ordered | None
    tries: int
    run: RunResult | None

    @property
    def order(self) -> tuple[str, ...]:
        """What came before what, one decision a line."""
        if self.smallest is None:
            return ()
        return explained(self.smallest.schedule.decisions, self.smallest.trace.steps)


class ExplorationWatcher(Protocol):
    """Observes an exploration."""

    def began(self, baseline: Ordered, guaranteed: tuple[Chance, ...]) -> None: ...

    def tried(self, ordered: Ordered, known: Race | None) -> None: ...

    def found(self, race: Race) -> None: ...


class Explored(NamedTuple):
    """The result of an exploration."""

    tried: int
    failed: int
    undecided: int
    races: tuple[Race, ...]
    exit_code: ExitCode


def explore(asked: DrawnRuns, watcher: ExplorationWatcher) -> Explored:
    """Run a group in many orders; shrink each that fails in a new way, and keep a run of it.

    Raises:
        ConfigError, UsageError, NoGroupsError: nothing was started, or the group has no points.
        InfraError: the state folder cannot be written.
    """
    with Supervisor.launch() as supervisor:  # it starts while the group is loaded
        project, scenario = asked.near_scenario("explore")
        table = scenario.group.explore or Explore()
        apart = project._replace(state_folder=project.state_folder / FOLDER)
        runs = _Runs(Session(asked.request, apart, supervisor), scenario)
        searching = _RaceSearch(asked, table, runs, watcher)
        interrupted = asyncio.run(searching.go_on())
    races = []
    for race in searching.races:
        races.append(race if interrupted else _kept(race, asked.request, project, scenario))
        watcher.found(races[-1])
    failed, undecided = searching.failed, searching.undecided
    code = ExitCode.UNKNOWN if undecided else ExitCode.SUCCESS
    code = interrupted or (ExitCode.FAILURE if failed else code)
    return Explored(searching.tried, failed, undecided, tuple(races), code)


def request_of(path: str, cwd: Path, observer: Observer) -> Request:
    return Request(paths=(path,), cwd=cwd, selection=Selection(), observer=observer)


def order_of(scenario: Scenario, seed: int, number: int, points: int) -> Schedule:
    """One order of a group's units for each number; 0 is the declared one."""
    table = scenario.group.explore or Explore()
    if number == 0:
        return baseline_schedule(table)
    names = tuple(unit.name for unit in scenario.units)
    drawn = schedules(table, seed, names, points)
    return next(islice(drawn, (number - 1) % 50, None), baseline_schedule(table))


def trace_of(result: GroupResult) -> Trace:
    """The order of this run, as far as it was written."""
    if result.run_dir is not None:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            return read_trace((result.run_dir / TRACE_FILE).read_text(encoding="utf-8"))
    return Trace()


def _kept(race: Race, request: Request, project: Project, scenario: Scenario) -> Race:
    """The race with a run of it among the others, for `show`, `verify` and `replay`."""
    best = race.smallest or race.found
    result = run_scenario(request, project, scenario._replace(schedule=best.schedule))
    return race._replace(run=result)


class _Runs:
    """Runs one group again and again, in one session."""

    def __init__(self, session: Session, scenario: Scenario) -> None:
        self.session = session
        group = replace(scenario.group, save_resume=False)
        self._scenario = scenario._replace(group=group)
        self._count = 0

    async def run(self, schedule: Schedule, number: int) -> Ordered:
        """Run the group once. Raises InfraError."""
        self._count += 1
        scenario = self._scenario._replace(schedule=schedule, folder_name=f"run-{self._count}")
        result = await self.session.run_one(scenario)
        return Ordered(number, schedule, result, trace_of(result))

    def forget(self, ordered: Ordered) -> None:
        """Remove what a run that told nothing has written."""
        if ordered.result.run_dir is not None:
            shutil.rmtree(ordered.result.run_dir, ignore_errors=True)


class _RaceSearch:
    """Looks for orders that fail. Its figures may be read at any time."""

    def __init__(
        self, asked: DrawnRuns, table: Explore, runs: _Runs, watcher: ExplorationWatcher
    ) -> None:
        self.tried = self.failed = self.undecided = 0
        self.races: list[Race] = []
        self._asked = asked
        self._table = table
        self._runs = runs
        self._watcher = watcher

    async def go_on(self) -> ExitCode | None:
        """Search to the end; how it was interrupted, if it was. Raises UsageError, InfraError."""
        session = self._runs.session
        kept: list[GroupResult] = []
        async with session.opened() as interrupt:
            baseline = await self._baseline()
            if baseline.failed and not interrupt.asked.is_set():
                await self._take(baseline)
            runs, seed = self._asked.number, self._asked.seed
            drawn = schedules(self._table, seed, baseline.trace.threads, baseline.trace.points)
            for number, schedule in zip(range(1, runs + 1), drawn, strict=False):
                stops = self.races and self._asked.fail_fast
                if interrupt.asked.is_set() or baseline.failed or stops:
                    break
                ordered = await self._runs.run(schedule, number)
                if interrupt.asked.is_set():
                    break
                await self._take(ordered)
                if ordered.result.verdict in BAD_VERDICTS:
                    kept.append(ordered.result)
                else:
                    self._runs.forget(ordered)
        code = (await session.recorded(kept)).exit_code
        return code if code.is_interruption else None

    async def _baseline(self) -> Ordered:
        """The group in its declared order. Raises UsageError where there is nothing to explore."""
        baseline = await self._runs.run(baseline_schedule(self._table), 0)
        result = baseline.result
        if self._runs.session.interrupted:
            return baseline
        if result.verdict is Verdict.ERROR and baseline.finding is not None:
            raise InfraError(baseline.finding.message)
        if not baseline.trace.points:
            raise UsageError(_no_points(result, self._table))
        threads, points = len(baseline.trace.threads), baseline.trace.points
        guaranteed = chances(self._table, self._asked.number, threads, points)
        self._watcher.began(baseline, guaranteed)
        return baseline

    async def _take(self, ordered: Ordered) -> None:
        """Note what came of a run, and shrink its schedule where it fails in a new way."""
        self.tried += 1
        self.failed += ordered.failed
        self.undecided += not ordered.failed and ordered.result.verdict in BAD_VERDICTS
        known = next((race for race in self.races if race.found.fails_as(ordered)), None)
        self._watcher.tried(ordered, known)
        if ordered.failed and known is None:
            self.races.append(await self._shrunk(ordered))

    async def _shrunk(self, found: Ordered) -> Race:
        """Search for the fewest decisions that fail as this order does, each time."""
        loop = asyncio.get_running_loop()
        tried: dict[tuple[Decision, ...], Ordered] = {}
        count = 0

        async def attempt(decisions: tuple[Decision, ...]) -> bool:
            nonlocal count
            schedule = replace(baseline_schedule(self._table), decisions=decisions)
            count += 1
            again = tried[decisions] = await self._runs.run(schedule, found.number)
            if not again.fails_as(found):
                self._runs.forget(again)
            return again.fails_as(found) and not self._runs.session.interrupted

        async def is_sure(decisions: tuple[Decision, ...]) -> bool:
            for _ in range(CONFIRMED):
                if not await attempt(decisions):
                    return False
            return True

        def fails(decisions: tuple[Decision, ...]) -> bool:
            return asyncio.run_coroutine_threadsafe(attempt(decisions), loop).result()

        whole = decisions_of(found.trace.steps) if found.number else ()
        if await attempt(whole):
            kept = await asyncio.to_thread(fewest, whole, fails, TRIES)
            for decisions in dict.fromkeys((kept, whole)):
                if await is_sure(decisions):
                    return Race(found, tried[decisions], count, None)
        return Race(found, None, count, None)


def _no_points(result: GroupResult, table: Explore) -> str:
    assert result.run_dir is not None
    events = load_evidence(result.run_dir / DATABASE).events
    emitted = sorted({str(Place(event.unit, event.step)) for event in events})
    asked = ", ".join(f'"{point}"' for point in table.points)
    there = ", ".join(emitted[:8]) or "none"
    return (
        f"{result.scenario.id}: no point was reached: points = [{asked}] names no probe of a Python"
        f" unit that was emitted; emitted were: {there}"
    )


class Replayed(NamedTuple):
    """A run whose order was repeated. `stored` is the id of the run that it repeats."""

    stored: str
    run: RunResult
    trace: Trace
    order: tuple[str, ...]


def replay(run: str, cwd: Path, observer: Observer) -> Replayed:
    """Run the group of a stored run again, in the order of its schedule.

    Args:
        run: the beginning of the run's id; "" for the last one that has a schedule.
        cwd: where the user is.
        observer: sees the run.

    Raises:
        ConfigError, UsageError: the run or the group does not exist, or the run has no schedule.
        InfraError: the state folder cannot be written.
    """
    project = find_project(cwd)
    folder, stored = _with_schedule(run, project)
    scenario = _as_declared_now(stored, cwd)
    request = request_of(str(stored.group.folder), cwd, observer)
    if stored.generated and not Path(stored.generated).is_file():
        raise UsageError(f"{stored.id} cannot be run again: {stored.generated} is gone")
    if stored.generated:  # the example is the smallest under these faults
        scenario = scenario._replace(group=replace(scenario.group, faults=stored.group.faults))
    again = scenario._replace(schedule=stored.schedule, generated=stored.generated)
    result = run_scenario(request, project, again)
    trace = trace_of(result.groups[0])
    decisions = stored.schedule.decisions if stored.schedule is not None else ()
    return Replayed(folder.name, result, trace, explained(decisions, trace.steps))


def _with_schedule(run: str, project: Project) -> tuple[Path, Scenario]:
    """The run's folder, and its group as it was run. Raises UsageError, InfraError."""
    if run.endswith(".zip"):
        raise UsageError(f"replay takes the id of a run that is kept here, and {run} is an archive")
    folders = [find_run(project.state_folder, run)]
    if not run:
        folders = list(reversed(list_runs(project.state_folder)))
    for folder in folders:
        for path in sorted(folder.rglob(FILE)):
            scenario = restored_scenario(path)
            if scenario.schedule is not None or scenario.generated:
                return folder, scenario
    which = f"run {folders[0].name}" if run else "no run that is kept"
    raise UsageError(
        f"{which} has {'no' if run else 'an'} order or example to repeat: testrium explore GROUP"
        " and testrium generate GROUP keep a run with one"
    )


def _as_declared_now(stored: Scenario, cwd: Path) -> Scenario:
    if not stored.group.folder.is_dir():
        raise UsageError(f"{stored.id} cannot be run again: {stored.group.folder} is gone")
    _, groups = load((str(stored.group.folder),), cwd)
    for scenario in plan(groups, Selection(all_modes=True), repeat=0):
        if scenario.mode == stored.mode and scenario.params == stored.params:
            return scenario._replace(group=replace(scenario.group, save_metrics=False))
    raise UsageError(f"{stored.id} in mode {stored.mode} cannot be run again: it is gone")
