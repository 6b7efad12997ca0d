"""Exceptions that nobody foresaw: they end a group as `infra`, and must not hold it up."""

from __future__ import annotations

from pathlib import PurePath
from traceback import extract_tb


def defect(error: Exception) -> str:
    """What is told of an exception that nobody foresaw, and where it came from."""
    last = extract_tb(error.__traceback__)[-1]
    place = f"{PurePath(last.filename).name}:{last.lineno}"
    return f"a defect of Testrium: {type(error).__name__}: {error} ({place})"
