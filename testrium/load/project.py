"""The optional project file: defaults for all groups, and the place of the state folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from testrium.load.document import Complaints, Spot, read_document, shown_path
from testrium.load.kinds import (
    ENTRYPOINT,
    FILLED_TEXT,
    NAME,
    TEXT,
    WRONG,
    Kind,
    list_of,
    mapping_of,
)
from testrium.load.schema import CONFIGS, DIALECT, UNIT
from testrium.load.shape import Key, Reading, Shape
from testrium.plugins.registry import KINDS, Plugin
from testrium.words import EMPTY

FILE_NAME: Final = "testrium.toml"
STATE_FOLDER: Final = ".testrium"
TEMPLATES_FOLDER: Final = "testrium-templates"

#: What the top folder of a repository holds: a folder, or in a worktree of git a file.
_REPOSITORY: Final = ".git"


def _defaults_of(shape: Shape) -> Kind:
    """A table with keys of `shape`, none of them required; it becomes a Reading of those given."""

    def read(value: Any, spot: Spot) -> Any:
        if isinstance(value, dict):
            return shape.read_given(value, spot)
        spot.wrong("must be a table")
        return WRONG

    return Kind(read, shape.schema(partial=True))


#: An id of a requirement: a label, as in `Configs.requirements`.
REQUIREMENT: Final = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f]+")

#: Tables of defaults, which may stand in a `testrium.toml` of any folder.
CONFIGS_TABLE: Final = "Configs"
UNIT_TABLE: Final = "unit"

_AI = Shape(Key("command", list_of(FILLED_TEXT, least=1), required=True))

_PLUGINS = Shape(
    *(Key(kind, mapping_of(ENTRYPOINT, NAME, "name of a plugin"), EMPTY) for kind in KINDS)
)

PROJECT: Final = Shape(
    Key("state", FILLED_TEXT),
    Key(CONFIGS_TABLE, _defaults_of(CONFIGS)),
    Key(UNIT_TABLE, _defaults_of(UNIT)),
    Key("ai", _AI.kind()),
    Key("plugins", _PLUGINS.kind()),
    Key("templates", FILLED_TEXT),
    Key("requirements", mapping_of(TEXT, REQUIREMENT, "id of a requirement")),
)


class Project(NamedTuple):
    """What holds for all groups.

    `configs` and `unit` are fields of `load.schema.CONFIGS` and `UNIT` that stand in for keys that
    a group leaves out. `ai_command` is () where none is given. `templates` is the folder of the
    project's own templates of groups, which need not exist. `requirements` are ids with what they
    require; None where the project lists none. `origins` tells where a field of `configs` or `unit`
    stands, by table and field.
    """

    state_folder: Path
    file: Path | None = None
    configs: Mapping[str, Any] = EMPTY
    unit: Mapping[str, Any] = EMPTY
    ai_command: tuple[str, ...] = ()
    templates: Path | None = None
    requirements: Mapping[str, str] | None = None
    origins: Mapping[tuple[str, str], Spot] = EMPTY
    plugins: tuple[Plugin, ...] = ()


def find_project(cwd: Path) -> Project:
    """The project of a folder: from a `testrium.toml`, or a `pyproject.toml` with a
    `[tool.testrium]` table, in `cwd` or above; without one, defaults and a state folder in `cwd`.

    Raises:
        ConfigError: the file cannot be read or holds something wrong.
    """
    cwd = cwd.resolve()
    complaints = Complaints()
    project = Project(cwd / STATE_FOLDER, templates=cwd / TEMPLATES_FOLDER)
    if found := _project_file(cwd, complaints):
        project = _project(PROJECT.read(found.table.value, found.table), found.path, cwd)
    complaints.raise_if_any()
    return project


def state_folder(cwd: Path) -> Path:
    """Where runs and the history are kept for someone who calls from `cwd`."""
    return find_project(cwd).state_folder


class _File(NamedTuple):
    """A file that could be the project's, and where its table stands."""

    path: Path
    table: Spot

    @property
    def has_only_defaults(self) -> bool:
        keys = self.table.value.keys()
        return self.path.name == FILE_NAME and bool(keys) and keys <= {CONFIGS_TABLE, UNIT_TABLE}


def _project_file(cwd: Path, complaints: Complaints) -> _File | None:
    """The nearest file; but one with defaults only yields to one above it in its repository.

    So what holds for a group does not depend on the folder from which it is run.
    """
    nearest = None
    for folder in (cwd, *cwd.parents):
        if found := _file_in(folder, cwd, complaints):
            nearest = found
            if not found.has_only_defaults:
                break
        if (folder / _REPOSITORY).exists() or (nearest and not _is_in_repository(folder)):
            break
    return nearest


def _file_in(folder: Path, cwd: Path, complaints: Complaints) -> _File | None:
    for name in (FILE_NAME, "pyproject.toml"):
        file = folder / name
        if not file.is_file():
            continue
        document = read_document(file, shown_path(file, cwd), complaints)
        if document is None:
            continue
        if name == FILE_NAME:
            return _File(file, Spot(document, (), complaints))
        tools = document.data.get("tool")
        table = tools.get("testrium") if isinstance(tools, dict) else None
        if isinstance(table, dict):
            return _File(file, Spot(document, ("tool", "testrium"), complaints))
    return None


def _is_in_repository(folder: Path) -> bool:
    return any((above / _REPOSITORY).exists() for above in folder.parents)


def _project(reading: Reading, file: Path, cwd: Path) -> Project:
    configs, unit = reading[CONFIGS_TABLE], reading[UNIT_TABLE]
    tables = {CONFIGS_TABLE: configs, UNIT_TABLE: unit}
    return Project(
        state_folder=file.parent / (reading["state"] or STATE_FOLDER),
        file=file,
        configs=configs.values if configs else EMPTY,
        unit=unit.values if unit else EMPTY,
        ai_command=reading["ai"]["command"] if reading["ai"] else (),
        templates=file.parent / (reading["templates"] or TEMPLATES_FOLDER),
        requirements=reading["requirements"],
        origins={
            (name, each): table.spots[each]
            for name, table in tables.items()
            for each in (table.values if table else ())
        },
        plugins=_plugins(reading["plugins"], file, cwd),
    )


def _plugins(reading: Reading | None, file: Path, cwd: Path) -> tuple[Plugin, ...]:
    """The project's own plugins; their modules are found from the project's folder."""
    if reading is None:
        return ()
    from testrium.load.python_code import PythonCode  # few projects have plugins

    code = PythonCode(file.parent, cwd, reading.spot.complaints)
    for kind in KINDS:
        for name, reference in reading[kind].items():
            if why := code.reference_error(reference, "project"):
                reading.at(kind).at(name).wrong(why)
    return tuple(
        Plugin(kind, name, reference, file.name, str(file.parent))
        for kind in KINDS
        for name, reference in reading[kind].items()
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the project file, for editors."""
    return {"$schema": DIALECT, "title": "A project's testrium.toml"} | PROJECT.schema()
