"""Patterns that are searched line by line, and the limit on the time that a search may take."""

from __future__ import annotations

import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testrium.errors import TestriumError
from testrium.variables import substitute

#: Characters of a pattern, values of `${...}` included.
_LONGEST = 100_000

#: Seconds of CPU time between two attempts to break off the same computation.
_AGAIN_S = 0.05

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
    if len(text) > _LONGEST:
        shown = f"{(text if written is None else written)[:40]}…"
        raise NotationError(shown, _LONGEST, f"the pattern is longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about syntax that will change its meaning some day
            return re.compile(text)
    except re.error as error:
        shown = text if written is None else written
        raise NotationError(
            shown, (error.pos or 0) + 1, f"invalid regular expression: {error.msg}"
        ) from error
    except (OverflowError, RecursionError) as error:  # a{99999999999}, a thousand brackets
        shown = text if written is None else written
        raise NotationError(shown, 1, f"invalid regular expression: {error}") from error


def filled(text: str, lookup: Callable[[str], str] | None) -> str:
    """A regular expression with its `${...}` filled in; values match themselves literally."""
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


class TookTooLongError(TestriumError):
    """The computation was broken off."""


@contextmanager
def at_most(limit_s: float) -> Iterator[None]:
    """Break off what is computed in here after `limit_s` seconds of the process's CPU time.

    CPU time, so a busy machine makes no difference to what is found.
    The regular expressions of the standard library ask for signals while they search; a thread
    could not be stopped. Outside the main thread, and on Windows, nothing limits it.
    The error is raised again and again until the block ends: one that falls into a destructor or
    a callback of the garbage collector is lost.

    Raises:
        TookTooLongError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    ended = False

    def ring(_number: int, _frame: object) -> None:
        if not ended:
            raise TookTooLongError(f"took more than {limit_s:.3g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s, _AGAIN_S)
    try:
        try:
            yield
        finally:
            ended = True
    finally:  # also if the signal comes between the block and `ended`
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL if before is None else before)
