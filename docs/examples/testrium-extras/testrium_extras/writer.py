"""A writer: `testrium run --writer csv=results.csv`."""

import csv
from pathlib import Path

from testrium.report.writer import Writer
from testrium.results import GroupResult, RunResult


class CsvWriter(Writer):
    """Writes a row for each result as soon as there is one."""

    def __init__(self, target: str | None, cwd: Path) -> None:
        super().__init__(target, cwd)
        if target is None:
            raise ValueError("it needs a file: --writer csv=FILE")
        self._file = (cwd / target).open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["group", "mode", "verdict", "seconds", "root cause"])

    def group_ended(self, result: GroupResult) -> None:
        root = next(iter(result.judgement.findings), None)
        cause = f"{root.code} {root.where}" if root else ""
        seconds = f"{result.duration_s:.3f}"
        row = [result.scenario.id, result.scenario.mode, result.verdict, seconds, cause]
        self._rows.writerow(row)
        self._file.flush()

    def run_ended(self, result: RunResult) -> None:
        self._file.close()
