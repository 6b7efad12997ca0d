"""`testrium gen`: groups and units to start from, made from templates."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from testrium.cli.templates import copy_template, find_template, known_templates

_FIRST_TEMPLATE = "hello"


def _own_templates() -> Path | None:
    """The folder with the templates of the project that the current folder belongs to."""
    from testrium.load.project import find_project

    return find_project(Path.cwd()).templates


def _generate(name: str, target: Path, own: Path | None = None) -> None:
    """Copy a template and say what was made and what to do next."""
    _tell_made(copy_template(find_template(name, own), target))
    command = ["testrium", "run"] if target == Path() else ["testrium", "run", str(target)]
    click.echo(f"\nNext: {shlex.join(command)}")


def _tell_made(files: tuple[Path, ...]) -> None:
    for file in files:
        click.echo(f"made {file}")


@click.command("config-template")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def config_template(path: Path) -> None:
    """Make a commented group of two units in PATH (default: the current folder)."""
    _generate(_FIRST_TEMPLATE, path)


@click.command("gen-configs")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def old_command(path: Path) -> None:
    """The old name of `gen config-template`."""
    _generate(_FIRST_TEMPLATE, path)


def _list_templates(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from testrium.report.escape import visible

    known = known_templates(_own_templates())
    width = max(map(len, known))
    for template in known.values():
        click.echo(f"{template.name:<{width}}  {visible(template.title)}".rstrip())
    ctx.exit()


@click.command("group")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "template",
    default=_FIRST_TEMPLATE,
    show_default=True,
    metavar="TEMPLATE",
    help="What to start from: a template of --list, or the folder of any group (with a /).",
)
@click.option(
    "--list",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list_templates,
    help="List the templates, those of the project too.",
)
def group(name: Path, template: str) -> None:
    """Make the folder NAME with a group from a template. Nothing is ever overwritten."""
    _generate(template, name, _own_templates())


@click.command("unit")
@click.argument("name")
@click.option(
    "--group",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="PATH",
    help="The group's folder (default: the current folder).",
)
@click.option("--entrypoint", metavar="MODULE:FUNCTION", help="A function that exists.")
@click.option("--command", metavar="TEXT", help="A program and its arguments, as a shell reads it.")
@click.option("--after", multiple=True, metavar="UNIT", help="Depends on UNIT (repeatable).")
def unit(
    name: str,
    folder: Path,
    entrypoint: str | None,
    command: str | None,
    after: tuple[str, ...],
) -> None:
    """Add the unit NAME to a group: its file in units/, its name in config.toml.

    Without --entrypoint and --command a new file NAME.py gets its main(). Nothing is ever
    overwritten; in config.toml only the list of units grows.
    """
    from testrium.cli.new_unit import NewUnit, add_unit

    made = add_unit(folder, NewUnit(name, entrypoint, command, after))
    _tell_made(made)
    click.echo(f"added {name!r} to the units of {folder / 'config.toml'}")
    words = ["testrium", "check"] if folder == Path() else ["testrium", "check", str(folder)]
    click.echo(f"\nNext: {shlex.join(words)}")


@click.group("gen")
def command() -> None:
    """Make a group or a unit to start from."""


command.add_command(config_template)
command.add_command(group)
command.add_command(unit)
