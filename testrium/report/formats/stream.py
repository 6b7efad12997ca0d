"""`--json-stream`: what happens, a line of JSON each, while it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from testrium.declared.groups import Scenario
from testrium.errors import InfraError, Problem
from testrium.evidence import UnitState
from testrium.report import json_report
from testrium.report.escape import json_text
from testrium.report.writer import STDOUT_FILES, Writer, write_stdout
from testrium.results import GroupResult, RunResult
from testrium.system.files import open_new


class StreamWriter(Writer):
    """One object a line, each flushed: a reader can follow the run.

    Every line has `event` and `time` (seconds since 1970). Raises InfraError where the file cannot
    be opened or written.
    """

    needs_target = True

    def __init__(self, target: str | None, cwd: Path) -> None:
        super().__init__(target, cwd)
        self._file: FileIO | None = None

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """`run_started`: the run, and the results that there will be."""
        self._tell("run_started", {"run": run, "groups": [_named(one) for one in scenarios]})

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """`group_started`: with the folder of its run."""
        self._tell("group_started", {**_named(scenario), "run_dir": str(run_dir)})

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """`unit_changed`: the unit and its new state."""
        self._tell("unit_changed", {**_named(scenario), "unit": unit, "state": str(state)})

    def notice(self, text: str | Problem) -> None:
        """`notice`: its text."""
        self._tell("notice", {"message": str(text)})

    def group_ended(self, result: GroupResult) -> None:
        """A `finding` for each of its findings, then `group_ended` with the group's report."""
        group = json_report.group_json(result)
        for finding in group["findings"]:
            self._tell("finding", {**_named(result.scenario), "finding": finding})
        self._tell("group_ended", {**_named(result.scenario), "group": group})

    def run_ended(self, result: RunResult) -> None:
        """`run_ended`: the run's report without its groups; nothing follows."""
        report = json_report.run_json(result._replace(groups=()))
        del report["groups"]
        self._tell("run_ended", report)
        self._close()

    def _tell(self, event: str, fields: Mapping[str, Any]) -> None:
        line = json_text({"event": event, "time": round(time.time(), 3), **fields}) + "\n"
        if self.target in STDOUT_FILES:
            write_stdout(line)
            return
        try:
            if self._file is None:
                assert self.target is not None
                self._file = open_new(self.cwd / self.target)
            self._file.write(line.encode())
        except OSError as error:
            self._close()
            reason = error.strerror or error
            raise InfraError(f"cannot write {self.target}: {reason}") from error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def _named(scenario: Scenario) -> dict[str, Any]:
    """The fields that name a result, as in the report."""
    return {
        "id": scenario.id,
        "mode": scenario.mode,
        "params": dict(scenario.params),
        "repeat": scenario.repeat,
    }
