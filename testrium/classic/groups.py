"""The classic functions that find, read and validate groups, with the rules of `testrium.load`."""

from __future__ import annotations

import inspect
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from testrium.declared.groups import MODES, Configs
from testrium.declared.keys import field_named, key_name, key_of, keys_of
from testrium.declared.units import Unit
from testrium.errors import ConfigError, Problem
from testrium.load.discover import UNITS_FOLDER, Found, Search, find_groups
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.load.group import LoadingInputs, load_group
from testrium.load.project import find_project
from testrium.load.python_code import PythonCode
from testrium.load.test_functions import CALLBACKS, test_modules
from testrium.load.units import UnitFile, check_units
from testrium.load.validate import read
from testrium.resources import template_folder

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
    collector = ProblemCollector(repeats_values=False)
    read(Configs, table, _spot(table, "Configs", collector))
    _raise_if_any(collector.problems, "Configs.")
    return config | {"Configs": _copy(CONFIG_DEFAULTS) | _canonical(Configs, table)}


def normalize_unit_config(config: dict[str, Any], unit_name: str | None = None) -> dict[str, Any]:
    """A unit's table with defaults filled in, and its `name`.

    Raises:
        ValueError: something in it is wrong.
    """
    if not isinstance(config, dict):
        raise ValueError("unit config must load into a dictionary")  # noqa: TRY004 - classic
    table, name = _without_name(config)
    collector = ProblemCollector(repeats_values=False)
    spot = _spot(table, "unit", collector)
    if "init" not in table:
        spot.at("init").wrong("is required")  # as it always was of a dictionary
    read(Unit, _given(table), spot)
    _raise_if_any(collector.problems, "unit ")
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
    collector = ProblemCollector(repeats_values=False)
    files = [_unit_file(unit, collector) for unit in units]
    _raise_if_any(collector.problems, "unit ")
    check_units(files, names)
    if collector.problems:
        raise ValueError("; ".join(problem.message for problem in collector.problems))


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


def _unit_file(unit: dict[str, Any], collector: ProblemCollector) -> UnitFile:
    table, _ = _without_name(unit)
    return UnitFile(unit["name"], "", read(Unit, _given(table), _spot(table, "unit", collector)))


def _without_name(unit: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    return {key: value for key, value in unit.items() if key != "name"}, unit.get("name")


def _given(table: dict[str, Any]) -> dict[str, Any]:
    """The table without the None that means "not given" in normalised units."""
    return {key: value for key, value in table.items() if value is not None or key not in _NULLABLE}


_NULLABLE: Final = frozenset(key for key, value in UNIT_DEFAULTS.items() if value is None)


def _copy(defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, list) else v for key, v in defaults.items()}


def _spot(table: dict[str, Any], name: str, collector: ProblemCollector) -> Spot:
    return Spot(Document("", "", {name: table}, main=(name,)), (name,), collector)


def _raise_if_any(problems: Iterable[Problem], prefix: str) -> None:
    if texts := [f"{prefix}{problem.key} {problem.message}" for problem in problems]:
        raise ValueError("; ".join(texts))


#: A group's name and its units as dictionaries, sorted by `init`.
FoundTest = tuple[str, list[dict[str, Any]]]


def load_config(config_path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config.toml with the defaults of `[Configs]` filled in.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not TOML, or something in `[Configs]` is wrong.
    """
    return normalize_config(_read_toml(Path(config_path)))


def discover_tests(
    base_dir: str | os.PathLike[str], exclude_tests: Iterable[str], strict: bool = True
) -> list[FoundTest]:
    """The enabled groups below a folder, in sorted order, with their units.

    Args:
        base_dir: the folder to search.
        exclude_tests: ids or folder names of groups to leave out.
        strict: whether a group that is described wrongly is an error; else it is left out.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: a group is described wrongly, and `strict`.
    """
    base = Path(base_dir).resolve()
    if not base.is_dir():
        raise FileNotFoundError(f"no such folder: {base_dir}")
    excluded = set(exclude_tests)
    collector = ProblemCollector(repeats_values=False)
    try:
        project = find_project(base)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    around = LoadingInputs.of(base, project)
    groups = find_groups([base], Search.of(base, project, collector))
    if strict and collector.problems:
        raise ValueError("; ".join(map(str, collector.problems)))
    tests = (
        _read_group(found, around, strict=strict)
        for found in groups
        if found.id not in excluded and found.folder.name not in excluded
    )
    return [test for test in tests if test is not None]


def resolve_units(
    path: str | os.PathLike[str], config_path: str | os.PathLike[str]
) -> list[dict[str, Any]]:
    """The units that a config.toml names, as dictionaries with defaults, sorted by `init`.

    Args:
        path: the folder of the unit files.
        config_path: the group's config.toml.

    Raises:
        FileNotFoundError: the folder or a file is missing.
        ValueError: a file is wrong.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {path}")
    names = load_config(config_path)["Configs"]["units"]
    tables = {name: _read_toml(folder / f"{name}.toml") for name in names}
    missing = [name for name, table in tables.items() if name not in table]
    if missing:
        raise ValueError("; ".join(f"{name}.toml has no table [{name}]" for name in missing))
    units = [
        normalize_unit_config({"init": place, **tables[name][name]}, name)
        for place, name in enumerate(names)
    ]
    return sorted(units, key=lambda unit: int(unit["init"]))


def load_test_functions(dir_path: str | os.PathLike[str]) -> dict[str, Callable[[], object]]:
    """Import the modules of a group's folder here; their `test_*` functions by name.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: a module cannot be read, or has what a group may not have.
    """
    found = {
        name: value
        for module in _test_modules(Path(dir_path))
        for name, value in vars(module).items()
        if name.startswith("test_") and name != "test_config" and inspect.isroutine(value)
    }
    return dict(sorted(found.items()))


def load_special_callbakcs(
    dir_path: str | os.PathLike[str],
) -> dict[str, Callable[..., object] | None]:
    """Import the modules of a group's folder here; its callbacks, None for one that it has not.

    Raises as `load_test_functions`.
    """
    modules = _test_modules(Path(dir_path))
    return {
        name: next((vars(each)[name] for each in modules if name in vars(each)), None)
        for name in CALLBACKS
    }


def _test_modules(folder: Path) -> list[ModuleType]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    collector = ProblemCollector()
    code = PythonCode(folder, Path.cwd(), collector)
    names = test_modules(folder, code, (), Path.cwd(), collector)
    if collector.problems:
        raise ValueError("; ".join(map(str, collector.problems)))
    return [imported(folder / f"{name}.py") for name in names]


def imported(file: Path) -> ModuleType:
    """A Python file as a module, made anew; its folder is searched for what it imports."""
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    folder = str(file.resolve().parent)
    module = module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def resolve_generation_path(path: str | os.PathLike[str] | None) -> str:
    """The folder in which a template is made; None is the current one."""
    return str(Path.cwd() / (path or "."))


def resolve_template(type: str, path: str | os.PathLike[str] | None = ".") -> None:  # noqa: A002
    """Make the files of a template that are not there yet, and print what was made.

    Raises:
        ValueError: no template has this `type` ("config-template").
    """
    if type != "config-template":
        raise ValueError(f"no template {type!r}: use 'config-template'")
    source, target = template_folder() / "scaffold" / "hello", Path(resolve_generation_path(path))
    for file in sorted(each for each in source.rglob("*") if each.is_file()):
        new = target / file.relative_to(source)
        if new.exists():
            print(f"{new.name} already exists")  # noqa: T201 - as 0.3.0 did
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(file.read_bytes())
    print(f"config template generated in {target}")  # noqa: T201


def _read_group(found: Found, around: LoadingInputs, *, strict: bool) -> FoundTest | None:
    collector = ProblemCollector(repeats_values=False)
    group = load_group(found, around, collector)
    if collector.problems or group is None:
        if strict:
            raise ValueError(f"{found.id}: {'; '.join(map(str, collector.problems))}")
        return None
    if not group.enabled:
        return None
    files = {unit.name: found.folder / UNITS_FOLDER / f"{unit.name}.toml" for unit in group.units}
    units = [
        normalize_unit_config({"init": place, **_read_toml(file)[name]}, name)
        for place, (name, file) in enumerate(files.items())
    ]
    return found.id, sorted(units, key=lambda unit: int(unit["init"]))


def _read_toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)
