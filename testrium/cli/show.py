"""`testrium show`: the report of a stored run again."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.errors import UsageError

if TYPE_CHECKING:
    from testrium.model import GroupResult, RunResult


@click.command(name="show")
@click.argument("run", default="", metavar="[RUN]")
@click.argument("group", default="", metavar="[GROUP]")
@click.option("--plain", is_flag=True, help="No colours, no wrapping.")
def command(run: str, group: str, plain: bool) -> int:
    """Print what was found in RUN (the beginning of its id; default: the last run).

    With GROUP all that is known of that group: its circuits, units and tests too.
    """
    from testrium.record.runs import find_run
    from testrium.report.console import Console
    from testrium.report.stored import read_run
    from testrium.session import state_folder

    cwd = Path.cwd()
    result = read_run(find_run(state_folder(cwd), run))
    console = Console(sys.stdout, cwd=cwd, plain=plain)
    if not group:
        console.show(result)
    for number, found in enumerate(_results_of(result, group) if group else ()):
        if number:
            click.echo()
        console.show_group(found)
    return 0


def _results_of(result: RunResult, group: str) -> tuple[GroupResult, ...]:
    """All results of a group, named by its id or as the report names one of its results."""
    from testrium.report.wording import label

    found = tuple(one for one in result.groups if group in (one.scenario.id, label(one.scenario)))
    if found:
        return found
    names = sorted({one.scenario.id for one in result.groups})
    near = difflib.get_close_matches(group, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(names) or 'none'}"
    raise UsageError(f"run {result.run} has no group {group!r}{hint}")
