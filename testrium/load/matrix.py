"""The `[matrix]` of a group: its parameters, and which combinations of their values there are."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from annotated_types import MinLen

from testrium.declared.groups import Combination
from testrium.declared.keys import Key, Written, tuples
from testrium.declared.quantities import CONTROL, NAME, Entrypoint
from testrium.errors import TestriumError
from testrium.load.document import Spot
from testrium.load.validate import read_value
from testrium.phrases import did_you_mean, shown
from testrium.variables import replaced_parameters

#: The keys of the table that are no parameters.
EXCLUDE: Final = "exclude"
PRIMARY: Final = "primary"
FROM: Final = "from"
_KEYS: Final = (EXCLUDE, PRIMARY, FROM)
#: What names a value that is a table.
ID: Final = "id"

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
Values = Annotated[tuple[Any, ...], MinLen(1), Key(items="strings, numbers, booleans or tables")]

_SOME_VALUES: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "object", "minProperties": 1, "additionalProperties": _VALUE.schema},
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {EXCLUDE: _SOME_VALUES, PRIMARY: _SOME_VALUES, FROM: {"type": "string"}},
    "additionalProperties": {
        "type": "array",
        "minItems": 1,
        "items": {"type": [*_VALUE.schema["type"], "object"]},
    },
}


class ParameterValue(NamedTuple):
    """A value of a parameter: its text, and what a table holds besides, by `name.key`."""

    text: str
    fields: Mapping[str, str]


#: Parameter -> its values.
Parameters = Mapping[str, tuple[ParameterValue, ...]]
#: What `from` names is called with this: it raises NoTablesError.
Call = Callable[[str], list[Any]]


class NoTablesError(TestriumError):
    """The function that `from` names gave no list of tables."""


def parameter_names(table: Any) -> frozenset[str]:
    """The parameters that the table names, whether or not their values can be used."""
    return frozenset(table) - set(_KEYS) if isinstance(table, dict) else frozenset()


def known_parameters(table: Any, combinations: Sequence[Combination]) -> frozenset[str]:
    """What `${param.NAME}` may name: what every combination has."""
    if not combinations:
        return parameter_names(table)
    every = ({*one.params, *one.fields} for one in combinations)
    return frozenset(set.intersection(*every))


def read_matrix(table: Any, spot: Spot, call: Call) -> tuple[Combination, ...]:
    """All combinations, in the order of the file: the last parameter changes fastest.

    An entry of `exclude` or `primary` stands for all combinations that have its values. What is
    wrong is noted; then the result is of no use.

    Args:
        table: the `[matrix]`.
        spot: its place.
        call: calls what `from` names.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return ()
    parameters = _read_parameters(table, spot)
    given = [{}] if FROM not in table else _given(table[FROM], spot.at(FROM), call, parameters)
    known: dict[str, set[str]] = {
        name: {value.text for value in values} for name, values in parameters.items()
    }
    for one in given:
        for name, value in one.items():
            known.setdefault(name, set()).add(value.text)
    excluded = _read_entries(table.get(EXCLUDE, []), spot.at(EXCLUDE), known)
    primary = _read_entries(table.get(PRIMARY, []), spot.at(PRIMARY), known)
    if (number := len(given) * math.prod(map(len, parameters.values()))) > MOST:
        spot.wrong(f"makes {number} combinations; {MOST} is the most")
        return ()
    every = [
        _combination({**one, **dict(zip(parameters, values, strict=True))})
        for one in given
        for values in itertools.product(*parameters.values())
    ]
    kept = [one for one in every if not any(_has(one.params, entry) for entry, _ in excluded)]
    if every and not kept:
        spot.at(EXCLUDE).wrong("leaves no combination")
    for entry, place in primary:
        if kept and not any(_has(one.params, entry) for one in kept):
            place.wrong("names no combination: exclude removes all that match")
    return tuple(
        one._replace(primary=not primary or any(_has(one.params, entry) for entry, _ in primary))
        for one in kept
    )


def _combination(values: Mapping[str, ParameterValue]) -> Combination:
    fields: dict[str, str] = {}
    for value in values.values():
        fields |= value.fields
    return Combination({name: value.text for name, value in values.items()}, fields=fields)


def _given(
    entrypoint: Any, spot: Spot, call: Call, parameters: Parameters
) -> list[dict[str, ParameterValue]]:
    """The tables that a function gives, each with a value for some parameters."""
    if read_value(Entrypoint, entrypoint, spot) is None:
        return []
    try:
        tables = call(entrypoint)
    except NoTablesError as error:
        spot.wrong(f"{entrypoint}: {error}")
        return []
    found = []
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict) or not table:
            spot.wrong(f"{entrypoint}: item {number} must be a table of parameters")
            continue
        values = {}
        for name, value in table.items():
            problem = ""
            if not NAME.fullmatch(name) or name in _KEYS:
                problem = "must be a name of a parameter"
            elif name in parameters:
                problem = "is a parameter of the file too"
            else:
                try:
                    values[name] = _value(name, value)
                except ValueError as error:
                    problem = str(error)
            if problem:
                spot.wrong(f"{entrypoint}: item {number}: {shown(name)}: {problem}")
        found.append(values)
    if not tables:
        spot.wrong(f"{entrypoint}: gives no combination")
    return found


def _value(name: str, value: Any) -> ParameterValue:
    """A value of the parameter `name`. Raises ValueError: it is none."""
    if not isinstance(value, dict):
        return ParameterValue(_read_value(value), {})
    if ID not in value:
        raise ValueError(f"a table needs {ID!r}, which names it in the result's id")
    return ParameterValue(_read_value(value[ID]), dict(_fields(f"{name}.", value)))


def _fields(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _fields(f"{prefix}{key}.", value)
        else:
            yield prefix + key, _read_value(value)


#: How long a function may take to give its tables (seconds), and how much it may give (bytes).
CALL_LIMIT_S: Final = 30.0
_MOST_BYTES: Final = 10_000_000
#: What the function's process runs; what it prints goes to standard error.
_PROGRAM: Final = """
import importlib, json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
folder, module, function, *path = sys.argv[1:]
sys.path[:0] = [folder, *path]
found = importlib.import_module(module)
for name in function.split("."):
    found = getattr(found, name)
answer.write(json.dumps(list(found())))
"""


def tables_of(entrypoint: str, folder: Path, path: Sequence[Path] = ()) -> list[Any]:
    """The tables that a function returns, which is called in a process of its own.

    Args:
        entrypoint: `module:function`, in the group's folder or importable.
        folder: the group's, where the process starts.
        path: further folders for its imports.

    Raises:
        NoTablesError: it raised, took too long, or returned something else; says what.
    """
    module, _, function = entrypoint.partition(":")
    words = [sys.executable, "-c", _PROGRAM, str(folder), module, function, *map(str, path)]
    process = subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # what it has started ends with it
    )
    try:
        answer, said = process.communicate(timeout=CALL_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NoTablesError(f"took longer than {CALL_LIMIT_S:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        last = said.decode(errors="backslashreplace").strip().rpartition("\n")[2]
        raise NoTablesError(f"it raised {shown(last)}" if last else "its process ended half-way")
    if len(answer) > _MOST_BYTES:
        raise NoTablesError(f"returned more than {_MOST_BYTES / 1e6:.0f} MB")
    try:
        tables = json.loads(answer)
    except ValueError:
        raise NoTablesError("its process ended before it returned") from None
    assert isinstance(tables, list), "the program writes a list"
    return tables


#: The keys of a check that are not filled in when it is made.
_EARLY_IN_CHECKS: Final = ("name", "count", "expect", "at", "normalize")
#: Tables whose texts are filled in when processes are started.
_LATE: Final = ("matrix", "env")


def uses_parameters(data: Mapping[str, Any]) -> bool:
    """Whether a text that is read while loading names a parameter."""
    found: list[str] = []

    def note(text: str, _: Spot | None) -> str:
        found.append(text)
        return text

    _filled(data, note, None)
    return bool(found)


def with_parameters(data: Mapping[str, Any], one: Combination, whole: Spot) -> dict[str, Any]:
    """A group's tables with the values of a combination in texts that are read while loading.

    A parameter that is not there is noted as wrong.
    """
    values = {**one.params, **one.fields}

    def fill(text: str, spot: Spot | None) -> str:
        filled, unknown = replaced_parameters(text, values)
        for name in unknown:
            if spot is not None:
                guess = did_you_mean(f"param.{name}", [f"param.{known}" for known in values], 0.8)
                spot.wrong(f"unknown variable ${{param.{name}}}{guess}")
        return filled

    return _filled(data, fill, whole)


def _filled(
    data: Mapping[str, Any], fill: Callable[[str, Spot | None], str], whole: Spot | None
) -> dict[str, Any]:
    def walk(value: Any, spot: Spot | None) -> Any:
        if isinstance(value, str):
            return fill(value, spot) if "${param." in value else value
        if isinstance(value, dict):
            return {key: walk(one, spot and spot.at(key)) for key, one in value.items()}
        if isinstance(value, list):
            return [walk(one, spot and spot.at(n)) for n, one in enumerate(value)]
        return value

    filled: dict[str, Any] = {}
    for name, table in data.items():
        spot = whole and whole.at(name)
        if name in _LATE:
            filled[name] = table
        elif name == "checks" and isinstance(table, list):
            filled[name] = [
                {
                    key: walk(one, spot and spot.at(n, key)) if key in _EARLY_IN_CHECKS else one
                    for key, one in check.items()
                }
                if isinstance(check, dict)
                else check
                for n, check in enumerate(table)
            ]
        else:
            filled[name] = walk(table, spot)
    return filled


def _read_parameters(table: Mapping[str, Any], spot: Spot) -> Parameters:
    parameters: dict[str, tuple[ParameterValue, ...]] = {}
    variables: dict[str, str] = {}
    names = [name for name in table if name not in _KEYS]
    if not names and FROM not in table:
        spot.wrong("names no parameter")
    for name in names:
        place = spot.at(name)
        if not NAME.fullmatch(name):
            place.wrong(
                "must be a name of a parameter: up to 64 letters, digits, '_', '.' and '-',"
                " with a letter or digit first"
            )
        variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
        if (first := variables.setdefault(variable, name)) != name:
            place.wrong(f"shares the variable TESTRIUM_PARAM_{variable} with {first!r}")
        parameters[name] = _read_values(name, table[name], place)
    return parameters


def _read_values(name: str, written: Any, spot: Spot) -> tuple[ParameterValue, ...]:
    values: dict[str, ParameterValue] = {}
    for index, each in enumerate(read_value(Values, tuples(written), spot) or ()):
        try:
            value = _value(name, each)
        except ValueError as error:
            spot.at(index).wrong(str(error))
            continue
        if value.text in values:
            spot.wrong(f"contains duplicate values: {value.text}")
        values[value.text] = value
    return tuple(values.values())


def _read_entries(
    value: Any, spot: Spot, parameters: Mapping[str, set[str]]
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


def _read_entry(
    table: Mapping[str, Any], spot: Spot, parameters: Mapping[str, set[str]]
) -> dict[str, str]:
    entry = {}
    for name, value in table.items():
        place = spot.at(name)
        if name not in parameters:
            place.wrong(f"unknown parameter{did_you_mean(name, parameters)}")
            continue
        text = read_value(Value, value, place)
        if text is None:
            continue
        known = sorted(parameters[name])
        if known and text not in known:
            place.wrong(f"must be one of: {', '.join(known)}{did_you_mean(text, known)}")
            continue
        entry[name] = text
    return entry


def _has(params: Mapping[str, str], entry: Mapping[str, str]) -> bool:
    return entry.items() <= params.items()
