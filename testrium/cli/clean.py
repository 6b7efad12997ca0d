"""`testrium clean`: remove stored runs, and end what lost ones have left."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click

from testrium.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _age(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """An age in seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", value)
    if match is None:
        raise click.BadParameter("expected an age such as 90s, 30m, 12h, 7d or 2w")
    return int(match[1]) * _SECONDS[match[2]]


@click.command(name="clean")
@click.option("--older-than", metavar="AGE", callback=_age, help="Runs that ended so long ago: 7d.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="All but the N latest runs.")
@click.option("--all", "everything", is_flag=True, help="All runs.")
def command(older_than: float | None, keep: int | None, everything: bool) -> int:
    """Remove stored runs; with --older-than and --keep those that are old, but never the N latest.

    Runs that go on stay, and so does the history. Processes of runs that were lost (their runner
    was killed, and all that watched over them) are ended, also without any option.
    """
    from testrium.record.runs import is_run, list_runs, remove
    from testrium.record.state import MARK, is_state_folder
    from testrium.run.sweep import end_lost_runs
    from testrium.session import state_folder

    if everything and (older_than is not None or keep is not None):
        raise UsageError("--all cannot stand beside --older-than or --keep")
    state = state_folder(Path.cwd())
    if not state.exists():
        click.echo(f"nothing to clean: there is no {state}")
        return 0
    if not is_state_folder(state):
        raise UsageError(f"{state} was not made by Testrium (there is no {MARK} in it): left alone")
    for notice in end_lost_runs(state):
        click.echo(notice)
    runs = [run for run in list_runs(state) if is_run(run)]
    if not everything and older_than is None and keep is None:
        click.echo(f"{_counted(len(runs))} kept; remove some with --older-than, --keep or --all")
        return 0
    doomed = runs[: max(0, len(runs) - (keep or 0))]
    if older_than is not None:
        oldest = time.time() - older_than
        doomed = [run for run in doomed if run.stat().st_mtime < oldest]
    removed = remove(doomed)
    click.echo(f"{_counted(len(removed))} removed, {len(runs) - len(removed)} kept")
    return 0


def _counted(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"
