"""References in the texts of a group: `${port.http}`, `${env.HOME}`; `$$` is a `$`.

A `$` before anything else is a `$`, so regular expressions need no escaping. What a
name means is not decided here: the caller's lookup knows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar, cast

from testrium.errors import TestriumError

_PIECE = r"\$\$|\$\{(?P<name>[^{}]*)(?P<end>\})?"


class VariableError(TestriumError):
    """A text whose references cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        super().__init__(f"{text!r}, column {column}: {reason}")
        self.text = text
        self.column = column
        self.reason = reason


def as_text(value: object) -> str:
    """A value as TOML writes it; a string as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def references(text: str) -> tuple[str, ...]:
    """The names in `${...}`, in the order of the text, each as often as it occurs.

    Raises:
        VariableError: a reference is not closed or has no name.
    """
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return ""

    substitute(text, note)
    return tuple(names)


def substitute(text: str, lookup: Callable[[str], str]) -> str:
    """`text` with every `${name}` replaced by `lookup(name)` and every `$$` by `$`.

    What is put in is not read again: a value may hold `${` or `$$` itself.

    Raises:
        VariableError: a reference is not closed or has no name, or `lookup` raised KeyError.
    """
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        column = match.start() + 1
        name = match["name"]
        if match["end"] is None:
            raise VariableError(text, column, "'${' without '}'")
        if not name:
            raise VariableError(text, column, "'${}' names nothing")
        try:
            return lookup(name)
        except KeyError:
            raise VariableError(text, column, f"unknown variable {name!r}") from None

    return re.sub(_PIECE, replace, text)


def filled_value(text: str, lookup: Callable[[str], object]) -> object:
    """What `text` becomes: of one reference alone the value itself, else a text.

    Raises:
        KeyError: `lookup` knows no value for a reference.
        VariableError: a reference is not closed or has no name.
    """
    whole = re.fullmatch(_PIECE, text)
    if whole is not None and whole["name"] and whole["end"]:
        return lookup(whole["name"])
    missing: list[str] = []

    def value(name: str) -> str:
        try:
            return as_text(lookup(name))
        except KeyError:
            missing.append(name)
            return ""

    filled = substitute(text, value)
    if missing:
        raise KeyError(missing[0])
    return filled


class Counted(int):
    """How many things there are, of which some can be named: `rows` is 2, `rows.0.id` the first."""

    items: list[Any]

    def __new__(cls, count: int, items: list[Any]) -> Self:
        made = super().__new__(cls, count)
        made.items = items
        return made


def value_at(fields: object, path: str) -> object:
    """The value at `order.id` or `items.0` in mappings and lists; names may hold points.

    A text is read as JSON where a name leads into it. In what is None all is None.

    Raises:
        KeyError: nothing does.
    """
    if isinstance(fields, Mapping):
        if path in fields:
            return fields[path]
        ends = [at for at, letter in enumerate(path) if letter == "."]
        for end in reversed(ends):  # the longest name first
            if path[:end] in fields:
                try:
                    return value_at(fields[path[:end]], path[end + 1 :])
                except KeyError:
                    continue
    elif isinstance(fields, list | tuple):
        first, _, rest = path.partition(".")
        if first.isdecimal() and len(first) < 10 and int(first) < len(fields):
            inner = fields[int(first)]
            return value_at(inner, rest) if rest else inner
    elif fields is None:
        return None
    elif isinstance(fields, Counted):
        return value_at(fields.items, path)
    elif isinstance(fields, str) and fields.lstrip()[:1] in ("{", "["):
        try:
            read = json.loads(fields)
        except (ValueError, RecursionError):
            raise KeyError(path) from None
        return value_at(read, path)
    raise KeyError(path)


_MISSING: Final = object()


def getter_of(path: str) -> Callable[[object], object]:
    """`value_at` for one path and many values: names and places in lists are found at once."""
    name, _, rest = path.partition(".")
    place = int(rest) if rest.isdecimal() and len(rest) < 10 else None

    def get(fields: object) -> object:
        if type(fields) is dict:
            found = fields.get(path, _MISSING)
            if found is not _MISSING:
                return found
            if place is not None:
                inner = fields.get(name)
                if type(inner) is list and place < len(inner):
                    return inner[place]
        return value_at(fields, path)

    return get


def escape(text: str) -> str:
    """The text that `substitute` turns back into `text`."""
    return text.replace("$", "$$")


def probe_field(reference: str, units: Iterable[str]) -> tuple[str, str, str] | None:
    """Unit, step and field of a reference `probe.UNIT.STEP.FIELD`; None where it is none.

    Names of units may hold points, and so may steps: the longest name that fits is the unit's.
    """
    rest = reference.removeprefix("probe.")
    owner = max((unit for unit in units if rest.startswith(f"{unit}.")), key=len, default=None)
    if owner is None or rest == reference:
        return None
    step, _, field = rest.removeprefix(f"{owner}.").rpartition(".")
    return (owner, step, field) if step and field else None


_REFERENCE = r"\$\{env\.([^{}]+)\}"

#: Shorter values are in too many words to say anything: `1`, `yes`.
LEAST_CHARACTERS = 4

#: One that is shorter than this is a value only where it stands alone.
_SURE_CHARACTERS = 8

_Fields = TypeVar("_Fields", bound=tuple[object, ...])


class EnvValues:
    """The values that some declaration takes from the environment. Raises nothing.

    False where there are none that differ from other words.
    """

    def __init__(self, declared: object, environ: Mapping[str, str] = os.environ) -> None:
        names = sorted(env_names(declared))
        self._take({name: environ[name] for name in names if name in environ})

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> EnvValues:
        """The values of these variables."""
        made = cls(())
        made._take(variables)
        return made

    def _take(self, variables: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        for name, value in variables.items():
            # Of a key of several lines each is shown by itself.
            lines = [line.strip() for line in value.splitlines()]
            for text in (value, *(line for line in lines if len(line) >= _SURE_CHARACTERS)):
                if len(text) >= LEAST_CHARACTERS and text.strip():
                    self._names[text] = f"${{env.{name}}}"
        # The longest first: one value may be the beginning of another.
        ordered = sorted(self._names, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(map(_standing, ordered))) if ordered else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def hidden(self, text: str) -> str:
        """The text with the names of variables in the place of their values."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._names[found[0]], text)

    def hidden_in(self, record: _Fields) -> _Fields:
        """The same tuple of fields with all texts in it hidden, also those in tuples of it."""
        if self._pattern is None:
            return record
        return cast(_Fields, map_texts(record, self.hidden))


def env_names(declared: object) -> frozenset[str]:
    """The names in all `${env.NAME}` of a declaration, at any depth."""
    found: set[str] = set()
    left: list[object] = [declared]
    while left:  # no recursion: a group is a thousand values, nearly all of them of no interest
        value = left.pop()
        if not value or type(value) in _NO_TEXT:  # empty lists and tables are most of them
            continue
        if isinstance(value, str):
            if "${env." in value:
                found.update(re.findall(_REFERENCE, value))
        elif isinstance(value, Mapping):
            left += value
            left += value.values()
        elif isinstance(value, tuple | list | frozenset | set):
            left += value
        elif (fields := getattr(value, "__dataclass_fields__", None)) is not None:
            left += [getattr(value, name) for name in fields]
    return frozenset(found)


_NO_TEXT = frozenset((bool, int, float))


def _standing(value: str) -> str:
    escaped = re.escape(value)
    return escaped if len(value) >= _SURE_CHARACTERS else rf"(?<!\w){escaped}(?!\w)"


def map_texts(
    value: object, change: Callable[[str], str], rename: Callable[[str], str] = str
) -> object:
    """The same value with every text in it changed, in tuples, lists and values of mappings too.

    `rename` gives the names in mappings.
    """
    if type(value) is str:  # and no enumeration
        return change(value)
    if isinstance(value, tuple):
        inner = [map_texts(each, change, rename) for each in value]
        make = getattr(type(value), "_make", tuple)
        return make(inner)
    if isinstance(value, list):
        return [map_texts(each, change, rename) for each in value]
    if isinstance(value, Mapping):
        return {rename(name): map_texts(each, change, rename) for name, each in value.items()}
    return value
