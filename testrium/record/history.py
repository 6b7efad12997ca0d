"""The history: one small database per project that remembers what every run came to.

Several runs may append at once. A run never fails because of its history: see `append_run`.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from testrium.errors import InfraError
from testrium.model import GroupResult, RunResult, Verdict
from testrium.record.history_file import (
    UnusableFileError,
    begin_anew,
    connect,
    is_damage,
    transaction,
)
from testrium.record.revision import Revision

FILE = "history.db"

#: So many earlier results say how long a group is going to take.
_RECENT = 5


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run in the history. `verdicts` counts its results by verdict."""

    run: str
    started: float
    duration_s: float
    verdict: Verdict
    exit_code: int
    revision: str | None
    dirty: bool | None
    command_line: str
    verdicts: Mapping[Verdict, int]


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A group's result in the history. `percentiles`: circuit -> `p50_ms` and so on, or None."""

    run: str
    group: str
    folder: str
    mode: str
    params: Mapping[str, str]
    repeat: int
    verdict: Verdict
    duration_s: float
    root_code: str | None
    root_where: str | None
    average_latency_s: float | None
    percentiles: Mapping[str, Mapping[str, float | None]]


class History:
    """The history below a state folder, opened. A context manager.

    A file that is damaged, foreign or of a newer version is renamed, and a new one is begun:
    `notices` says so. Raises InfraError where the database cannot be opened or made, and from
    every method where it cannot be read or written.
    """

    def __init__(self, state_folder: Path) -> None:
        self.path = state_folder / FILE
        self.notices: tuple[str, ...] = ()
        self._project = state_folder.parent
        try:
            state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._database = connect(self.path)
            except UnusableFileError:
                self._begin_anew()
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def append(
        self,
        result: RunResult,
        *,
        command_line: Sequence[str] = (),
        revision: Revision | None = None,
    ) -> None:
        """Add a run, and those of its groups that have `save-metrics`, in one transaction."""
        try:
            try:
                self._append(result, command_line, revision)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._database.close()
                self._begin_anew()
                self._append(result, command_line, revision)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def list_runs(self, limit: int = 20) -> tuple[RunRecord, ...]:
        """The latest runs, the latest first."""
        rows = self._rows(
            "SELECT runs.*, results.verdict AS of_group, COUNT(results.id) AS number"
            " FROM (SELECT rowid AS place, * FROM runs ORDER BY started DESC, place DESC LIMIT ?)"
            " AS runs LEFT JOIN results USING (run)"
            " GROUP BY run, of_group ORDER BY started DESC, place DESC",
            limit,
        )
        counts: dict[str, dict[Verdict, int]] = {}
        first: dict[str, sqlite3.Row] = {}
        for row in rows:
            first.setdefault(row["run"], row)
            verdicts = counts.setdefault(row["run"], {})
            if row["of_group"] is not None:
                verdicts[Verdict(row["of_group"])] = row["number"]
        return tuple(_run_record(row, counts[run]) for run, row in first.items())

    def last_run(self) -> RunRecord | None:
        """The latest run, or None in an empty history."""
        return next(iter(self.list_runs(1)), None)

    def results_of(self, group: str, limit: int = 100) -> tuple[ResultRecord, ...]:
        """The latest results of a group (its id, with parameters), the latest first."""
        rows = self._rows(
            "SELECT * FROM results WHERE group_id = ? ORDER BY id DESC LIMIT ?", group, limit
        )
        return tuple(map(_result_record, rows))

    def results_of_run(self, run: str) -> tuple[ResultRecord, ...]:
        """The results of a run, in their order."""
        rows = self._rows("SELECT * FROM results WHERE run = ? ORDER BY id", run)
        return tuple(map(_result_record, rows))

    def latest_results(self) -> tuple[ResultRecord, ...]:
        """What the last run of each result (folder, mode, parameters) came to, repeats included."""
        rows = self._rows(
            "SELECT results.* FROM results JOIN ("
            " SELECT folder, mode, params, MAX(id) AS last FROM results"
            " GROUP BY folder, mode, params) AS latest USING (folder, mode, params)"
            " JOIN results AS newest ON newest.id = latest.last"
            " WHERE results.run = newest.run ORDER BY results.id"
        )
        return tuple(map(_result_record, rows))

    def durations(self) -> dict[str, float]:
        """Group id -> mean duration in seconds of its latest results that were run."""
        rows = self._rows(
            "SELECT group_id, AVG(duration_s) AS mean FROM ("
            " SELECT group_id, duration_s,"
            " ROW_NUMBER() OVER (PARTITION BY group_id ORDER BY id DESC) AS age"
            " FROM results WHERE verdict <> 'skip') WHERE age <= ? GROUP BY group_id",
            _RECENT,
        )
        return {row["group_id"]: row["mean"] for row in rows}

    def _begin_anew(self) -> None:
        self._database, notice = begin_anew(self.path)
        if notice:
            self.notices += (notice,)

    def _append(
        self, result: RunResult, command_line: Sequence[str], revision: Revision | None
    ) -> None:
        with transaction(self._database) as database:
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    result.run,
                    result.started_wall,
                    result.duration_s,
                    str(result.verdict),
                    int(result.exit_code),
                    revision and revision.commit,
                    revision and int(revision.dirty),
                    _text(shlex.join(command_line)),
                ),
            )
            database.executemany(
                "INSERT INTO results VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    self._result_row(result.run, group)
                    for group in result.groups
                    if group.scenario.group.save_metrics
                ],
            )

    def _result_row(self, run: str, result: GroupResult) -> tuple[Any, ...]:
        scenario = result.scenario
        root = next(iter(result.judgement.findings), None)
        folder = os.path.relpath(scenario.group.folder, self._project)
        if folder.startswith(os.pardir):
            folder = str(scenario.group.folder)
        percentiles = {
            circuit.name: {
                "p50_ms": circuit.p50_ms,
                "p95_ms": circuit.p95_ms,
                "p99_ms": circuit.p99_ms,
                "max_ms": circuit.max_ms,
            }
            for circuit in result.judgement.circuits
        }
        return (
            run,
            _text(scenario.id),
            _text(folder),
            scenario.mode,
            json.dumps(dict(scenario.params)),
            scenario.repeat,
            str(result.verdict),
            result.duration_s,
            root and str(root.code),
            root and _text(root.where),
            result.average_latency_s,
            json.dumps(percentiles),
        )

    def _rows(self, query: str, *values: str | int) -> list[sqlite3.Row]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> InfraError:
        return InfraError(f"the history {self.path} cannot be used: {error}")


def append_run(
    state_folder: Path,
    result: RunResult,
    *,
    command_line: Sequence[str] = (),
    revision: Revision | None = None,
) -> tuple[str, ...]:
    """Append a run to the project's history; returns notices instead of raising.

    The run was judged already: what happens to its history must not change that.
    """
    try:
        with History(state_folder) as history:
            history.append(result, command_line=command_line, revision=revision)
            return history.notices
    except InfraError as error:
        return (f"{error}; this run is not in it",)


def expected_durations(state_folder: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    """`History.durations`, and notices; {} where there is no history yet, or it cannot be read.

    A run never fails because of its history.
    """
    if not (state_folder / FILE).exists():
        return {}, ()
    try:
        with History(state_folder) as history:
            return history.durations(), history.notices
    except InfraError:  # told when the run is appended
        return {}, ()


def _text(text: str) -> str:
    """Text as SQLite can hold it: bytes that are no UTF-8 (in paths) are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _run_record(row: sqlite3.Row, verdicts: Mapping[Verdict, int]) -> RunRecord:
    return RunRecord(
        run=row["run"],
        started=row["started"],
        duration_s=row["duration_s"],
        verdict=Verdict(row["verdict"]),
        exit_code=row["exit_code"],
        revision=row["revision"],
        dirty=None if row["dirty"] is None else bool(row["dirty"]),
        command_line=row["command_line"],
        verdicts={verdict: verdicts[verdict] for verdict in Verdict if verdict in verdicts},
    )


def _result_record(row: sqlite3.Row) -> ResultRecord:
    return ResultRecord(
        run=row["run"],
        group=row["group_id"],
        folder=row["folder"],
        mode=row["mode"],
        params=json.loads(row["params"]),
        repeat=row["repeat"],
        verdict=Verdict(row["verdict"]),
        duration_s=row["duration_s"],
        root_code=row["root_code"],
        root_where=row["root_where"],
        average_latency_s=row["average_latency_s"],
        percentiles=json.loads(row["percentiles"]),
    )
