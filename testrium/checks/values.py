"""The conditions of a check on a value: a text, or a value at a path in a JSON document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from testrium.checks.comparison import diff, shown
from testrium.checks.conditions import Failure
from testrium.checks.expression import FoundText
from testrium.checks.patterns import NotationError
from testrium.errors import TestriumError

if TYPE_CHECKING:
    from jsonpath import JSONPath


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
        return None, Failure(f"{name} is not valid JSON: it is nested too deeply", owed=False)
    except ValueError as error:
        lines = text.splitlines()
        number = getattr(error, "lineno", 0)
        line = (f"{number}: {shown(lines[number - 1])}",) if 0 < number <= len(lines) else ()
        return None, Failure(f"{name} is not valid JSON: {error}", line, owed=False)


def _as_json(text: Any) -> Any:
    """A found text parsed as JSON, or the text itself where it is not JSON."""
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
_LONGEST_PATH = 2000
#: What a JSONPath query begins with; any other path leads to one place.
_QUERY = re.compile(r"\$(?![^.\[])")


class AbsentError(TestriumError):
    """The document has no value at that path."""


def check_path(text: str) -> None:
    """Raise NotationError for what is neither a path nor a JSONPath query."""
    if _QUERY.match(text):
        _query(text)
    else:
        parse(text)


def parse(text: str) -> tuple[str | int, ...]:
    """The names and indices that a path leads over. Raises NotationError."""
    if len(text) > _LONGEST_PATH:
        raise NotationError(f"{text[:40]}…", _LONGEST_PATH, "the path is too long")
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
    """The value at `path`; for a JSONPath query that may have several results, their list.

    Raises:
        NotationError: it is not a path.
        AbsentError: the path leads to nothing; the message says how far it led.
    """
    if _QUERY.match(path):
        query = _query(path)
        try:
            found = query.findall(document)
        except RecursionError:
            raise AbsentError(f"the document is nested too deeply for {path!r}") from None
        if not query.singular_query():
            return found
        if not found:
            raise AbsentError(f"nothing in the document matches {path!r}")
        return found[0]
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


def _query(text: str) -> JSONPath:
    """A query as RFC 9535 defines it. Raises NotationError."""
    import jsonpath  # 110 ms, for the few checks that have one

    if len(text) > _LONGEST_PATH:
        raise NotationError(f"{text[:40]}…", _LONGEST_PATH, "the path is too long")
    try:
        query = jsonpath.JSONPathEnvironment(strict=True).compile(text)
    except jsonpath.JSONPathError as error:
        token = getattr(error, "token", None)
        column = len(text) if token is None or token.index < 0 else token.index + 1
        reason = str(error.args[0] if error.args else error)
        raise NotationError(text, column, f"invalid JSONPath query: {reason}") from None
    except RecursionError:
        raise NotationError(text, 1, "invalid JSONPath query: nested too deeply") from None
    assert isinstance(query, jsonpath.JSONPath)  # the strict language has no `|` and `&`
    return query


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
        raise NotationError(text, match.start("quoted") + 1, f"invalid name: {error}") from error
