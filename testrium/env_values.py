"""Values of `${env.NAME}`: what is told or stored names the variable and not its value.

A token that a command line or an URL is given comes back in what the runner says of it: why a try
failed, what could not be started, which processes are left. In such a text the value stands as it
was written: `${env.TOKEN}`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

_REFERENCE = re.compile(r"\$\{env\.([^{}]+)\}")
#: Shorter values are in too many words to say anything: `1`, `yes`.
LEAST_CHARACTERS = 4
#: One that is shorter than this is a value only where it stands alone.
_SURE_CHARACTERS = 8

_Fields = TypeVar("_Fields", bound=tuple[object, ...])


class EnvValues:
    """The values that some declaration takes from the environment. Raises nothing."""

    def __init__(self, declared: object, environ: Mapping[str, str] = os.environ) -> None:
        values = {environ[name]: name for name in env_names(declared) if name in environ}
        self._names = {
            value: f"${{env.{name}}}"
            for value, name in values.items()
            if len(value) >= LEAST_CHARACTERS
        }
        # The longest first: one value may be the beginning of another.
        ordered = sorted(self._names, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(map(_standing, ordered))) if ordered else None

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
    """The names in all `${env.NAME}` of a declaration, however deep they stand."""
    return frozenset(
        name for text in _texts(declared) if "${env." in text for name in _REFERENCE.findall(text)
    )


def _standing(value: str) -> str:
    escaped = re.escape(value)
    return escaped if len(value) >= _SURE_CHARACTERS else rf"(?<!\w){escaped}(?!\w)"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(name)
            yield from _texts(inner)
    elif isinstance(value, tuple | list | frozenset | set):
        for inner in value:
            yield from _texts(inner)
    elif (fields := getattr(value, "__dataclass_fields__", None)) is not None:
        for name in fields:
            yield from _texts(getattr(value, name))


def map_texts(value: object, change: Callable[[str], str]) -> object:
    """The same value with every text in it changed, in tuples, lists and values of mappings too."""
    if type(value) is str:  # and no enumeration
        return change(value)
    if isinstance(value, tuple):
        inner = [map_texts(each, change) for each in value]
        make = getattr(type(value), "_make", tuple)
        return make(inner)
    if isinstance(value, list):
        return [map_texts(each, change) for each in value]
    if isinstance(value, Mapping):
        return {name: map_texts(each, change) for name, each in value.items()}
    return value
