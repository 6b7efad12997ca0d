"""A TOML file with the places of its keys, and the collection of what is wrong in all files."""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from testrium.declared.keys import toml_tables
from testrium.errors import ConfigError, Problem
from testrium.phrases import with_value
from testrium.tuples import NamedTuple

#: The keys and list indices that lead to a value: `("circuits", 0, "route", 2)`.
KeyPath = tuple[str | int, ...]

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[^,\]}\n#]+")
_PLACE_IN_MESSAGE = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")


#: Bytes of a file. No group comes near; what does is a mistake, and would be read for minutes.
SIZE_LIMIT = 1_000_000

#: Characters of a message about a file; of a longer one both ends are shown.
MOST_OF_MESSAGE = 1000


class ProblemCollector:
    """All problems and notices of one loading, each once.

    With `repeats_values` a message repeats the wrong value.
    """

    def __init__(self, *, repeats_values: bool = True) -> None:
        self.repeats_values = repeats_values
        self._problems: dict[Problem, None] = {}
        self._notices: dict[Problem, None] = {}
        self._told: set[tuple[str, int | None, str]] = set()
        self._silent: set[tuple[str, int | None]] = set()

    def problem(self, file: str, line: int | None, key: str, message: str) -> None:
        """Note a mistake because of which nothing is run."""
        if (file, line, key) in self._told or (file, line) in self._silent:
            return
        if len(message) > MOST_OF_MESSAGE:  # a value may be as long as the file
            message = f"{message[: MOST_OF_MESSAGE // 2]}…{message[-MOST_OF_MESSAGE // 2 :]}"
        self._problems[Problem(file, line, key, message)] = None

    def tell_nothing_at(self, file: str, line: int | None) -> None:
        """Report no problem at a line whose value is not known."""
        self._silent.add((file, line))

    def tell_no_more(self) -> None:
        """Report nothing more at places that already have a problem: it would follow from it."""
        self._told = {(one.file, one.line, one.key) for one in self._problems}

    def notice(self, file: str, line: int | None, key: str, message: str) -> None:
        """Note something that is worth a look and changes nothing."""
        self._notices[Problem(file, line, key, message)] = None

    def reword(self, messages: Mapping[str, str]) -> None:
        """Replace messages that begin like this, by what is better known now."""
        for problem in tuple(self._problems) if messages else ():
            for begin, better in messages.items():
                if problem.message.startswith(begin):
                    del self._problems[problem]
                    self._problems[problem._replace(message=better)] = None
                    break

    def add(self, other: ProblemCollector) -> None:
        """Take over what was noted elsewhere."""
        self._problems |= other._problems
        self._notices |= other._notices

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Sorted by file and line."""
        return _sorted(self._problems)

    @property
    def notices(self) -> tuple[Problem, ...]:
        """Sorted by file and line."""
        return _sorted(self._notices)

    def raise_if_any(self) -> None:
        """Raise ConfigError if there is a problem."""
        if self._problems:
            raise ConfigError(self.problems)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda p: (p.file, p.line or 0, p.key, p.message)))


class Document:
    """A TOML file that was read.

    `name` is how messages call it. Keys below `main` are named without it: `timeout`, not
    `Configs.timeout`, because a file has one such table.
    """

    def __init__(self, name: str, text: str, data: dict[str, Any], main: KeyPath = ()) -> None:
        self.name = name
        self.text = text
        self.data = data
        self.main = main

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return key_lines(self.text)

    def _is_table(self, path: KeyPath) -> bool:
        found: Any = self.data
        for part in path:
            try:
                found = found[part]
            except (LookupError, TypeError):
                return False
        return isinstance(found, dict)

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the innermost table around it."""
        return nearest_line(self._lines, path)

    def key(self, path: KeyPath) -> str:
        """The key as messages name it: `circuits[1].route`; an item of a list has the list's,
        and a table of a list its own.
        """
        while path and isinstance(path[-1], int) and not self._is_table(path):
            path = path[:-1]
        length = len(self.main)
        if len(path) > length and path[:length] == self.main:
            path = path[length:]
        words = (
            f"[{part + 1}]"
            if isinstance(part, int)
            else f".{part if _BARE_KEY.fullmatch(part) else repr(part)}"
            for part in path
        )
        return "".join(words).removeprefix(".")


class Spot(NamedTuple):
    """A place in a document, and where to report problems with its value."""

    document: Document
    path: KeyPath
    collector: ProblemCollector

    def at(self, *parts: str | int) -> Spot:
        """The place below this one."""
        return Spot(self.document, (*self.path, *parts), self.collector)

    @property
    def value(self) -> Any:
        """The value here, as tomllib read it."""
        found: Any = self.document.data
        for part in self.path:
            found = found[part]
        return found

    @property
    def raw(self) -> Any:
        """The value here, or None without one."""
        try:
            return self.value
        except (LookupError, TypeError):
            return None

    def replaced(self, value: Any) -> Spot:
        """The same place with another value; it is one of the tables of the document."""
        document, table = self.document, str(self.path[0])
        data = {**document.data, table: value}
        changed = Document(document.name, document.text, data, document.main)
        return self._replace(document=changed)

    @property
    def above(self) -> Spot:
        """The place around this one."""
        return Spot(self.document, self.path[:-1], self.collector)

    @property
    def place(self) -> str:
        """`file:line`."""
        name, line, _ = self._place()
        return name if line is None else f"{name}:{line}"

    def wrong(self, message: str) -> None:
        """Note a problem here. A message that begins with "must" speaks of this very value."""
        if message.startswith("must "):
            if self.collector.repeats_values:
                message = with_value(message, self.raw)
            else:
                message = message.partition(": write ")[0]
            last = self.path[-1] if self.path else None
            if isinstance(last, int) and not isinstance(self.raw, dict):
                message = f"item {last + 1} {message}"
        self.collector.problem(*self._place(), message)

    def notice(self, message: str) -> None:
        """Note a notice here."""
        self.collector.notice(*self._place(), message)

    def _place(self) -> tuple[str, int | None, str]:
        document = self.document
        return document.name, document.line(self.path), document.key(self.path)


def read_document(path: Path, name: str, collector: ProblemCollector) -> Document | None:
    """Read a TOML file; None, and a problem noted, where it cannot be read."""
    text = ""
    try:
        if (size := path.stat().st_size) > SIZE_LIMIT:
            collector.problem(name, None, "", f"is too large: {size} bytes of {SIZE_LIMIT}")
            return None
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        return Document(name, text, toml_tables(text))
    except OSError as error:
        collector.problem(name, None, "", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        collector.problem(name, line, "", "is not UTF-8")
    except RecursionError:
        collector.problem(name, None, "", "is nested too deeply")
    except ValueError as error:  # TOMLDecodeError, and int() of too many digits
        place = syntax_error_line(str(error), text)
        reason = _syntax_error(str(error), place, text)
        collector.problem(name, place, "", f"invalid TOML: {reason}")
    return None


def _syntax_error(message: str, line: int | None, text: str) -> str:
    """What is wrong, in the words of users where the parser speaks of its own work."""
    if line is not None and message.startswith(("Cannot overwrite", "Cannot declare")):
        written = text.splitlines()[line - 1 : line]
        if found := re.match(r"\s*(\[*\s*[\w.\"'-]+)", "".join(written)):
            return f"`{found[1].lstrip('[ ')}` is defined twice"
    reason, _, place = message.partition(" (at ")
    column = place.partition("column ")[2].rstrip(")")
    if reason == "Invalid value" and line is not None and column:
        word = text.splitlines()[line - 1][int(column) - 1 :].partition("#")[0].strip()
        if word in ("True", "False"):
            return f"write {word.lower()}, not {word}"
        if re.fullmatch(r"[A-Za-z_][\w .:/-]*", word):
            return f'{word!r} needs quotes: "{word}"'
    reason = _TOML_REASONS.get(reason, reason[:1].lower() + reason[1:])
    return f"{reason} (column {column})" if column else reason


_TOML_REASONS = {
    "Unclosed array": "a list is not closed: ',' or ']' expected",
    "Unclosed inline table": "a table is not closed: ',' or '}' expected",
    "Invalid statement": "expected a [table] or key = value",
    "Expected '=' after a key in a key/value pair": "expected '=' after the key",
    "Expected newline or end of document after a statement": "expected the end of the line",
    "Invalid value": "expected a value: a text in quotes, a number, true, false or a list",
    "Illegal character '\\n'": "a text or a line ends too early: is a quote missing?",
    "Unterminated string": "a text is not closed: is a quote missing?",
    "Unescaped '\\' in a string": "'\\' in \"…\" begins an escape: write '\\\\', or '…' as quotes",
}


def shown_path(path: Path, cwd: Path) -> str:
    """`path` as messages name it: relative to `cwd` where it is below it."""
    return (path.relative_to(cwd) if path.is_relative_to(cwd) else path).as_posix()


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, on which every table, key and list item of `text` begins.

    A table has the line of its first header, or of the first key that implies it. What follows
    a place that is not TOML is left out.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_LostError):  # callers fall back to the nearest known table
        scanner.document()
    return scanner.lines


def named_line(folder: Path, table: str, name: str) -> int | None:
    """The line in a group's config.toml on which the circuit or the check of that name begins.

    None if it is not there now. `table` is "circuits" or "checks".
    """
    return named_lines(folder / "config.toml").get((table, name))


def named_lines(file: Path) -> dict[tuple[str, str], int]:
    """Table and name -> the line of a TOML file on which the circuit, check, metric … begins.

    Keys of a table count as names. Empty where the file cannot be read now.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
    except (OSError, ValueError):
        return {}
    lines = key_lines(text)
    found: dict[tuple[str, str], int] = {}
    for table, content in tables.items():
        names: list[tuple[str, str | int]] = []
        if isinstance(content, dict):
            names = [(name, name) for name in content]
        elif isinstance(content, list):
            items = (each.get("name") if isinstance(each, dict) else None for each in content)
            names = [(name, at) for at, name in enumerate(items) if isinstance(name, str)]
        for name, at in names:
            if (number := lines.get((table, at))) is not None:
                found.setdefault((table, name), number)
    return found


def nearest_line(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of `path`, or of the innermost table around it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def list_tail(text: str, path: KeyPath) -> int | None:
    """The offset behind the last item of a list in `text`, or behind `[` of an empty one.

    None where the list does not exist, or the text is not TOML.
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
            if quoted := self._match(_TEXT):
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
        elif not (self._match(_TEXT) or self._match(_PLAIN_VALUE)):
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
