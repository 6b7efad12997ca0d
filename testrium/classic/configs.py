"""The classic validation of dictionaries, with the rules of `testrium.load`.

Dictionaries have the keys as TOML spells them; old spellings come back as the new ones. What is
wrong raises ValueError, whose text names every mistake, joined by "; ".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from testrium.declared.groups import MODES, Configs
from testrium.declared.keys import field_named, key_name, key_of, keys_of
from testrium.declared.units import Unit
from testrium.errors import Problem
from testrium.load.document import Complaints, Document, Spot
from testrium.load.units import UnitFile, check_units
from testrium.load.validate import read

CONFIG_DEFAULTS: Final[dict[str, Any]] = {
    "enabled": True,
    "units": [],
    "debug-modes": list(MODES),
    "test-modes": ["DEBUG"],
    "repeat": 0,
    "timeout": 30,
    "use-ai": False,
    "diagnostics": True,
    "detect-bad-behavior": True,
    "save-resume": True,
    "gen-metrics": True,
    "save-metrics": True,
    "save-scores": True,
}
UNIT_DEFAULTS: Final[dict[str, Any]] = {
    "enabled": True,
    "entrypoint": None,
    "ready_event": None,
    "ready_timeout": 10,
    "timeout": None,
    "use_setup": False,
    "in-except": "Stop",
    "unit_dependencies": [],
    "events": [],
}
VALID_DEBUG_MODES: Final = set(MODES)
VALID_IN_EXCEPT: Final = {"Stop", "Resume", "Reload", "Resume-ALL"}
LEGACY_CONFIG_KEYS: Final = {
    key_of(field).old: key for field, key in keys_of(Configs) if key_of(field).old
}
LEGACY_UNIT_KEYS: Final = {
    key_of(field).old: key for field, key in keys_of(Unit) if key_of(field).old
}


def normalize_config(config: dict[str, Any]) -> dict[str, Any]:
    """The contents of a config.toml with the defaults of `[Configs]` filled in.

    Raises:
        ValueError: something in `[Configs]` is wrong.
    """
    if not isinstance(config, dict):
        raise ValueError("config.toml must load into a dictionary")  # noqa: TRY004 - classic
    table = config.get("Configs")
    if not isinstance(table, dict):
        raise ValueError('config.toml must contain a ["Configs"] table')  # noqa: TRY004 - classic
    complaints = Complaints()
    read(Configs, table, _spot(table, "Configs", complaints))
    _raise_if_any(complaints.problems, "Configs.")
    return config | {"Configs": _copy(CONFIG_DEFAULTS) | _canonical(Configs, table)}


def normalize_unit_config(config: dict[str, Any], unit_name: str | None = None) -> dict[str, Any]:
    """A unit's table with defaults filled in, and its `name`.

    Raises:
        ValueError: something in it is wrong.
    """
    if not isinstance(config, dict):
        raise ValueError("unit config must load into a dictionary")  # noqa: TRY004 - classic
    table, name = _without_name(config)
    complaints = Complaints()
    spot = _spot(table, "unit", complaints)
    if "init" not in table:
        spot.at("init").wrong("is required")  # as it always was of a dictionary
    read(Unit, _given(table), spot)
    _raise_if_any(complaints.problems, "unit ")
    result = _copy(UNIT_DEFAULTS) | _canonical(Unit, table)
    name = unit_name if unit_name is not None else name
    return result if name is None else result | {"name": name}


def validate_unit_collection(units: Sequence[dict[str, Any]], configured_units: list[str]) -> None:
    """Check units against each other and against the names in `Configs.units`.

    Raises:
        ValueError: a unit is missing or too much, depends on one that is unknown or disabled, or
            on itself; or two have the same init.
    """
    names = [unit["name"] for unit in units]
    differences = [
        f"{word}: {', '.join(found)}"
        for word, found in (
            ("missing", [name for name in configured_units if name not in names]),
            ("extra", [name for name in names if name not in configured_units]),
        )
        if found
    ]
    if differences:
        raise ValueError(f"unit config mismatch ({', '.join(differences)})")
    complaints = Complaints()
    files = [_unit_file(unit, complaints) for unit in units]
    _raise_if_any(complaints.problems, "unit ")
    check_units(files, names)
    if complaints.problems:
        raise ValueError("; ".join(problem.message for problem in complaints.problems))


def validate_config(config: dict[str, Any]) -> bool:
    """Whether `normalize_config` takes it."""
    try:
        normalize_config(config)
    except ValueError:
        return False
    return True


def validate_unit(config: dict[str, Any]) -> bool:
    """Whether `normalize_unit_config` takes it."""
    try:
        normalize_unit_config(config)
    except ValueError:
        return False
    return True


def _canonical(kind: type[Any], table: dict[str, Any]) -> dict[str, Any]:
    """A valid table with every key as the contract spells it."""
    fields = {spelling: field_named(kind, spelling) for spelling in table}
    return {
        key_name(field): table[spelling] for spelling, field in fields.items() if field is not None
    }


def _unit_file(unit: dict[str, Any], complaints: Complaints) -> UnitFile:
    table, _ = _without_name(unit)
    return UnitFile(unit["name"], "", read(Unit, _given(table), _spot(table, "unit", complaints)))


def _without_name(unit: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    return {key: value for key, value in unit.items() if key != "name"}, unit.get("name")


def _given(table: dict[str, Any]) -> dict[str, Any]:
    """The table without the None that stands for "not given" in normalised units."""
    return {key: value for key, value in table.items() if value is not None or key not in _NULLABLE}


_NULLABLE: Final = frozenset(key for key, value in UNIT_DEFAULTS.items() if value is None)


def _copy(defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, list) else v for key, v in defaults.items()}


def _spot(table: dict[str, Any], name: str, complaints: Complaints) -> Spot:
    return Spot(Document("", "", {name: table}, main=(name,)), (name,), complaints)


def _raise_if_any(problems: Iterable[Problem], prefix: str) -> None:
    if texts := [f"{prefix}{problem.key} {problem.message}" for problem in problems]:
        raise ValueError("; ".join(texts))
