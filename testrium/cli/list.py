"""`testrium list`: the groups and what would be run."""

from __future__ import annotations

from pathlib import Path

import click

from testrium.cli.main import Common


@click.command(name="list")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--less", multiple=True, metavar="GROUP", help="Leave a group out (repeatable).")
@click.option("--tag", default="", metavar="EXPR", help="Only groups whose tags satisfy EXPR.")
@click.option("--grep", default="", metavar="REGEX", help="Only groups whose id matches.")
@click.pass_obj
def command(
    common: Common, paths: tuple[str, ...], less: tuple[str, ...], tag: str, grep: str
) -> int:
    """List the groups below PATH (default: the current folder) in the order in which they run."""
    from testrium.plan.selection import Selection
    from testrium.session import load, plan

    _, groups = load(paths, Path.cwd())
    selection = Selection(less=common.less + less, tag=tag, grep=grep)
    scenarios = plan(groups, selection)
    width = max(len(scenario.id) for scenario in scenarios)
    for scenario in scenarios:
        group = scenario.group
        facts = [f"{len(scenario.units)} units", f"{len(group.circuits)} circuits"]
        if len(group.test_modes) > 1:
            facts.append(scenario.mode)
        if group.tags:
            facts.append(" ".join(f"#{tag}" for tag in group.tags))
        if scenario.skip:
            facts.append(f"skipped: {scenario.skip}")
        title = f"  {group.title}" if group.title else ""
        click.echo(f"{scenario.id:<{width}}  {', '.join(facts)}{title}")
    return 0
