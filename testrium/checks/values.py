"""The conditions of a check on a value: a text, or what stands in a JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from testrium.checks.comparison import shown
from testrium.checks.conditions import Failure
from testrium.checks.expression import Found


def equal(actual: Any, expected: Any, normalize: Callable[[str], str]) -> bool:
    """Whether two values are the same, texts in them normalised.

    `1` is `1.0`, but no `true`; a text that was found is a number where a number is expected.
    """
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected if isinstance(actual, bool) else _as_json(actual) is expected
    if isinstance(actual, str) and isinstance(expected, str):
        return normalize(actual) == normalize(expected)
    if isinstance(actual, Found):
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
    if not isinstance(text, Found):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
