"""Defaults by folder, and what holds for a group once all of them are merged.

A `testrium.toml` in any folder holds defaults for the groups below it. What a key comes to is said
by the nearest: the group, else the folders from the inside to the outside, else the project file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from testrium.declared.groups import Configs, Group
from testrium.declared.keys import as_written, keys_of
from testrium.declared.project import CONFIGS_TABLE, UNIT_TABLE, ProjectTable
from testrium.declared.units import FILLED_LATER, Unit
from testrium.load.discover import CONFIG_FILE, UNITS_FOLDER, Found
from testrium.load.document import ProblemCollector, Spot, read_document, shown_path
from testrium.load.project import FILE_NAME, Project
from testrium.load.validate import check_given, read, spots_of, undisputed
from testrium.tuples import NamedTuple
from testrium.words import EMPTY

_KINDS: Final[Mapping[str, str]] = {CONFIGS_TABLE: "configs", UNIT_TABLE: "unit"}
#: Lists of a group to which those of its folders add.
ADDED: Final = ("tags", "requirements")


class Defaults(NamedTuple):
    """Where files say what holds for keys that a group or a unit leaves out, by field.

    `added` are further places of lists that add up: the tags of every folder above count.
    """

    configs: Mapping[str, Spot]
    unit: Mapping[str, Spot]
    added: Mapping[str, tuple[Spot, ...]] = EMPTY

    def over(self, tables: Mapping[str, Mapping[str, Spot]]) -> Defaults:
        """These, with what a file further inside says before them."""
        configs = tables.get(CONFIGS_TABLE, {})
        added = {
            field: (*self.added.get(field, ()), configs[field])
            if field in configs
            else self.added.get(field, ())
            for field in ADDED
        }
        return Defaults(
            {**undisputed(Configs, self.configs, configs), **configs},
            {**undisputed(Unit, self.unit, unit := tables.get(UNIT_TABLE, {})), **unit},
            added,
        )


class FolderDefaults:
    """The defaults of all folders below a project, each file read once."""

    def __init__(self, project: Project, cwd: Path) -> None:
        self._project = project
        self._cwd = cwd
        self._top = project.file.parent if project.file else cwd
        own = {CONFIGS_TABLE: project.configs, UNIT_TABLE: project.unit}
        self._outermost = Defaults({}, {}).over(own)
        self._files: dict[
            Path, tuple[Mapping[str, Mapping[str, Spot]], ProblemCollector] | None
        ] = {}

    def of(self, found: Found, collector: ProblemCollector) -> Defaults:
        """What holds for a group. What is wrong with a file is noted with each group below it."""
        defaults = self._outermost
        for folder in self.folders(found):
            if read := self._read(folder):
                tables, noted = read
                collector.add(noted)
                defaults = defaults.over(tables)
        return defaults

    def folders(self, found: Found) -> Iterator[Path]:
        """From the outside to the inside: below the project, or below where the search began."""
        top = self._top if found.folder.is_relative_to(self._top) else found.root
        if found.folder.is_relative_to(top):
            above = found.folder.parents[: len(found.folder.relative_to(top).parts)]
            yield from reversed(above)
        yield found.folder

    def _read(
        self, folder: Path
    ) -> tuple[Mapping[str, Mapping[str, Spot]], ProblemCollector] | None:
        if folder not in self._files:
            file = folder / FILE_NAME
            own = file != self._project.file and file.is_file()
            self._files[folder] = self._tables(file) if own else None
        return self._files[folder]

    def _tables(self, file: Path) -> tuple[Mapping[str, Mapping[str, Spot]], ProblemCollector]:
        collector = ProblemCollector()
        document = read_document(file, shown_path(file, self._cwd), collector)
        if document is None:
            return {}, collector
        whole = Spot(document, (), collector)
        reading = read(ProjectTable, document.data, whole)
        for field, spot in reading.spots.items():
            if field not in _KINDS.values():
                project = self._project.file
                shown = shown_path(project, self._cwd) if project else "none"
                spot.notice(f"counts in the project file only (here {shown})")
        tables = {}
        kinds = ((CONFIGS_TABLE, Configs, ()), (UNIT_TABLE, Unit, FILLED_LATER))
        for table, kind, later in kinds:
            field = _KINDS[table]
            if reading[field] is not None:
                tables[table] = check_given(kind, reading[field], reading.at(field), later)
        return tables, collector


class Setting(NamedTuple):
    """One key of one table.

    `unit` is None for a key of `[Configs]`. `value` is what the file says; where no file says
    anything, what the key means then. `origin` is `file:line`, or "default".
    """

    unit: str | None
    key: str
    value: Any
    origin: str


DEFAULT: Final = "default"


def settings_of(group: Group, cwd: Path, project: Project) -> tuple[Setting, ...]:
    """Every key of a group that was loaded without a problem, and of its units.

    They come in the order of the reference; file names are relative to `cwd`.
    """
    found = Found(group.id, group.folder, root=group.folder)
    defaults = FolderDefaults(project, cwd).of(found, ProblemCollector())
    given = _given(group.folder / CONFIG_FILE, Configs, cwd, "Configs")
    settings = list(_settings(None, Configs, given, defaults.configs, group))
    for unit in group.units:
        file = group.folder / UNITS_FOLDER / f"{unit.name}.toml"
        given = _given(file, Unit, cwd, unit.name)
        settings += _settings(unit.name, Unit, given, defaults.unit, unit)
    return tuple(settings)


def _given(file: Path, kind: type[Any], cwd: Path, table: str) -> Mapping[str, Spot]:
    collector = ProblemCollector()
    document = read_document(file, shown_path(file, cwd), collector)
    if document is None or not isinstance(document.data.get(table), dict):
        return {}
    spot = Spot(document, (table,), collector)
    return spots_of(kind, document.data[table], spot)


def _settings(
    unit: str | None,
    kind: type[Any],
    given: Mapping[str, Spot],
    defaults: Mapping[str, Spot],
    declared: Any,
) -> Iterator[Setting]:
    """The keys of one table: from the file itself, else from defaults that nothing disputes."""
    spots = {**undisputed(kind, defaults, given), **given}
    for field, key in keys_of(kind):
        spot = spots.get(field.name)
        if spot is not None and field.name not in ADDED:
            yield Setting(unit, key, spot.value, spot.place)
        else:
            value = getattr(declared, field.name)
            shown = None if value is None else as_written(value, field.type)
            yield Setting(unit, key, shown, DEFAULT if spot is None else spot.place)
