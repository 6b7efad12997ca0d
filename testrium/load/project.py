"""The optional project file: defaults for all groups, and the place of the state folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testrium.declared.groups import Configs
from testrium.declared.project import (
    CONFIGS_TABLE,
    UNIT_TABLE,
    ProjectTable,
    Property,
    Quarantine,
    RunTable,
)
from testrium.declared.units import FILLED_LATER, Unit
from testrium.errors import Problem, UsageError
from testrium.load.document import ProblemCollector, Spot, read_document, shown_path
from testrium.phrases import did_you_mean
from testrium.plugins.registry import KINDS, Plugin
from testrium.tuples import NamedTuple
from testrium.words import EMPTY

if TYPE_CHECKING:
    from testrium.declared.groups import UnitHost
    from testrium.load.validate import Table

FILE_NAME: Final = "testrium.toml"
STATE_FOLDER: Final = ".testrium"
TEMPLATES_FOLDER: Final = "testrium-templates"

#: What the top folder of a repository holds: a folder, or in a worktree of git a file.
_REPOSITORY: Final = ".git"


class KnownFailure(NamedTuple):
    """An entry of `[[quarantine]]`, and its `file:line`."""

    rule: Quarantine
    place: str


class Project(NamedTuple):
    """What holds for all groups.

    `configs` and `unit` tell where the file says what holds for keys of `[Configs]` and of units
    that a group leaves out, by field. `run` has defaults for the options of `testrium run`, `env`
    variables for every process, `pythonpath` folders for the Python code of groups,
    `cluster_files` patterns of what groups need on other machines, `hosts` where units can run.
    `properties`
    have their values; `unset_properties` lack one, and say how to give it. `ai_command`
    is () where none is given. `templates` is the folder of the project's own templates of groups,
    which need not exist. `requirements` are ids with what they require; None where the project
    lists none. `quarantine` are failures that are known. `lacks` is what keeps groups from running,
    and not from reading the runs that are stored.
    """

    state_folder: Path
    file: Path | None = None
    configs: Mapping[str, Spot] = EMPTY
    unit: Mapping[str, Spot] = EMPTY
    run: Mapping[str, Any] = EMPTY
    env: Mapping[str, str] = EMPTY
    pythonpath: tuple[Path, ...] = ()
    properties: Mapping[str, Any] = EMPTY
    unset_properties: Mapping[str, str] = EMPTY
    ai_command: tuple[str, ...] = ()
    cluster_files: tuple[str, ...] = ()
    hosts: Mapping[str, UnitHost] = EMPTY
    templates: Path | None = None
    requirements: Mapping[str, str] | None = None
    plugins: tuple[Plugin, ...] = ()
    quarantine: tuple[KnownFailure, ...] = ()
    lacks: tuple[Problem, ...] = ()


def find_project(cwd: Path) -> Project:
    """The project of a folder: from a `testrium.toml`, or a `pyproject.toml` with a
    `[tool.testrium]` table, in `cwd` or above; without one, defaults and a state folder in `cwd`.

    Raises:
        ConfigError: the file cannot be read or holds something wrong.
    """
    cwd = cwd.resolve()
    collector = ProblemCollector()
    project = Project(cwd / STATE_FOLDER, templates=cwd / TEMPLATES_FOLDER)
    if found := _project_file(cwd, collector):
        project = _project(found, cwd)
    elif _given_properties:
        raise UsageError(
            f"-X {min(_given_properties)}: a project file with [properties] is missing"
        )
    collector.raise_if_any()
    return project


def schema_folder(cwd: Path) -> Path:
    """Where `testrium schema --write` puts the schemas, for editors."""
    return state_folder(cwd) / "schemas"


def state_folder(cwd: Path) -> Path:
    """The folder of runs and history for a command that starts in `cwd`."""
    return find_project(cwd).state_folder


#: What `-X NAME=VALUE` says; a process has one command line.
_given_properties: dict[str, str] = {}


@contextmanager
def properties_given(values: Mapping[str, str]) -> Iterator[None]:
    """Let these values win over what the project file and the environment say."""
    before = dict(_given_properties)
    _given_properties.update(values)
    try:
        yield
    finally:
        _given_properties.clear()
        _given_properties.update(before)


def give_properties(values: Mapping[str, str]) -> None:
    """The same, for all that this command does."""
    _given_properties.clear()
    _given_properties.update(values)


def given_properties() -> Mapping[str, str]:
    """What `-X` says."""
    return dict(_given_properties)


def _property_values(
    declared: Mapping[str, Property], spot: Spot
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of properties, and how to give one to those that have none."""
    values: dict[str, Any] = {}
    unset: dict[str, str] = {}
    for name, one in declared.items():
        origin, text = f"-X {name}", _given_properties.get(name)
        if text is None and one.env:
            origin, text = one.env, os.environ.get(one.env)
        if text is None and one.default is None:
            unset[name] = f"set {one.env}, or give -X {name}=VALUE"
        elif text is None or one.default is None:
            values[name] = one.default if text is None else text
        else:
            try:
                values[name] = _typed(text, one.default)
            except ValueError as error:
                spot.at(name).wrong(f"{origin} is {text!r}: {error}, as its default is")
    return values, unset


def _typed(text: str, default: str | float | bool) -> str | int | float | bool:
    """The text as a value of the type of the default. Raises ValueError."""
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError("expected true or false")
    try:
        return type(default)(text)
    except ValueError:
        kind = "an integer" if isinstance(default, int) else "a number"
        raise ValueError(f"expected {kind}") from None


class _File(NamedTuple):
    """A file that could be the project file, and the place of its table."""

    path: Path
    table: Spot

    @property
    def has_only_defaults(self) -> bool:
        keys = self.table.value.keys()
        return self.path.name == FILE_NAME and bool(keys) and keys <= {CONFIGS_TABLE, UNIT_TABLE}


def _project_file(cwd: Path, collector: ProblemCollector) -> _File | None:
    """The nearest file; but one with defaults only yields to one above it in its repository.

    So what holds for a group does not depend on the folder from which it is run.
    """
    nearest = None
    for folder in (cwd, *cwd.parents):
        if found := _file_in(folder, cwd, collector):
            nearest = found
            if not found.has_only_defaults:
                break
        if (folder / _REPOSITORY).exists() or (nearest and not _is_in_repository(folder)):
            break
    return nearest


def _file_in(folder: Path, cwd: Path, collector: ProblemCollector) -> _File | None:
    for name in (FILE_NAME, "pyproject.toml"):
        file = folder / name
        if not file.is_file():
            continue
        document = read_document(file, shown_path(file, cwd), collector)
        if document is None:
            continue
        if name == FILE_NAME:
            return _File(file, Spot(document, (), collector))
        tools = document.data.get("tool")
        table = tools.get("testrium") if isinstance(tools, dict) else None
        if isinstance(table, dict):
            return _File(file, Spot(document, ("tool", "testrium"), collector))
    return None


def _is_in_repository(folder: Path) -> bool:
    return any((above / _REPOSITORY).exists() for above in folder.parents)


def _project(found: _File, cwd: Path) -> Project:
    # Only a project file needs pydantic here: commands that look for the state folder do not wait.
    from testrium.load.validate import check_given, read

    file = found.path
    reading = read(ProjectTable, found.table.value, found.table)
    project = reading.value
    if "properties" in reading.spots or _given_properties:
        for name in _given_properties.keys() - project.properties.keys():
            guess = did_you_mean(name, project.properties)
            known = "has no [properties]" if not project.properties else "has no property"
            raise UsageError(f"-X {name}: {file.name} {known} {name!r}{guess}")
    values, unset = _property_values(project.properties, reading.at("properties"))
    given = {
        field: check_given(kind, getattr(project, field), reading.at(field), later)
        for field, kind, later in (("configs", Configs, ()), ("unit", Unit, FILLED_LATER))
        if getattr(project, field) is not None
    }
    lacks = ProblemCollector()
    for index, text in enumerate(project.pythonpath):
        if why := _no_code(file.parent, text):
            reading.item("pythonpath", index)._replace(collector=lacks).wrong(f"{text!r}: {why}")
    return Project(
        state_folder=file.parent / (project.state or STATE_FOLDER),
        file=file,
        configs=given.get("configs", EMPTY),
        unit=given.get("unit", EMPTY),
        run=_given(project.run) if project.run else EMPTY,
        env=project.env,
        pythonpath=tuple(file.parent / folder for folder in project.pythonpath),
        cluster_files=project.cluster.files if project.cluster else (),
        hosts={
            name: replace(host, place=reading.at("hosts").at(name).place, folder=file.parent)
            for name, host in project.hosts.items()
        },
        properties=values,
        unset_properties=unset,
        ai_command=project.ai.command if project.ai else (),
        templates=file.parent / (project.templates or TEMPLATES_FOLDER),
        requirements=project.requirements,
        plugins=_plugins(reading.inner("plugins"), file, cwd),
        quarantine=tuple(
            KnownFailure(one.value, one.spot.place) for one in reading.inners("quarantine")
        ),
        lacks=lacks.problems,
    )


def _no_code(root: Path, text: str) -> str:
    """Why Python finds no modules in this folder of `pythonpath`, or ""."""
    path = root / text
    if os.path.isdir(path):  # noqa: PTH112 - Path raises for a long name
        return ""
    if not os.path.exists(path):  # noqa: PTH110 - as above
        return "no such folder: make it, or give a path below the folder of this file"
    from zipfile import is_zipfile  # a wheel is as good as a folder, and rare

    return "" if is_zipfile(path) else f"is a file: give its folder, {str(Path(text).parent)!r}"


def _given(options: RunTable) -> Mapping[str, Any]:
    values = {one.name: getattr(options, one.name) for one in fields(options)}
    return {name: value for name, value in values.items() if value is not None}


def _plugins(reading: Table[Any] | None, file: Path, cwd: Path) -> tuple[Plugin, ...]:
    """The project's own plugins; their modules are found from the project's folder."""
    if reading is None:
        return ()
    from testrium.load.python_code import PythonCode  # few projects have plugins

    code = PythonCode(file.parent, cwd, reading.spot.collector)
    for kind in KINDS:
        for name, reference in reading[kind].items():
            if why := code.reference_error(reference, "project"):
                reading.at(kind).at(name).wrong(why)
    return tuple(
        Plugin(kind, name, reference, file.name, str(file.parent))
        for kind in KINDS
        for name, reference in reading[kind].items()
    )
