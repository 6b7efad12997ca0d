"""The classic functions that find and read groups, on top of `testrium.load`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from testrium.classic.configs import normalize_config, normalize_unit_config
from testrium.errors import ConfigError
from testrium.load.discover import UNITS_FOLDER, Found, Search, find_groups
from testrium.load.document import Complaints
from testrium.load.group import Surroundings, load_group
from testrium.load.project import find_project

#: A group's name and its units as dictionaries, sorted by `init`.
FoundTest = tuple[str, list[dict[str, Any]]]


def load_config(config_path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config.toml with the defaults of `[Configs]` filled in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, or something in `[Configs]` is wrong.
    """
    return normalize_config(_read_toml(Path(config_path)))


def discover_tests(
    base_dir: str | os.PathLike[str], exclude_tests: Iterable[str], strict: bool = True
) -> list[FoundTest]:
    """The enabled groups below a folder, in sorted order, with their units.

    Args:
        base_dir: the folder to search.
        exclude_tests: ids or folder names of groups to leave out.
        strict: whether a group that is described wrongly is an error; else it is left out.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a group is described wrongly, and `strict`.
    """
    base = Path(base_dir).resolve()
    if not base.is_dir():
        raise FileNotFoundError(f"no such folder: {base_dir}")
    excluded = set(exclude_tests)
    complaints = Complaints()
    try:
        project = find_project(base)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    around = Surroundings.of(base, project)
    groups = find_groups([base], Search.of(base, project, complaints))
    if strict and complaints.problems:
        raise ValueError("; ".join(map(str, complaints.problems)))
    tests = (
        _read_group(found, around, strict=strict)
        for found in groups
        if found.id not in excluded and found.folder.name not in excluded
    )
    return [test for test in tests if test is not None]


def _read_group(found: Found, around: Surroundings, *, strict: bool) -> FoundTest | None:
    complaints = Complaints()
    group = load_group(found, around, complaints)
    if complaints.problems or group is None:
        if strict:
            raise ValueError(f"{found.id}: {'; '.join(map(str, complaints.problems))}")
        return None
    if not group.enabled:
        return None
    files = {unit.name: found.folder / UNITS_FOLDER / f"{unit.name}.toml" for unit in group.units}
    units = [
        normalize_unit_config({"init": place, **_read_toml(file)[name]}, name)
        for place, (name, file) in enumerate(files.items())
    ]
    return found.id, sorted(units, key=lambda unit: int(unit["init"]))


def _read_toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)
