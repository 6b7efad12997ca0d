"""Defaults by folder: a `testrium.toml` in any folder holds some for the groups below it.

What a key comes to is said by the nearest: the group, else the folders from the inside to the
outside, else the project file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from testrium.load.discover import Found
from testrium.load.document import Complaints, Spot, read_document, shown_path
from testrium.load.project import CONFIGS_TABLE, FILE_NAME, PROJECT, UNIT_TABLE, Project
from testrium.load.schema import CONFIGS, UNIT
from testrium.load.shape import Reading, Shape

_SHAPES: Mapping[str, Shape] = {CONFIGS_TABLE: CONFIGS, UNIT_TABLE: UNIT}


class Defaults(NamedTuple):
    """Fields of `CONFIGS` and `UNIT` that stand in for keys that a group or a unit leaves out.

    `origins` tells where each stands, by table and field.
    """

    configs: Mapping[str, Any]
    unit: Mapping[str, Any]
    origins: Mapping[tuple[str, str], Spot]

    def over(self, tables: Mapping[str, Reading]) -> Defaults:
        """These, with what a file further inside says before them."""
        merged = {CONFIGS_TABLE: dict(self.configs), UNIT_TABLE: dict(self.unit)}
        origins = dict(self.origins)
        for name, table in tables.items():
            merged[name] = {**_SHAPES[name].undisputed(merged[name], table.spots), **table.values}
            origins |= {(name, field): table.spots[field] for field in table.values}
        return Defaults(merged[CONFIGS_TABLE], merged[UNIT_TABLE], origins)


class FolderDefaults:
    """The defaults of all folders below a project, each file read once."""

    def __init__(self, project: Project, cwd: Path) -> None:
        self._project = project
        self._cwd = cwd
        self._top = project.file.parent if project.file else cwd
        self._outermost = Defaults(project.configs, project.unit, project.origins)
        self._files: dict[Path, tuple[Mapping[str, Reading], Complaints] | None] = {}

    def of(self, found: Found, complaints: Complaints) -> Defaults:
        """What holds for a group. What is wrong with a file is noted with each group below it."""
        defaults = self._outermost
        for folder in self.folders(found):
            if read := self._read(folder):
                tables, noted = read
                complaints.add(noted)
                defaults = defaults.over(tables)
        return defaults

    def folders(self, found: Found) -> Iterator[Path]:
        """From the outside to the inside: below the project, or below where the search began."""
        top = self._top if found.folder.is_relative_to(self._top) else found.root
        if found.folder.is_relative_to(top):
            above = found.folder.parents[: len(found.folder.relative_to(top).parts)]
            yield from reversed(above)
        yield found.folder

    def _read(self, folder: Path) -> tuple[Mapping[str, Reading], Complaints] | None:
        if folder not in self._files:
            file = folder / FILE_NAME
            own = file != self._project.file and file.is_file()
            self._files[folder] = self._tables(file) if own else None
        return self._files[folder]

    def _tables(self, file: Path) -> tuple[Mapping[str, Reading], Complaints]:
        complaints = Complaints()
        document = read_document(file, shown_path(file, self._cwd), complaints)
        if document is None:
            return {}, complaints
        whole = Spot(document, (), complaints)
        given = PROJECT.read_given(document.data, whole)
        for name in given.spots.keys() - _SHAPES.keys():
            project = self._project.file
            shown = shown_path(project, self._cwd) if project else "none"
            whole.at(name).notice(f"counts in the project file only (here {shown})")
        return {name: given[name] for name in _SHAPES if name in given.values}, complaints
