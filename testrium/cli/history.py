"""`testrium history`: earlier runs of this project."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

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
    from testrium.session import state_folder

    runs: tuple[RunRecord, ...] = ()
    notices: tuple[str, ...] = ()
    state = state_folder(Path.cwd())
    if (state / FILE).exists():  # who only looks makes nothing
        with History(state) as opened:
            runs = opened.list_runs(limit)
            notices = tuple(opened.notices)
    for notice in notices:
        click.echo(f"notice: {notice}", err=True)
    if as_json:
        click.echo(json.dumps([asdict(run) for run in runs], indent=1))
    elif not runs:
        click.echo("no run is in the history: start one with testrium run")
    else:
        _print(runs)
    return 0


def _print(runs: tuple[RunRecord, ...]) -> None:
    width = max(len(run.run) for run in runs)
    click.echo(f"{'run':<{width}}  {'when':<16}  verdict  {'duration':>10}  groups")
    for run in runs:
        when = datetime.fromtimestamp(run.started, UTC).astimezone()
        click.echo(
            f"{run.run:<{width}}  {when:%Y-%m-%d %H:%M}  {run.verdict:<7}"
            f"  {run.duration_s:>8.2f} s  {_groups(run)}"
        )


def _groups(run: RunRecord) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in run.verdicts.items()) or "none"
