"""A TOML file with the places of its keys, and the collection of what is wrong in all files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from testrium.errors import ConfigError, Problem
from testrium.load.locate import KeyPath, key_lines, nearest_line, syntax_error_line

#: Bytes of a file. No group comes near; what does is a mistake, and would be read for minutes.
SIZE_LIMIT = 1_000_000
#: Parts of a dotted key.
DEPTH_LIMIT = 100

_STRING = re.compile(r'"""(?s:.*?)"""|"(?:[^"\\\n]|\\.)*"' + r"|'''(?s:.*?)'''|'[^'\n]*'")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Complaints:
    """All problems and notices of one loading, each once."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._notices: dict[Problem, None] = {}

    def problem(self, file: str, line: int | None, key: str, message: str) -> None:
        """Note a mistake because of which nothing is run."""
        self._problems[Problem(file, line, key, message)] = None

    def notice(self, file: str, line: int | None, key: str, message: str) -> None:
        """Note something that is worth a look and changes nothing."""
        self._notices[Problem(file, line, key, message)] = None

    def add(self, other: Complaints) -> None:
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

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the innermost table around it."""
        return nearest_line(self._lines, path)

    def key(self, path: KeyPath) -> str:
        """The key as messages name it: `circuits[0].route`; an item of a list has the list's."""
        while path and isinstance(path[-1], int):
            path = path[:-1]
        length = len(self.main)
        if len(path) > length and path[:length] == self.main:
            path = path[length:]
        words = (
            f"[{part}]"
            if isinstance(part, int)
            else f".{part if _BARE.fullmatch(part) else repr(part)}"
            for part in path
        )
        return "".join(words).removeprefix(".")


class Spot(NamedTuple):
    """A place in a document, and where to complain about what stands there."""

    document: Document
    path: KeyPath
    complaints: Complaints

    def at(self, *parts: str | int) -> Spot:
        """The place below this one."""
        return Spot(self.document, (*self.path, *parts), self.complaints)

    @property
    def value(self) -> Any:
        """What stands here, as tomllib read it."""
        found: Any = self.document.data
        for part in self.path:
            found = found[part]
        return found

    @property
    def place(self) -> str:
        """`file:line`."""
        name, line, _ = self._place()
        return name if line is None else f"{name}:{line}"

    def wrong(self, message: str) -> None:
        """Note a problem here. A message that begins with "must" speaks of this very value."""
        if self.path and isinstance(self.path[-1], int) and message.startswith("must "):
            message = f"item {self.path[-1] + 1} {message}"
        self.complaints.problem(*self._place(), message)

    def notice(self, message: str) -> None:
        """Note a notice here."""
        self.complaints.notice(*self._place(), message)

    def _place(self) -> tuple[str, int | None, str]:
        document = self.document
        return document.name, document.line(self.path), document.key(self.path)


def read_document(path: Path, name: str, complaints: Complaints) -> Document | None:
    """Read a TOML file; None, and a problem noted, where it cannot be read."""
    text = ""
    try:
        if (size := path.stat().st_size) > SIZE_LIMIT:
            complaints.problem(name, None, "", f"is too large: {size} bytes of {SIZE_LIMIT}")
            return None
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        return Document(name, text, _parsed(text))
    except OSError as error:
        complaints.problem(name, None, "", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        complaints.problem(name, line, "", "is not UTF-8")
    except RecursionError:
        complaints.problem(name, None, "", "is nested too deeply")
    except ValueError as error:  # TOMLDecodeError, and int() of too many digits
        complaints.problem(name, syntax_error_line(str(error), text), "", f"no TOML: {error}")
    return None


def _parsed(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError, RecursionError."""
    if text.count(".") > DEPTH_LIMIT:
        # For a dotted key tomllib takes a time that grows with the square of its parts.
        pieces = re.split(r"[,={}\[\]#\n]", _STRING.sub("", text))
        if any(piece.count(".") > DEPTH_LIMIT for piece in pieces):
            raise RecursionError("a key has too many parts")
    return tomllib.loads(text)


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`; did you mean 'x'?` where one of `known` looks like `word`, else nothing."""
    nearest = nearest_word(word, known, likeness)
    return f"; did you mean {nearest!r}?" if nearest else ""


def nearest_word(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The one of `known` that `word` is probably a misspelling of.

    Args:
        word: what the user wrote.
        known: what could have been meant.
        likeness: 0 to 1, see difflib.SequenceMatcher.ratio.
    """
    import difflib

    known = list(known)
    folded = {name.casefold().replace("-", "_"): name for name in reversed(known)}
    same = folded.get(word.casefold().replace("-", "_"))
    if same is not None and same != word:
        return same
    return next(iter(difflib.get_close_matches(word, known, 1, likeness)), None)


def shown_path(path: Path, cwd: Path) -> str:
    """`path` as messages name it: relative to `cwd` where it is below it."""
    return (path.relative_to(cwd) if path.is_relative_to(cwd) else path).as_posix()
