"""The one interface of all reporters of a run: Testrium's own formats, and those of plugins.

A writer is made before anything starts and told what happens, in the order in which it happens.
Every method may be left out. What is handed over are those of `testrium.results`; `run_json` and
`group_json` (`testrium.report.json_report`) make of them what the JSON report holds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import ClassVar

from testrium.declared.groups import Scenario
from testrium.errors import ConfigError, InfraError, Problem, TestriumError, UsageError
from testrium.evidence import Event, UnitState
from testrium.report.masking import masked, masked_run
from testrium.results import Awaited, GroupResult, Observer, RunResult
from testrium.system.files import write_text
from testrium.tuples import NamedTuple
from testrium.words import Verdict

#: The target that means standard output.
STDOUT = "-"
#: Its other names: replaced by a file they would lead nowhere.
STDOUT_FILES = (STDOUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class WriterFailedError(TestriumError):
    """A writer of a plugin has failed; the run continues."""


class Writer:
    """Receives the events of a run while it is running, and ignores them.

    Args:
        target: what the user wrote behind the writer's name, mostly a file; `-` is standard output.
            None where nothing was written.
        cwd: the folder that relative targets start from.
    """

    #: Whether it cannot do without a target.
    needs_target: ClassVar[bool] = False

    def __init__(self, target: str | None, cwd: Path) -> None:
        self.target = target
        self.cwd = cwd

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """Which results there will be; called again for each round of `--until-fail`."""

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """A group begins. A skipped group does not begin."""

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """A unit is in another state."""

    def notice(self, text: str | Problem) -> None:
        """Something that decides nothing: an old spelling, a history that was set aside."""

    def group_ended(self, result: GroupResult) -> None:
        """A group is judged."""

    def run_ended(self, result: RunResult) -> None:
        """The run is over, or was never started: then `result.errors` says why.

        Called once, always, and last.
        """


class Report(Writer):
    """A writer of one document, made when the run has ended."""

    needs_target = True

    def render(self, result: RunResult) -> str:
        """The document."""
        raise NotImplementedError

    def run_ended(self, result: RunResult) -> None:
        """Write the document. Raises InfraError where that fails."""
        assert self.target is not None
        text = self.render(result)
        if self.target in STDOUT_FILES:
            write_stdout(text)
        else:
            write_text(self.cwd / self.target, text)


def write_stdout(text: str) -> None:
    """Write to standard output, in UTF-8 as into a file. Raises InfraError."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        raise InfraError(f"cannot write to standard output: {error.strerror or error}") from error


class ReportChoice(NamedTuple):
    """A report that the user asks for. `option` is how he did: `--json`, `--writer chat`."""

    option: str
    name: str
    target: str | None = None

    @property
    def on_stdout(self) -> bool:
        return self.target in STDOUT_FILES


def check_targets(choices: Iterable[ReportChoice], cwd: Path) -> None:
    """Raise UsageError where a report could not be written, or two would overwrite each other."""
    taken: dict[str, ReportChoice] = {}
    for choice in choices:
        if choice.target is None:
            continue
        place = STDOUT
        if not choice.on_stdout:
            path = cwd / choice.target
            _check_file(choice, path)
            place = os.path.realpath(path)
        first = taken.setdefault(place, choice)
        if first is not choice and place != os.devnull:
            shown = "standard output" if place == STDOUT else choice.target
            raise UsageError(f"{first.option} and {choice.option} would both write to {shown}")


def _check_file(choice: ReportChoice, path: Path) -> None:
    told = f"{choice.option}: cannot write {choice.target!r}"
    folder = path.parent
    if not choice.target:
        raise UsageError(f"{choice.option} needs the name of a file")
    try:
        is_folder, has_folder = path.is_dir(), folder.is_dir()
    except OSError as error:  # too long a name
        raise UsageError(f"{told}: {error.strerror}") from error
    if is_folder:
        raise UsageError(f"{told}: it is a folder")
    if not has_folder:
        raise UsageError(f"{told}: the folder {str(folder)!r} does not exist")
    # A regular file is replaced by a new one; what is none (a pipe) is written to.
    replaced = folder if path.is_file() or not path.exists() else path
    if not os.access(replaced, os.W_OK | (os.X_OK if replaced is folder else 0)):
        raise UsageError(f"{told}: no permission to write to {str(replaced)!r}")


class Writers:
    """The writers of a run. A writer that fails receives nothing more; the others continue.

    One of somebody else costs a notice; one of Testrium's own lets `finish` raise.
    """

    def __init__(self, writers: Sequence[Writer], notice: Callable[[str], None]) -> None:
        self._writers = list(writers)
        self._notice = notice
        self._failed: list[Exception] = []

    def tell(self, what: Callable[[Writer], None]) -> None:
        """Call a method of each of them."""
        for writer in list(self._writers):
            try:
                what(writer)
            except WriterFailedError as error:
                self._writers.remove(writer)
                self._notice(str(error))
            except Exception as error:  # noqa: BLE001 - `finish` raises it
                self._writers.remove(writer)
                self._failed.append(error)

    def finish(self, result: RunResult) -> None:
        """Have the reports of a run written.

        Raises, when all the others are, what one of ours raised: InfraError, or a defect of it.
        """
        result = masked_run(result)
        self.tell(lambda writer: writer.run_ended(result))
        for error in self._failed[1:]:
            self._notice(str(error))
        if self._failed:
            raise self._failed[0]

    def refuse(self, error: TestriumError) -> None:
        """Have the reports written of a run that was not started, because of `error`."""
        self.tell(lambda writer: writer.run_ended(refused(error)))
        for failure in self._failed:
            self._notice(str(failure))

    def replay(self, result: RunResult) -> None:
        """Report a finished run as if it happened now. Raises InfraError as `finish`."""
        scenarios = tuple(group.scenario for group in result.groups)
        self.tell(lambda writer: writer.run_started(result.run, scenarios))
        for group in masked_run(result).groups:
            self.tell(methodcaller("group_ended", group))
        self.finish(result)


class Fanout:
    """Observer: passes on to another one, and to writers."""

    def __init__(self, first: Observer, writers: Writers) -> None:
        self._first = first
        self._tell = writers.tell

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """Observer."""
        self._first.run_started(run, scenarios)
        self._tell(lambda writer: writer.run_started(run, scenarios))

    def notice(self, text: str | Problem) -> None:
        """Observer."""
        self._first.notice(text)
        self._tell(lambda writer: writer.notice(text))

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """Observer."""
        self._first.group_started(scenario, run_dir)
        self._tell(lambda writer: writer.group_started(scenario, run_dir))

    def group_placed(self, scenario: Scenario, host: str) -> None:
        """Observer. Writers read the host in the result."""
        self._first.group_placed(scenario, host)

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """Observer."""
        self._first.unit_changed(scenario, unit, state)
        self._tell(lambda writer: writer.unit_changed(scenario, unit, state))

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        """Observer; writers find events in Data.db."""
        self._first.events_stored(scenario, events)

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:
        """Observer; writers find output in the files of its unit."""
        self._first.unit_output(scenario, unit, text)

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        """Observer; writers find what was waited for at the end."""
        self._first.waiting(scenario, awaited)

    def group_ended(self, result: GroupResult) -> None:
        """Observer."""
        self._first.group_ended(result)
        shown = masked(result)
        self._tell(lambda writer: writer.group_ended(shown))


def refused(error: TestriumError) -> RunResult:
    """The result of a run that was not started."""
    if isinstance(error, ConfigError):
        problems = error.problems
    else:
        problems = (Problem("", None, "", str(error)),)
    return RunResult("", Verdict.ERROR, error.exit_code, 0.0, errors=problems)
