"""The conditions of a check on a value: a text, or what stands at a place in a JSON document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from testrium.checks.comparison import shown
from testrium.checks.conditions import Failure
from testrium.checks.expression import FoundText
from testrium.checks.patterns import NotationError
from testrium.errors import TestriumError


def equal(actual: Any, expected: Any, normalize: Callable[[str], str]) -> bool:
    """Whether two values are the same, texts in them normalised.

    `1` is `1.0`, but no `true`; a text that was found is a number where a number is expected.
    """
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected if isinstance(actual, bool) else _as_json(actual) is expected
    if isinstance(actual, str) and isinstance(expected, str):
        return normalize(actual) == normalize(expected)
    if isinstance(actual, FoundText):
        return bool(_as_json(actual) == expected)
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(
            equal(one, other, normalize) for one, other in zip(actual, expected, strict=True)
        )
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(
            equal(value, expected[name], normalize) for name, value in actual.items()
        )
    return bool(actual == expected)


def unequal(
    name: str, actual: Any, expected: Any, normalize: Callable[[str], str]
) -> Failure | None:
    """The failure that shows both values, where they are not the same."""
    if equal(actual, expected, normalize):
        return None
    message = f"{name} is {brief(actual)}, expected {brief(expected)}"
    large = isinstance(actual, list | dict) and isinstance(expected, list | dict)
    if not large:
        return Failure(message, owed=False)
    from testrium.checks.comparison import diff

    sides = as_lines(expected), as_lines(actual)
    return Failure(message, diff(*sides, normalize, names=("expected", name)), owed=False)


def brief(value: Any) -> str:
    """A value in one short line, as JSON writes it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:119]}…"


def as_lines(value: Any) -> list[str]:
    """A value as lines that can be compared: a text as it is, else JSON with sorted names."""
    if isinstance(value, str):
        return value.splitlines()
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str).split("\n")


def read_json(text: str, name: str) -> tuple[Any, Failure | None]:
    """The document in `text`, or why it is none."""
    try:
        return json.loads(text), None
    except RecursionError:
        return None, Failure(f"{name} is no JSON: it is nested too deeply", owed=False)
    except ValueError as error:
        lines = text.splitlines()
        number = getattr(error, "lineno", 0)
        line = (f"{number}: {shown(lines[number - 1])}",) if 0 < number <= len(lines) else ()
        return None, Failure(f"{name} is no JSON: {error}", line, owed=False)


def _as_json(text: Any) -> Any:
    """What a found text is as JSON; itself where it is none."""
    if not isinstance(text, FoundText):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value


_PART = re.compile(
    r"""(?P<dot>\.?)(?P<name>[^.\[\]"'\s]+)"""
    r"""|\[(?P<index>-?[0-9]{1,9})\]"""
    r"""|\[(?P<quoted>"(?:[^"\\]|\\.)*"|'[^']*')\]"""
)

_SHOWN_NAMES = 8


class AbsentError(TestriumError):
    """Nothing stands at that place of the document."""


def parse(text: str) -> tuple[str | int, ...]:
    """The names and indices that a path leads over. Raises NotationError."""
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (match["name"] and bool(match["dot"]) != bool(parts)):
            raise NotationError(text, position + 1, 'expected a path such as a.b[0] or a["x.y"]')
        if match["index"]:
            parts.append(int(match["index"]))
        elif match["quoted"]:
            parts.append(_unquoted(text, match))
        else:
            parts.append(match["name"])
        position = match.end()
    return tuple(parts)


def value_at(document: Any, path: str) -> Any:
    """What stands at `path`.

    Raises:
        NotationError: it is no path.
        AbsentError: nothing stands there; the message says how far the path led.
    """
    value, before = document, ""
    for part in parse(path):
        value = _step(value, part, before or "the document")
        before += f"[{part}]" if isinstance(part, int) else f".{part}" if before else part
    return value


def kind_of(value: Any) -> str:
    """What JSON calls such a value, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a number")


def _step(value: Any, part: str | int, before: str) -> Any:
    if isinstance(part, int):
        if not isinstance(value, list):
            raise AbsentError(f"{before} is {kind_of(value)}, so it has no [{part}]")
        if not -len(value) <= part < len(value):
            raise AbsentError(
                f"{before} has {len(value)} item{'s' * (len(value) != 1)}, so it has no [{part}]"
            )
        return value[part]
    if not isinstance(value, dict):
        raise AbsentError(f"{before} is {kind_of(value)}, so it has no {part!r}")
    if part not in value:
        names = [repr(name) for name in list(value)[:_SHOWN_NAMES]]
        more = ", …" if len(value) > _SHOWN_NAMES else ""
        raise AbsentError(f"{before} has no {part!r}, only {', '.join(names) or 'nothing'}{more}")
    return value[part]


def _unquoted(text: str, match: re.Match[str]) -> str:
    quoted = match["quoted"]
    if quoted.startswith("'"):
        return quoted[1:-1]
    try:
        return str(json.loads(quoted))
    except ValueError as error:
        raise NotationError(text, match.start("quoted") + 1, f"no name: {error}") from error
