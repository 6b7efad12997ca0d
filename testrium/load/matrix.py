"""The `[matrix]` of a group: its parameters, and which combinations of their values there are."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from testrium.declared.groups import Combination
from testrium.declared.keys import Written
from testrium.declared.quantities import CONTROL, NAME, Entrypoint
from testrium.load.document import Spot
from testrium.load.units import UNREAD
from testrium.load.validate import read_value
from testrium.phrases import did_you_mean
from testrium.tuples import NamedTuple
from testrium.variables import as_text

#: The keys of the table that are not parameters.
EXCLUDE: Final = "exclude"
PRIMARY: Final = "primary"
FROM: Final = "from"
_NO_PARAMETERS: Final = frozenset({EXCLUDE, PRIMARY, FROM})

#: The name of a value that is a table.
ID: Final = "id"

#: More combinations than this are a mistake: each is a run of its own.
MOST: Final = 1000

#: How long the function of `from` may take.
FROM_LIMIT_S: Final = 30.0


_NOT_PLAIN: Final = "must be a string without control characters, a number or a boolean"
_NO_ID: Final = f"a value that is a table needs `{ID}`, its name: a string or a number"


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return not CONTROL.search(value)
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _read_value(value: Any) -> str:
    if not _is_plain(value):
        raise ValueError(_NOT_PLAIN)
    return as_text(value)


_VALUE: Final = Written(_read_value, {"type": ["string", "number", "boolean"]})
Value = Annotated[str, _VALUE]

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
        "items": {
            "type": ["string", "number", "boolean", "object"],
            "required": [ID],
        },
    },
}


class _Option(NamedTuple):
    """One value of a parameter: its name in ids, and what `${param.…}` gives, by the whole name."""

    id: str
    values: Mapping[str, Any]


#: Parameter -> its values.
Parameters = Mapping[str, tuple[_Option, ...]]

#: Calls `module:function`; raises ValueError, which says what went wrong.
Caller = Callable[[str], Any]


def unread_parameters(table: Any) -> list[str]:
    """The names of which nothing is known where the table is wrong: `size.*`; `*` with `from`."""
    if not isinstance(table, dict):
        return []
    listed = [f"{name}.{UNREAD}" for name in table if name not in _NO_PARAMETERS]
    return [UNREAD] if FROM in table else listed


def read_matrix(table: Any, spot: Spot, call: Caller) -> tuple[Combination, ...]:
    """All combinations, in the order of the file: the last parameter changes fastest.

    An entry of `exclude` or `primary` means all combinations that have its values. What is
    wrong is noted; then the result is of no use.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return ()
    parameters = _read_parameters(table, spot)
    given = _read_given(table[FROM], spot.at(FROM), call) if FROM in table else [{}]
    for name in parameters.keys() & (given[0] if given else {}).keys():
        spot.at(name).wrong(f"the function of {FROM!r} gives a parameter of this name too")
    if not parameters and FROM not in table:
        spot.wrong("names no parameter")
    known: dict[str, tuple[_Option, ...]] = dict(parameters)
    for one in given:
        for name, option in one.items():
            known[name] = (*known.get(name, ()), option)
    excluded = _read_entries(table.get(EXCLUDE, []), spot.at(EXCLUDE), known)
    primary = _read_entries(table.get(PRIMARY, []), spot.at(PRIMARY), known)
    if (number := len(given) * math.prod(map(len, parameters.values()))) > MOST:
        spot.wrong(f"makes {number} combinations; {MOST} is the most")
        return ()
    every = [
        {**one, **dict(zip(parameters, options, strict=True))}
        for one in given
        for options in itertools.product(*parameters.values())
    ]
    kept = [one for one in every if not any(_has(one, entry) for entry, _ in excluded)]
    if every and not kept:
        spot.at(EXCLUDE).wrong("leaves no combination")
    for entry, place in primary:
        if kept and not any(_has(one, entry) for one in kept):
            place.wrong("names no combination: exclude removes all that match")
    return tuple(
        Combination(
            {name: option.id for name, option in one.items()},
            not primary or any(_has(one, entry) for entry, _ in primary),
            {name: value for option in one.values() for name, value in option.values.items()},
        )
        for one in kept
    )


def _read_parameters(table: Mapping[str, Any], spot: Spot) -> Parameters:
    parameters: dict[str, tuple[_Option, ...]] = {}
    variables: dict[str, str] = {}
    for name in table:
        if name in _NO_PARAMETERS:
            continue
        place = spot.at(name)
        if why := _why_no_name(name, variables):
            place.wrong(why)
        parameters[name] = tuple(_read_options(name, table[name], place))
    return parameters


def _why_no_name(name: str, variables: dict[str, str]) -> str:
    """Why this cannot be a parameter beside those in `variables`, to which it is added; or ""."""
    if not NAME.fullmatch(name):
        return (
            "must be a name of a parameter: up to 64 letters, digits, '_', '.' and '-',"
            " with a letter or digit first"
        )
    variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
    if (first := variables.setdefault(variable, name)) != name:
        return f"shares the variable TESTRIUM_PARAM_{variable} with {first!r}"
    return ""


def _why_no_value(name: str, value: Any) -> str:
    """Why a function cannot give this value, or ""."""
    if isinstance(value, dict):
        if not _is_plain(value.get(ID)):
            return _NO_ID
        inner = dict(_flat(value, f"{name}."))
    else:
        inner = {name: value}
    wrong = [key for key, each in inner.items() if not _is_plain(each)]
    return f"{wrong[0]} {_NOT_PLAIN}" if wrong else ""


def _read_options(name: str, values: Any, spot: Spot) -> Iterator[_Option]:
    """The values of one parameter, each once."""
    if not isinstance(values, list):
        spot.wrong("must be a list of strings, numbers, booleans or tables")
        return
    if not values:
        spot.wrong("must not be empty")
    seen: set[str] = set()
    for index, value in enumerate(values):
        option = _read_option(name, value, spot.at(index))
        if option is None:
            continue
        if option.id in seen:
            spot.wrong(f"contains duplicate values: {option.id}")
        seen.add(option.id)
        yield option


def _read_option(name: str, value: Any, spot: Spot) -> _Option | None:
    """A string, a number, a boolean, or a table with `id`."""
    if not isinstance(value, dict):
        text = read_value(Value, value, spot)
        return None if text is None else _Option(text, {name: value})
    if not _is_plain(value.get(ID)):
        spot.wrong(_NO_ID)
        return None
    values = {name: value[ID]}
    for key, inner in _flat(value, f"{name}."):
        if not _is_plain(inner):
            spot.wrong(f"{key} {_NOT_PLAIN}")
            return None
        values[key] = inner
    return _Option(as_text(value[ID]), values)


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read_given(reference: Any, spot: Spot, call: Caller) -> list[dict[str, _Option]]:
    """The tables that the function of `from` gives: each has one value of each parameter."""
    name = read_value(Entrypoint, reference, spot)
    if name is None:
        return []
    before = len(spot.collector.problems)
    try:
        tables = call(name)
    except ValueError as error:
        spot.wrong(str(error))
        return []
    if not isinstance(tables, list) or not all(isinstance(one, dict) and one for one in tables):
        spot.wrong(f"{name} must return a list of dictionaries: parameter -> value")
        return []
    if not tables:
        spot.wrong(f"{name} returned an empty list: the matrix has no combination")
    found: list[dict[str, _Option]] = []
    for table in tables:
        options: dict[str, _Option] = {}
        variables: dict[str, str] = {}
        for key, value in table.items():
            if (why := _why_no_name(key, variables)) or (why := _why_no_value(key, value)):
                spot.wrong(f"{name} returned {key} = {value!r}: {why}")
            elif (option := _read_option(key, value, spot)) is not None:
                options[key] = option
        if {k: o.id for k, o in options.items()} in [
            {k: o.id for k, o in one.items()} for one in found
        ]:
            spot.wrong(f"{name} returned a combination twice: {table}")
        found.append(options)
    return found if len(spot.collector.problems) == before else []


#: In the process of the function. What it prints goes to standard error, and is dropped.
_CALL = """
import json, os, sys
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
sys.path[:0] = json.loads(sys.argv[1])
import importlib
module, _, function = sys.argv[2].partition(":")
sys.argv = [module]
value = getattr(importlib.import_module(module), function)()
if hasattr(value, "__await__"):
    import asyncio
    value = asyncio.run(value)
if hasattr(value, "__iter__") and not isinstance(value, (list, dict, str)):
    value = list(value)
json.dump(value, out)
out.close()
"""


def called_apart(
    reference: str, folder: Path, pythonpath: Sequence[Path], env: Mapping[str, str]
) -> Any:
    """What `module:function` returns, called in a process of its own in the group's folder.

    Raises ValueError: it failed, took too long, or returned what JSON cannot hold.
    """
    paths = json.dumps([str(folder), *map(str, pythonpath)])
    process = subprocess.Popen(
        [sys.executable, "-c", _CALL, paths, reference],
        cwd=folder,
        env=os.environ | dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=FROM_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{reference} took longer than {FROM_LIMIT_S:g} s") from None
    finally:
        with contextlib.suppress(OSError):  # nothing that it started may stay
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if process.returncode != 0:
        text = errors.decode(errors="replace").rstrip()
        last = text.rpartition("\n")[2] or f"exit code {process.returncode}"
        raise ValueError(f"{reference} failed: {last}{_line_in(folder, text)}")
    try:
        return json.loads(output)
    except ValueError:
        raise ValueError(f"{reference} returned something that JSON cannot hold") from None


def _line_in(folder: Path, trace: str) -> str:
    """` (modes.py:12)`: the deepest line of a traceback in the group's folder; "" without one."""
    frames = re.findall(r'^  File "(.+)", line (\d+)', trace, re.MULTILINE)
    inside = [(Path(file), line) for file, line in frames if Path(file).is_relative_to(folder)]
    return f" ({inside[-1][0].relative_to(folder)}:{inside[-1][1]})" if inside else ""


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
        known = [option.id for option in parameters[name]]
        if known and text not in known:
            place.wrong(f"must be one of: {', '.join(known)}{did_you_mean(text, known)}")
            continue
        entry[name] = text
    return entry


def _has(options: Mapping[str, _Option], entry: Mapping[str, str]) -> bool:
    return all(name in options and options[name].id == text for name, text in entry.items())
