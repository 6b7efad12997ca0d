"""The optional project file: defaults for all groups, and the place of the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from testrium.load.document import Complaints, Spot, read_document, shown_path
from testrium.load.kinds import FILLED_TEXT, Kind, list_of
from testrium.load.schema import CONFIGS, DIALECT, UNIT
from testrium.load.shape import Key, Shape
from testrium.model import EMPTY

FILE_NAME: Final = "testrium.toml"
STATE_FOLDER: Final = ".testrium"
TEMPLATES_FOLDER: Final = "testrium-templates"


def _defaults_of(shape: Shape) -> Kind:
    """A table with keys of `shape`, none of them required; it becomes the given fields."""

    def read(value: Any, spot: Spot) -> Any:
        if isinstance(value, dict):
            return shape.read_given(value, spot).values
        spot.wrong("must be a table")
        return EMPTY

    return Kind(read, shape.schema(partial=True))


_AI = Shape(Key("command", list_of(FILLED_TEXT, least=1), required=True))

PROJECT: Final = Shape(
    Key("state", FILLED_TEXT),
    Key("Configs", _defaults_of(CONFIGS), EMPTY),
    Key("unit", _defaults_of(UNIT), EMPTY),
    Key("ai", _AI.kind()),
    Key("templates", FILLED_TEXT),
)


@dataclass(frozen=True, slots=True)
class Project:
    """What holds for all groups.

    `configs` and `unit` are fields of `load.schema.CONFIGS` and `UNIT` that stand in for keys that
    a group leaves out. `ai_command` is () where none is given. `templates` is the folder of the
    project's own templates of groups, which need not exist.
    """

    state_folder: Path
    file: Path | None = None
    configs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    unit: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    ai_command: tuple[str, ...] = ()
    templates: Path | None = None


def find_project(cwd: Path) -> Project:
    """The project of a folder: from the nearest `testrium.toml`, or `pyproject.toml` with a
    `[tool.testrium]` table, in `cwd` or above; without one, defaults and a state folder in `cwd`.

    Raises:
        ConfigError: the file cannot be read or holds something wrong.
    """
    cwd = cwd.resolve()
    complaints = Complaints()
    project = Project(cwd / STATE_FOLDER, templates=cwd / TEMPLATES_FOLDER)
    for folder in (cwd, *cwd.parents):
        if found := _project_in(folder, cwd, complaints):
            project = found
            break
    complaints.raise_if_any()
    return project


def _project_in(folder: Path, cwd: Path, complaints: Complaints) -> Project | None:
    for name in (FILE_NAME, "pyproject.toml"):
        file = folder / name
        if not file.is_file():
            continue
        document = read_document(file, shown_path(file, cwd), complaints)
        if document is None:
            continue
        if name == FILE_NAME:
            return _read(document.data, Spot(document, (), complaints), file)
        tools = document.data.get("tool")
        table = tools.get("testrium") if isinstance(tools, dict) else None
        if isinstance(table, dict):
            return _read(table, Spot(document, ("tool", "testrium"), complaints), file)
    return None


def _read(table: dict[str, Any], spot: Spot, file: Path) -> Project:
    reading = PROJECT.read(table, spot)
    return Project(
        state_folder=file.parent / (reading["state"] or STATE_FOLDER),
        file=file,
        configs=reading["Configs"],
        unit=reading["unit"],
        ai_command=reading["ai"]["command"] if reading["ai"] else (),
        templates=file.parent / (reading["templates"] or TEMPLATES_FOLDER),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the project file, for editors."""
    return {"$schema": DIALECT, "title": "A project's testrium.toml"} | PROJECT.schema()
