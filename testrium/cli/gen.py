"""`testrium gen`: a first group to start from, made from a template."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

import click

from testrium.errors import UsageError
from testrium.resources import template_folder

_FIRST_TEMPLATE = "hello"


def template_names() -> tuple[str, ...]:
    """The templates that `testrium gen group --from` knows, in order."""
    scaffold = template_folder() / "scaffold"
    return tuple(sorted(folder.name for folder in scaffold.iterdir() if folder.is_dir()))


def copy_template(name: str, target: Path) -> tuple[Path, ...]:
    """Copy the group `name` into `target`, which is made where it is missing.

    Returns the files that were made. Nothing is ever overwritten: if one of the files exists,
    nothing is written at all.

    Raises:
        UsageError: no such template, `target` is a file, or files of the template exist.
    """
    if name not in template_names():
        near = difflib.get_close_matches(name, template_names(), n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(template_names())}"
        raise UsageError(f"no template {name!r}; {meant}")
    source = template_folder() / "scaffold" / name
    wanted = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    )
    existing = [target / path for path in wanted if (target / path).exists()]
    if existing:
        names = "".join(f"\n  {path}" for path in existing)
        raise UsageError(f"nothing was written, because these files exist:{names}")
    made = []
    try:
        for path in wanted:
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as new:
                new.write((source / path).read_bytes())
            made.append(file)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    return tuple(made)


def _generate(name: str, target: Path) -> None:
    """Copy a template and say what was made and what to do next."""
    for file in copy_template(name, target):
        click.echo(f"made {file}")
    command = ["testrium", "run"] if target == Path() else ["testrium", "run", str(target)]
    click.echo(f"\nNext: {shlex.join(command)}")


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


@click.command("group")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "template",
    default=_FIRST_TEMPLATE,
    show_default=True,
    metavar="TEMPLATE",
    help="What to start from: hello (two Python units), service (any program and a client).",
)
def group(name: Path, template: str) -> None:
    """Make the folder NAME with a group from a template."""
    _generate(template, name)


@click.group("gen")
def command() -> None:
    """Make a group to start from."""


command.add_command(config_template)
command.add_command(group)
