"""The line of a key in a TOML text, which tomllib does not tell.

A scanner, not a parser: tomllib has already accepted the text, so only the shape matters: headers,
keys, and where values end. It runs only once something is wrong.
"""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib
from pathlib import Path

#: The keys and list indices that lead to a value: `("circuits", 0, "route", 2)`.
KeyPath = tuple[str | int, ...]

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[^,\]}\n#]+")
_PLACE_IN_MESSAGE = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, on which every table, key and list item of `text` begins.

    A table has the line of its first header, or of the first key that implies it. What follows
    a place that is no TOML is left out.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_LostError):  # callers fall back to the nearest known table
        scanner.document()
    return scanner.lines


def circuit_line(folder: Path, name: str) -> int | None:
    """The line in a group's config.toml on which a circuit begins; None if it is not there now."""
    try:
        text = (folder / "config.toml").read_text(encoding="utf-8-sig")
        names = [circuit.get("name") for circuit in tomllib.loads(text)["circuits"]]
        return key_lines(text).get(("circuits", names.index(name)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def nearest_line(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of `path`, or of the innermost table around it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def list_tail(text: str, path: KeyPath) -> int | None:
    """The offset behind the last item of a list in `text`, or behind `[` of an empty one.

    None where there is no such list, or the text is no TOML.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_LostError):
        scanner.document()
    return scanner.tails.get(path)


def syntax_error_line(message: str, text: str) -> int | None:
    """The line that a message of tomllib speaks of."""
    match = _PLACE_IN_MESSAGE.search(message)
    if match is None:
        return None
    return int(match[1]) if match[1] else text.rstrip("\n").count("\n") + 1


class _LostError(Exception):
    """The text is not what the scanner expects."""


def _unquoted(text: str) -> str:
    try:
        return str(tomllib.loads(f"key = {text}")["key"])
    except tomllib.TOMLDecodeError:
        raise _LostError from None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.lines: dict[KeyPath, int] = {}
        self.tails: dict[KeyPath, int] = {}
        self._array_lengths: dict[KeyPath, int] = {}
        self._line_ends = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> None:
        table: KeyPath = ()
        while self._more():
            if self._accept("[["):
                table = self._header("]]")
            elif self._accept("["):
                table = self._header("]")
            else:
                self._pair(table)

    def _header(self, closing: str) -> KeyPath:
        line = self._line()
        *parents, last = self._key()
        self._expect(closing)
        path: KeyPath = ()
        for part in parents:
            path = (*path, part)
            self.lines.setdefault(path, line)
            if (length := self._array_lengths.get(path)) is not None:
                path = (*path, length - 1)
        path = (*path, last)
        self.lines.setdefault(path, line)
        if closing == "]]":
            index = self._array_lengths.get(path, 0)
            self._array_lengths[path] = index + 1
            path = (*path, index)
            self.lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        self._more()
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._more()
            if quoted := self._match(_STRING):
                parts.append(_unquoted(quoted))
            elif bare := self._match(_BARE_KEY):
                parts.append(bare)
            else:
                raise _LostError
            self._more()
            if not self._accept("."):
                return parts

    def _value(self, path: KeyPath) -> None:
        self._more()
        if self._accept("["):
            index = 0
            self.tails[path] = self.position
            while not self._closed("]"):
                self.lines[(*path, index)] = self._line()
                self._value((*path, index))
                self.tails[path] = self.position
                self._separator("]")
                index += 1
        elif self._accept("{"):
            while not self._closed("}"):
                self._pair(path)
                self._separator("}")
        elif not (self._match(_STRING) or self._match(_PLAIN_VALUE)):
            raise _LostError

    def _closed(self, closing: str) -> bool:
        self._more()
        return self._accept(closing)

    def _separator(self, closing: str) -> None:
        self._more()
        if not self._accept(",") and not self.text.startswith(closing, self.position):
            raise _LostError

    def _more(self) -> bool:
        """Skip white space and comments; whether anything is left."""
        self._match(_TRIVIA)
        return self.position < len(self.text)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def _accept(self, token: str) -> bool:
        if not self.text.startswith(token, self.position):
            return False
        self.position += len(token)
        return True

    def _expect(self, token: str) -> None:
        self._more()
        if not self._accept(token):
            raise _LostError

    def _line(self) -> int:
        return bisect.bisect_left(self._line_ends, self.position) + 1
