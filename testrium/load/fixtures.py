"""Fixtures: `fixtures/NAME.toml` beside a group's files or in a folder above.

A fixture is read as a unit with fewer keys; what holds for the texts, the readiness and the
entrypoint of a unit holds for its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from testrium.load.document import Complaints, Spot, did_you_mean, read_document, shown_path
from testrium.load.plugged import plug_in
from testrium.load.project import Project
from testrium.load.python_code import PythonCode
from testrium.load.schema import FIXTURE, UNIT
from testrium.load.shape import Reading, field_of
from testrium.load.unit_files import UnitFile, read_only_table
from testrium.load.unit_texts import check_unit_texts
from testrium.load.units import check_entrypoints, check_units, make_units
from testrium.model import FIXTURE_PREFIX, Unit

FIXTURES_FOLDER = "fixtures"


def read_fixtures(
    configs: Reading, folders: Sequence[Path], cwd: Path, project: Project
) -> tuple[Unit, ...]:
    """The fixtures that `Configs.fixtures` lists; what is wrong is noted.

    Args:
        configs: the group's [Configs].
        folders: where fixtures may lie, from the outside to the group's folder: the nearest wins.
        cwd: what file names in messages are relative to.
        project: its plugins can be used.
    """
    complaints = configs.spot.complaints
    present = {
        path.stem: path
        for folder in folders
        for path in sorted((folder / FIXTURES_FOLDER).glob("*.toml"))
        if not path.name.startswith(".")
    }
    units = []
    for index, name in enumerate(configs["fixtures"]):
        spot = configs.at("fixtures").at(index)
        if name not in present:
            guess = did_you_mean(name, present)
            where = "here or in a folder above"
            spot.wrong(f"no file {FIXTURES_FOLDER}/{name}.toml {where}{guess}")
        elif FIXTURE_PREFIX + name in configs["units"]:
            spot.wrong(f"a unit is called {FIXTURE_PREFIX + name!r}, as this fixture is in reports")
        elif unit := _read(present[name], cwd, project, complaints):
            units.append(unit)
    return tuple(units)


def _read(path: Path, cwd: Path, project: Project, complaints: Complaints) -> Unit | None:
    document = read_document(path, shown_path(path, cwd), complaints)
    found = read_only_table(document, path.stem, complaints) if document else None
    if document is None or found is None:
        return None
    table, spot = found
    reading = FIXTURE.read(table, spot)
    _check(reading, spot)
    values = {field_of(key): key.default for key in UNIT.keys}
    values |= {field: value for field, value in reading.values.items() if field in values}
    values |= {"init": 0, "stop": "runner", "quiet": True, "restarts": None}
    name = FIXTURE_PREFIX + path.stem
    files = (UnitFile(name, document.name, Reading(values, spot, reading.spots)),)
    check_units(files, [name])
    check_unit_texts(files, os.environ)
    check_entrypoints(files, PythonCode(path.parent, cwd, complaints), {}, ())
    (unit,) = plug_in(make_units(files), files, project.plugins)
    return unit._replace(scope=reading["scope"], folder=path.parent, restarts=reading["restarts"])


def _check(reading: Reading, spot: Spot) -> None:
    if reading["entrypoint"] is None and reading["command"] is None:
        spot.wrong("needs an entrypoint or a command")
    if reading["scope"] == "group" and "restarts" in reading.spots:
        reading.at("restarts").wrong("belongs to scope = 'run': here each group starts its own")
    for field in ("max_rss", "max_cpu"):
        if reading["scope"] == "run" and field in reading.spots:
            reading.at(field).wrong("belongs to scope = 'group': no group alone is to blame")
