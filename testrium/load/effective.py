"""What holds for a group once all defaults are merged, and which file says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from testrium.declared.groups import Group
from testrium.load.discover import CONFIG_FILE, UNITS_FOLDER, Found
from testrium.load.document import Complaints, Spot, read_document, shown_path
from testrium.load.folder_defaults import FolderDefaults
from testrium.load.project import CONFIGS_TABLE, UNIT_TABLE, Project
from testrium.load.schema import CONFIGS, UNIT
from testrium.load.shape import Shape, field_of


class Setting(NamedTuple):
    """One key of one table.

    `unit` is None for a key of `[Configs]`. `value` is what the file says; where no file says
    anything, what the key means then. `origin` is `file:line`, or "default".
    """

    unit: str | None
    key: str
    value: Any
    origin: str


DEFAULT = "default"


def settings_of(group: Group, cwd: Path, project: Project) -> tuple[Setting, ...]:
    """Every key of the group and its units, in the order of the reference.

    Args:
        group: one that was loaded without a problem.
        cwd: what file names are relative to.
        project: the project that it was loaded with.
    """
    found = Found(group.id, group.folder, root=group.folder)
    defaults = FolderDefaults(project, cwd).of(found, Complaints())
    configs = _given(group.folder / CONFIG_FILE, CONFIGS, cwd, "Configs")
    settings = list(_settings(None, CONFIGS, configs, defaults.origins, CONFIGS_TABLE, group))
    for unit in group.units:
        file = group.folder / UNITS_FOLDER / f"{unit.name}.toml"
        given = _given(file, UNIT, cwd, unit.name)
        settings += _settings(unit.name, UNIT, given, defaults.origins, UNIT_TABLE, unit)
    return tuple(settings)


def _given(file: Path, shape: Shape, cwd: Path, table: str) -> Mapping[str, Spot]:
    complaints = Complaints()
    document = read_document(file, shown_path(file, cwd), complaints)
    if document is None or not isinstance(document.data.get(table), dict):
        return {}
    return shape.read_given(document.data[table], Spot(document, (table,), complaints)).spots


def _settings(
    unit: str | None,
    shape: Shape,
    given: Mapping[str, Spot],
    defaults: Mapping[tuple[str, str], Spot],
    table: str,
    declared: NamedTuple,
) -> Iterator[Setting]:
    """The keys of one table: from the file itself, else from defaults that nothing disputes."""
    inherited = {field: spot for (name, field), spot in defaults.items() if name == table}
    spots = {**shape.undisputed(inherited, given), **given}
    for key in shape.keys:
        field = field_of(key)
        spot = spots.get(field)
        if spot is not None:
            yield Setting(unit, key.name, spot.value, spot.place)
        else:
            yield Setting(unit, key.name, _plain(getattr(declared, field)), DEFAULT)


def _plain(value: Any) -> Any:
    """A value of the model as JSON can hold it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value
