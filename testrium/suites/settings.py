"""What a suite is given by its unit, through the environment: written by the runner, read here.

A variable for each text, because a text may hold anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

_PATH = "TESTRIUM_SUITE_PATH_"
_ARGUMENT = "TESTRIUM_SUITE_ARGUMENT_"
_STEP = "TESTRIUM_SUITE_STEP_"
#: The fields of a manual step, each in a variable of its own.
STEP_FIELDS = ("name", "do", "expect")
#: The terminal at which a person is asked, or why nobody is.
TERMINAL = "TESTRIUM_TERMINAL"
UNASKED = "TESTRIUM_UNASKED"
#: Where a suite may keep files between its tests.
FOLDER = "TESTRIUM_SUITE_FOLDER"


def environment(
    paths: Iterable[str], arguments: Iterable[str], steps: Iterable[tuple[str, str, str]]
) -> dict[str, str]:
    """The variables that tell a suite these settings."""
    variables = {f"{_PATH}{number}": path for number, path in enumerate(paths)}
    variables |= {f"{_ARGUMENT}{number}": text for number, text in enumerate(arguments)}
    for number, step in enumerate(steps):
        for field, text in zip(STEP_FIELDS, step, strict=True):
            variables[f"{_STEP}{number}_{field.upper()}"] = text
    return variables


def paths(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The files and folders of the suite, absolute."""
    return _numbered(_PATH, environ)


def arguments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Further arguments for the program that runs the suite."""
    return _numbered(_ARGUMENT, environ)


def steps(environ: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """The steps of a manual check, with the fields `STEP_FIELDS`."""
    found: list[dict[str, str]] = []
    while (first := f"{_STEP}{len(found)}_") + "NAME" in environ:
        found.append({field: environ[first + field.upper()] for field in STEP_FIELDS})
    return found


def _numbered(prefix: str, environ: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    while f"{prefix}{len(found)}" in environ:
        found.append(environ[f"{prefix}{len(found)}"])
    return found
