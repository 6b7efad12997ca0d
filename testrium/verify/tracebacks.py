"""Tracebacks in what a program wrote to stderr, whatever language it is written in."""

from __future__ import annotations

import re

_PYTHON = re.compile(
    r"(?P<indent>[\s|+]*)(?:Exception Group )?Traceback \(most recent call last\):"
)
#: What ends a Python traceback; its frames are indented.
_PYTHON_TYPE = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?::\s.*)?$")
#: Java, Kotlin, C#, JavaScript: the type stands in the line before the first frame.
_FRAME = re.compile(r"\s+at \S")
_FRAMED_TYPE = re.compile(r"(?P<type>[A-Za-z_$][\w$.]*(?:Error|Exception|Throwable)|Error)\b")
_GO = re.compile(r"(?:panic|fatal error): ")
_GO_STACK = re.compile(r"goroutine \d+ \[")
_RUST = re.compile(r"thread '.*'(?: \(\d+\))? panicked at ")
_RUBY = re.compile(r"\S+\.rb:\d+:in .*\((?P<type>[A-Z][\w:]*)\)\s*$")

#: No traceback has more lines between its head and its type.
_LONGEST = 2000


def raised_types(text: str) -> dict[str, str]:
    """The class names (`panic` for Go and Rust) of the tracebacks in `text`.

    Each with the line that names it. A word like "Error:" alone is no traceback.
    """
    found: dict[str, str] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1 : number + 4]
        if (head := _PYTHON.match(line)) is not None:
            indent = len(head["indent"])
            places = range(number + 1, min(number + _LONGEST, len(lines)))
            body = (lines[place][indent:] for place in places)
            ends = (match for other in body if (match := _PYTHON_TYPE.match(other)) is not None)
            if (end := next(ends, None)) is not None:
                found.setdefault(_own_name(end["type"]), end[0])
        elif _RUST.match(line) or (_GO.match(line) and any(map(_GO_STACK.match, following))):
            found.setdefault("panic", line)
        elif (ruby := _RUBY.match(line)) is not None:
            found.setdefault(_own_name(ruby["type"]), line)
        elif (
            following
            and _FRAME.match(following[0])
            and not _FRAME.match(line)
            and (framed := _FRAMED_TYPE.search(line)) is not None
        ):
            found.setdefault(_own_name(framed["type"]), line)
    return found


def _own_name(qualified: str) -> str:
    """`ValueError` of `package.module.ValueError`."""
    return re.split(r"[.:]+", qualified)[-1]
