"""Which of the groups are run: `--less`, `--tag`, `--grep`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from testrium.errors import UsageError
from testrium.model import Group
from testrium.plan.tags import parse_tags


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line asks for.

    `less` names groups, by id or folder name, that are left out. `tag` is an expression such as
    `smoke and not slow`. `grep` is a regular expression that the id or the title must match
    somewhere. An empty value selects everything.
    """

    less: tuple[str, ...] = ()
    tag: str = ""
    grep: str = ""


def select(groups: Sequence[Group], selection: Selection) -> tuple[Group, ...]:
    """The selected groups, in their order.

    Raises:
        UsageError: an unknown group in `less`, a `tag` or a `grep` that cannot be read.
    """
    left_out = _left_out(groups, selection.less)
    has_tags = parse_tags(selection.tag) if selection.tag.strip() else None
    pattern = _pattern(selection.grep)
    return tuple(
        group
        for group in groups
        if group.id not in left_out
        and (has_tags is None or has_tags(group.tags))
        and (pattern.search(group.id) or pattern.search(group.title))
    )


def _left_out(groups: Iterable[Group], names: Iterable[str]) -> frozenset[str]:
    by_name: dict[str, set[str]] = {}
    for group in groups:
        for name in (group.id, group.folder.name):
            by_name.setdefault(name, set()).add(group.id)
    out: set[str] = set()
    for name in names:
        ids = by_name.get(name.rstrip("/"))
        if ids is None:
            raise UsageError(f"--less {name}: no such group{_suggestion(name, by_name)}")
        out |= ids
    return frozenset(out)


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    nearest = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--grep {text!r}: no regular expression: {error}") from None
