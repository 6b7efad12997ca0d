"""The workplace comes from the conftest above; these are its types."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

    __all__ = ["Outcome", "Workplace"]
