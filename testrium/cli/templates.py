"""`testrium gen`: groups and units to start from, made from templates."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from testrium.cli.completion import Completed
from testrium.declared.quantities import NAME, is_entrypoint
from testrium.errors import InfraError, UsageError
from testrium.load.document import list_tail
from testrium.phrases import did_you_mean, one_of
from testrium.resources import template_folder
from testrium.system.files import write_text
from testrium.words import RESERVED_UNITS

CONFIG_FILE = "config.toml"

#: Files in a group's folder that do not belong to the group.
_NOT_COPIED = frozenset({"__pycache__"})


class Template(NamedTuple):
    """A group's folder to copy; `title` says what it is, in a line."""

    name: str
    folder: Path
    title: str


def known_templates(own: Path | None = None) -> Mapping[str, Template]:
    """All templates by name: Testrium's, then those in the project's folder `own`.

    One of the project stands in for Testrium's of the same name.
    """
    found = {}
    for place in (template_folder() / "scaffold", own):
        for folder in sorted(place.iterdir()) if place and place.is_dir() else ():
            if (folder / CONFIG_FILE).is_file():
                found[folder.name] = Template(folder.name, folder, _title(folder))
    return found


def find_template(name: str, own: Path | None = None) -> Template:
    """The template `name`; a name with a `/` is the folder of any group.

    Raises:
        UsageError: there is none.
    """
    known = known_templates(own)
    if name in known:
        return known[name]
    if "/" in name:
        folder = Path(name).expanduser()
        if (folder / CONFIG_FILE).is_file():
            return Template(name, folder, _title(folder))
        raise UsageError(f"{name}: not a group: {CONFIG_FILE} is missing")
    raise UsageError(f"no template {name!r}{one_of(name, known)}")


def copy_template(template: Template, target: Path) -> tuple[Path, ...]:
    """Copy a template into `target`, which is made where it is missing.

    Returns the files that were made. Nothing is ever overwritten: if one of the files exists,
    nothing is written at all.

    Raises:
        UsageError: `target` is a file or lies in the template, or files of the template exist.
    """
    source = template.folder
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target}: lies in the template itself")
    wanted = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    wanted = [path for path in wanted if _is_copied(path)]
    files: dict[Path, Path | str] = {target / path: source / path for path in wanted}
    if source.is_relative_to(template_folder()):
        for path in wanted:
            if line := _schema_line(target, path):
                files[target / path] = line + (source / path).read_text(encoding="utf-8")
    return write_new(files, target)


#: Of each file of a group the name of its schema (see `testrium schema`).
_SCHEMAS = {"config.toml": "config", "units": "unit", "fixtures": "fixture"}
_SCHEMA_MARK = "#:schema"


def _schema_line(group: Path, file: Path) -> str:
    """The line that tells an editor where the schema of a file of the group is; "" for others."""
    schema = _SCHEMAS.get(file.parts[0]) if file.suffix == ".toml" else None
    if schema is None:
        return ""
    from testrium.load.project import schema_folder

    folder = schema_folder(Path.cwd())
    place = os.path.relpath(folder / f"{schema}.json", (Path.cwd() / group / file).parent)
    return f"{_SCHEMA_MARK} {Path(place).as_posix()}\n"


def write_new(files: Mapping[Path, Path | str], target: Path) -> tuple[Path, ...]:
    """Make files from a text, or from the file whose content and mode they get; all or none.

    Raises:
        UsageError: one of them exists, or cannot be written.
    """
    existing = [path for path in files if path.exists() or path.is_symlink()]
    if existing:
        names = "".join(f"\n  {path}" for path in existing)
        raise UsageError(f"nothing was written, because these files exist:{names}")
    made: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                made.append(path)
                new.write(content.encode() if isinstance(content, str) else content.read_bytes())
            if isinstance(content, Path):
                shutil.copymode(content, path)
    except OSError as error:
        for path in made:  # what is half made is worse than nothing
            path.unlink(missing_ok=True)
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    return tuple(made)


def _is_copied(path: Path) -> bool:
    return not any(part in _NOT_COPIED or part.startswith(".") for part in path.parts)


def _title(folder: Path) -> str:
    """The title that a group gives itself, or the first line where that is a comment; or ""."""
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        table = tomllib.loads(text).get("Configs")
    except (OSError, ValueError):
        return ""
    title = table.get("title") if isinstance(table, dict) else None
    if isinstance(title, str):
        return title
    lines = (line for line in text.splitlines() if not line.startswith(_SCHEMA_MARK))
    first = next(lines, "")
    return first.lstrip("# ") if first.startswith("#") else ""


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


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def init_command(path: Path) -> None:
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
    type=Completed("template", lambda _: known_templates(_own_templates()), files=True),
    default=_FIRST_TEMPLATE,
    show_default=True,
    metavar="TEMPLATE",
    help="Start from a template of --list, or from the folder of any group (with a /).",
)
@click.option(
    "--list",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list_templates,
    help="List the templates, including those of the project.",
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
    help="Add it to the group in this folder (default: the current folder).",
)
@click.option("--entrypoint", metavar="MODULE:FUNCTION", help="Run an existing function.")
@click.option("--command", metavar="TEXT", help="Run a program; TEXT is split as in a shell.")
@click.option(
    "--after", multiple=True, metavar="UNIT", help="Start it after UNIT is ready (repeatable)."
)
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


_CODE = '''\
"""The unit {name}."""

import testrium


def main() -> None:
    me = testrium.unit()
    me.probe("ready")
'''


class NewUnit(NamedTuple):
    """What the user asked for; without entrypoint and command a Python file is made."""

    name: str
    entrypoint: str | None = None
    command: str | None = None
    after: tuple[str, ...] = ()


def add_unit(folder: Path, unit: NewUnit) -> tuple[Path, ...]:
    """Add a unit to the group in `folder`; the files that were made.

    Raises:
        UsageError: it is not a group, the name is invalid, a file exists; nothing was changed.
    """
    config = folder / CONFIG_FILE
    try:
        text = config.read_bytes().decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        advice = (
            ""
            if config.exists()
            else "; --group PATH names the group's folder, and testrium init makes a first one"
        )
        raise UsageError(f"{config}: cannot be read: {error.strerror}{advice}") from error
    except ValueError as error:
        raise UsageError(f"{config}: invalid TOML: {error}") from error
    table = document.get("Configs")
    names = table.get("units") if isinstance(table, dict) else None
    if not isinstance(names, list):
        raise UsageError(
            f"{config}: the list Configs.units, to which {unit.name!r} would be added, is missing"
        )
    _check(unit, names)
    longer = _with_unit(text, document, unit.name)
    if longer is None:
        raise UsageError(f"{config}: cannot be changed safely: add {unit.name!r} to units yourself")
    made = write_new(_new_files(folder, unit), folder)
    try:
        mode = config.stat().st_mode
        write_text(config, longer)  # in one step, as a new file
        config.chmod(mode & 0o7777)
    except InfraError as error:
        for path in made:
            path.unlink()
        raise UsageError(str(error)) from error
    return made


def _check(unit: NewUnit, names: list[Any]) -> None:
    if not NAME.fullmatch(unit.name) or unit.name in RESERVED_UNITS:
        reserved = ", ".join(sorted(RESERVED_UNITS))
        raise UsageError(
            f"invalid name of a unit {unit.name!r}: use up to 64 letters, digits, '_', '.' and"
            f" '-', with a letter or digit first; {reserved} are reserved"
        )
    if unit.name in names:
        raise UsageError(f"the group has a unit {unit.name!r} already")
    if unit.entrypoint is not None and unit.command is not None:
        raise UsageError("--entrypoint conflicts with --command: use one of them")
    if unit.entrypoint is not None and not is_entrypoint(unit.entrypoint):
        raise UsageError(f"--entrypoint {unit.entrypoint}: must be MODULE:FUNCTION")
    for name in unit.after:
        if name not in names:
            raise UsageError(f"--after {name}: no such unit{did_you_mean(name, map(str, names))}")


def _new_files(folder: Path, unit: NewUnit) -> dict[Path, Path | str]:
    """The unit's file, and its code where it has to be made."""
    files: dict[Path, Path | str] = {}
    lines = [f"[{_key(unit.name)}]", f"init = {_next_init(folder / 'units')}"]
    if unit.command is not None:
        try:
            words = shlex.split(unit.command)
        except ValueError as error:
            raise UsageError(f"--command {unit.command!r}: {error}") from None
        lines.append(f"command = {_value(words)}")
    else:
        module = re.sub(r"\W", "_", unit.name)
        module = module if module.isidentifier() else f"unit_{module}"
        entrypoint = unit.entrypoint or f"{module}:main"
        lines.append(f"entrypoint = {_value(entrypoint)}")
        if unit.entrypoint is None:
            files[folder / f"{module}.py"] = _CODE.format(name=unit.name)
            lines.append('events = ["ready"]')
    if unit.after:
        lines.append(f"unit_dependencies = {_value(list(unit.after))}")
    file = Path("units") / f"{unit.name}.toml"
    has_schemas = (folder / CONFIG_FILE).read_text(encoding="utf-8-sig").startswith(_SCHEMA_MARK)
    schema = _schema_line(folder, file) if has_schemas else ""
    files[folder / file] = schema + "\n".join(lines) + "\n"
    return files


def _next_init(units: Path) -> int:
    """A start index after all others; of files that cannot be read nothing is known."""
    inits = [-1]
    for file in units.glob("*.toml"):
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8")).values()
        except (OSError, ValueError):
            continue
        inits += [
            table["init"]
            for table in tables
            if isinstance(table, dict) and isinstance(table.get("init"), int)
        ]
    return max(inits) + 1


def _with_unit(text: str, document: dict[str, Any], name: str) -> str | None:
    """The text with one more item in `Configs.units`; None unless that is all that changed."""
    tail = list_tail(text, ("Configs", "units"))
    if tail is None:
        return None
    units = document["Configs"]["units"]
    longer = f"{text[:tail]}{', ' if units else ''}{_value(name)}{text[tail:]}"
    document["Configs"]["units"] = [*units, name]
    try:
        return longer if tomllib.loads(longer) == document else None
    except tomllib.TOMLDecodeError:
        return None


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: str | list[str]) -> str:
    """A text or a list of texts as TOML: JSON's escapes are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
