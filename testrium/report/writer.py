"""The one interface of all who tell of a run: Testrium's own formats, and those of other packages.

A writer is made before anything starts and told what happens, in the order in which it happens.
Every method may be left out. What is handed over are the tuples of `testrium.model`; `run_json` and
`group_json` (`testrium.report.json_report`) make of them what the JSON report holds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from testrium.errors import InfraError, Problem, TestriumError
from testrium.model import GroupResult, RunResult, Scenario, UnitState
from testrium.report.files import write_text

#: The target that stands for standard output.
STDOUT = "-"


class WriterFailedError(TestriumError):
    """A writer of somebody else has failed; the run is none of its business."""


class Writer:
    """Told of a run while it goes on; does nothing with it.

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
        """A group begins. One that is skipped never does."""

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
        if self.target == STDOUT:
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
