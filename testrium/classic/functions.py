"""What test files of the classic API use. Imports next to nothing, because units import it."""

from __future__ import annotations

from testrium.testing.functions import test_config

__all__ = ["test_config", "verify_condition"]


def verify_condition(condition: object, message: str = "Verification failed") -> None:
    """Raise AssertionError with `message` unless `condition` is truthy."""
    if not condition:
        raise AssertionError(message)
