"""Fixtures: `fixtures/NAME.toml` beside a group's files or in a folder above.

A fixture is read as a unit with fewer keys; what holds for the texts, the readiness and the
entrypoint of a unit holds for its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from testrium.declared.units import FIXTURE_PREFIX, Unit
from testrium.load.document import Complaints, Spot, did_you_mean, read_document, shown_path
from testrium.load.plugged import plug_in
from testrium.load.project import Project
from testrium.load.python_code import PythonCode
from testrium.load.schema import FIXTURE, UNIT
from testrium.load.shape import Reading, field_of
from testrium.load.unit_files import UnitFile, read_only_table
from testrium.load.unit_texts import check_unit_texts
from testrium.load.units import check_entrypoints, check_units, make_units
from testrium.probe.environment import RETURNED

FIXTURES_FOLDER = "fixtures"
#: The probe that says that the function of a fixture has returned, and what.
RETURNED_STEP = "returned"


class Fixture(NamedTuple):
    """A fixture as the unit that it is in a group, and its file as that of a unit."""

    unit: Unit
    file: UnitFile


def read_fixtures(
    configs: Reading, folders: Sequence[Path], cwd: Path, project: Project
) -> tuple[Fixture, ...]:
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
    fixtures = []
    for index, name in enumerate(configs["fixtures"]):
        spot = configs.at("fixtures").at(index)
        if name not in present:
            guess = did_you_mean(name, present)
            where = "here or in a folder above"
            spot.wrong(f"no file {FIXTURES_FOLDER}/{name}.toml {where}{guess}")
        elif FIXTURE_PREFIX + name in configs["units"]:
            spot.wrong(f"a unit is called {FIXTURE_PREFIX + name!r}, as this fixture is in reports")
        elif fixture := _read(present[name], cwd, project, complaints):
            fixtures.append(fixture)
    return tuple(fixtures)


def _read(path: Path, cwd: Path, project: Project, complaints: Complaints) -> Fixture | None:
    document = read_document(path, shown_path(path, cwd), complaints)
    found = read_only_table(document, path.stem, complaints) if document else None
    if document is None or found is None:
        return None
    table, spot = found
    reading = FIXTURE.read(table, spot)
    _check(reading, spot)
    values = {field_of(key): key.default for key in UNIT.keys}
    values |= {field: value for field, value in reading.values.items() if field in values}
    values |= {"init": 0, "quiet": True, "restarts": None}
    if reading["stop"] == "self" and not _tells_readiness(reading):
        values |= {"ready_event": RETURNED_STEP, "env": reading["env"] | {RETURNED: RETURNED_STEP}}
    name = FIXTURE_PREFIX + path.stem
    files = (UnitFile(name, document.name, Reading(values, spot, reading.spots)),)
    check_units(files, [name])
    check_unit_texts(files, os.environ)
    check_entrypoints(files, PythonCode(path.parent, cwd, complaints), {}, ())
    (unit,) = plug_in(make_units(files), files, project.plugins)
    unit = unit._replace(scope=reading["scope"], folder=path.parent, restarts=reading["restarts"])
    return Fixture(unit, files[0])


def _tells_readiness(reading: Reading) -> bool:
    return reading["ready_event"] is not None or reading["ready"] is not None


def _check(reading: Reading, spot: Spot) -> None:
    if reading["entrypoint"] is None and reading["command"] is None:
        spot.wrong("needs an entrypoint or a command")
    if reading["stop"] == "runner" and "exit" in reading.spots:
        reading.at("exit").wrong("belongs to stop = 'self': one that Testrium stops may end anyhow")
    if reading["stop"] == "self" and reading["command"] and not _tells_readiness(reading):
        reading.at("stop").wrong("a command that ends by itself needs ready_event or ready")
    if reading["scope"] == "group" and "restarts" in reading.spots:
        reading.at("restarts").wrong("belongs to scope = 'run': here each group starts its own")
    for field in ("max_rss", "max_cpu"):
        if reading["scope"] == "run" and field in reading.spots:
            reading.at(field).wrong("belongs to scope = 'group': no group alone is to blame")
