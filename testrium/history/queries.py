"""The history as CSV and JSON, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from testrium.errors import UsageError
from testrium.history import machine
from testrium.history.database import FILE, History
from testrium.history.rows import ResultRecord, RunRecord
from testrium.history.trends import (
    Change,
    Flaky,
    Point,
    Slow,
    by_circumstances,
    changes_of,
    flaky_of,
    points_of,
    slow_of,
)
from testrium.load.project import state_folder
from testrium.report.escape import csv_cell, json_text
from testrium.results import Measure

Form = Literal["csv", "json"]

#: Columns of the CSV form: those of a result, then those of one of its figures.
RESULT_COLUMNS = (
    *("run", "started", "revision", "dirty", "machine", "group", "folder", "mode", "params"),
    *("repeat", "verdict", "root_code", "root_where", "duration_s", "tries"),
)

FIGURE_COLUMNS = (
    *("figure", "value", "unit", "source", "better", "n", "mean", "deviation"),
    "details",
)


def as_csv(results: Iterable[ResultRecord]) -> str:
    """A row for each figure of each result, and one for a result without figures.

    Text that a spreadsheet would take for a formula begins with a quote.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*RESULT_COLUMNS, *FIGURE_COLUMNS))
    for result in results:
        facts = _facts(result)
        facts["params"] = json.dumps(facts["params"], sort_keys=True)
        own = [_cell(facts[column]) for column in RESULT_COLUMNS]
        for figure in _figures(result) or [dict.fromkeys(FIGURE_COLUMNS)]:
            writer.writerow((*own, *(_cell(figure[column]) for column in FIGURE_COLUMNS)))
    return text.getvalue()


def as_json(results: Iterable[ResultRecord]) -> str:
    """A list of results, each with the list of its `figures`."""
    data = [_facts(result) | {"figures": _figures(result)} for result in results]
    return json_text(data, indent=1) + "\n"


def _facts(result: ResultRecord) -> dict[str, Any]:
    facts = {column: getattr(result, column) for column in RESULT_COLUMNS if column != "started"}
    started = datetime.fromtimestamp(result.started, UTC).isoformat(timespec="milliseconds")
    facts |= {"params": dict(result.params), "verdict": str(result.verdict), "started": started}
    return {column: facts[column] for column in RESULT_COLUMNS}


def _figures(result: ResultRecord) -> list[dict[str, Any]]:
    return [dict(_figure(measure)) for measure in result.measures.values()]


def _figure(measure: Measure) -> Iterator[tuple[str, Any]]:
    fields = measure._asdict()
    for column in FIGURE_COLUMNS:
        value = fields["name" if column == "figure" else column]
        yield column, dict(value) if column == "details" else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = json.dumps(value) if value else ""
    return csv_cell(value) if isinstance(value, str) else value


#: How many other results of a group say how much its figures vary.
_NOISE = 50


def runs(limit: int | None = 20, *, project: Path | None = None) -> tuple[RunRecord, ...]:
    """The latest runs, the latest first; `limit` None: all."""
    with _opened(project) as history:
        return () if history is None else history.list_runs(limit)


def results(
    group: str | None = None,
    *,
    run: str | None = None,
    limit: int | None = 100,
    project: Path | None = None,
) -> tuple[ResultRecord, ...]:
    """The latest results with their figures, the latest first.

    Args:
        group: only of this group, by its id (with parameters) or its folder in the project.
        run: only of this run, by its whole id.
        limit: at most this many; None for all.
    """
    with _opened(project) as history:
        return () if history is None else history.results(group=group, run=run, limit=limit)


def flaky(*, project: Path | None = None) -> tuple[Flaky, ...]:
    """Results that passed and failed on the same code; the most undecided first."""
    with _opened(project) as history:
        return () if history is None else flaky_of(history.results(figures=False))


def slow(limit: int | None = 20, *, project: Path | None = None) -> tuple[Slow, ...]:
    """Which results take longest, by the median of their latest 20; the slowest first."""
    with _opened(project) as history:
        return () if history is None else slow_of(history.results(figures=False))[:limit]


def metric_names(*, project: Path | None = None) -> tuple[str, ...]:
    """The names of all figures in the history, sorted."""
    with _opened(project) as history:
        return () if history is None else history.figure_names()


def metrics(
    name: str, *, group: str | None = None, limit: int | None = 100, project: Path | None = None
) -> tuple[Point, ...]:
    """A figure over the runs, the latest first, each aggregated over its repeats.

    Args:
        name: as in `[metrics]`: "command.p95", "duration", "throughput".
        group: only of this group, by its id or folder.
        limit: at most this many points; None for all.
    """
    with _opened(project) as history:
        if history is None:
            return ()
        return points_of(name, history.results(group=group, figure=name))[:limit]


def compare(first: str, second: str, *, project: Path | None = None) -> tuple[Change, ...]:
    """All figures that two runs have in common, by group; runs by their whole ids.

    With four repeats on both sides `confidence` is that of the rank sum test of Wilcoxon, Mann and
    Whitney. Else it comes from the noise of five or more other results that passed on the same
    machine: a difference beside their robust deviation.
    """
    with _opened(project) as history:
        if history is None:
            return ()
        ours = by_circumstances(history.results(run=first))
        theirs = by_circumstances(history.results(run=second))
        changes: list[Change] = []
        for key, repeats in sorted(ours.items()):
            if key in theirs:
                latest = history.results(group=key[0], limit=_NOISE)
                others = [one for one in latest if one.run not in (first, second)]
                changes += changes_of(repeats, theirs[key], others)
        return tuple(changes)


def export(form: Form = "csv", *, group: str | None = None, project: Path | None = None) -> str:
    """All results with their figures, the latest first: as CSV (a row a figure) or as JSON."""
    found = results(group, limit=None, project=project)
    return as_csv(found) if form == "csv" else as_json(found)


def find_run(beginning: str = "", *, before: str | None = None, project: Path | None = None) -> str:
    """The id of the run that begins so; without a beginning the last one.

    Args:
        beginning: of the id.
        before: only runs that are older than this one.

    Raises UsageError: there is none, or several.
    """
    with _opened(project) as history:
        known = [] if history is None else [run.run for run in history.list_runs(None)]
    if before is not None:
        known = known[known.index(before) + 1 :]
    found = [run for run in known if run.startswith(beginning)]
    if not found:
        what = f"no run {beginning!r} is in the history" if beginning else "no earlier run is kept"
        raise UsageError(f"{what}: testrium history lists them")
    if beginning and len(found) > 1 and beginning not in found:
        raise UsageError(f"{len(found)} runs begin with {beginning!r}: {', '.join(found[:3])} ...")
    return beginning if beginning in found else found[0]


def machine_scores(runs: Collection[str], *, project: Path | None = None) -> dict[str, float]:
    """The score of the machine for each of these runs that has one.

    `testrium benchmark` measures it.
    """
    with _opened(project) as history:
        return {} if history is None else machine.scores_of(history.path.parent, runs)


def normalized_s(run: RunRecord, score: float) -> float:
    """How long a run would have taken on a machine with the score 100, in seconds."""
    return machine.normalized_s(run.duration_s, score, machine.BASELINE)


def accept(group: str, *, project: Path | None = None) -> str:
    """Stop comparing with the group's results so far, after an intended change.

    `--max-regression` and `max-regression` compare with later runs only, once there are enough.

    Returns:
        The group's folder in the project.

    Raises UsageError: the history has no such group.
    """
    with _opened(project) as history:
        found = () if history is None else history.results(group=group, limit=1)
        if history is None or not found:
            raise UsageError(f"no result of {group!r} is in the history")
        history.accept(found[0].folder, time.time())
        return found[0].folder


def notices(*, project: Path | None = None) -> tuple[str, ...]:
    """Open the history's file; if it is damaged, it is set aside and a notice says so."""
    with _opened(project) as history:
        return () if history is None else history.notices


@contextmanager
def _opened(project: Path | None) -> Iterator[History | None]:
    """The history, or None without one: reading never creates it."""
    state = state_folder(Path.cwd() if project is None else project)
    if not (state / FILE).exists():
        yield None
        return
    with History(state) as history:
        yield history
