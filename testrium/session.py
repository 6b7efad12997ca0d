"""One call of `testrium run`, as a sentence: load -> plan -> run -> record -> verify -> report.

The only module that knows every phase. Each phase gets what the one before it made; none reaches
back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shlex
import socket
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from testrium.declared.groups import Group, Scenario
from testrium.errors import (
    ConfigError,
    ExitCode,
    InfraError,
    MissingHostError,
    NoGroupsError,
    NotStartedError,
    UsageError,
)
from testrium.phrases import plural
from testrium.record.runs import new_run_id
from testrium.results import EXIT_CODES, GroupResult, Observer, RunOrigin, RunResult, run_verdict
from testrium.retention import Keep, keep_group, record_run
from testrium.tuples import NamedTuple
from testrium.words import BAD_VERDICTS, EMPTY, Code, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from random import Random

    from testrium.evidence import Finding
    from testrium.history.rows import Revision
    from testrium.judging.group import GroupJudge
    from testrium.load.project import Project
    from testrium.plan.scenarios import Shard
    from testrium.plan.selection import Selection
    from testrium.run.group import GroupRun
    from testrium.run.kept_services import KeptServices
    from testrium.run.schedule import Turn
    from testrium.run.services import HeldGroup, Hold, Interrupt, RunServices
    from testrium.run.supervisor.client import Supervisor

DATABASE = "Data.db"

#: Of a run without end only the last results are kept in mind.
MOST_RESULTS = 10_000

_SIGNALS = {
    "SIGINT": ExitCode.INTERRUPTED,
    "SIGTERM": ExitCode.TERMINATED,
    "SIGHUP": ExitCode.TERMINATED,
    "SIGBREAK": ExitCode.TERMINATED,
}


class Workers(Protocol):
    """Other machines, while a run has them: `slots` groups run there at once.

    As many more may wait there for their turn, until they are withdrawn.
    """

    slots: int

    def expect(self, scenarios: Iterable[Scenario]) -> None: ...

    async def run(
        self, scenario: Scenario, folder: Path, begun: Callable[[str], None]
    ) -> WorkerResult: ...

    def withdraw(self) -> None: ...

    async def end_with(self, interrupt: Interrupt) -> None: ...


class WorkerSource(Protocol):
    """Where groups can run instead of here, as `cluster.Dask` is."""

    def opened(
        self, run: str, project: Project, cwd: Path
    ) -> AbstractAsyncContextManager[Workers]: ...


class WorkerResult(NamedTuple):
    """The machine on which a group has run, its class for comparisons, and what to note.

    `took_s` is how long it ran there.
    """

    host: str
    machine: str
    took_s: float
    notes: tuple[Finding, ...] = ()


class RecordedGroup(NamedTuple):
    """The folder of a group that was run and not judged; `error`: what the runner failed in."""

    folder: Path
    error: InfraError | None = None


class Request(NamedTuple):
    """What the user asked for.

    `jobs` bounds how many groups run side by side. `strict` makes a missing requirement an
    error, and a group that declares nothing a failure.
    After `max_failures` results that did not pass nothing more starts, and after the first of them
    `until_fail` begins no other round: with it `repeat` counts extra rounds of the whole selection.
    `shuffle` is a seed. With `max_regression` (0.2: 20 %) figures are compared with earlier runs.
    `on` is where groups run instead of here. What passes the links `taps` is kept.
    `update_golden` rewrites the reference files of checks that differ. `keep` tells which
    groups' folders stay. What does not pass is tried `retries` more times; with `fail_on_flaky` it
    fails even if it passes then. Of several machines that run the same selection this one runs its
    `shard`. `hold_failures` is called with each group that has failed, while its units are alive,
    and with what tells that the user asks to stop. Results of the groups in `first` start first.
    """

    paths: tuple[str, ...]
    cwd: Path
    selection: Selection
    observer: Observer
    repeat: int | None = None
    jobs: int = 1
    verbose: bool = False
    strict: bool = False
    max_failures: int | None = None
    until_fail: bool = False
    shuffle: int | None = None
    max_regression: float | None = None
    update_golden: bool = False
    on: WorkerSource | None = None
    taps: tuple[str, ...] = ()
    keep: Keep = "all"
    retries: int = 0
    debug: bool = False  # without deadlines
    fail_on_flaky: bool = False
    shard: Shard | None = None
    hold_failures: Callable[[HeldGroup, asyncio.Event], Awaitable[None]] | None = None
    first: frozenset[str] = frozenset()
    command_line: tuple[str, ...] = ()

    @property
    def rounds(self) -> int | None:
        """How often the selection is run at most; None for "without end"."""
        if not self.until_fail:
            return 1
        return None if self.repeat is None else self.repeat + 1


def run(request: Request) -> RunResult:
    """Load, plan, run, record, verify; the result is what reports are made of.

    Raises:
        ConfigError, UsageError: nothing was started.
        NoGroupsError: nothing was found or selected.
        InfraError: the state folder cannot be written.
    """
    from testrium.run.supervisor.client import Supervisor

    with Supervisor.launch() as supervisor:  # it starts while the groups are loaded
        project, groups = load(request.paths, request.cwd, request.selection)
        repeat = 0 if request.until_fail else request.repeat
        scenarios = plan(groups, request.selection, repeat, strict=request.strict)
        if request.max_regression is not None:
            allowed = request.max_regression
            scenarios = tuple(one._replace(max_regression=allowed) for one in scenarios)
        if request.taps:
            scenarios = _tapped(scenarios, request.taps)
        if request.debug:
            scenarios = tuple(map(_without_deadlines, scenarios))
        if request.shard is not None:
            scenarios = _in_shard(scenarios, request.shard, project, request.observer)
        _refuse_missing_folders(scenarios, request.cwd)
        for notice in dict.fromkeys(notice for group in groups for notice in group.notices):
            request.observer.notice(notice)
        return asyncio.run(Session(request, project, supervisor).run(scenarios))


def _refuse_missing_folders(scenarios: tuple[Scenario, ...], cwd: Path) -> None:
    """Raise ConfigError for units that could not start: their `cwd` is not there, nor will be."""
    from testrium.load.units import folders_never_made

    if found := tuple(dict.fromkeys(folders_never_made(scenarios, cwd))):
        raise ConfigError(found)


def _in_shard(
    scenarios: tuple[Scenario, ...], shard: Shard, project: Project, observer: Observer
) -> tuple[Scenario, ...]:
    from testrium.history.database import expected_durations
    from testrium.plan.scenarios import sharded

    # Shards that have ended already must not change what those that are to come run.
    durations, notices = expected_durations(project.state_folder, of_shards=False)
    for notice in notices:
        observer.notice(notice)
    mine = sharded(scenarios, shard, durations)
    known = "balanced by earlier durations" if durations else "no earlier durations are known"
    observer.notice(f"shard {shard}: {len(mine)} of {plural(len(scenarios), 'result')}, {known}")
    return mine


def _tapped(scenarios: tuple[Scenario, ...], links: tuple[str, ...]) -> tuple[Scenario, ...]:
    """The scenarios, with all messages of these links kept. Raises UsageError: no group has one."""
    from dataclasses import replace

    from testrium.declared.taps import Tap
    from testrium.phrases import did_you_mean

    ports = {
        f"{unit.name}.{port}": (unit.name, port)
        for scenario in scenarios
        for unit in scenario.units
        for port in unit.ports
    }
    for link in links:
        if link not in ports:
            guess = did_you_mean(link, ports)
            raise UsageError(
                f"--tap {link}: no group has this port (UNIT.PORT; the name of a file for a report"
                f" ends in .tap){guess}"
            )
    tapped = []
    for scenario in scenarios:
        own = {f"{unit.name}.{port}" for unit in scenario.units for port in unit.ports}
        taps = {tap.link: tap for tap in scenario.group.taps}
        for link in links:
            if link in own:
                unit, port = ports[link]
                tap = taps.get(link, Tap(link=link, unit=unit, port=port))
                taps[link] = replace(tap, keeps=True)
        tapped.append(scenario._replace(group=replace(scenario.group, taps=tuple(taps.values()))))
    return tuple(tapped)


#: As good as none, and no more than clocks and timers can hold (seconds).
_A_YEAR_S = 365 * 86400.0


def _without_deadlines(scenario: Scenario) -> Scenario:
    """The same with time for a person at a debugger."""
    from dataclasses import replace

    units = tuple(
        replace(unit, timeout_s=None, ready_timeout_s=_A_YEAR_S) for unit in scenario.units
    )
    group = replace(scenario.group, timeout_s=_A_YEAR_S)
    return scenario._replace(group=group, units=units)


def run_scenario(request: Request, project: Project, scenario: Scenario) -> RunResult:
    """Run just this one, as it is; `request` tells how.

    Raises:
        InfraError: the state folder cannot be written.
    """
    from testrium.run.supervisor.client import Supervisor

    with Supervisor.launch() as supervisor:
        return asyncio.run(Session(request, project, supervisor).run((scenario,)))


def load(
    paths: tuple[str, ...], cwd: Path, selection: Selection | None = None
) -> tuple[Project, tuple[Group, ...]]:
    """The project file and the groups below `paths`. Raises ConfigError, UsageError.

    Mistakes in a group that `selection` leaves out by its name do not count.
    """
    from testrium.load import load_groups
    from testrium.load.project import find_project

    project = find_project(cwd)
    if selection is None:
        return project, load_groups(paths, cwd=cwd, project=project)
    left_out = selection.leaves_out
    return project, load_groups(paths, cwd=cwd, project=project, left_out=left_out)


def plan(
    groups: tuple[Group, ...],
    selection: Selection,
    repeat: int | None = None,
    *,
    strict: bool = False,
) -> tuple[Scenario, ...]:
    """What is to be run, in order. Raises NoGroupsError, UsageError."""
    from testrium.plan.scenarios import plan_scenarios
    from testrium.plan.selection import nothing_selected

    scenarios = plan_scenarios(groups, selection, repeat=repeat, strict=strict)
    if not scenarios:
        raise NoGroupsError(nothing_selected(groups, selection))
    return scenarios


class Session:
    """One run: what its coroutines share.

    `run` does all of it. Who decides when each group begins does the same in steps: `opened`,
    inside of it `run_one` for each scenario, and `recorded` behind it.
    """

    def __init__(self, request: Request, project: Project, supervisor: Supervisor) -> None:
        from testrium.report.progress_file import ProgressFile

        self._project = project
        self._state = project.state_folder
        self._supervisor = supervisor
        self.id = new_run_id()
        self.folder = self._state / "runs" / self.id
        self._progress = ProgressFile(request.observer, self.folder)
        self._request = request = request._replace(observer=self._progress)
        self._holding = asyncio.Lock()
        self._signal: ExitCode | None = None  # which one asked the run to end
        self._revision: Revision | None = None
        self._random = None if request.shuffle is None else _predictable(request.shuffle)
        self._started_wall, self._started = time.time(), time.monotonic()
        self._services: RunServices
        self._cluster: Workers | None = None  # where groups run instead of here

    @cached_property
    def _judge(self) -> GroupJudge:
        from testrium.judging.group import GroupJudge

        return GroupJudge(
            update_golden=self._request.update_golden, notice=self._request.observer.notice
        )

    @property
    def interrupted(self) -> bool:
        """Whether the user has asked it to end."""
        return self._signal is not None

    async def run(self, scenarios: tuple[Scenario, ...]) -> RunResult:
        """Run all scenarios and record the run. Raises InfraError."""
        async with self.opened(scenarios) as interrupt, self._on_cluster(interrupt):
            results = await self._run_rounds(scenarios)
        return await self.recorded(results)

    @contextlib.asynccontextmanager
    async def _on_cluster(self, interrupt: Interrupt) -> AsyncIterator[None]:
        """Connect to the cluster that the user has named, if any. Raises UsageError, InfraError."""
        if self._request.on is None:
            yield
            return
        opening = self._request.on.opened(self.id, self._project, self._request.cwd)
        async with opening as cluster:
            self._cluster = cluster
            ending = asyncio.create_task(cluster.end_with(interrupt))
            try:
                yield
            finally:
                self._cluster = None
                ending.cancel()

    @contextlib.asynccontextmanager
    async def opened(self, scenarios: tuple[Scenario, ...] = ()) -> AsyncIterator[Interrupt]:
        """The run's folder, and what its groups share, fixtures included, until they are over.

        Yields what asks the groups to stop. Raises InfraError: the state folder cannot be written.
        """
        from testrium.record.runs import claimed, end_lost_runs

        self._make_folder()
        for notice in end_lost_runs(self._state):
            self._request.observer.notice(notice)
        await self._supervisor.connect()
        self._services = services = self._made_services()
        with claimed(self.folder), self._handling_signals(services.interrupt):
            started = self._supervisor.started
            preparing = _prepare(self._request.cwd, scenarios, started)
            try:
                yield services.interrupt
            finally:
                started.set()  # nothing more will be
                try:
                    if services.fixtures:
                        from testrium.run.fixtures import close_fixtures

                        await close_fixtures(services, keep=self._request.keep != "none")
                finally:
                    services.sockets.close()
            self._revision = await preparing

    async def recorded(self, results: Sequence[GroupResult]) -> RunResult:
        """The run, over now: its report and the history are written, the supervisor ends."""
        if self._signal is None:
            from testrium.judging.group import idle_entries

            for told in idle_entries(self._project.quarantine, results):
                self._request.observer.notice(told)
        closing = asyncio.create_task(self._supervisor.close())
        await asyncio.sleep(0)  # it ends while the run is recorded
        verdict = run_verdict(tuple(result.verdict for result in results))
        result = RunResult(
            run=self.id,
            verdict=verdict,
            exit_code=self._signal or EXIT_CODES[verdict],
            duration_s=time.monotonic() - self._started,
            groups=tuple(results),
            folder=self.folder,
            started_wall=self._started_wall,
            shard=str(self._request.shard or ""),
            origin=self._origin(),
        )
        try:
            record_run(
                result,
                self._state,
                command_line=self._request.command_line,
                revision=self._revision,
                notice=self._request.observer.notice,
            )
        finally:
            self._progress.close()
            await closing
        return result

    def _origin(self) -> RunOrigin:
        revision = self._revision
        return RunOrigin(
            project=(self._project.file.parent if self._project.file else self._request.cwd).name,
            revision=revision.commit if revision else "",
            dirty=revision is not None and revision.dirty,
            host=socket.gethostname(),
            python=".".join(map(str, sys.version_info[:3])),
            command=shlex.join(("testrium", *self._request.command_line)),
        )

    async def _run_rounds(self, scenarios: tuple[Scenario, ...]) -> list[GroupResult]:
        """All scenarios, once or until one does not pass; the results by order and id."""
        from testrium.plan.scenarios import rounds
        from testrium.run.schedule import run_scheduled

        results: list[GroupResult] = []
        forgotten = 0
        for planned in rounds(scenarios, self._request.rounds):
            self._request.observer.run_started(self.id, planned)
            if self._cluster is not None:
                self._cluster.expect(planned)
            ended = await run_scheduled(
                planned,
                self._run_unless_withdrawn,
                jobs=self._slots(),
                apart=self._cluster is not None,
                stop=self._is_over,
                sequence=self._in_sequence(planned),
            )
            done = [result for result in ended if result is not None]
            results += done
            if self._request.rounds is None and (old := len(results) - MOST_RESULTS) > 0:
                del results[:old]  # they have passed: otherwise this round was the last
                forgotten += old
            if self._signal is None and (left := len(planned) - len(done)):
                failed = sum(result.verdict in BAD_VERDICTS for result in results)
                self._request.observer.notice(
                    f"stopped after {plural(failed, 'failure')}:"
                    f" {plural(left, 'more result')} {'was' if left == 1 else 'were'} not started"
                )
            verdicts = {result.verdict for result in done}
            if self._signal or verdicts.intersection(BAD_VERDICTS) or verdicts == {Verdict.SKIP}:
                break
        if forgotten:
            self._request.observer.notice(f"{forgotten} more results passed, and are not reported")
        return sorted(results, key=lambda one: (one.scenario.group.order, one.scenario.group.id))

    async def _run_unless_withdrawn(self, scenario: Scenario, turn: Turn) -> GroupResult | None:
        """The result; None where it waited on a cluster until nothing more was to start."""
        try:
            return await self.run_one(scenario, turn=turn)
        except NotStartedError:
            return None

    def _slots(self) -> int:
        """How many groups may be under way at once.

        On a cluster as many as can run there have their files there already, and wait: else its
        slots would be idle while a result comes back and is judged.
        """
        jobs = self._request.jobs
        if self._cluster is None or jobs <= self._cluster.slots:
            return jobs
        return min(jobs, 2 * self._cluster.slots)

    def _is_over(self, results: list[GroupResult | None]) -> bool:
        """Whether nothing more may start."""
        limit = self._request.max_failures
        failed = sum(one is not None and one.verdict in BAD_VERDICTS for one in results)
        over = self._signal is not None or (limit is not None and failed >= limit)
        if over and self._cluster is not None:
            self._cluster.withdraw()
        return over

    def _in_sequence(self, scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
        """The scenarios in the order in which they start."""
        from testrium.plan.scenarios import longest_first, shuffled

        if self._request.first:
            first = self._request.first
            return tuple(
                sorted(scenarios, key=lambda one: (one.group.order, one.group.id not in first))
            )
        if self._random is not None:
            return shuffled(scenarios, self._random.random)
        if 1 < self._request.jobs < len(scenarios):  # else it makes no difference
            from testrium.history.database import expected_durations

            durations, notices = expected_durations(self._state)
            for notice in notices:
                self._request.observer.notice(notice)
            return longest_first(scenarios, durations)
        return scenarios

    async def run_one(
        self, scenario: Scenario, hold: Hold | None = None, turn: Turn | None = None
    ) -> GroupResult:
        """One scenario, from its start to what is kept and told of it.

        With `hold` its units stay up until they are released, and its test functions are not run.
        `turn` ends where nothing of it runs any more, if nothing else depends on its result.
        """
        result, tries = await self._try(scenario, hold, turn), list[GroupResult]()
        while len(tries) < self._request.retries and self._may_pass_yet(result):
            tries.append(self._kept(result))
            self._tell_retry(result, len(tries) + 1)
            again = f"{scenario.folder_name}~try{len(tries) + 1}"
            result = await self._try(scenario._replace(folder_name=again), hold)
        if tries:
            from testrium.judging.group import tried_again

            result = tried_again(result, tries, fails=self._request.fail_on_flaky)
        if result.run_dir is not None:  # it was run
            result = await self._keep(result)
        self._report(result)
        return result

    def kept_services(
        self, scenario: Scenario, names: Iterable[str], folder_name: str
    ) -> KeptServices:
        """Services of this group that can stay up from one `run_one` to the next."""
        from testrium.run.kept_services import KeptServices

        return KeptServices(scenario, names, self._services, folder_name)

    def use_services(self, kept: KeptServices | None) -> None:
        """Run groups with these, which are open, from now on; None: with their own."""
        by_name = EMPTY if kept is None else kept.by_name
        self._services = self._services._replace(kept=by_name)

    async def ended_services(self, kept: KeptServices) -> GroupResult:
        """Stop them; what that came to."""
        await kept.close()
        return await self._judge.judge(kept.scenario, kept.database, self.folder)

    async def _try(
        self, scenario: Scenario, hold: Hold | None, turn: Turn | None = None
    ) -> GroupResult:
        """Run one scenario once, and judge it."""
        started = time.monotonic()
        if scenario.skip:
            result = GroupResult(scenario, Verdict.SKIP, reason=scenario.skip)
        elif scenario.unmet:
            result = _unfit(scenario, InfraError(scenario.unmet))
        else:
            try:
                if self._cluster is not None:
                    result = await self._run_on_worker(scenario, self._cluster)
                else:
                    database = await self._run_group(scenario, hold)
                    if turn is not None and self._may_give_way(scenario, database):
                        started += await self._give_way(turn)
                    result = await self._judge.judge(scenario, database, self.folder)
            except MissingHostError as error:
                return self._skipped(scenario, error)
            except InfraError as error:
                result = _unfit(scenario, error)
            run_dir = self.folder / scenario.folder_name
            took_s = result.duration_s if result.host else time.monotonic() - started
            result = result._replace(duration_s=took_s, run_dir=run_dir)
        from testrium.judging.group import quarantined

        return quarantined(result, self._project.quarantine)

    def _may_give_way(self, scenario: Scenario, database: Path) -> bool:
        """Whether the next group may start before this one is judged.

        What the user asks for may depend on the verdict; and where judging or advice takes long,
        the next group would not have the machine to itself.
        """
        asked = self._request
        return (
            asked.max_failures is None
            and not asked.retries
            and not scenario.group.use_ai
            and self._judge.is_quick(scenario, database)
        )

    async def _give_way(self, turn: Turn) -> float:
        """Let the next group start its first process; the seconds that this took.

        A short group is judged and kept while the next one's process starts: the runner would
        wait for either.
        """
        began = time.monotonic()
        started = self._supervisor.next_start()
        turn.end()
        if (following := await turn.next) is not None:
            first = (started, following.over)
            await asyncio.wait(first, timeout=_FIRST_START_S, return_when=asyncio.FIRST_COMPLETED)
        return time.monotonic() - began

    def _skipped(self, scenario: Scenario, error: MissingHostError) -> GroupResult:
        """The result of a group that requires a host which cannot be reached."""
        import shutil  # few groups have hosts

        shutil.rmtree(self.folder / scenario.folder_name, ignore_errors=True)
        reason = f"requires host:{error.host}: {error.reason}"
        return GroupResult(scenario, Verdict.SKIP, reason=reason)

    def _may_pass_yet(self, result: GroupResult) -> bool:
        """Whether it did not pass, and nothing has decided that it cannot."""
        roots = result.judgement.findings[:1]
        return (
            result.verdict in BAD_VERDICTS
            and not result.scenario.unmet
            and not any(root.code is Code.UNEXPECTED_PASS for root in roots)
            and not self._services.interrupt.asked.is_set()
        )

    def _tell_retry(self, result: GroupResult, number: int) -> None:
        from testrium.report.wording import label, outcome

        self._request.observer.notice(
            f"{label(result.scenario)}: {result.verdict} ({outcome(result)}): try {number} of"
            f" {self._request.retries + 1}"
        )

    async def record_one(self, scenario: Scenario) -> RecordedGroup:
        """Run one scenario that is judged elsewhere. Raises MissingHostError."""
        folder = self.folder / scenario.folder_name
        try:
            await self._run_group(scenario, None)
        except MissingHostError:
            raise
        except InfraError as error:
            return RecordedGroup(folder, error)
        return RecordedGroup(folder)

    async def ended_unjudged(self) -> None:
        """End the run, whose groups are judged elsewhere: without a report."""
        self._progress.close()
        await self._supervisor.close()

    async def _run_group(self, scenario: Scenario, hold: Hold | None) -> Path:
        """The phases of one group's run; the file that has recorded it."""
        from testrium.run.group import open_group

        async with open_group(scenario, self._services, hold) as group:
            await group.start()
            await group.observe()
            await self._hold_failure(scenario, group)
            await group.stop()
            await self._check(scenario, group)
            await group.conclude(await self._results_so_far(scenario, group))
        return group.database

    async def _run_on_worker(self, scenario: Scenario, cluster: Workers) -> GroupResult:
        """Run a group on the cluster; what it has recorded is judged here."""
        folder = self.folder / scenario.folder_name

        started = False

        def begun(host: str) -> None:
            nonlocal started
            if not started:
                self._request.observer.group_started(scenario, folder)
            started = True
            self._request.observer.group_placed(scenario, host)

        ran = await cluster.run(scenario, folder, begun)
        result = await self._judge.judge(scenario, folder / DATABASE, self.folder)
        judgement = result.judgement._replace(notes=(*ran.notes, *result.judgement.notes))
        return result._replace(
            judgement=judgement, host=ran.host, machine=ran.machine, duration_s=ran.took_s
        )

    async def _hold_failure(self, scenario: Scenario, group: GroupRun) -> None:
        """Let the user look at a group that has failed, while its units are alive."""
        hold = self._request.hold_failures
        if hold is None or self._services.interrupt.asked.is_set():
            return
        if not group.has_failed_so_far():
            await group.store_so_far()
            if not await self._judge.broken_so_far(scenario, group.database):
                return
        async with self._holding:  # one after the other
            await hold(group, self._services.interrupt.asked)

    async def _check(self, scenario: Scenario, group: GroupRun) -> None:
        """Make the declared checks, before teardown.py removes what they look at."""
        if not scenario.group.checks or group.interrupted:
            return
        asked = self._services.interrupt.asked
        try:
            results = await self._judge.check(
                scenario, group.database, may_rewrite=not group.failed, given_up=asked
            )
        except InfraError as error:  # what is left to be done is done nevertheless
            group.fail(error)
        else:
            group.keep_checks(results)

    async def _results_so_far(
        self, scenario: Scenario, group: GroupRun
    ) -> Mapping[str, Any] | None:
        """What the group's `tests_results` callback is called with; None where it has none."""
        try:
            if not await group.wants_results():
                return None
            return await self._judge.results_so_far(scenario, group.database, group.duration_s)
        except InfraError as error:
            group.fail(error)
            return None

    async def _keep(self, result: GroupResult) -> GroupResult:
        """Ask for advice on a failure where the group wants it; write the group's summaries."""
        if result.scenario.group.use_ai and result.verdict in BAD_VERDICTS:
            result = await self._advised(result)
        return self._kept(result)

    def _kept(self, result: GroupResult) -> GroupResult:
        return keep_group(
            result,
            self.folder,
            keep=self._request.keep,
            cwd=self._request.cwd,
            notice=self._request.observer.notice,
        )

    def _report(self, result: GroupResult) -> None:
        for note in result.judgement.notes:
            # A rule could not be applied, or `classic = true` has let a unit pass.
            if note.code in (Code.METRIC, Code.HANG):
                about = note.where if note.code is Code.METRIC else result.scenario.id
                self._request.observer.notice(f"{about}: {note.message}")
        self._request.observer.group_ended(result)

    async def _advised(self, result: GroupResult) -> GroupResult:
        """The same result with what the command of `[ai]` says about it."""
        from testrium.judging.advice import Adviser
        from testrium.report.masking import masked

        folder = self._project.file.parent if self._project.file else self._request.cwd
        adviser = Adviser(self._project.ai_command, folder)
        notice = self._request.observer.notice
        asked = self._services.interrupt.asked
        return result._replace(answer=await adviser.ask(masked(result), asked, notice))

    def _made_services(self) -> RunServices:
        from testrium.probe.environment import clock_domain
        from testrium.record.runs import SocketFolders
        from testrium.run.monitor import SamplingPace
        from testrium.run.ports import PortAllocator
        from testrium.run.services import STARTING, Interrupt, RunServices

        return RunServices(
            run=self.id,
            folder=self.folder,
            supervisor=self._supervisor,
            ports=PortAllocator(),
            sockets=SocketFolders(self.id),
            observer=self._request.observer,
            interrupt=Interrupt(),
            domain=clock_domain(),
            verbose=self._request.verbose,
            pace=SamplingPace(),
            gate=asyncio.Semaphore(STARTING),
            fixtures={},
            holds_failures=self._request.hold_failures is not None,
        )

    def _handling_signals(self, interrupt: Interrupt) -> AbstractContextManager[None]:
        """The first signal stops politely, the second at once."""
        from testrium.run.services import handling_signals

        def handle(name: str) -> None:
            self._signal = self._signal or _SIGNALS[name]
            interrupt.ask()

        return handling_signals(_SIGNALS, handle)

    def _make_folder(self) -> None:
        from testrium.record.runs import make_state_folder

        folder = self.folder
        try:
            make_state_folder(self._state)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise InfraError(f"cannot make the run folder {folder}: {error.strerror}") from error


def _predictable(seed: int) -> Random:
    from random import Random

    return Random(seed)  # noqa: S311 - the same seed must give the same order


def _unfit(scenario: Scenario, error: InfraError) -> GroupResult:
    """The result of what the runner or the machine has failed."""
    from testrium.judging.group import failed_runner

    judgement = failed_runner(scenario, error)
    return GroupResult(scenario, Verdict.ERROR, judgement=judgement)


#: So long it may take until a first process starts (seconds), where one is going to.
_FIRST_START_S = 0.5


#: The collector looks for garbage after this many new objects. By default after 700: results of
#: groups stay to the end of the run, and looking at them again takes a tenth of a short group.
_COLLECT_AFTER = 20_000


def _prepare(
    cwd: Path, scenarios: tuple[Scenario, ...], started: asyncio.Event
) -> asyncio.Task[Revision | None]:
    """Do what would hold up the end of a short run while its first units are running.

    Once a process has `started`, a thread imports what judging and reporting need, none of which is
    imported before, and finds out which revision of the code is tested. Then the collector begins
    its work, on what comes from now on: nothing that imports have made is garbage (`cli.start`
    turned it off).
    """

    usual_s = sys.getswitchinterval()

    def prepare() -> Revision | None:
        sys.setswitchinterval(usual_s / 10)  # the loop continues beside it
        import testrium.history.database
        import testrium.judging.group
        import testrium.report.group_text
        import testrium.report.json_report
        import testrium.verify.judge
        from testrium.history.rows import revision_of

        if any(scenario.group.circuits for scenario in scenarios):
            import testrium.verify.messages  # noqa: F401
        sys.setswitchinterval(usual_s)
        if not gc.isenabled():  # `cli.start` turned it off: the process is ours
            gc.freeze()
            gc.set_threshold(_COLLECT_AFTER, 20, 20)
            gc.enable()
        return revision_of(cwd)

    async def prepare_in_time() -> Revision | None:
        with contextlib.suppress(TimeoutError):  # nothing here has a process
            await asyncio.wait_for(started.wait(), _FIRST_START_S)
        try:
            return await asyncio.to_thread(prepare)
        except RuntimeError:  # this machine gives no more threads
            return prepare()

    preparing = asyncio.create_task(prepare_in_time())
    # Seen: where the run itself breaks down, nothing waits for it.
    preparing.add_done_callback(lambda done: done.cancelled() or done.exception())
    return preparing
