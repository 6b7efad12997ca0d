"""What the runner tells a suite, through its environment, and a suite the runner, by probes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import testrium.probe

_PATH = "TESTRIUM_SUITE_PATH_"

_ARGUMENT = "TESTRIUM_SUITE_ARGUMENT_"

_STEP = "TESTRIUM_SUITE_STEP_"

#: The fields of a manual step, each in a variable of its own.
STEP_FIELDS = ("name", "do", "expect")

#: The terminal at which a person is asked, or why it cannot be used.
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


Outcome = Literal["passed", "failed", "skipped", "unknown"]

#: The longest step (the contract's limit), and what is kept of long texts, in characters.
STEP_LENGTH = 200

_MESSAGE = 1_000

_TRACEBACK = 40_000


class OutcomeReporter:
    """Emits a probe for every test, and knows how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def report(
        self,
        test: str,
        outcome: Outcome,
        *,
        duration_s: float = 0.0,
        message: str = "",
        traceback: str = "",
        place: tuple[str, int | None] = ("", None),
        **more: str,
    ) -> None:
        """Report the result of a test.

        Args:
            test: its id within the suite.
            outcome: "unknown" is for what could not be asked.
            duration_s: how long it took, in seconds.
            message: the assertion that failed, or a reason; its first line is kept.
            traceback: as the interpreter prints it.
            place: file and line of what failed, else of the test.
            more: further metadata, such as who answered.
        """
        self.count += 1
        texts = {
            "message": message.strip().partition("\n")[0][:_MESSAGE],
            "traceback": traceback[-_TRACEBACK:],
            "file": place[0],
            **more,
        }
        line: dict[str, Any] = {} if place[1] is None else {"line": place[1]}
        testrium.probe.unit().probe(
            step_of(test),
            test=_storable(test),
            outcome=outcome,
            duration_s=round(duration_s, 6),
            **line,
            **{name: _storable(text) for name, text in texts.items() if text},
        )

    def conclude(self) -> None:
        """A suite without tests proves nothing."""
        if not self.count:
            testrium.probe.unit().probe(
                "no-tests", test="", outcome="failed", message="no tests were found"
            )


def _storable(text: str) -> str:
    """The text with lone surrogates (undecodable names of files) escaped: JSON cannot hold them."""
    return text.encode(errors="backslashreplace").decode()


def step_of(test: str) -> str:
    """The id of a test as a step: without control characters, and not too long.

    Of a long one the end is replaced by a digest of the whole, so steps stay different.
    """
    step = "".join(char if char.isprintable() else "?" for char in test) or "?"
    if len(step) <= STEP_LENGTH:
        return step
    digest = hashlib.sha256(test.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{step[: STEP_LENGTH - 9]}~{digest}"
