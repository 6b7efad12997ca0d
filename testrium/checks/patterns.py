"""Patterns that are searched line by line: regular expressions, or plain text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from testrium.errors import TestriumError
from testrium.variables import substitute

#: Whether a line matches.
Matcher = Callable[[str], object]


class NotationError(TestriumError, ValueError):
    """A pattern, path or expression that cannot be read; `column` counts from 1."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        super().__init__(f"{text!r}, column {column}: {reason}")


def compiled(text: str, written: str | None = None) -> re.Pattern[str]:
    """A regular expression.

    Args:
        text: the expression.
        written: how the user wrote it, for the message, where `text` was made of that.

    Raises:
        NotationError: it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about syntax that will change its meaning some day
            return re.compile(text)
    except re.error as error:
        shown = text if written is None else written
        raise NotationError(
            shown, (error.pos or 0) + 1, f"no regular expression: {error.msg}"
        ) from error
    except (OverflowError, RecursionError) as error:  # a{99999999999}, a thousand brackets
        shown = text if written is None else written
        raise NotationError(shown, 1, f"no regular expression: {error}") from error


def filled(text: str, lookup: Callable[[str], str] | None) -> str:
    """A regular expression with its `${...}` filled in; values stand for themselves in it."""
    if lookup is None:
        return text
    return substitute(text, lambda name: re.escape(lookup(name)))


def matcher(
    text: str, *, literal: bool = False, lookup: Callable[[str], str] | None = None
) -> Matcher:
    """What tells whether a line matches `text`. Raises NotationError."""
    if literal:
        plain = text if lookup is None else substitute(text, lookup)
        return lambda line: plain in line
    return compiled(filled(text, lookup), text).search
