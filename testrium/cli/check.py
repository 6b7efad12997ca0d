"""`testrium check`: validate groups, run nothing."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="check")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
def command(paths: tuple[str, ...]) -> int:
    """Validate the groups below PATH (default: the current folder); run nothing.

    Prints every problem as file:line: key: what is wrong. Exit code 3 if there is one, 2 if there
    is no group.
    """
    from testrium.plan.selection import Selection
    from testrium.session import load, plan

    _, groups = load(paths, Path.cwd())
    plan(groups, Selection())
    for notice in dict.fromkeys(notice for group in groups for notice in group.notices):
        click.echo(f"notice: {notice}")
    units = sum(len(group.units) for group in groups)
    click.echo(f"{counted(len(groups), 'group')}, {counted(units, 'unit')}: no problem")
    return 0


def counted(number: int, noun: str) -> str:
    """ "1 unit", "2 units"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
