"""The effective scenario of a run as TOML, so that the run folder explains itself anywhere."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from testrium.declared.groups import Group, Scenario
from testrium.errors import InfraError
from testrium.system.safe_open import regular_text

FILE = "scenario.toml"


def write_scenario(scenario: Scenario, path: Path) -> None:
    """Write what was run: every key of the group and its units with the value in force.

    What is undefined is left out. Raises OSError.
    """
    import tomli_w

    data = plain(scenario)
    group = data.pop("group")
    for redundant in ("units", "notices"):
        group.pop(redundant, None)
    units = {unit.pop("name"): unit for unit in data.pop("units")}
    path.touch(mode=0o600)
    text = tomli_w.dumps({"scenario": data, "group": group, "units": units})
    path.write_text(text, encoding="utf-8", errors="surrogateescape")  # names of folders are bytes


def read_scenario(path: Path) -> Scenario:
    """What such a file says of which scenario was run; units and rules are left empty.

    Raises:
        InfraError: it cannot be read, or is no such file.
    """
    try:
        data = tomllib.loads(regular_text(path, errors="surrogateescape"))
        scenario, group = data["scenario"], data["group"]
        return Scenario(
            id=scenario["id"],
            group=Group(group["id"], Path(group["folder"]), ()),
            units=(),
            mode=scenario["mode"],
            params=scenario["params"],
            repeat=scenario["repeat"],
            folder_name=scenario["folder_name"],
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InfraError(f"cannot read {path}: {error}") from error


def plain(value: Any) -> Any:
    """`value` as what TOML and JSON can hold.

    None is left out where it is the default of its field, and "" elsewhere.
    """
    if hasattr(value, "_asdict"):  # a NamedTuple
        defaults = value._field_defaults
        return {
            name: plain(inner) if inner is not None else ""
            for name, inner in value._asdict().items()
            if inner is not None or defaults.get(name) is not None
        }
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list | frozenset | set):
        return [plain(inner) if inner is not None else "" for inner in value]
    return str(value) if isinstance(value, Path) else value
