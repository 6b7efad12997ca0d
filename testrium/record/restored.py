"""A scenario from the file that `scenario.write_scenario` has made: the rules as they were then."""

from __future__ import annotations

import functools
import tomllib
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from testrium.declared.circuits import Circuit
from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.system.safe_open import regular_text
from testrium.words import read_only


def restored_scenario(path: Path) -> Scenario:
    """All that such a file says: units, circuits and every other rule.

    Raises InfraError: it cannot be read, or another version of Testrium has written it.
    """
    try:
        data = tomllib.loads(regular_text(path))
        units = [{"name": name, **unit} for name, unit in data["units"].items()]
        group = {**data["group"], "units": [], "notices": []}
        scenario: Scenario = _restored(
            Scenario, {**data["scenario"], "group": group, "units": units}
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InfraError(f"cannot read the rules in {path}: {error}") from error
    return scenario._replace(group=scenario.group._replace(units=scenario.units))


def read_circuits(path: Path) -> tuple[Circuit, ...]:
    """The circuits of such a file. Raises InfraError, as `restored_scenario` does."""
    return restored_scenario(path).group.circuits


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _restored(kind: Any, value: Any) -> Any:
    """`value`, which `scenario.plain` has made, as what it was. Raises ValueError, TypeError."""
    if hasattr(kind, "_fields"):  # a NamedTuple
        fields = _fields(kind)
        return kind(**{name: _restored(fields[name], each) for name, each in value.items()})
    origin = get_origin(kind)
    if origin is tuple:
        return _restored_tuple(get_args(kind), value)
    if origin is Mapping:
        of_name, of_value = get_args(kind)
        # The names of a TOML table are texts, also where they were numbers.
        return read_only({of_name(name): _restored(of_value, each) for name, each in value.items()})
    if origin in (Union, types.UnionType):
        return _restored_choice(get_args(kind), value)
    if origin is Literal:
        return _one_of(get_args(kind), value)
    if isinstance(kind, type) and issubclass(kind, Enum | Path):
        return kind(value)
    if kind is Any or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise TypeError(f"{value!r} is no {kind}")


def _restored_tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    if kinds[-1] is Ellipsis:
        return tuple(_restored(kinds[0], each) for each in value)
    return tuple(_restored(kind, each) for kind, each in zip(kinds, value, strict=True))


def _restored_choice(kinds: tuple[Any, ...], value: Any) -> Any:
    """None has become "" where it could not be left out; no other kind has that value there."""
    if value == "" and type(None) in kinds and str not in kinds:
        return None
    for kind in kinds:
        try:
            return _restored(kind, value)
        except (TypeError, ValueError, AttributeError):
            continue
    raise TypeError(f"{value!r} is none of {kinds}")


def _one_of(words: tuple[Any, ...], value: Any) -> Any:
    if value not in words:
        raise ValueError(f"{value!r} is none of {words}")
    return value
