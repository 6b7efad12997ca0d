"""`testrium list`: the groups and what would be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testrium.cli.check import counted
from testrium.cli.main import Common

if TYPE_CHECKING:
    from testrium.model import Scenario


@click.command(name="list")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--less", multiple=True, metavar="GROUP", help="Leave a group out (repeatable).")
@click.option("--tag", default="", metavar="EXPR", help="Only groups whose tags satisfy EXPR.")
@click.option("--grep", default="", metavar="REGEX", help="Only groups whose id or title matches.")
@click.option("--all-modes", is_flag=True, help="Matrix combinations that are not primary too.")
@click.option("--json", "as_json", is_flag=True, help="For machines: a list of what would run.")
@click.pass_obj
def command(
    common: Common,
    paths: tuple[str, ...],
    less: tuple[str, ...],
    tag: str,
    grep: str,
    all_modes: bool,
    as_json: bool,
) -> int:
    """List the groups below PATH (default: the current folder) in the order in which they run.

    A group has a line for each combination of its matrix.
    """
    from testrium.plan.selection import Selection
    from testrium.session import load, plan

    _, groups = load(paths, Path.cwd())
    selection = Selection(less=common.less + less, tag=tag, grep=grep, all_modes=all_modes)
    scenarios = plan(groups, selection, repeat=0)
    # All modes of a combination have one line.
    firsts = list({scenario.id: scenario for scenario in reversed(scenarios)}.values())[::-1]
    if as_json:
        click.echo(json.dumps([_plain(scenario) for scenario in firsts], indent=1))
        return 0
    width = max(len(scenario.id) for scenario in firsts)
    for scenario in firsts:
        title = f"  {scenario.group.title}" if scenario.group.title else ""
        click.echo(f"{scenario.id:<{width}}  {', '.join(_facts(scenario))}{title}")
    return 0


def _facts(scenario: Scenario) -> list[str]:
    group = scenario.group
    facts = [counted(len(scenario.units), "unit"), counted(len(group.circuits), "circuit")]
    if len(group.test_modes) > 1:
        facts.append(" ".join(group.test_modes))
    if group.repeat:
        facts.append(f"{group.repeat + 1} runs")
    if group.tags:
        facts.append(" ".join(f"#{tag}" for tag in group.tags))
    if scenario.skip:
        facts.append(f"skipped: {scenario.skip}")
    return facts


def _plain(scenario: Scenario) -> dict[str, Any]:
    """A line of the list as JSON can hold it."""
    group = scenario.group
    return {
        "id": scenario.id,
        "folder": str(group.folder),
        "title": group.title,
        "modes": list(group.test_modes),
        "params": dict(scenario.params),
        "repeat": group.repeat,
        "units": [unit.name for unit in scenario.units],
        "circuits": [circuit.name for circuit in group.circuits],
        "tags": list(group.tags),
        "requirements": list(group.requirements),
        "requires": list(group.requires),
        "skip": scenario.skip or None,
    }
