"""Places in a JSON document: `a.b[0]`, `a["x.y"]`, `[-1]`."""

from __future__ import annotations

import json
import re
from typing import Any

from testrium.checks.patterns import NotationError
from testrium.errors import TestriumError

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
