"""What test files of the classic API use. Imports nothing, because units import it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def test_config(
    priority: int = 0,  # noqa: PT028 - a decorator of the classic API, no test
    parallelize: bool = False,  # noqa: PT028 - the same
) -> Callable[[_Function], _Function]:
    """A decorator that says when a `test_*` function runs.

    Args:
        priority: lower runs first.
        parallelize: whether it may run beside others of its priority.
    """

    def mark(function: _Function) -> _Function:
        # The names are part of the classic API; run/testcode.py reads them.
        function.testrium_priority = priority  # type: ignore[attr-defined]
        function.testrium_parallelize = parallelize  # type: ignore[attr-defined]
        return function

    return mark


test_config.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


def verify_condition(condition: object, message: str = "Verification failed") -> None:
    """Raise AssertionError with `message` unless `condition` is truthy."""
    if not condition:
        raise AssertionError(message)
