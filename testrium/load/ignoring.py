"""Folders that are not searched for groups: the lines of `.testriumignore` files.

As in gitignore(5), as far as folders go: `#` begins a comment, `!` takes back, a pattern with a `/`
that is not at its end counts from the file's folder, one without at any depth; `*`, `?`, `[...]`,
`**` as there. The last line that matches decides; a file further down comes after one above.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from testrium.load.document import Complaints, shown_path

FILE_NAME = ".testriumignore"

_PART = re.compile(
    r"(?P<any_start>(?:^|(?<=/))\*\*/)|(?P<any_end>(?<=/)\*\*$)|(?P<star>\*+)|(?P<one>\?)"
    r"|\[(?P<not>[!^])?(?P<class>\]?[^\]/]+)\]|\\(?P<escaped>.)|(?P<plain>.)"
)


class Rule(NamedTuple):
    """One line: which paths below the file's folder it speaks of, and what it says of them."""

    pattern: re.Pattern[str]
    ignored: bool


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a `.testriumignore`, in their order."""
    rules = []
    for line in text.splitlines():
        pattern = line.rstrip()
        if not pattern or pattern.startswith("#"):
            continue
        ignored = not pattern.startswith("!")
        pattern = pattern.removeprefix("!").rstrip("/")
        anywhere = "/" not in pattern
        translated = "".join(map(_translated, _PART.finditer(pattern.removeprefix("/"))))
        try:
            rules.append(Rule(re.compile(f"{'(?:.*/)?' * anywhere}{translated}"), ignored))
        except re.error:  # a class such as [z-a] has no members
            continue
    return tuple(rules)


def _translated(part: re.Match[str]) -> str:
    match part.lastgroup:
        case "any_start":
            return "(?:.*/)?"
        case "any_end":
            return ".+"
        case "star":
            return "[^/]*"
        case "one":
            return "[^/]"
        case "class":
            members = part["class"].replace("\\", r"\\").replace("]", r"\]").replace("[", r"\[")
            return f"(?!/)[{'^' if part['not'] else ''}{members}]"
        case _:
            return re.escape(part["escaped"] or part["plain"])


class IgnoreFiles:
    """The files of a search, each read once.

    Args:
        top: the highest folder whose file counts.
        cwd: what file names in messages are relative to.
        complaints: where files that cannot be read are noted.
    """

    def __init__(self, top: Path, cwd: Path, complaints: Complaints) -> None:
        self._top = top
        self._cwd = cwd
        self._complaints = complaints
        self._rules: dict[Path, tuple[Rule, ...]] = {}

    def ignores(self, folder: Path, root: Path) -> bool:
        """Whether the files above say so of this very folder; outside of `top` from `root` on."""
        ignored = False
        top = self._top if folder.is_relative_to(self._top) else root
        for above in reversed(folder.parents[: len(folder.relative_to(top).parts)]):
            path = folder.relative_to(above).as_posix()
            for rule in self._rules_of(above):
                if rule.pattern.fullmatch(path):
                    ignored = rule.ignored
        return ignored

    def _rules_of(self, folder: Path) -> tuple[Rule, ...]:
        if folder not in self._rules:
            file = folder / FILE_NAME
            try:
                text = file.read_text(encoding="utf-8-sig")
            except FileNotFoundError:
                text = ""
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
                self._complaints.problem(
                    shown_path(file, self._cwd), None, "", f"cannot be read: {why}"
                )
                text = ""
            self._rules[folder] = read_rules(text)
        return self._rules[folder]
