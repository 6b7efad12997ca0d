"""Run groups from Python: `run` does what `testrium run` does, and returns what was found.

    from testrium import api

    run = api.run("example_groups", jobs=4, tags="smoke and not slow")
    assert run.passed, run.findings

The command line is made of the same two steps, `request` and `session.run`. Nothing here needs a
terminal, prints, or ends the process.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict, TypeVar, Unpack, get_args

from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, InfraError, UsageError, error_text
from testrium.evidence import CheckResult, End, Event, Finding, TestResult
from testrium.phrases import did_you_mean
from testrium.plan.scenarios import shard_of
from testrium.plan.selection import ResultKey, Selection
from testrium.probe.environment import UPDATE_GOLDEN
from testrium.results import (
    EXIT_CODES,
    CircuitResult,
    FailedTry,
    GroupResult,
    Measure,
    Observer,
    RunResult,
    SilentObserver,
    run_verdict,
)
from testrium.retention import Keep
from testrium.run.schedule import usable_cores
from testrium.run.services import HeldGroup
from testrium.run.supervisor.client import Supervisor
from testrium.session import DATABASE, RecordedGroup, Request, Session, WorkerSource
from testrium.session import run as run_session
from testrium.words import GOOD_VERDICTS, Place, Verdict

__all__ = [
    "HeldUnits",
    "JudgedGroup",
    "OpenRun",
    "Options",
    "Run",
    "SilentObserver",
    "request",
    "run",
]

_T = TypeVar("_T")
_Paths = str | Path | Iterable[str | Path]


class Options(TypedDict, total=False):
    """What `run` can be asked for; all of it may be left out. The same as the options of the
    command line of these names, where nothing else is said.
    """

    cwd: str | Path
    """The folder that `paths` start from and where the project file is looked for; the current."""
    jobs: int | None
    """How many groups run side by side; None: as many as there are cores."""
    tags: str | Iterable[str]
    """An expression such as `"smoke and not slow"`, or tags that a group must all have."""
    grep: str
    """A regular expression that a group's id or title matches somewhere."""
    less: Iterable[str]
    """Groups to leave out."""
    requirements: Iterable[str]
    """Ids, or shell patterns for them, of which a group must cover one."""
    all_modes: bool
    """Include matrix combinations that are not primary."""
    failed: bool
    """Only what did not pass when it was last run."""
    repeat: int | None
    """Run each group N more times; None: as its `repeat` says."""
    debug: bool
    """Give `breakpoint()` the terminal, and suspend deadlines."""
    retries: int
    """Run what does not pass N more times; what passes then has the note `flaky`."""
    fail_on_flaky: bool
    """Fail what passes only when it is tried again."""
    shard: str
    """Run only one part of the selection: `"2/4"`."""
    until_fail: bool
    """Repeat the whole run until something does not pass; with `repeat` at most N times more."""
    max_failures: int | None
    """Start nothing more after N failures."""
    strict: bool
    """Treat a missing requirement as an error, not as a skip."""
    shuffle: int | None
    """The seed of a random order."""
    max_regression: float | None
    """How much worse figures may be than in earlier runs: 0.2 is 20 %."""
    update_golden: bool
    """Rewrite the reference files of checks that differ."""
    on: WorkerSource | None
    """Where groups run instead of here: `testrium.cluster.Dask("tcp://HOST:8786")`."""
    taps: Iterable[str]
    """Keep all messages that pass these ports, `UNIT.PORT`, for `testrium learn`."""
    keep: Keep
    """Which groups' folders to keep: "all", "failed" or "none"; only these have events."""
    verbose: bool
    """Tell the observer what units print."""
    hold_failures: Callable[[HeldGroup, asyncio.Event], Awaitable[None]] | None
    """Called with each group that has failed, before its units are stopped."""
    first: Iterable[str]
    """Ids of groups that start first."""
    observer: Observer
    """Gets the events of the run while it runs, in the thread that runs it."""
    command_line: tuple[str, ...]
    """What the history shows as the command."""


@dataclass(frozen=True)
class JudgedGroup:
    """One result of a run: a group in one mode, one set of parameters, one repeat."""

    result: GroupResult
    """All that is known of it."""

    @property
    def id(self) -> str:
        """The group's id, with the parameters of its matrix."""
        return self.result.scenario.id

    @property
    def title(self) -> str:
        return self.result.scenario.group.title

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.result.scenario.group.tags)

    @property
    def mode(self) -> str:
        return self.result.scenario.mode

    @property
    def params(self) -> Mapping[str, str]:
        return self.result.scenario.params

    @property
    def repeat(self) -> int:
        return self.result.scenario.repeat

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def passed(self) -> bool:
        """Whether it passed, or failed as expected. A skipped group has not."""
        return self.verdict in GOOD_VERDICTS

    @property
    def reason(self) -> str:
        """Why it was skipped or is expected to fail; "" where there is nothing to say."""
        from testrium.report.wording import reason

        return reason(self.result)

    @property
    def message(self) -> str:
        """The root cause in one sentence, or the reason of what was not run; "" if it passed."""
        from testrium.report.group_text import message

        return message(self.result)

    @property
    def duration_s(self) -> float:
        return self.result.duration_s

    @property
    def run_dir(self) -> Path | None:
        """The folder with its logs and its Data.db; None where it is not kept."""
        return self.result.run_dir

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong; the first one is the root cause."""
        return self.result.judgement.findings

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What was found and decides nothing."""
        return self.result.judgement.notes

    @property
    def tries(self) -> tuple[FailedTry, ...]:
        """With `retries`: the tries before the last one, none of which passed."""
        return self.result.tries

    @property
    def circuits(self) -> tuple[CircuitResult, ...]:
        return self.result.judgement.circuits

    @property
    def completed(self) -> tuple[Place, ...]:
        """The required probes that were emitted."""
        return self.result.judgement.completed

    @property
    def missing(self) -> tuple[Place, ...]:
        """The required probes that were not."""
        return self.result.judgement.missing

    @property
    def units(self) -> tuple[End, ...]:
        """The end of each unit."""
        return self.result.ends

    @property
    def tests(self) -> tuple[TestResult, ...]:
        return self.result.tests

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        return self.result.checks

    @property
    def metrics(self) -> tuple[Measure, ...]:
        return self.result.judgement.measures

    def events(self) -> tuple[Event, ...]:
        """The stored events, in the order of storing; () where its folder is not kept.

        Raises InfraError: its store cannot be read.
        """
        from testrium.record.reader import load_evidence

        folder = self.result.files
        if folder is None or not (folder / DATABASE).is_file():
            return ()
        return load_evidence(folder / DATABASE).events

    def as_json(self) -> dict[str, Any]:
        """The group as `--json` reports it."""
        from testrium.report.json_report import group_json

        return dict(group_json(self.result))

    def text(self, cwd: Path | None = None) -> str:
        """The group as the command line shows it, the root cause first."""
        from testrium.report.group_text import block_text
        from testrium.report.masking import masked

        return "\n".join(block_text(masked(self.result), cwd=cwd or Path.cwd()))


@dataclass(frozen=True)
class Run:
    """The results of a run."""

    result: RunResult
    """All that is known of it."""

    @property
    def id(self) -> str:
        """Its id, as `testrium show` takes it."""
        return self.result.run

    @property
    def verdict(self) -> Verdict:
        """The worst of its groups."""
        return self.result.verdict

    @property
    def exit_code(self) -> ExitCode:
        """What `testrium run` would exit with; 130 after Ctrl-C."""
        return self.result.exit_code

    @property
    def passed(self) -> bool:
        """Whether nothing failed, nothing is unknown, and the run was not interrupted."""
        return self.exit_code == ExitCode.SUCCESS

    @property
    def duration_s(self) -> float:
        return self.result.duration_s

    @property
    def folder(self) -> Path | None:
        """The run's folder."""
        return self.result.folder

    @functools.cached_property
    def groups(self) -> tuple[JudgedGroup, ...]:
        """Its results, by order and id of their groups; skipped ones too."""
        return tuple(map(JudgedGroup, self.result.groups))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all groups, in their order."""
        return tuple(finding for group in self.groups for finding in group.findings)

    @property
    def circuits(self) -> tuple[CircuitResult, ...]:
        """The circuits of all groups, in their order."""
        return tuple(circuit for group in self.groups for circuit in group.circuits)

    def events(self) -> Iterator[Event]:
        """The stored events of all groups, group by group. Raises InfraError."""
        for group in self.groups:
            yield from group.events()

    def as_json(self) -> dict[str, Any]:
        """The run as `--json` reports it."""
        from testrium.report.json_report import run_json

        return dict(run_json(self.result))

    def __repr__(self) -> str:
        """The verdict, and the root cause of each group that did not pass."""
        bad = [group for group in self.groups if not group.passed]
        lines = [f"{group.id}: {group.message or group.verdict}" for group in bad]
        return f"<Run {self.id} {self.verdict}{''.join(f'; {line}' for line in lines)}>"


def unit_lines(group: HeldGroup) -> tuple[str, ...]:
    """The units of a group that is held: name, state, pid, ports, one line each."""
    ports = group.ports
    lines = []
    for name, (state, pid) in group.states().items():
        facts = [name, str(state), f"pid {pid}" if pid else "no process"]
        facts += [f"{port} 127.0.0.1:{number}" for port, number in ports.get(name, {}).items()]
        lines.append("  ".join(facts))
    return tuple(lines)


class HeldUnits:
    """The units of a group that are kept up for a test; `testrium_units` yields one."""

    def __init__(self, patience_s: float | None = None) -> None:
        self.patience_s = patience_s
        self.ready = threading.Event()
        self.over = threading.Event()  # the group has ended
        self._group: HeldGroup
        self._loop: asyncio.AbstractEventLoop | None = None  # once they are ready
        self._released: asyncio.Event

    @property
    def id(self) -> str:
        """The group's id."""
        return self._group.scenario.id

    @property
    def run_dir(self) -> Path:
        """The folder with the logs of its units."""
        return self._group.path

    def port(self, unit: str, name: str) -> int:
        """The TCP port `name` of a unit. Raises UsageError where it has none of this name."""
        ports = self._group.ports.get(unit, {})
        if name not in ports:
            known = [f"{one}.{port}" for one, names in self._group.ports.items() for port in names]
            raise UsageError(
                f"{self.id} has no port {unit}.{name}; its ports: {', '.join(known) or 'none'}"
            )
        return ports[name]

    def url(self, unit: str, name: str, path: str = "", scheme: str = "http") -> str:
        """The address of a unit's port: `http://127.0.0.1:PORT` and `path`. Raises UsageError."""
        return f"{scheme}://127.0.0.1:{self.port(unit, name)}{path}"

    def wait_for(self, place: str, key: str | None = None, timeout_s: float = 10) -> Event:
        """The first event at `unit:step` (with this key), stored already or still to come.

        Raises TimeoutError: it did not come within `timeout_s` seconds.
        """
        unit, colon, step = place.partition(":")
        if not (unit and colon and step):
            raise UsageError(f"wait_for({place!r}): expected unit:step")
        assert self._loop is not None
        waiting = asyncio.wait_for(self._group.wait_for(unit, step, key), timeout_s)
        try:
            return asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
        except TimeoutError:
            about = f" with key {key!r}" if key is not None else ""
            raise TimeoutError(f"no event {place}{about} within {timeout_s:g} s") from None

    def overview(self) -> tuple[str, ...]:
        """A line for each unit: its state, its pid, its ports."""
        return unit_lines(self._group)

    async def until_released(self, group: HeldGroup) -> None:
        """Hold: called in the thread of the run."""
        self._group, self._released = group, asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.ready.set()
        await self._released.wait()

    def release(self) -> None:
        """Let the group end; it is judged then."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._released.set)


class OpenRun:
    """A run in a thread of its own, whose groups are run one by one, when they are asked for.

    Fixtures of the run are started for the first group that uses them and end with `close`.
    Raises InfraError: the state folder cannot be written.
    """

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._begun: Future[None] = Future()
        self._results: list[GroupResult] = []
        self._over: RunResult | None = None
        self._broken_by = ""
        self._discarded = False
        self._recording: set[asyncio.Task[RecordedGroup]] = set()
        self._thread = threading.Thread(target=self._live, name="testrium", daemon=True)
        self._thread.start()
        self._waited(self._begun)

    def run(self, scenario: Scenario) -> JudgedGroup:
        """Run one scenario. Ctrl-C stops it first, and is raised then. Raises InfraError."""
        return JudgedGroup(self._waited(self._submitted(scenario, None)))

    def record(self, scenario: Scenario) -> RecordedGroup:
        """Run one scenario that is judged elsewhere. Raises MissingHostError."""
        return self._waited(self._in_loop(self._recorded(scenario)))

    @contextmanager
    def held(
        self, scenario: Scenario, patience_s: float | None = None
    ) -> Iterator[tuple[HeldUnits | None, list[JudgedGroup]]]:
        """Keep the units of a scenario up for the block.

        Yields the units, None where they did not become ready, and a list that has the group's
        result once the block is left; without units at once. What is open then is waited for
        `patience_s` seconds, None: the group's timeout.
        """
        units, results = HeldUnits(patience_s), list[JudgedGroup]()
        running = self._submitted(scenario, units)
        running.add_done_callback(lambda _: units.over.set())
        running.add_done_callback(lambda _: units.ready.set())
        try:
            self._waited_for(units.ready)
            if running.done():
                results.append(JudgedGroup(self._waited(running)))
                yield None, results
            else:
                yield units, results
        finally:
            units.release()
            if not results:
                results.append(JudgedGroup(self._waited(running)))

    def so_far(self, groups: Iterable[JudgedGroup]) -> Run:
        """Some results of this run as a run of their own; this run continues."""
        results = tuple(group.result for group in groups)
        verdict = run_verdict(tuple(result.verdict for result in results))
        took_s = sum(result.duration_s for result in results)
        id_, folder = self._session.id, self._session.folder
        return Run(RunResult(id_, verdict, EXIT_CODES[verdict], took_s, results, folder=folder))

    def interrupt(self) -> None:
        """Ask the groups that are running to end; from any thread."""
        self._loop.call_soon_threadsafe(self._interrupt.ask)

    def discard(self) -> None:
        """End what is running at once, and what all groups share; no report is written."""
        self._discarded = True
        for _ in range(2):  # the second time it is not polite
            self.interrupt()
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def close(self) -> Run:
        """Stop what all groups share; the report and the history are written. Raises InfraError."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        if self._over is None:
            raise InfraError(f"the run failed: {self._broken_by}")
        return Run(self._over)

    def _submitted(self, scenario: Scenario, hold: HeldUnits | None) -> Future[GroupResult]:
        return self._in_loop(self._one(scenario, hold))

    def _in_loop(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _recorded(self, scenario: Scenario) -> RecordedGroup:
        recording = asyncio.create_task(
            self._session.record_one(self._in_folder_of_its_own(scenario))
        )
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        return await asyncio.shield(recording)

    async def _one(self, scenario: Scenario, hold: HeldUnits | None) -> GroupResult:
        result = await self._session.run_one(self._in_folder_of_its_own(scenario), hold)
        self._results.append(result)
        return result

    def _in_folder_of_its_own(self, scenario: Scenario) -> Scenario:
        """The same scenario, in a folder that no earlier one of this run has used."""
        name, number = scenario.folder_name, 1
        while name in self._folders:
            number += 1
            name = f"{scenario.folder_name}~{number}"
        self._folders.add(name)
        return scenario._replace(folder_name=name)

    def _live(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - told in the thread that waits
            if not self._begun.done():
                self._begun.set_exception(error)
            else:
                self._broken_by = error_text(error)

    async def _main(self) -> None:
        from testrium.load.project import find_project

        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._folders: set[str] = set()
        with Supervisor.launch() as supervisor:
            session = self._session = Session(
                self._asked, find_project(self._asked.cwd), supervisor
            )
            async with session.opened() as self._interrupt:
                self._begun.set_result(None)
                await self._closing.wait()
                while self._recording:
                    await asyncio.wait(self._recording)
            if self._discarded:
                await session.ended_unjudged()
            else:
                self._over = await session.recorded(self._results)

    def _waited(self, future: Future[_T]) -> _T:
        """The result of something that happens in the run's thread; Ctrl-C ends it early."""
        interrupted = False
        while True:
            try:
                result = future.result()
                break
            except KeyboardInterrupt:
                if not self._begun.done():
                    raise
                interrupted = True
                self._loop.call_soon_threadsafe(self._interrupt.ask)
        if interrupted:
            raise KeyboardInterrupt
        return result

    def _waited_for(self, event: threading.Event) -> None:
        try:
            event.wait()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(self._interrupt.ask)
            raise


def run(paths: _Paths = (), **options: Unpack[Options]) -> Run:
    """Run the groups below `paths` and judge them, as `testrium run` does.

    Defaults of `[run]` in the project file and `TESTRIUM_ADDOPTS` are for the command line and do
    not count here. Ctrl-C ends the run early: what was finished is in it, with exit code 130.

    Args:
        paths: a group, a folder that is searched for groups, a pattern, or several of these; none
            means `cwd`.
        options: see `Options`.

    Raises:
        ConfigError: groups are described wrongly; it carries every problem.
        UsageError: something is asked for that cannot be.
        NoGroupsError: nothing was found or selected.
        InfraError: the state folder cannot be written.
    """
    asked = request(paths, **options)
    with _handlers_restored(), _golden_updated(asked):
        return Run(_outside_of_loops(functools.partial(run_session, asked)))


def request(paths: _Paths = (), **options: Unpack[Options]) -> Request:
    """What `run` asks the session for. Raises UsageError, NoGroupsError."""
    _check_names(options)
    _check_values(options)
    cwd = Path(options.get("cwd") or Path.cwd()).absolute()
    jobs = options.get("jobs")
    shard, command_line = None, tuple(options.get("command_line", ()))
    if text := options.get("shard"):
        try:
            shard = shard_of(text)
        except ValueError as error:
            raise UsageError(f"shard: {error}") from None
        if not any(word.startswith("--shard") for word in command_line):
            command_line += ("--shard", str(shard))  # by this the history knows it as a part
    listed = [paths] if isinstance(paths, str | Path) else paths
    tags = options.get("tags", "")
    return Request(
        paths=tuple(str(path) for path in listed),
        cwd=cwd,
        selection=Selection(
            less=tuple(options.get("less", ())),
            tag=tags if isinstance(tags, str) else " and ".join(tags),
            grep=options.get("grep", ""),
            requirements=tuple(options.get("requirements", ())),
            all_modes=options.get("all_modes", False),
            failed=_failed(cwd) if options.get("failed") else None,
        ),
        observer=options.get("observer") or SilentObserver(),
        repeat=options.get("repeat"),
        debug=options.get("debug", False),
        retries=options.get("retries", 0),
        fail_on_flaky=options.get("fail_on_flaky", False),
        shard=shard,
        hold_failures=options.get("hold_failures"),
        first=frozenset(options.get("first", ())),
        jobs=jobs or (sys.maxsize if options.get("on") else usable_cores()),
        verbose=options.get("verbose", False),
        strict=options.get("strict", False),
        max_failures=options.get("max_failures"),
        until_fail=options.get("until_fail", False),
        shuffle=options.get("shuffle"),
        max_regression=options.get("max_regression"),
        update_golden=options.get("update_golden", False),
        on=options.get("on"),
        taps=tuple(options.get("taps", ())),
        keep=options.get("keep", "all"),
        command_line=command_line,
    )


def _failed(cwd: Path) -> frozenset[ResultKey]:
    from testrium.rejudge import failed_results  # only this reads old runs

    return failed_results(cwd)


def _check_names(options: Options) -> None:
    """Raise UsageError where an option does not exist."""
    for name in options.keys() - Options.__annotations__.keys():
        hint = did_you_mean(name, Options.__annotations__)
        raise UsageError(f"api.run has no option {name!r}{hint}")


#: The smallest number of each option that is one.
_SMALLEST: Final = {"jobs": 1, "max_failures": 1, "repeat": 0, "retries": 0, "max_regression": 0}


def _check_values(options: Mapping[str, Any]) -> None:
    """Raise UsageError where an option has a value that the command line would refuse."""
    for name, least in _SMALLEST.items():
        value = options.get(name)
        if value is not None and not value >= least:
            raise UsageError(f"{name}={value}: expected a number from {least}")
    keep = options.get("keep", "all")
    if keep not in (known := get_args(Keep)):
        raise UsageError(f"keep={keep!r}: expected one of {', '.join(known)}")


def _outside_of_loops(work: Callable[[], _T]) -> _T:
    """Do it in a thread of its own where this one runs an event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "testrium") as thread:
        return thread.submit(work).result()


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Restore the signal handlers of the caller when the run is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [number for number in signal.Signals if number.name in names]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not set from Python
                signal.signal(number, handler)


@contextmanager
def _golden_updated(asked: Request) -> Iterator[None]:
    """Let the checks that test functions make rewrite their references too."""
    if not asked.update_golden or UPDATE_GOLDEN in os.environ:
        yield
        return
    os.environ[UPDATE_GOLDEN] = "1"
    try:
        yield
    finally:
        del os.environ[UPDATE_GOLDEN]
