"""The kinds of values that keys of a group have: how each is checked, and what it becomes.

A kind never coerces: `1` is no `true`, `"5"` no number, and NaN is nothing at all. Every kind also
says what it accepts as a JSON Schema, for editors.
"""

from __future__ import annotations

import math
import re
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from testrium.load.document import Spot, did_you_mean

#: What a kind returns for a value that it has complained about.
WRONG: Final = object()

#: Names of units, ports and circuits' parts (the contract's pattern).
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
STEP_LENGTH = 200
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: TOML's integers have 64 bits; Python would read any number of digits.
_MOST = (1 << 63) - 1
#: 31 years. The kernel's timers hold 292.
_MOST_SECONDS = 1_000_000_000


class Kind(NamedTuple):
    """How a value is read: `read` returns what it means, or complains and returns WRONG."""

    read: Callable[[Any, Spot], Any]
    schema: Mapping[str, Any]


def rule(
    accept: Callable[[Any], bool],
    message: str,
    schema: Mapping[str, Any],
    convert: Callable[[Any], Any] = lambda value: value,
    most: int = _MOST,
) -> Kind:
    """A kind for single values: those that `accept` takes, as `convert` makes of them.

    A number beyond `most`, on either side of 0, is none that anybody can have meant.
    """

    def read(value: Any, spot: Spot) -> Any:
        if _is_beyond(value, most):
            spot.wrong(f"is a number beyond {most}")
            return WRONG
        if accept(value):
            return convert(value)
        spot.wrong(message)
        return WRONG

    return Kind(read, schema)


def _is_beyond(value: Any, most: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) > most
    return isinstance(value, int) and abs(value) > most


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_step(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= STEP_LENGTH and not CONTROL.search(value)


def is_entrypoint(value: Any) -> bool:
    """Whether it has the form "module:function"."""
    if not isinstance(value, str):
        return False
    module, colon, function = value.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), function))


FLAG = rule(lambda value: isinstance(value, bool), "must be a boolean", {"type": "boolean"})
TEXT = rule(_is_text, "must be a string", {"type": "string"})
FILLED_TEXT = rule(
    lambda value: _is_text(value) and bool(value.strip()),
    "must be a non-empty string",
    {"type": "string", "minLength": 1},
)
LABEL = rule(
    lambda value: _is_text(value) and bool(value.strip()) and not CONTROL.search(value),
    "must be a non-empty string without control characters",
    {"type": "string", "minLength": 1},
)
UNIT_NAME = rule(
    lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None,
    "must be a name: up to 64 letters, digits, '_', '.' and '-', with a letter or digit first",
    {"type": "string", "pattern": f"^{NAME.pattern}$"},
)
STEP = rule(
    _is_step,
    f"must be a non-empty string of up to {STEP_LENGTH} characters without control characters",
    {"type": "string", "minLength": 1, "maxLength": STEP_LENGTH},
)
ENTRYPOINT = rule(
    is_entrypoint,
    'must use "module:function" format',
    {"type": "string", "pattern": r"^[^:\s]+:[^:.\s]+$"},
)
NUMBER = rule(
    _is_positive,
    "must be a positive number",
    {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_SECONDS},
    float,
    _MOST_SECONDS,
)
LIMIT = rule(_is_number, "must be a number", {"type": "number"}, float)
SECONDS = rule(
    lambda value: _is_number(value) and value >= 0,
    "must be a number of seconds, 0 or more",
    {"type": "number", "minimum": 0, "maximum": _MOST_SECONDS},
    float,
    _MOST_SECONDS,
)
INTEGER = rule(_is_integer, "must be an integer", {"type": "integer"})
COUNT = rule(
    lambda value: _is_integer(value) and value >= 0,
    "must be a non-negative integer",
    {"type": "integer", "minimum": 0},
)
POSITIVE_COUNT = rule(
    lambda value: _is_integer(value) and value > 0,
    "must be a positive integer",
    {"type": "integer", "minimum": 1},
)


def integer_between(low: int, high: int) -> Kind:
    """An integer from `low` to `high`, both included."""
    return rule(
        lambda value: _is_integer(value) and low <= value <= high,
        f"must be an integer between {low} and {high}",
        {"type": "integer", "minimum": low, "maximum": high},
    )


def one_of(*words: str) -> Kind:
    """One of `words`, letter by letter."""

    def read(value: Any, spot: Spot) -> Any:
        if isinstance(value, str) and value in words:
            return value
        guess = did_you_mean(value, words) if isinstance(value, str) else ""
        spot.wrong(f"must be one of: {', '.join(words)}{guess}")
        return WRONG

    return Kind(read, {"enum": list(words)})


def list_of(item: Kind, what: str = "strings", least: int = 0, *, unique: bool = False) -> Kind:
    """A list whose items are all of one kind; it becomes a tuple.

    Args:
        item: the kind of every item.
        what: what the items are called in "must be a list of ...".
        least: how many items there must be.
        unique: whether an item may occur only once.
    """

    def read(value: Any, spot: Spot) -> Any:
        if not isinstance(value, list):
            spot.wrong(f"must be a list of {what}")
            return WRONG
        if len(value) < least:
            spot.wrong("must not be empty" if least == 1 else f"must have {least} items or more")
            return WRONG
        items = [item.read(each, spot.at(index)) for index, each in enumerate(value)]
        good = [each for each in items if each is not WRONG]
        counts = Counter(good) if unique else {}
        if twice := sorted(str(each) for each, count in counts.items() if count > 1):
            spot.wrong(f"contains duplicate values: {', '.join(twice)}")
            good = list(dict.fromkeys(good))
        return tuple(good)

    schema: dict[str, Any] = {"type": "array", "items": item.schema, "minItems": least}
    return Kind(read, schema | ({"uniqueItems": True} if unique else {}))


def mapping_of(item: Kind, name: re.Pattern[str], what: str) -> Kind:
    """A table whose keys match `name` (`what` in words) and whose values are of one kind."""

    def read(value: Any, spot: Spot) -> Any:
        if not isinstance(value, dict):
            spot.wrong("must be a table")
            return WRONG
        good = {}
        for key, each in value.items():
            if not name.fullmatch(key):
                spot.at(key).wrong(f"is no {what}")
            elif (read_value := item.read(each, spot.at(key))) is not WRONG:
                good[key] = read_value
        return good

    return Kind(read, {"type": "object", "additionalProperties": item.schema})


def one_or_more(item: Kind) -> Kind:
    """A value of a kind, or a list of such; it becomes a tuple."""
    many = list_of(item, least=1)

    def read(value: Any, spot: Spot) -> Any:
        if isinstance(value, list):
            return many.read(value, spot)
        single = item.read(value, spot)
        return single if single is WRONG else (single,)

    return Kind(read, {"anyOf": [item.schema, many.schema]})


VARIABLES = mapping_of(TEXT, re.compile(r"[^=\0]+"), "name of an environment variable")
EXIT_CODES = list_of(integer_between(0, 255), "exit codes", 1)


def converted(
    convert: Callable[[Any], Any],
    types: tuple[type, ...],
    message: str,
    schema: Mapping[str, Any],
) -> Kind:
    """A kind for values of some types that `convert` takes without raising ValueError."""

    def read(value: Any, spot: Spot) -> Any:
        if type(value) in types:
            try:
                return convert(value)
            except ValueError:
                pass
        spot.wrong(message)
        return WRONG

    return Kind(read, schema)


def _read_signal(value: Any, spot: Spot) -> Any:
    name = value.removeprefix("SIG") if isinstance(value, str) else ""
    names = [each.removeprefix("SIG") for each in signal.Signals.__members__]
    if name in names:
        return name
    spot.wrong(f'must be the name of a signal, such as "TERM"{did_you_mean(name, names)}')
    return WRONG


SIGNAL = Kind(_read_signal, {"type": "string"})


def _is_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_data, value.values()))
    if isinstance(value, list):
        return all(map(_is_data, value))
    return isinstance(value, bool) or _is_text(value) or _is_number(value)


DATA = rule(
    _is_data,
    "must be what JSON can hold: a string, a finite number, a boolean, a list or a table of such",
    {},
    lambda value: (value,),  # so that False is not mistaken for "not given"
)
