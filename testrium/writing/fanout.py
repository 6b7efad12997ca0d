"""Passes everything that happens in a run on: to the console, and to every writer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from testrium.errors import ConfigError, InfraError, Problem, TestriumError
from testrium.model import Event, GroupResult, Observer, RunResult, Scenario, UnitState, Verdict
from testrium.report.writer import Writer, WriterFailedError


class Writers:
    """The writers of a run. One that fails is told nothing more, and the others go on.

    One of somebody else costs a notice; one of Testrium's own lets `finish` raise.
    """

    def __init__(self, writers: Sequence[Writer], notice: Callable[[str], None]) -> None:
        self._writers = list(writers)
        self._notice = notice
        self._failed: list[InfraError] = []

    def tell(self, what: Callable[[Writer], None]) -> None:
        """Call a method of each of them."""
        for writer in list(self._writers):
            try:
                what(writer)
            except InfraError as error:
                self._writers.remove(writer)
                self._failed.append(error)
            except WriterFailedError as error:
                self._writers.remove(writer)
                self._notice(str(error))

    def finish(self, result: RunResult) -> None:
        """Have the reports of a run written.

        Raises InfraError, when all the others are, where one could not be.
        """
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
        """Tell of a run that is over, as if it happened now. Raises InfraError as `finish`."""
        scenarios = tuple(group.scenario for group in result.groups)
        self.tell(lambda writer: writer.run_started(result.run, scenarios))
        for group in result.groups:
            self.tell(functools.partial(_end_group, group))
        self.finish(result)


def _end_group(group: GroupResult, writer: Writer) -> None:
    writer.group_ended(group)


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

    def group_ended(self, result: GroupResult) -> None:
        """Observer."""
        self._first.group_ended(result)
        self._tell(lambda writer: writer.group_ended(result))


def refused(error: TestriumError) -> RunResult:
    """The result of a run that was not started."""
    if isinstance(error, ConfigError):
        problems = error.problems
    else:
        problems = (Problem("", None, "", str(error)),)
    return RunResult("", Verdict.ERROR, error.exit_code, 0.0, errors=problems)
