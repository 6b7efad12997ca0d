"""`testrium generate`: run a group with arguments that Hypothesis draws, and shrink what fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from testrium.declared.faults import Schedule
from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, InfraError, UsageError
from testrium.exploration import chosen_scenario, order_of
from testrium.loaded_by_name import GENERATOR, import_of
from testrium.results import GroupResult
from testrium.session import Request, Session, run_scenario
from testrium.words import BAD_VERDICTS, Verdict

if TYPE_CHECKING:
    from testrium.evidence import Finding
    from testrium.load.project import Project
    from testrium.results import Observer, RunResult

#: What is drawn, and Hypothesis' database, are in this folder of the state folder.
FOLDER = "generate"
#: How many orders of units are drawn from with `--explore`.
ORDERS = 999
#: So many files of arguments stay.
KEPT = 50


class Example(NamedTuple):
    """A run with drawn arguments, their text by unit. `number` counts shrinking too, from 1."""

    number: int
    text: dict[str, str]
    schedule: Schedule | None
    result: GroupResult

    @property
    def finding(self) -> Finding | None:
        """What is wrong first."""
        return next(iter(self.result.judgement.findings), None)

    @property
    def failed(self) -> bool:
        return self.result.verdict is Verdict.FAIL


class Generation(NamedTuple):
    """What is to be done: `examples` of the group at `path`, drawn from `seed`.

    With `explore` each of them runs in an order of its units that is drawn too.
    """

    path: str
    cwd: Path
    seed: int
    examples: int
    observer: Observer
    explore: bool = False


class Generated(NamedTuple):
    """What a generation came to.

    `smallest` is the smallest example that fails, `run` the run that is kept of it. `flaky` says
    in words that it did not fail each time.
    """

    tried: int
    undecided: int
    first: Example | None
    smallest: Example | None
    run: RunResult | None
    flaky: str
    exit_code: ExitCode


class GenerationWatcher(Protocol):
    """Hears what a generation does."""

    def began(self, scenario: Scenario, units: tuple[str, ...]) -> None: ...

    def tried(self, example: Example) -> None: ...


def generate(generation: Generation, watcher: GenerationWatcher) -> Generated:
    """Run a group with drawn arguments; shrink what fails, and keep a run of the smallest.

    Raises:
        ConfigError, UsageError, NoGroupsError: nothing was started, or nothing is drawn.
        InfraError: the state folder cannot be written, or the generator has died.
    """
    from testrium.run.supervisor.client import Supervisor

    if find_spec("hypothesis") is None:
        raise UsageError("testrium generate needs Hypothesis: pip install 'testrium[generate]'")
    with Supervisor.launch() as supervisor:  # it starts while the group is loaded
        project, scenario = chosen_scenario(generation.path, generation.cwd, "generate")
        request = Request(
            paths=(generation.path,),
            cwd=generation.cwd,
            selection=_everything(),
            observer=generation.observer,
        )
        apart = project._replace(state_folder=project.state_folder / FOLDER)
        examples = _Examples(generation, Session(request, apart, supervisor), scenario, watcher)
        try:
            found = asyncio.run(examples.go_on(project))
        except BaseException:
            examples.arguments.unlink(missing_ok=True)
            raise
    smallest = found.smallest
    if smallest is None or found.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        examples.arguments.unlink(missing_ok=True)
        return found
    kept = scenario._replace(generated=str(examples.arguments), schedule=smallest.schedule)
    return found._replace(run=run_scenario(request, project, kept))


def _everything() -> Any:
    from testrium.plan.selection import Selection

    return Selection()


class _Examples:
    """Runs examples of one group, in one session."""

    def __init__(
        self,
        generation: Generation,
        session: Session,
        scenario: Scenario,
        watcher: GenerationWatcher,
    ) -> None:
        self._generation = generation
        self._session = session
        self._scenario = scenario._replace(group=replace(scenario.group, save_resume=False))
        self._watcher = watcher
        self._points = 10  # of the last run, about
        self._kept: list[GroupResult] = []
        self.arguments = Path()

    async def go_on(self, project: Project) -> Generated:
        """Try examples to the end. Raises UsageError, InfraError."""
        first = last = smallest = None
        tried = undecided = 0
        flaky = ""
        async with self._session.opened() as interrupt:
            self._make_folders(project)
            async with self._generator(project) as generator:
                while not interrupt.asked.is_set():
                    message = await _heard(generator)
                    if "done" in message:
                        flaky = message["flaky"]
                        smallest = last if message["done"] is not None else None
                        break
                    tried += 1
                    last = await self._run(tried, message)
                    if interrupt.asked.is_set():
                        break
                    self._watcher.tried(last)
                    undecided += not last.failed and last.result.verdict in BAD_VERDICTS
                    first = first or (last if last.failed else None)
                    _tell(generator, failed=_kind(last))
        code = (await self._session.recorded(self._kept)).exit_code
        if code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            code = ExitCode.UNKNOWN if undecided else ExitCode.SUCCESS
            code = ExitCode.FAILURE if smallest else code
        return Generated(tried, undecided, first, smallest, None, flaky, code)

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
        entrypoints = {unit.name: unit.entrypoint for unit in self._scenario.units}
        database = project.state_folder / FOLDER / "examples" / group.id.replace("/", "-")
        _tell(
            process,
            folders=[str(group.folder), *map(str, project.pythonpath)],
            units={name: function for name, function in entrypoints.items() if function},
            examples=self._generation.examples,
            seed=self._generation.seed,
            database=str(database),
            file=str(self.arguments),
            orders=ORDERS if self._generation.explore else 0,
        )
        try:
            units = tuple((await _heard(process))["units"])
            if not units:
                raise UsageError(
                    f"{group.id}: nothing to generate: no entrypoint of its units has"
                    " @testing.generate(strategy)"
                )
            self._watcher.began(self._scenario, units)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run(self, number: int, message: dict[str, Any]) -> Example:
        schedule = None
        if self._generation.explore:
            schedule = order_of(
                self._scenario, self._generation.seed, message["order"], self._points
            )
        scenario = self._scenario._replace(
            generated=str(self.arguments), schedule=schedule, folder_name=f"example-{number}"
        )
        result = await self._session.run_one(scenario)
        if result.verdict is Verdict.ERROR:
            raise InfraError(result.judgement.findings[0].message)
        if result.verdict not in BAD_VERDICTS and result.run_dir is not None:
            shutil.rmtree(result.run_dir, ignore_errors=True)
        else:
            self._kept.append(result)
        return Example(number, message["text"], schedule, result)


def _kind(example: Example) -> str:
    """What tells failures apart; "" for an example that did not fail."""
    finding = example.finding
    return f"{finding.code} at {finding.where}" if example.failed and finding else ""


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
