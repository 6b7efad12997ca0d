"""Old import path: what test files of the classic API use. Imports little: units import it."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import time

from testrium.testing.functions import test_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import ParamSpec, TypeVar

    _Given = ParamSpec("_Given")
    _Returned = TypeVar("_Returned")

__all__ = [
    "log_test_time",
    "print_banner",
    "suppress_output",
    "test_config",
    "verify_condition",
]


def verify_condition(condition: object, message: str = "Verification failed") -> None:
    """Raise AssertionError with `message` unless `condition` is truthy."""
    if not condition:
        raise AssertionError(message)


def log_test_time(func: Callable[_Given, _Returned]) -> Callable[_Given, _Returned]:
    """A decorator that prints how long each call took."""

    @functools.wraps(func)
    def timed(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        started = time.perf_counter()
        try:
            return func(*args, **kwargs)
        finally:
            took_s = time.perf_counter() - started
            print(f"{func.__name__} took {took_s:.3f} s")  # noqa: T201 - what it is for

    return timed


def print_banner(message: str, color: str = "\033[32m") -> None:
    """Print a text in the middle of a line of `=`; in `color` on a terminal."""
    line = message.center(80, "=")
    if sys.stdout.isatty():
        line = f"{color}{line}\033[0m"
    print(line)  # noqa: T201 - what it is for


def suppress_output() -> AbstractContextManager[object]:
    """A context manager: what is printed inside is dropped."""
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack
