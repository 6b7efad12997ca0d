"""What `test_*` functions are declared with: when they run.

Imports nothing, because test_case.py imports it, and units import that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

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
