"""The effective scenario of a run as TOML, so the run folder explains itself anywhere.

Keys and values are spelled as the user's files spell them, with what was decided beside them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from testrium.declared.circuits import Circuit
from testrium.declared.groups import Group, Scenario
from testrium.declared.keys import STORED, as_written, toml_tables
from testrium.errors import InfraError
from testrium.system.files import regular_text
from testrium.variables import env_names

FILE = "scenario.toml"


def write_scenario(scenario: Scenario, path: Path) -> None:
    """Write what was run: every key of the group and its units with the value in force.

    What is undefined is left out. Raises OSError.
    """
    import tomli_w  # 4 ms, while the units start

    data = as_written(scenario)
    group = data.pop("group")
    for redundant in ("units", "notices"):
        group.pop(redundant, None)
    units = {unit.pop("name"): unit for unit in data.pop("units")}
    text = tomli_w.dumps({"scenario": data, "group": group, "units": units})
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(text.encode(errors="surrogateescape"))  # names of folders are bytes


def read_scenario(path: Path) -> Scenario:
    """What such a file says of which scenario was run; units and rules are left empty.

    Raises:
        InfraError: it cannot be read, or is not such a file.
    """
    try:
        data = toml_tables(regular_text(path, errors="surrogateescape"))
        scenario, group = data["scenario"], data["group"]
        return Scenario(
            id=scenario["id"],
            group=Group(group["id"], Path(group["folder"]), ()),
            units=(),
            mode=scenario["mode"],
            params=scenario["params"],
            repeat=scenario["repeat"],
            folder_name=scenario["folder_name"],
            strict=scenario.get("strict", False) is True,
            values=scenario.get("values", {}),
            env_names=tuple(scenario.get("env_names", ())),
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InfraError(f"cannot read {path}: {error}") from error


def restored_scenario(path: Path) -> Scenario:
    """All that such a file says: units, circuits and every other rule, as they were then.

    Raises InfraError: it cannot be read, or another version of Testrium has written it.
    """
    from pydantic import TypeAdapter  # a run that is being recorded does not read scenarios

    try:
        data = toml_tables(regular_text(path))
        units = [{"name": name, **unit} for name, unit in data["units"].items()]
        group = {**data["group"], "units": [], "notices": []}
        whole: dict[str, Any] = {**data["scenario"], "group": group, "units": units}
        scenario: Scenario = TypeAdapter(Scenario).validate_python(whole, context={STORED: True})
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InfraError(f"cannot read the rules in {path}: {error}") from error
    group_units = replace(scenario.group, units=scenario.units)
    names = tuple(sorted(env_names(data)))  # older files have no such list
    return scenario._replace(group=group_units, env_names=names)


def read_circuits(path: Path) -> tuple[Circuit, ...]:
    """The circuits of such a file. Raises InfraError, as `restored_scenario` does."""
    return restored_scenario(path).group.circuits
