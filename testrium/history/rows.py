"""Rows of the history as types, results as rows; the commit and the machine that a result is of."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from testrium.results import GroupResult, Measure
from testrium.tuples import NamedTuple
from testrium.words import EMPTY, Verdict


class Revision(NamedTuple):
    """A git commit; `dirty` where tracked files differ from it."""

    commit: str
    dirty: bool


def revision_of(folder: Path, *, timeout_s: float = 0.5) -> Revision | None:
    """The revision of the working tree around `folder`.

    None without git, a commit, or an answer in time: a large tree on a slow disk must
    not hold up a run. One call of git tells both (`git help status`, porcelain format v2).
    """
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-uno"]
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=timeout_s,
            check=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    prefix = "# branch.oid "
    commit = next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), "")
    if not commit or commit == "(initial)":
        return None
    return Revision(commit, dirty=any(not line.startswith("#") for line in lines))


#: The first processor's entry is in here.
_ENOUGH = 4096


@cache
def machine_class() -> str:
    """The host's name, its processor and the number of cores: equal for runs that compare."""
    return f"{platform.node()}, {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_ENOUGH).splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.strip() == "model name":
            return value.strip()
    return platform.machine()


class RunRecord(NamedTuple):
    """A run in the history. `verdicts` counts its results by verdict.

    `started` is wall time, seconds since 1970. `revision` is the git commit of the project, and
    `dirty` tells whether files differed from it; both None where that is not known.
    """

    run: str
    started: float
    duration_s: float
    verdict: Verdict
    exit_code: int
    revision: str | None
    dirty: bool | None
    command_line: str
    verdicts: Mapping[Verdict, int]


class ResultRecord(NamedTuple):
    """A group's result in the history, with its figures by name.

    `started`, `revision` and `dirty` are those of its run. `machine` is the class of machine whose
    figures compare; None where it was not stored. `tries` counts how often it was run, with
    `--retries`: all but the last did not pass.
    """

    id: int
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
    machine: str | None
    started: float
    revision: str | None
    dirty: bool | None
    measures: Mapping[str, Measure] = EMPTY
    tags: tuple[str, ...] = ()
    tries: int = 1

    @property
    def root(self) -> str:
        """Its first finding: "lost at host:received"; "" without one."""
        return f"{self.root_code} at {self.root_where}" if self.root_code else ""


def run_record(row: sqlite3.Row, verdicts: Mapping[Verdict, int]) -> RunRecord:
    """A row of `runs`."""
    return RunRecord(
        run=row["run"],
        started=float(row["started"]),
        duration_s=float(row["duration_s"]),
        verdict=Verdict(row["verdict"]),
        exit_code=row["exit_code"],
        revision=row["revision"],
        dirty=None if row["dirty"] is None else bool(row["dirty"]),
        command_line=row["command_line"],
        verdicts={verdict: verdicts[verdict] for verdict in Verdict if verdict in verdicts},
    )


def result_record(row: sqlite3.Row, measures: Mapping[str, Measure]) -> ResultRecord:
    """A row of `results` with the columns of its run that the record has."""
    return ResultRecord(
        id=row["id"],
        run=row["run"],
        group=row["group_id"],
        folder=row["folder"],
        mode=row["mode"],
        params=json.loads(row["params"]),
        repeat=row["repeat"],
        verdict=Verdict(row["verdict"]),
        duration_s=float(row["duration_s"]),
        root_code=row["root_code"],
        root_where=row["root_where"],
        average_latency_s=row["average_latency_s"],
        machine=row["machine"],
        started=float(row["started"]),
        revision=row["revision"],
        dirty=None if row["dirty"] is None else bool(row["dirty"]),
        measures=measures,
        tags=tuple(json.loads(row["tags"])),
        tries=row["tries"],
    )


def measure(row: sqlite3.Row) -> Measure:
    """A row of `measures`, whose columns are called as the fields."""
    fields = {name: row[name] for name in Measure._fields}
    return Measure(**fields | {"details": json.loads(row["details"] or "{}")})


def result_row(run: str, result: GroupResult, project: Path) -> tuple[Any, ...]:
    """What `results` keeps of a result, but for its id."""
    scenario = result.scenario
    roots = [*result.judgement.findings[:1], *(one.finding for one in result.tries[::-1])]
    root = next((one for one in roots if one is not None), None)
    return (
        run,
        text(scenario.id),
        folder_in(project, scenario.group.folder),
        scenario.mode,
        params_text(scenario.params),
        scenario.repeat,
        str(result.verdict),
        result.duration_s,
        root and str(root.code),
        root and text(root.where),
        result.average_latency_s,
        (result.machine or machine_class()) if scenario.group.save_scores else None,
        json.dumps([text(tag) for tag in scenario.group.tags]),
        len(result.tries) + 1,
    )


def measure_rows(result_id: int, result: GroupResult) -> Iterator[tuple[Any, ...]]:
    """What `measures` keeps of a result."""
    for one in result.judgement.measures:
        yield (
            result_id,
            text(one.name),
            one.value,
            text(one.unit),
            one.source,
            one.better,
            one.n,
            one.mean,
            one.deviation,
            text(json.dumps(dict(one.details))) if one.details else None,
        )


def folder_in(project: Path, folder: Path) -> str:
    """A group's folder as the history names it: from the project's where it is below it."""
    relative = os.path.relpath(folder, project)
    return text(str(folder) if relative.startswith(os.pardir) else relative)


def params_text(params: Mapping[str, str]) -> str:
    """The combination of the matrix, as it is stored and compared."""
    return json.dumps(dict(params))


def text(value: str) -> str:
    """Text as SQLite can hold it: bytes that are not UTF-8 (in paths) are escaped."""
    return value.encode("utf-8", "backslashreplace").decode()
