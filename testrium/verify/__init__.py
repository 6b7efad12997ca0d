"""Verification: a pure function of what was declared and what happened.

`Expectations` is needed while a group runs, `judge` only afterwards: each is imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testrium.verify.expectations import Expectations
    from testrium.verify.judgement import judge

__all__ = ["Expectations", "judge"]


def __getattr__(name: str) -> object:
    if name == "Expectations":
        from testrium.verify.expectations import Expectations

        return Expectations
    if name == "judge":
        from testrium.verify.judgement import judge

        return judge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
