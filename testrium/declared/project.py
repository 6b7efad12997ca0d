"""The project file: `testrium.toml`, or `[tool.testrium]` in `pyproject.toml`."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final

from annotated_types import MinLen

from testrium.declared.keys import Key, Written, nothing, table
from testrium.declared.quantities import NAME, Entrypoint, FilledText, Named, Text, Variables

#: Tables of defaults, which may stand in a `testrium.toml` of any folder.
CONFIGS_TABLE: Final = "Configs"
UNIT_TABLE: Final = "unit"


def _any_table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("must be a table")  # noqa: TRY004 - shown
    return value


#: A table that is checked elsewhere.
_TABLE: Final = Written(_any_table, {"type": "object"})
_Plugins = Annotated[Mapping[str, Entrypoint], Named(NAME.pattern, "name of a plugin")]


@table
class AiTable:
    """The table `[ai]`: the command that is asked about failures."""

    command: Annotated[tuple[FilledText, ...], MinLen(1), Key(required=True)] = ()


@table
class PluginsTable:
    """The table `[plugins]`: the project's own plugins, by kind and name."""

    writers: _Plugins = field(default_factory=nothing)
    checks: _Plugins = field(default_factory=nothing)
    normalizers: _Plugins = field(default_factory=nothing)
    readiness: _Plugins = field(default_factory=nothing)
    units: _Plugins = field(default_factory=nothing)


@table
class ProjectTable:
    """All keys of the project file."""

    state: FilledText | None = None
    """The state folder, below the folder of this file."""
    configs: Annotated[Mapping[str, Any] | None, _TABLE, Key(CONFIGS_TABLE)] = None
    """Defaults for every key of `[Configs]`."""
    unit: Annotated[Mapping[str, Any] | None, _TABLE, Key(UNIT_TABLE)] = None
    """Defaults for every key of a unit."""
    run: Annotated[Mapping[str, Any] | None, _TABLE] = None
    """Defaults for the options of `testrium run`: `jobs = 4`, `junit = "out.xml"`."""
    env: Variables = field(default_factory=nothing)
    """Variables for every process of every group."""
    pythonpath: tuple[FilledText, ...] = ()
    """Folders, below the folder of this file, for all Python code of groups."""
    ai: AiTable | None = None
    """The command that is asked about failures."""
    plugins: PluginsTable | None = None
    """The project's own plugins."""
    templates: FilledText | None = None
    """The folder of the project's own templates of groups."""
    requirements: Annotated[
        Mapping[str, Text] | None, Named(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f]+", "id of a requirement")
    ] = None
    """Ids of requirements, with what each requires."""
