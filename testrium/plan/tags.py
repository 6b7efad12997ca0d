"""Expressions over tags: `smoke and not (slow or network)`.

Grammar, `not` before `and` before `or`:

    any  = all ("or" all)*
    all  = one ("and" one)*
    one  = "not" one | "(" any ")" | TAG
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from testrium.errors import UsageError

#: Whether the tags of a group satisfy an expression.
TagTest = Callable[[Collection[str]], bool]

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_WORDS = frozenset({"and", "or", "not", "(", ")"})


def parse_tags(expression: str) -> TagTest:
    """The test that an expression stands for.

    Raises:
        UsageError: it is no expression; the message points at the place.
    """
    parser = _Parser(expression)
    test = parser.any()
    parser.end()
    return test


class _Parser:
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
