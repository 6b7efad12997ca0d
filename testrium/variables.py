"""References in the texts of a group: `${port.http}`, `${env.HOME}`; `$$` is a `$`.

A `$` before anything else stands for itself, so that regular expressions need no escaping. What a
name means is not decided here: the caller's lookup knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from testrium.errors import TestriumError

_TOKEN = re.compile(r"\$\$|\$\{(?P<name>[^{}]*)(?P<end>\})?")


class VariableError(TestriumError):
    """A text whose references cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        super().__init__(f"{text!r}, column {column}: {reason}")
        self.text = text
        self.column = column
        self.reason = reason


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

    return _TOKEN.sub(replace, text)


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
