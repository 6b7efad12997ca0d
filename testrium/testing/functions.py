"""What `test_*` functions say about themselves: when they run, how they end, what they add.

Imports nothing, because test_case.py imports it, and units import that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar

    from testrium.run.test_runner import CurrentTest

    _Function = TypeVar("_Function", bound=Callable[..., Any])


def test_config(
    priority: int = 0,  # noqa: PT028 - a decorator, no test
    parallelize: bool = False,  # noqa: PT028 - the same
) -> Callable[[_Function], _Function]:
    """Say when a `test_*` function runs.

    Args:
        priority: lower runs first.
        parallelize: whether it may run beside others of its priority.
    """

    def mark(function: _Function) -> _Function:
        # The names are part of the classic API; run/test_runner.py reads them.
        function.testrium_priority = priority  # type: ignore[attr-defined]
        function.testrium_parallelize = parallelize  # type: ignore[attr-defined]
        return function

    return mark


test_config.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


def verification(function: _Function) -> _Function:
    """Mark a `test_*` function that looks at the stored run only: `testrium verify` repeats it."""
    function.testrium_verification = True  # type: ignore[attr-defined]  # run/test_runner.py
    return function


def current_test() -> CurrentTest | None:
    """The test function or callback of a run that runs now."""
    from testrium.run import test_runner

    return test_runner.current


def skip(reason: str) -> NoReturn:
    """Leave the test that runs now: its verdict is `skip`, with this reason.

    In the tests of pytest and unittest it skips these.
    """
    import sys

    if "unittest" in sys.modules:
        import unittest

        raise unittest.SkipTest(reason)
    from testrium.errors import SkipTest

    raise SkipTest(reason)


def abort(reason: str) -> NoReturn:
    """End the group now: no further test runs, and its verdict is `error`, with this reason.

    For what makes testing pointless: a machine that lacks something, a broken preparation.
    """
    from testrium.errors import AbortGroup

    raise AbortGroup(reason)


def inspect(reason: str) -> None:
    """Record that a person must look at this result. The test continues.

    One that passes has the note `inspect`, which `--strict` makes a failure. Outside of a test
    function the reason is a warning.
    """
    if (current := current_test()) is not None:
        current.inspections.append(reason)
    else:
        import warnings

        warnings.warn(f"to be inspected: {reason}", stacklevel=2)


def attach(path: str | os.PathLike[str]) -> None:
    """Keep a copy of a file with the run; reports name it beside the test that runs now.

    Raises:
        FileNotFoundError, IsADirectoryError: the file does not exist.
        RuntimeError: no test function of a run is running.
    """
    from testrium.testing.files import keep_attachment

    if (current := current_test()) is None:
        raise RuntimeError("attach() keeps a file with the test function that runs: there is none")
    current.attachments.append(keep_attachment(path, current.name))


def generate(strategy: Any) -> Callable[[Callable[[Any], Any]], Callable[[], Any]]:
    """Let Hypothesis draw the argument of an entrypoint, as `testrium generate` asks for it.

    In other runs the argument is drawn too, anew for each run, and printed.

    Args:
        strategy: of `hypothesis.strategies`; mostly of lists of operations.

    Raises:
        TypeError: it is used without a strategy.
    """
    if not hasattr(strategy, "example"):
        name = getattr(strategy, "__name__", repr(strategy))
        raise TypeError(f"@generate needs a strategy: @generate(st.lists(...)), got {name}")

    def mark(function: Callable[[Any], Any]) -> Callable[[], Any]:
        def entrypoint() -> Any:
            from testrium.testing.generating import argument

            return function(argument(strategy))

        entrypoint.__name__ = function.__name__
        entrypoint.__doc__ = function.__doc__
        entrypoint.__module__ = function.__module__
        entrypoint.testrium_strategy = strategy  # type: ignore[attr-defined]  # generating.py
        return entrypoint

    return mark
