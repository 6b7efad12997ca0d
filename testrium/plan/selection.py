"""Which of the groups are run: `--less`, `--tag`, `--grep`, `--requirement`, `--failed` …"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from testrium.declared.groups import Combination, Group, Scenario
from testrium.errors import UsageError
from testrium.words import EMPTY

#: Whether the tags of a group satisfy an expression.
TagTest = Callable[[Collection[str]], bool]

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")

_WORDS = frozenset({"and", "or", "not", "(", ")"})


def parse_tags(expression: str) -> TagTest:
    """The test that an expression stands for.

    Raises:
        UsageError: it is no expression; the message points at the place.
    """
    parser = _TagParser(expression)
    test = parser.any()
    parser.end()
    return test


class _TagParser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = [(m[1], m.start(1) + 1) for m in _TOKEN.finditer(expression)]
        self._next = 0

    def any(self) -> TagTest:
        tests = [self._all()]
        while self._accept("or"):
            tests.append(self._all())
        return lambda tags: any(test(tags) for test in tests)

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise self._error("'and' or 'or' expected")

    def _all(self) -> TagTest:
        tests = [self._one()]
        while self._accept("and"):
            tests.append(self._one())
        return lambda tags: all(test(tags) for test in tests)

    def _one(self) -> TagTest:
        if self._accept("not"):
            denied = self._one()
            return lambda tags: not denied(tags)
        if self._accept("("):
            test = self.any()
            if not self._accept(")"):
                raise self._error("')' expected")
            return test
        tag = self._token()
        if tag is None or tag in _WORDS:
            raise self._error("a tag expected")
        self._next += 1
        return lambda tags: tag in tags

    def _token(self) -> str | None:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else None

    def _accept(self, word: str) -> bool:
        if self._token() != word:
            return False
        self._next += 1
        return True

    def _error(self, reason: str) -> UsageError:
        end = len(self._expression) + 1
        column = self._tokens[self._next][1] if self._next < len(self._tokens) else end
        return UsageError(f"--tag {self._expression!r}, column {column}: {reason}")


class ResultKey(NamedTuple):
    """What a result keeps from run to run, wherever its group was looked for."""

    folder: Path
    mode: str
    params: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, folder: Path, mode: str, params: Mapping[str, str]) -> ResultKey:
        return cls(folder, mode, frozenset(params.items()))


class Selection(NamedTuple):
    """What the command line asks for.

    `less` names what is left out: groups, by id, folder or a shell pattern for either, or one
    combination of a matrix by its id. `tag` is an expression such as `smoke and not slow`. `grep`
    is a regular expression that the id or the title must match somewhere. An empty value selects
    everything. `requirements` are ids, or shell patterns for them, of which a group must cover
    one. `all_modes` adds the combinations that are not primary. `failed` are the only
    results that are wanted, primary or not; None for all.
    """

    less: tuple[str, ...] = ()
    tag: str = ""
    grep: str = ""
    requirements: tuple[str, ...] = ()
    all_modes: bool = False
    failed: frozenset[ResultKey] | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out on purpose."""
        return bool(self.less or self.tag or self.grep or self.requirements or self.failed)

    def wants(self, scenario: Scenario) -> bool:
        """Whether `failed` has this result."""
        key = ResultKey.of(scenario.group.folder, scenario.mode, scenario.params)
        return self.failed is None or key in self.failed


def combinations_of(group: Group) -> tuple[Combination, ...]:
    """The group's combinations of parameters; one without any where it has no matrix."""
    return group.matrix or (Combination(EMPTY),)


def select(groups: Sequence[Group], selection: Selection) -> tuple[Group, ...]:
    """The selected groups, in their order, each with the selected combinations of its matrix.

    Raises:
        UsageError: an unknown group in `less`, a `tag` or a `grep` that cannot be read.
    """
    left_out = _left_out(groups, selection.less)
    has_tags = parse_tags(selection.tag) if selection.tag.strip() else None
    pattern = _pattern(selection.grep)

    def is_selected(group: Group, combination: Combination) -> bool:
        id_ = group.id + combination.suffix
        return (
            (combination.primary or selection.all_modes or selection.failed is not None)
            and id_ not in left_out
            and bool(pattern.search(id_) or pattern.search(group.title))
        )

    _check_requirements(groups, selection.requirements)
    chosen = []
    for group in groups:
        if group.id in left_out or (has_tags is not None and not has_tags(group.tags)):
            continue
        if selection.requirements and not _covers(group, selection.requirements):
            continue
        wanted = [each for each in combinations_of(group) if is_selected(group, each)]
        if wanted:
            chosen.append(group._replace(matrix=tuple(wanted)) if group.matrix else group)
    return tuple(chosen)


def _covers(group: Group, wanted: Iterable[str]) -> bool:
    return any(fnmatchcase(name, each) for each in wanted for name in group.requirements)


def _check_requirements(groups: Sequence[Group], wanted: Iterable[str]) -> None:
    known = {name for group in groups for name in group.requirements}
    for each in wanted:
        if not any(fnmatchcase(name, each) for name in known):
            raise UsageError(f"--requirement {each}: no group covers it{_suggestion(each, known)}")


def _left_out(groups: Sequence[Group], names: Iterable[str]) -> frozenset[str]:
    """The ids of all that the names stand for."""
    by_name: dict[str, set[str]] = {}
    for group in groups:
        for name in (group.id, group.folder.name):
            by_name.setdefault(name, set()).add(group.id)
    for group in groups:
        for combination in group.matrix:
            id_ = group.id + combination.suffix
            by_name.setdefault(id_, {id_})
    out: set[str] = set()
    for name in names:
        wanted = name.rstrip("/")
        ids = by_name.get(wanted) or {each.id for each in groups if _matches(each, wanted)}
        if not ids:
            raise UsageError(f"--less {name}: no such group{_suggestion(name, by_name)}")
        out |= ids
    return frozenset(out)


def _matches(group: Group, pattern: str) -> bool:
    """Whether the end of the group's id or path is what a shell would match."""
    try:
        return PurePosixPath(group.id).match(pattern) or group.folder.match(pattern)
    except ValueError:  # "" and "." are no patterns
        return False


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    nearest = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--grep {text!r}: no regular expression: {error}") from None
