"""What users ask the history: the functions of `testrium.history`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from testrium.errors import UsageError
from testrium.history import machine
from testrium.history.database import FILE, History
from testrium.history.formats import Form, as_csv, as_json
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

#: So many other results of a group say how much its figures vary.
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
        limit: so many at most; None for all.
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
        limit: so many points at most; None for all.
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
        what = f"no run {beginning!r} is in the history" if beginning else "there is no earlier run"
        raise UsageError(f"{what}: testrium history lists them")
    if beginning and len(found) > 1 and beginning not in found:
        raise UsageError(f"{len(found)} runs begin with {beginning!r}: {', '.join(found[:3])} ...")
    return beginning if beginning in found else found[0]


def machine_scores(runs: Collection[str], *, project: Path | None = None) -> dict[str, float]:
    """The score of the machine, for those of these runs that were stored with one.

    `testrium benchmark` measures it.
    """
    with _opened(project) as history:
        return {} if history is None else machine.scores_of(history.path.parent, runs)


def normalized_s(run: RunRecord, score: float) -> float:
    """How long a run would have taken on a machine with the score 100, in seconds."""
    return machine.normalized_s(run.duration_s, score, machine.BASELINE)


def accept(group: str, *, project: Path | None = None) -> str:
    """Take what the group came to so far as no measure any more, after a change that was meant.

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
    """What opening the history's file comes to: one that is damaged is set aside now, and told."""
    with _opened(project) as history:
        return () if history is None else history.notices


@contextmanager
def _opened(project: Path | None) -> Iterator[History | None]:
    """The history; None where there is none: who only looks makes nothing."""
    state = state_folder(Path.cwd() if project is None else project)
    if not (state / FILE).exists():
        yield None
        return
    with History(state) as history:
        yield history
