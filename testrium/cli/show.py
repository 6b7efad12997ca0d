"""`testrium show`: the report of a stored run again."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.cli.stored_run import as_shown, run_folder
from testrium.errors import UsageError

if TYPE_CHECKING:
    from testrium.model import GroupResult, RunResult
    from testrium.report.console import Console


@click.command(name="show")
@click.argument("run", default="", metavar="[RUN]")
@click.argument("group", default="", metavar="[GROUP]")
@click.option("--plain", is_flag=True, help="No colours, no wrapping.")
@click.option("--key", metavar="KEY", help="Print the way of one key, event by event.")
@click.option("--timeline", is_flag=True, help="Print all events in the order of time.")
def command(run: str, group: str, plain: bool, key: str | None, timeline: bool) -> int:
    """Print what was found in RUN: the beginning of its id, or an archive; default: the last run.

    With GROUP all that is known of that group: its circuits, units and tests too.
    """
    if key is not None and timeline:
        raise UsageError("--key shows one key, --timeline all of them: choose one")
    from testrium.report.console import Console
    from testrium.report.stored import read_run

    cwd = Path.cwd()
    console = Console(sys.stdout, cwd=cwd, plain=plain)
    with run_folder(run, cwd) as folder:
        result = as_shown(run, cwd, read_run(folder))
        if key is not None or timeline:
            results = _results_of(result, group) if group else result.groups
            _show_events(result, results, key, console)
            return 0
        if not group:
            console.show(result)
        for number, found in enumerate(_results_of(result, group) if group else ()):
            if number:
                click.echo()
            console.show_group(found)
    return 0


def _show_events(
    run: RunResult, results: tuple[GroupResult, ...], key: str | None, console: Console
) -> None:
    """Print all events of each result, or those of one key. Raises UsageError if there is none."""
    from testrium.record.store import load_evidence
    from testrium.report.charts.key_paths import path_of
    from testrium.report.event_lines import faults_among
    from testrium.report.wording import label
    from testrium.session import DATABASE

    keys: dict[str, None] = {}
    shown = 0
    for result in results:
        if result.files is None or not (result.files / DATABASE).exists():
            continue  # it was skipped
        evidence = load_evidence(result.files / DATABASE)
        events = evidence.events
        title = label(result.scenario)
        if key is not None:
            keys |= dict.fromkeys(event.key for event in events if event.key is not None)
            events = path_of(key, events)
            title = f"{key} in {title}"
        events += faults_among(events, evidence.faults)
        if events:
            if shown:
                click.echo()
            console.show_events(title, events)
            shown += 1
    if not shown:
        what = "" if key is None else f" with the key {key!r}"
        near = difflib.get_close_matches(key or "", keys, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"run {run.run} has no event{what}{hint}")


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
