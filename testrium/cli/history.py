"""`testrium history`: earlier runs of this project."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from testrium.record.history_rows import RunRecord


@click.command(name="history")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many runs."
)
@click.option("--json", "as_json", is_flag=True, help="For machines: a list, the latest run first.")
def command(limit: int, as_json: bool) -> int:
    """List earlier runs, the latest first; their folders may be gone already."""
    from testrium.record.history import FILE, History
    from testrium.record.score import scores_of
    from testrium.session import state_folder

    runs: tuple[RunRecord, ...] = ()
    notices: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    state = state_folder(Path.cwd())
    if (state / FILE).exists():  # who only looks makes nothing
        with History(state) as opened:
            runs = opened.list_runs(limit)
            notices = tuple(opened.notices)
        scores = scores_of(state, [run.run for run in runs])
    for notice in notices:
        click.echo(f"notice: {notice}", err=True)
    if as_json:
        click.echo(json.dumps([_as_json(run, scores.get(run.run)) for run in runs], indent=1))
    elif not runs:
        click.echo("no run is in the history: start one with testrium run")
    else:
        _print(runs, scores)
    return 0


def _as_json(run: RunRecord, score: float | None) -> dict[str, Any]:
    return asdict(run) | {
        "machine_score": score,
        "normalized_s": None if score is None else _normalized_s(run, score),
    }


def _print(runs: tuple[RunRecord, ...], scores: dict[str, float]) -> None:
    """A table; with scores of machines, each duration also as it is on one of score 100."""
    width = max(len(run.run) for run in runs)
    extra = f"  {'at score 100':>12}" if scores else ""
    click.echo(f"{'run':<{width}}  {'when':<16}  verdict  {'duration':>10}{extra}  groups")
    for run in runs:
        when = datetime.fromtimestamp(run.started, UTC).astimezone()
        if scores:
            score = scores.get(run.run)
            told = "-" if score is None else f"{_normalized_s(run, score):.2f} s"
            extra = f"  {told:>12}"
        click.echo(
            f"{run.run:<{width}}  {when:%Y-%m-%d %H:%M}  {run.verdict:<7}"
            f"  {run.duration_s:>8.2f} s{extra}  {_groups(run)}"
        )


def _normalized_s(run: RunRecord, score: float) -> float:
    from testrium.record.score import BASELINE, normalized_s

    return normalized_s(run.duration_s, score, BASELINE)


def _groups(run: RunRecord) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in run.verdicts.items()) or "none"
