"""The files in `units/`: one table each, named like the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testrium.load.discover import UNITS_FOLDER
from testrium.load.document import (
    Complaints,
    Document,
    Spot,
    did_you_mean,
    read_document,
    shown_path,
)
from testrium.load.schema import UNIT
from testrium.load.shape import Reading
from testrium.words import RESERVED_UNITS


class UnitFile:
    """A unit as its file says, before the other units are looked at."""

    __slots__ = ("file", "name", "reading")

    def __init__(self, name: str, file: str, reading: Reading) -> None:
        self.name = name
        self.file = file
        self.reading = reading

    def __getitem__(self, field: str) -> Any:
        return self.reading[field]

    def at(self, field: str) -> Spot:
        """Where the field was given; the unit's table where it was not."""
        return self.reading.at(field)


def read_unit_files(
    folder: Path,
    names: tuple[str, ...],
    listed: Spot,
    defaults: Mapping[str, Any],
    cwd: Path,
) -> tuple[UnitFile, ...]:
    """The units of a group, in the order of `Configs.units`; what is wrong is noted.

    Args:
        folder: the group's folder.
        names: what `Configs.units` lists.
        listed: where `Configs.units` stands.
        defaults: unit fields of the project file.
        cwd: what file names in messages are relative to.
    """
    complaints = listed.complaints
    try:
        inside = sorted((folder / UNITS_FOLDER).iterdir())
    except OSError as error:
        shown = shown_path(folder / UNITS_FOLDER, cwd)
        complaints.problem(shown, None, "", f"cannot be read: {error.strerror}")
        return ()
    present = {
        path.stem: path
        for path in inside
        if path.suffix == ".toml" and not path.name.startswith(".")
    }
    for name in present.keys() - set(names):
        complaints.problem(
            shown_path(present[name], cwd),
            None,
            "",
            f"is not listed in Configs.units{did_you_mean(name, set(names) - present.keys())}",
        )
    units = []
    for index, name in enumerate(names):
        if name in RESERVED_UNITS:
            listed.at(index).wrong(f"{name!r} is reserved for Testrium's own unit of this name")
        elif name not in present:
            guess = did_you_mean(name, present.keys() - set(names))
            listed.at(index).wrong(f"the file {UNITS_FOLDER}/{name}.toml is missing{guess}")
        else:
            shown = shown_path(present[name], cwd)
            document = read_document(present[name], shown, complaints)
            if document and (found := read_only_table(document, name, complaints)):
                table, spot = found
                units.append(UnitFile(name, document.name, UNIT.read(table, spot, defaults)))
    return tuple(units)


def read_only_table(
    document: Document, name: str, complaints: Complaints
) -> tuple[dict[str, Any], Spot] | None:
    """The one table of a unit's file, and where it stands; what is wrong around it is noted.

    It is found even where its name is wrong, to find all mistakes.
    """
    whole = Spot(document, (), complaints)
    tables = [key for key, value in document.data.items() if isinstance(value, dict)]
    title = name if name in tables else tables[0] if len(tables) == 1 else None
    if title is None:
        complaints.problem(document.name, None, "", f'the table ["{name}"] is missing')
    elif title != name:
        whole.at(title).wrong(f'the table must be named like the file: ["{name}"]')
    for key in document.data:
        if key != title:
            whole.at(key).wrong(f'unexpected: the only table of this file is ["{name}"]')
    if title is None:
        return None
    document.main = (title,)
    return document.data[title], whole.at(title)
