"""One call of `testrium run`, as a sentence: load -> plan -> run -> record -> verify -> report.

The only module that knows every phase. Each phase gets what the one before it made; none reaches
back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.errors import ExitCode, InfraError, NoGroupsError
from testrium.model import (
    Code,
    Evidence,
    Finding,
    Group,
    GroupResult,
    Judgement,
    Observer,
    RunResult,
    Scenario,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ProcessPoolExecutor

    from testrium.load.project import Project
    from testrium.plan.selection import Selection
    from testrium.record.revision import Revision
    from testrium.run.services import Interrupt, Services
    from testrium.run.supervision import Supervisor

#: Databases below this size (bytes) are judged in the runner's own loop: a process costs more.
INLINE_LIMIT = 2_000_000

DATABASE = "Data.db"

#: Runs are kept until there are more than this.
KEPT_RUNS = 50

_EXIT_CODES = {
    Verdict.ERROR: ExitCode.ERROR,
    Verdict.FAIL: ExitCode.FAILURE,
    Verdict.UNKNOWN: ExitCode.UNKNOWN,
    Verdict.PASS: ExitCode.SUCCESS,
}
_SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. `jobs` bounds how many groups run side by side."""

    paths: tuple[str, ...]
    cwd: Path
    selection: Selection
    observer: Observer
    repeat: int | None = None
    jobs: int = 1
    verbose: bool = False
    command_line: tuple[str, ...] = ()


def run(request: Request) -> RunResult:
    """Load, plan, run, record, verify; the result is what reports are made of.

    Raises:
        ConfigError, UsageError: nothing was started.
        NoGroupsError: nothing was found or selected.
        InfraError: the state folder cannot be written.
    """
    from testrium.run.supervision import Supervisor

    with Supervisor.launch() as supervisor:  # it starts while the groups are loaded
        project, groups = load(request.paths, request.cwd)
        scenarios = plan(groups, request.selection, request.repeat)
        for group in groups:
            for notice in group.notices:
                request.observer.notice(notice)
        request.observer.run_started(scenarios)
        return asyncio.run(_Session(request, project, supervisor).run(scenarios))


def load(paths: tuple[str, ...], cwd: Path) -> tuple[Project, tuple[Group, ...]]:
    """The project file and the groups below `paths`. Raises ConfigError, UsageError."""
    from testrium.load import load_groups
    from testrium.load.project import find_project

    project = find_project(cwd)
    return project, load_groups(paths, cwd=cwd, project=project)


def plan(
    groups: tuple[Group, ...], selection: Selection, repeat: int | None = None
) -> tuple[Scenario, ...]:
    """What is to be run, in order. Raises NoGroupsError, UsageError."""
    from testrium.plan.scenario import plan_scenarios

    if not groups:
        raise NoGroupsError(
            "no group found: a group is a folder with config.toml and units/*.toml"
            " (make one with: testrium gen config-template .)"
        )
    scenarios = plan_scenarios(groups, selection, repeat=repeat)
    if not scenarios:
        raise NoGroupsError(f"none of {len(groups)} groups is selected")
    return scenarios


def verify_again(beginning: str, cwd: Path) -> RunResult:
    """Judge a stored run with the rules of its groups as they are now; starts nothing.

    Raises:
        ConfigError, UsageError: no such run, or its groups are wrong or gone.
        InfraError: a store cannot be read.
    """
    from testrium.plan.scenario import plan_scenarios
    from testrium.record.runs import find_run
    from testrium.report.stored import read_run

    stored = read_run(find_run(state_folder(cwd), beginning))
    assert stored.folder is not None
    results = []
    for old in stored.groups:
        if old.run_dir is None or old.verdict is Verdict.SKIP:
            results.append(old)
            continue
        _, groups = load((str(old.scenario.group.folder),), cwd)
        now = next(
            scenario
            for scenario in plan_scenarios(groups, repeat=0)
            if scenario.mode == old.scenario.mode and scenario.params == old.scenario.params
        )
        scenario = replace(now, id=old.scenario.id, repeat=old.scenario.repeat)
        result = judged(scenario, old.run_dir / DATABASE, stored.folder)
        results.append(replace(result, duration_s=old.duration_s, run_dir=old.run_dir))
    verdict = run_verdict(tuple(result.verdict for result in results))
    return replace(stored, groups=tuple(results), verdict=verdict, exit_code=_EXIT_CODES[verdict])


def state_folder(cwd: Path) -> Path:
    """Where runs and the history are kept for someone who calls from `cwd`."""
    from testrium.load.project import find_project

    return find_project(cwd).state_folder


class _Session:
    """What the coroutines of one run share."""

    def __init__(self, request: Request, project: Project, supervisor: Supervisor) -> None:
        self._request = request
        self._state = project.state_folder
        self._supervisor = supervisor
        self._run = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
        self._signal: ExitCode | None = None  # which one asked the run to end
        self._judging: ProcessPoolExecutor | None = None
        self._revision: Revision | None = None

    async def run(self, scenarios: tuple[Scenario, ...]) -> RunResult:
        from testrium.record.runs import claimed
        from testrium.run.schedule import run_scheduled

        started_wall, started = time.time(), time.monotonic()
        folder = self._make_folder()
        await self._supervisor.connect()
        services = self._services(folder)
        with claimed(folder), self._heeding_signals(services.interrupt):
            # While the first units start, the runner prepares what comes after them.
            preparing = asyncio.create_task(asyncio.to_thread(_prepare_end, self._request.cwd))
            results = await run_scheduled(
                scenarios,
                lambda scenario: self._run_one(scenario, services),
                jobs=self._request.jobs,
                stop=lambda _: self._signal is not None,
            )
            self._revision = await preparing
        await self._supervisor.close()
        verdict = run_verdict(tuple(result.verdict for result in results))
        result = RunResult(
            run=self._run,
            verdict=verdict,
            exit_code=self._signal or _EXIT_CODES[verdict],
            duration_s=time.monotonic() - started,
            groups=tuple(results),
            folder=folder,
            started_wall=started_wall,
        )
        self._record(result)
        return result

    async def _run_one(self, scenario: Scenario, services: Services) -> GroupResult:
        """One scenario, from its start to its verdict."""
        from testrium.run.group import run_group

        started = time.monotonic()
        run_dir = services.folder / scenario.folder_name
        if scenario.skip:
            result = GroupResult(scenario, Verdict.SKIP, reason=scenario.skip)
        else:
            try:
                database = await run_group(scenario, services)
                result = await self._judged(scenario, database, services.folder)
            except InfraError as error:
                judgement = failed_runner(scenario, error)
                result = GroupResult(scenario, Verdict.ERROR, judgement=judgement)
            result = replace(result, duration_s=time.monotonic() - started, run_dir=run_dir)
            self._keep_group(result)
        self._request.observer.group_ended(result)
        return result

    async def _judged(self, scenario: Scenario, database: Path, folder: Path) -> GroupResult:
        """Verify what was recorded; a long computation has a process of its own."""
        if os.stat(database).st_size < INLINE_LIMIT:  # noqa: PTH116 - takes no time
            return judged(scenario, database, folder)
        from concurrent.futures import BrokenExecutor

        if self._judging is None:
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            context = multiprocessing.get_context("spawn")
            self._judging = ProcessPoolExecutor(
                max_workers=1,
                mp_context=context,
                initializer=_become_judge,
                initargs=(os.getpid(),),
            )
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._judging, judged, scenario, database, folder)
        except BrokenExecutor as error:  # killed from outside, most likely for want of memory
            self._judging = None
            raise InfraError(f"the process that judges {scenario.id} was killed") from error

    def _services(self, folder: Path) -> Services:
        from testrium.probe.environment import clock_domain
        from testrium.run.ports import PortAllocator
        from testrium.run.services import Interrupt, Services
        from testrium.verify import Expectations

        return Services(
            run=self._run,
            folder=folder,
            supervisor=self._supervisor,
            ports=PortAllocator(),
            observer=self._request.observer,
            interrupt=Interrupt(),
            domain=clock_domain(),
            verbose=self._request.verbose,
            expectations=Expectations,
            classic_results=classic_results,
        )

    @contextmanager
    def _heeding_signals(self, interrupt: Interrupt) -> Iterator[None]:
        """The first signal stops politely, the second at once."""
        loop = asyncio.get_running_loop()

        def heed(number: signal.Signals) -> None:
            self._signal = self._signal or _SIGNALS[number]
            interrupt.ask()

        for number in _SIGNALS:
            loop.add_signal_handler(number, heed, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _make_folder(self) -> Path:
        folder = self._state / "runs" / self._run
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise InfraError(f"cannot make the run folder {folder}: {error.strerror}") from error
        return folder

    def _record(self, result: RunResult) -> None:
        """Write the report into the run's folder and append to the history.

        The verdict stands already: what cannot be kept is told, and fails nothing.
        """
        from testrium.record.history import append_run
        from testrium.record.runs import prune
        from testrium.report import json_report

        assert result.folder is not None
        try:
            json_report.write_report(result, result.folder / json_report.RUN_FILE, private=True)
        except InfraError as error:
            self._request.observer.notice(str(error))
        for notice in append_run(
            self._state,
            result,
            command_line=self._request.command_line,
            revision=self._revision,
        ):
            self._request.observer.notice(notice)
        prune(self._state, keep=KEPT_RUNS)

    def _keep_group(self, result: GroupResult) -> None:
        """Write the summaries into the group's folder, as `save-resume` asks."""
        from testrium.report import json_report, summary

        if result.run_dir is None or not result.scenario.group.save_resume:
            return
        try:
            json_report.write_group(result, result.run_dir / json_report.GROUP_FILE)
            summary.write_summary(result, result.run_dir / summary.FILE, cwd=self._request.cwd)
        except InfraError as error:
            self._request.observer.notice(str(error))


def _become_judge(runner: int) -> None:
    """In the judging process: Ctrl-C is the runner's, and so is the life."""
    from testrium.run.linux import die_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(runner)


def _prepare_end(cwd: Path) -> Revision | None:
    """Import what judging and reporting need; find out which revision of the code is tested."""
    import testrium.record.history
    import testrium.report.json_report
    import testrium.report.summary
    import testrium.verify.judgement  # noqa: F401
    from testrium.record.revision import revision_of

    return revision_of(cwd)


def judged(scenario: Scenario, database: Path, run_folder: Path) -> GroupResult:
    """Verify one stored run. Raises InfraError if the store cannot be read."""
    from testrium.record.earlier import earlier_keys
    from testrium.record.store import load_evidence
    from testrium.verify import judge
    from testrium.verify.correlation import correlate

    evidence = load_evidence(database)
    judgement = judge(scenario, evidence)
    if any(finding.code is Code.PHANTOM for finding in judgement.findings):
        # Only a phantom can be a stale key; nobody else pays for reading old runs.
        earlier = earlier_keys(run_folder, database)
        judgement = judge(scenario, replace(evidence, earlier_keys=earlier))
    findings = judgement.findings + judgement.notes
    shown = {number for finding in findings for number in finding.events}
    return GroupResult(
        scenario,
        judgement.verdict,
        judgement=judgement,
        ends=evidence.ends,
        tests=evidence.tests,
        witnesses={event.id: event for event in evidence.events if event.id in shown},
        started_ns=evidence.started_ns,
        average_latency_s=correlate(evidence.events).average_latency_s,
    )


def failed_runner(scenario: Scenario, error: InfraError) -> Judgement:
    """The judgement of a group that could not be run or judged."""
    return Judgement(Verdict.ERROR, (Finding(Code.INFRA, scenario.id, str(error)),))


def run_verdict(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The worst of the groups: error, fail, unknown, pass; skip and xfail count as pass."""
    worst = (Verdict.ERROR, Verdict.FAIL, Verdict.UNKNOWN)
    return next((verdict for verdict in worst if verdict in verdicts), Verdict.PASS)


def classic_results(scenario: Scenario, evidence: Evidence, duration_s: float) -> Mapping[str, Any]:
    """The dictionary that a group's `tests_results` callback gets."""
    from testrium.verify import judge
    from testrium.verify.correlation import classic_correlations

    judgement = judge(scenario, evidence)
    return {
        "duration": duration_s,
        "passed": judgement.verdict is Verdict.PASS,
        "tests_results": [
            {"name": test.name, "passed": test.passed, "total_time": test.duration_s}
            for test in evidence.tests
        ],
        "events_completed": [place._asdict() for place in judgement.completed],
        "events_missing": [place._asdict() for place in judgement.missing],
        "correlations": classic_correlations(evidence.events),
    }
