"""The `[matrix]` of a group: its parameters, and which combinations of their values there are."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from annotated_types import MinLen

from testrium.declared.groups import Combination
from testrium.declared.keys import Key, Written, tuples
from testrium.declared.quantities import CONTROL, NAME, Unique
from testrium.load.document import Spot
from testrium.load.validate import read_value
from testrium.phrases import did_you_mean

#: The keys of the table that are no parameters.
EXCLUDE: Final = "exclude"
PRIMARY: Final = "primary"

#: More combinations than this are a mistake: each is a run of its own.
MOST: Final = 1000


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return not CONTROL.search(value)
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _text(value: Any) -> str:
    """A value as TOML writes it; a string as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_value(value: Any) -> str:
    if not _is_value(value):
        raise ValueError("must be a string without control characters, a number or a boolean")
    return _text(value)


_VALUE: Final = Written(_read_value, {"type": ["string", "number", "boolean"]})
Value = Annotated[str, _VALUE]
Values = Annotated[
    tuple[Value, ...], MinLen(1), Unique(), Key(items="strings, numbers or booleans")
]

_SOME_VALUES: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "object", "minProperties": 1, "additionalProperties": _VALUE.schema},
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {EXCLUDE: _SOME_VALUES, PRIMARY: _SOME_VALUES},
    "additionalProperties": {"type": "array", "minItems": 1, "items": _VALUE.schema},
}

#: Parameter -> its values.
Parameters = Mapping[str, tuple[str, ...]]


def parameter_names(table: Any) -> frozenset[str]:
    """The parameters that the table names, whether or not their values can be used."""
    return frozenset(table) - {EXCLUDE, PRIMARY} if isinstance(table, dict) else frozenset()


def read_matrix(table: Any, spot: Spot) -> tuple[Combination, ...]:
    """All combinations, in the order of the file: the last parameter changes fastest.

    An entry of `exclude` or `primary` stands for all combinations that have its values. What is
    wrong is noted; then the result is of no use.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return ()
    parameters = _read_parameters(table, spot)
    excluded = _read_entries(table.get(EXCLUDE, []), spot.at(EXCLUDE), parameters)
    primary = _read_entries(table.get(PRIMARY, []), spot.at(PRIMARY), parameters)
    if (number := math.prod(map(len, parameters.values()))) > MOST:
        spot.wrong(f"makes {number} combinations; {MOST} is the most")
        return ()
    every = [
        dict(zip(parameters, values, strict=True))
        for values in itertools.product(*parameters.values())
    ]
    kept = [params for params in every if not any(_has(params, entry) for entry, _ in excluded)]
    if every and not kept:
        spot.at(EXCLUDE).wrong("leaves no combination")
    for entry, place in primary:
        if kept and not any(_has(params, entry) for params in kept):
            place.wrong("is no combination that exclude leaves")
    return tuple(
        Combination(params, not primary or any(_has(params, entry) for entry, _ in primary))
        for params in kept
    )


def _read_parameters(table: Mapping[str, Any], spot: Spot) -> Parameters:
    parameters: dict[str, tuple[str, ...]] = {}
    variables: dict[str, str] = {}
    names = [name for name in table if name not in (EXCLUDE, PRIMARY)]
    if not names:
        spot.wrong("names no parameter")
    for name in names:
        place = spot.at(name)
        if not NAME.fullmatch(name):
            place.wrong(
                "is no name of a parameter: up to 64 letters, digits, '_', '.' and '-',"
                " with a letter or digit first"
            )
        variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
        if (first := variables.setdefault(variable, name)) != name:
            place.wrong(f"shares the variable TESTRIUM_PARAM_{variable} with {first!r}")
        parameters[name] = read_value(Values, tuples(table[name]), place) or ()
    return parameters


def _read_entries(
    value: Any, spot: Spot, parameters: Parameters
) -> list[tuple[Mapping[str, str], Spot]]:
    """The entries of `exclude` or `primary`, each with its place."""
    if not isinstance(value, list):
        spot.wrong("must be a list of tables")
        return []
    entries: list[tuple[Mapping[str, str], Spot]] = []
    for index, table in enumerate(value):
        place = spot.at(index)
        if not isinstance(table, dict):
            place.wrong("must be a table")
        elif not table:
            place.wrong("must name a parameter")
        else:
            entry = _read_entry(table, place, parameters)
            if len(entry) == len(table):
                entries.append((entry, place))
    return entries


def _read_entry(table: Mapping[str, Any], spot: Spot, parameters: Parameters) -> dict[str, str]:
    entry = {}
    for name, value in table.items():
        place = spot.at(name)
        if name not in parameters:
            place.wrong(f"unknown parameter{did_you_mean(name, parameters)}")
            continue
        text = read_value(Value, value, place)
        if text is None:
            continue
        known = parameters[name]
        if known and text not in known:
            place.wrong(f"must be one of: {', '.join(known)}{did_you_mean(text, known)}")
            continue
        entry[name] = text
    return entry


def _has(params: Mapping[str, str], entry: Mapping[str, str]) -> bool:
    return entry.items() <= params.items()
