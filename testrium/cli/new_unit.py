"""A new unit in a group that exists: its file, its code, and its place in `Configs.units`."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from testrium.cli.templates import CONFIG_FILE, write_new
from testrium.errors import UsageError
from testrium.load.document import did_you_mean
from testrium.load.kinds import NAME, is_entrypoint
from testrium.load.locate import list_tail
from testrium.model import RESERVED_UNITS

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
        UsageError: it is no group, the name cannot be, a file exists; nothing was changed.
    """
    config = folder / CONFIG_FILE
    try:
        text = config.read_bytes().decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        advice = "" if config.exists() else "; --group PATH names the group's folder"
        raise UsageError(f"{config}: cannot be read: {error.strerror}{advice}") from error
    except ValueError as error:
        raise UsageError(f"{config}: no TOML: {error}") from error
    table = document.get("Configs")
    names = table.get("units") if isinstance(table, dict) else None
    if not isinstance(names, list):
        raise UsageError(f"{config}: there is no list Configs.units to add {unit.name!r} to")
    _check(unit, names)
    longer = _with_unit(text, document, unit.name)
    if longer is None:
        raise UsageError(f"{config}: cannot be changed safely: add {unit.name!r} to units yourself")
    made = write_new(_new_files(folder, unit), folder)
    try:
        _replace(config, longer)
    except OSError as error:
        for path in made:
            path.unlink()
        raise UsageError(f"cannot write {config}: {error.strerror}") from error
    return made


def _check(unit: NewUnit, names: list[Any]) -> None:
    if not NAME.fullmatch(unit.name) or unit.name in RESERVED_UNITS:
        reserved = ", ".join(sorted(RESERVED_UNITS))
        raise UsageError(
            f"{unit.name!r} is no name of a unit: up to 64 letters, digits, '_', '.' and '-', with"
            f" a letter or digit first; {reserved} are reserved"
        )
    if unit.name in names:
        raise UsageError(f"the group has a unit {unit.name!r} already")
    if unit.entrypoint is not None and unit.command is not None:
        raise UsageError("--entrypoint cannot stand beside --command")
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
    files[folder / "units" / f"{unit.name}.toml"] = "\n".join(lines) + "\n"
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


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: what reads it sees the old text or the new one."""
    mode = path.stat().st_mode
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False) as new:
        try:
            new.write(text.encode())
            new.flush()
            Path(new.name).chmod(mode & 0o7777)
            os.replace(new.name, path)  # noqa: PTH105 - of a name, not a Path
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: str | list[str]) -> str:
    """A text or a list of texts as TOML: JSON's escapes are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
