"""Fixtures: `fixtures/NAME.toml` beside a group's files or in a folder above.

A fixture is read as a unit with fewer keys; what holds for the texts, the readiness and the
entrypoint of a unit holds for its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from testrium.declared.groups import Configs
from testrium.declared.units import FIXTURE_PREFIX, Unit
from testrium.declared.units import Fixture as FixtureTable
from testrium.load.document import ProblemCollector, Spot, read_document, shown_path
from testrium.load.project import Project
from testrium.load.python_code import PythonCode
from testrium.load.texts import Filling, Scope, check_text, check_unit_texts, is_later_in_unit
from testrium.load.units import (
    UnitFile,
    check_entrypoints,
    check_units,
    make_units,
    plug_in,
    read_only_table,
)
from testrium.load.validate import Table, read
from testrium.phrases import did_you_mean
from testrium.probe.environment import RETURNED

FIXTURES_FOLDER = "fixtures"
#: The probe that says that the function of a fixture has returned, and what.
RETURNED_STEP = "returned"


class GroupFixture(NamedTuple):
    """A fixture as the unit that it is in a group, and its file as that of a unit."""

    unit: Unit
    file: UnitFile


class FixtureInputs(NamedTuple):
    """What all fixtures of a group are read with.

    `filling` holds the project's properties. `env` are the project's variables, for every process.
    """

    cwd: Path
    project: Project
    filling: Filling
    env: Mapping[str, str]

    def scope(self, unit: str) -> Scope:
        return Scope({}, self.variables, frozenset(self.filling.values), unit)

    @property
    def variables(self) -> frozenset[str]:
        """All that `${env.NAME}` may name."""
        return frozenset((*os.environ, *self.env))


def read_fixtures(
    configs: Table[Configs], folders: Sequence[Path], around: FixtureInputs
) -> tuple[GroupFixture, ...]:
    """The fixtures that `Configs.fixtures` lists; what is wrong is noted.

    They may lie in any of `folders`, from the outside to the group's folder: the nearest wins.
    """
    collector = configs.spot.collector
    present = {
        path.stem: path
        for folder in folders
        for path in sorted((folder / FIXTURES_FOLDER).glob("*.toml"))
        if not path.name.startswith(".")
    }
    fixtures = []
    for index, name in enumerate(configs["fixtures"]):
        spot = configs.item("fixtures", index)
        if name not in present:
            guess = did_you_mean(name, present)
            where = "here or in a folder above"
            spot.wrong(f"no file {FIXTURES_FOLDER}/{name}.toml {where}{guess}")
        elif FIXTURE_PREFIX + name in configs["unit_names"]:
            spot.wrong(f"a unit is called {FIXTURE_PREFIX + name!r}, as this fixture is in reports")
        elif fixture := _read(present[name], around, collector):
            fixtures.append(fixture)
    return tuple(fixtures)


def _read(path: Path, around: FixtureInputs, collector: ProblemCollector) -> GroupFixture | None:
    document = read_document(path, shown_path(path, around.cwd), collector)
    document = document and around.filling.filled(document, is_later_in_unit, collector)
    found = read_only_table(document, path.stem, collector) if document else None
    if document is None or found is None:
        return None
    table, spot = found
    reading = read(FixtureTable, table, spot)
    _check(reading, spot)
    common = {field.name for field in fields(FixtureTable)} & {field.name for field in fields(Unit)}
    values: dict[str, Any] = {name: reading[name] for name in common - {"scope", "restarts"}}
    values["quiet"] = True
    if reading["stop"] == "self" and not _tells_readiness(reading):
        env = {**reading["env"], RETURNED: RETURNED_STEP}
        values |= {"ready_event": RETURNED_STEP, "env": env}
    name = FIXTURE_PREFIX + path.stem
    if reading["scope"] == "run":  # else it has the variables of its group
        values["env"] = {**_project_env(around, name, spot), **values["env"]}
    decided = dict.fromkeys(("init", "stop", "quiet", "restarts"), spot)
    unread = reading.wrong
    own = Table(Unit(**values), spot, reading.spots, decided, unread)
    files = (UnitFile(name, document.name, own),)
    check_units(files, [name])
    check_unit_texts(files, around.variables, around.filling.values)
    code = PythonCode(path.parent, around.cwd, collector, around.project.pythonpath)
    check_entrypoints(files, code, around.env, ())
    (unit,) = plug_in(make_units(files), files, around.project.plugins)
    unit = replace(unit, scope=reading["scope"], folder=path.parent, restarts=reading["restarts"])
    return GroupFixture(unit, files[0])


def _project_env(around: FixtureInputs, name: str, spot: Spot) -> dict[str, str]:
    """The project's variables, but for texts that only a group can fill in."""
    unheard = Spot(spot.document, spot.path, ProblemCollector())
    scope = around.scope(name)
    return {each: text for each, text in around.env.items() if check_text(text, unheard, scope)}


def _tells_readiness(reading: Table[FixtureTable]) -> bool:
    return reading["ready_event"] is not None or bool(reading["ready"])


def _check(reading: Table[FixtureTable], spot: Spot) -> None:
    actors = ("entrypoint", "command")
    if all(reading[actor] is None and actor not in reading.wrong for actor in actors):
        spot.wrong("needs an entrypoint or a command")
    if reading["stop"] == "runner" and "exit" in reading.spots:
        reading.at("exit").wrong(
            "belongs to stop = 'self': a service that Testrium stops may end with any code"
        )
    if reading["stop"] == "self" and reading["command"] and not _tells_readiness(reading):
        reading.at("stop").wrong("a command that ends by itself needs ready_event or ready")
    if reading["scope"] == "group" and "restarts" in reading.spots:
        reading.at("restarts").wrong("belongs to scope = 'run': here each group starts its own")
    for field in ("max_rss", "max_cpu"):
        if reading["scope"] == "run" and field in reading.spots:
            reading.at(field).wrong("belongs to scope = 'group': groups share this process")
