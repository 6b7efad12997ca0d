"""One group's folder, from its files to a `Group`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from testrium.declared.checks import Check
from testrium.declared.faults import Chaos, Fault
from testrium.declared.groups import Combination, Group, Monitored
from testrium.declared.metrics import Metric
from testrium.declared.units import Unit
from testrium.errors import UsageError
from testrium.load.circuits import read_circuits, read_rules
from testrium.load.discover import CONFIG_FILE, Found
from testrium.load.document import (
    Complaints,
    Document,
    Spot,
    did_you_mean,
    read_document,
    shown_path,
)
from testrium.load.folder_defaults import FolderDefaults
from testrium.load.kinds import VARIABLES, WRONG
from testrium.load.matrix import parameter_names, read_matrix
from testrium.load.plugged import plug_in
from testrium.load.project import Project
from testrium.load.python_code import PythonCode
from testrium.load.references import Scope, check_text
from testrium.load.routes import Stations
from testrium.load.schema import ALL_MODES, CONFIGS, TABLES
from testrium.load.shape import Reading, field_of
from testrium.load.suites import check_suite_paths, suite_settings
from testrium.load.test_modules import test_modules
from testrium.load.unit_files import UnitFile, read_unit_files
from testrium.load.unit_texts import check_unit_texts, enabled_ports
from testrium.load.units import check_entrypoints, check_setup, check_units, make_units

if TYPE_CHECKING:
    from testrium.load.fixtures import Fixture

MAIN_TABLE = "Configs"

#: Of a unit whose file cannot be read.
NO_STEPS: frozenset[str] = frozenset()
#: All that a unit gets of the runner's environment with `inherit-env = false`.
_MINIMAL_ENVIRONMENT = frozenset({"PATH", "HOME", "LANG", "TMPDIR"})


class Surroundings(NamedTuple):
    """What loading looks at besides a group's folder.

    `environment` holds the names of the runner's variables.
    """

    cwd: Path
    project: Project
    defaults: FolderDefaults
    environment: frozenset[str]

    @classmethod
    def of(cls, cwd: Path, project: Project) -> Surroundings:
        return cls(cwd, project, FolderDefaults(project, cwd), frozenset(os.environ))


def load_group(found: Found, around: Surroundings, complaints: Complaints) -> Group | None:
    """The group in a folder. What is wrong is noted; then the result is of no use.

    Args:
        found: the folder and the group's id.
        around: what else counts.
        complaints: those of this group alone; its notices become the group's.

    Returns:
        None where config.toml cannot be read at all.
    """
    path = found.folder / CONFIG_FILE
    document = read_document(path, shown_path(path, around.cwd), complaints)
    if document is None:
        return None
    whole = Spot(document, (), complaints)
    _check_tables(document, whole)
    defaults = around.defaults.of(found, complaints)
    configs = _read_configs(document, whole, around.project, defaults.configs)
    names = configs["units"]
    files = read_unit_files(found.folder, names, configs.at("units"), defaults.unit, around.cwd)
    code = PythonCode(found.folder, around.cwd, complaints)
    check_units(files, names)
    read: tuple[Fixture, ...] = ()
    if configs["fixtures"]:
        from testrium.load.fixtures import read_fixtures

        folders = tuple(around.defaults.folders(found))
        read = read_fixtures(configs, folders, around.cwd, around.project)
    fixtures = tuple(fixture.unit for fixture in read)
    actors = (*files, *(fixture.file for fixture in read))

    data = document.data
    stations = Stations(
        dict.fromkeys(names, NO_STEPS) | {file.name: _steps(file) for file in actors},
        frozenset(fixture.name for fixture in fixtures if fixture.scope == "run"),
        found.folder,
    )
    circuits = read_circuits(data.get("circuits", []), whole.at("circuits"), stations)
    rules = read_rules(
        data.get("verify", {}), whole.at("verify"), stations, has_circuits=bool(circuits)
    )
    faults: tuple[Fault, ...] = ()
    if "faults" in data:
        from testrium.load.faults import read_faults

        faults = read_faults(data["faults"], whole.at("faults"), stations, actors)
    metrics: tuple[Metric, ...] = ()
    if "metrics" in data:
        from testrium.load.metrics import read_metrics

        enabled = [file.name for file in files if file["enabled"]]
        metrics = read_metrics(data["metrics"], whole.at("metrics"), circuits, enabled)
    chaos: Chaos | None = None
    if "chaos" in data:
        from testrium.load.chaos import read_chaos

        chaos = read_chaos(data["chaos"], whole.at("chaos"), files)
    monitors: tuple[Monitored, ...] = ()
    if "monitor" in data:
        from testrium.load.monitors import read_monitors

        taken = [*names, *(fixture.name for fixture in fixtures)]
        monitors = read_monitors(data["monitor"], whole.at("monitor"), taken)
    matrix = data.get("matrix")
    combinations = () if matrix is None else read_matrix(matrix, whole.at("matrix"))
    if found.only:
        combinations = _wanted(found, combinations)
    params = parameter_names(matrix)
    env = _read_env(data.get("env", {}), whole.at("env"), files, configs, around, params, fixtures)
    checks: tuple[Check, ...] = ()
    if "checks" in data:
        from testrium.load.checks import read_checks

        variables = _inherited(configs, around) | env.keys()
        own = around.project.plugins
        spot = whole.at("checks")
        checks = read_checks(data["checks"], spot, actors, variables, params, own, fixtures)
    check_entrypoints(files, code, env, configs["requires"])
    check_suite_paths(files, found.folder)
    has_setup = _has_main("setup", found.folder, code, around.cwd, complaints)
    check_setup(files, has_setup=has_setup)
    has_teardown = _has_main("teardown", found.folder, code, around.cwd, complaints)
    fields = dict(configs.values)
    fields["test_modes"] = _modes_to_run(configs)
    fields["units"] = plug_in(make_units(files), files, around.project.plugins)
    fields |= suite_settings(fields, given=configs.spots.keys() | defaults.configs.keys())
    return Group(
        id=found.id,
        folder=found.folder,
        env=env,
        rules=rules,
        circuits=circuits,
        faults=faults,
        chaos=chaos,
        checks=checks,
        metrics=metrics,
        monitors=monitors,
        fixture_units=fixtures,
        matrix=combinations,
        has_setup=has_setup,
        has_teardown=has_teardown,
        test_modules=test_modules(found.folder, code, files, around.cwd, complaints),
        notices=complaints.notices,
        **fields,
    )


def _wanted(found: Found, combinations: Sequence[Combination]) -> tuple[Combination, ...]:
    """The combinations that the command line names, to be run whether primary or not."""
    by_suffix = {each.suffix: each for each in combinations}
    for suffix in found.only:
        if suffix not in by_suffix:
            guess = did_you_mean(suffix, by_suffix)
            raise UsageError(f"{found.id}{suffix}: no combination of the group's matrix{guess}")
    return tuple(each._replace(primary=True) for each in combinations if each.suffix in found.only)


def _check_tables(document: Document, whole: Spot) -> None:
    for name in document.data:
        if name not in (MAIN_TABLE, *TABLES):
            whole.at(name).wrong(f"unknown table{did_you_mean(name, (MAIN_TABLE, *TABLES))}")


def _read_configs(
    document: Document, whole: Spot, project: Project, defaults: Mapping[str, Any]
) -> Reading:
    table = document.data.get(MAIN_TABLE)
    spot = whole.at(MAIN_TABLE)
    if not isinstance(table, dict):
        whole.complaints.problem(document.name, None, "", f"the table [{MAIN_TABLE}] is missing")
        return Reading({field_of(key): key.default for key in CONFIGS.keys}, spot, {})
    document.main = (MAIN_TABLE,)
    configs = CONFIGS.read(table, spot, defaults)
    if configs["use_ai"] and not project.ai_command:
        configs.at("use_ai").wrong("needs a command in [ai] of the project file")
    _check_requirements(configs, project)
    return configs


def _check_requirements(configs: Reading, project: Project) -> None:
    """Each id must be one of the project's, where it lists them."""
    known = project.requirements
    if known is None:
        return
    for index, name in enumerate(configs["requirements"]):
        if name not in known:
            configs.at("requirements").at(index).wrong(
                f"{name!r} is no requirement of the project{did_you_mean(name, known)}"
            )


def _modes_to_run(configs: Reading) -> tuple[str, ...]:
    """The test-modes, each of which the group must support."""
    supported: tuple[str, ...] = configs["debug_modes"]
    wanted: tuple[str, ...] | None = configs["test_modes"]
    if wanted is None:
        return ("DEBUG",) if "DEBUG" in supported else supported[:1]
    if wanted == ALL_MODES:
        return supported
    if missing := [mode for mode in wanted if mode not in supported]:
        configs.at("test_modes").wrong(f"{', '.join(missing)}: not one of debug-modes")
    return wanted


def _steps(file: UnitFile) -> frozenset[str]:
    """All steps that a unit's file mentions."""
    steps = (
        *file["events"],
        *file["stop_events"],
        file["ready_event"],
        *(probe["step"] for probe in file["probes"]),
    )
    return frozenset(step for step in steps if step)


def _read_env(
    table: Any,
    spot: Spot,
    files: Sequence[UnitFile],
    configs: Reading,
    around: Surroundings,
    params: frozenset[str],
    fixtures: tuple[Unit, ...],
) -> dict[str, str]:
    """`[env]`, and a check of all texts in which it may be named."""
    inherited = _inherited(configs, around)
    read = VARIABLES.read(table, spot)
    env: dict[str, str] = {} if read is WRONG else read
    scope = Scope(enabled_ports(files), inherited, params, fixtures=fixtures)
    for name, text in env.items():
        check_text(text, spot.at(name), scope)
    check_unit_texts(files, inherited | env.keys(), params, fixtures)
    return env


def _inherited(configs: Reading, around: Surroundings) -> frozenset[str]:
    """The runner's variables that units get."""
    if configs["inherit_env"]:
        return around.environment
    return around.environment & _MINIMAL_ENVIRONMENT


def _has_main(
    module: str, folder: Path, code: PythonCode, cwd: Path, complaints: Complaints
) -> bool:
    """Whether setup.py or teardown.py is there; one without main() is a mistake."""
    file = folder / f"{module}.py"
    if not file.is_file():
        return False
    names = code.module(module)
    if names is not None and not names.may_have("main"):
        complaints.problem(shown_path(file, cwd), None, "", "has no function main()")
    return True
