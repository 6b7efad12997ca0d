"""Which of the groups are run: `--less`, `--tag`, `--grep`, `--requirement`, `--failed` …"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from testrium.checks.patterns import TookTooLongError, at_most
from testrium.declared.groups import Combination, Group, Scenario
from testrium.errors import UsageError
from testrium.phrases import did_you_mean, shown
from testrium.tuples import NamedTuple
from testrium.words import EMPTY

#: Whether the tags of a group satisfy an expression.
TagTest = Callable[[Collection[str]], bool]

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")

#: How long the search of ids and titles may take (seconds of CPU time).
_SEARCH_S = 1.0

#: Levels of a --tag expression: each needs some frames of the interpreter's stack.
_MOST_NESTED = 50

#: Of the tags that a message lists.
_MOST_TAGS = 20

_WORDS = frozenset({"and", "or", "not", "(", ")"})


def parse_tags(expression: str) -> TagTest:
    """The test that an expression describes.

    Raises:
        UsageError: it is not an expression; the message points at the place.
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
        self._depth = 0

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
            with self._deeper():
                denied = self._one()
            return lambda tags: not denied(tags)
        if self._accept("("):
            with self._deeper():
                test = self.any()
            if not self._accept(")"):
                raise self._error("')' expected")
            return test
        tag = self._token()
        if tag is None or tag in _WORDS:
            raise self._error("a tag expected")
        self._next += 1
        return lambda tags: tag in tags

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        if self._depth == _MOST_NESTED:
            raise self._error(f"nested more than {_MOST_NESTED} levels deep")
        self._depth += 1
        yield
        self._depth -= 1

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
        return UsageError(f"--tag {shown(self._expression)!r}, column {column}: {reason}")


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

    def leaves_out(self, id_: str, folder: Path) -> bool:
        """Whether `less` names this group as a whole."""
        return any(_names(name.rstrip("/"), id_, folder) for name in self.less)

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
    pattern = _pattern(selection.grep)

    def is_selected(group: Group, combination: Combination) -> bool:
        id_ = group.id + combination.suffix
        return (
            (combination.primary or selection.all_modes or selection.failed is not None)
            and id_ not in left_out
            and bool(pattern.search(id_) or pattern.search(group.title))
        )

    _check_requirements(groups, selection.requirements)
    try:
        with at_most(_SEARCH_S):
            return _chosen(groups, selection, is_selected, left_out)
    except TookTooLongError as error:
        raise UsageError(f"--grep {shown(selection.grep)!r} {error}: it backtracks") from None


def nothing_selected(groups: Sequence[Group], selection: Selection) -> str:
    """Why no group is left to run, in words."""
    given = [("--tag", selection.tag), ("--grep", selection.grep)]
    given += [("--requirement", name) for name in selection.requirements]
    given += [("--less", name) for name in selection.less]
    words = [f"{option} {shown(value)}" for option, value in given if value]
    if selection.failed is not None:
        words.append("--failed")
    tags = sorted({tag for group in groups for tag in group.tags})
    known = ""
    if selection.tag:
        more = f" and {len(tags) - _MOST_TAGS} more" if len(tags) > _MOST_TAGS else ""
        known = f" (tags: {', '.join(tags[:_MOST_TAGS]) or 'none'}{more})"
    if not words:
        return f"no group is left of {len(groups)}: select matrix combinations with --all-modes"
    return f"no group matches {' '.join(words)}{known}"


def _chosen(
    groups: Sequence[Group],
    selection: Selection,
    is_selected: Callable[[Group, Combination], bool],
    left_out: Collection[str],
) -> tuple[Group, ...]:
    has_tags = parse_tags(selection.tag) if selection.tag.strip() else None
    chosen = []
    for group in groups:
        if group.id in left_out or (has_tags is not None and not has_tags(group.tags)):
            continue
        if selection.requirements and not _covers(group, selection.requirements):
            continue
        wanted = [each for each in combinations_of(group) if is_selected(group, each)]
        if wanted:
            chosen.append(replace(group, matrix=tuple(wanted)) if group.matrix else group)
    return tuple(chosen)


def _covers(group: Group, wanted: Iterable[str]) -> bool:
    return any(fnmatchcase(name, each) for each in wanted for name in group.requirements)


def _check_requirements(groups: Sequence[Group], wanted: Iterable[str]) -> None:
    known = {name for group in groups for name in group.requirements}
    for each in wanted:
        if not any(fnmatchcase(name, each) for name in known):
            raise UsageError(f"--requirement {each}: no group covers it{did_you_mean(each, known)}")


def _left_out(groups: Sequence[Group], names: Iterable[str]) -> frozenset[str]:
    """The ids that the names select."""
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
        ids = by_name.get(wanted) or {
            each.id for each in groups if _names(wanted, each.id, each.folder)
        }
        if not ids:
            raise UsageError(f"--less {name}: no such group{did_you_mean(name, by_name)}")
        out |= ids
    return frozenset(out)


def _names(name: str, id_: str, folder: Path) -> bool:
    """Whether a name is that of a group, or what a shell would match at the end of its path."""
    if name in (id_, folder.name):
        return True
    try:
        return PurePosixPath(id_).match(name) or folder.match(name)
    except ValueError:  # "" and "." are not patterns
        return False


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError) as error:
        reason: object = error
    except RecursionError:
        reason = "too deeply nested"
    raise UsageError(f"--grep {shown(text)!r}: invalid regular expression: {reason}")
