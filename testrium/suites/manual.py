"""Checks that a person makes: each step is asked at the terminal from which the run was started.

This process is outside of the terminal's session, so it opens the terminal by its name. Reading
there is safe: the runner itself never reads, and Ctrl-C still reaches the runner. One check is
asked at a time, by all processes (a lock on the terminal).
"""

from __future__ import annotations

import fcntl
import getpass
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from testrium.suites import protocol
from testrium.suites.protocol import Outcome, OutcomeReporter

_ANSWERS: tuple[Outcome, ...] = ("passed", "failed", "skipped")
_QUESTIONS = {"failed": "What happened", "skipped": "Why"}


def main() -> None:
    """The entrypoint: ask every step, and report the answers, who gave them and when."""
    reporter = OutcomeReporter()
    steps = protocol.steps()
    if reason := os.environ.get(protocol.UNASKED, ""):
        for step in steps:
            reporter.report(step["name"], "unknown", message=f"could not be asked: {reason}")
        return
    with _terminal(os.environ[protocol.TERMINAL]) as (answers, questions):
        unit = f"{os.environ['TESTRIUM_GROUP']}, {os.environ['TESTRIUM_UNIT']}"
        signal.signal(signal.SIGTERM, lambda *_: _leave(questions))
        questions.write(f"\n{_shown(unit)}: a check by hand\n")
        Interview(answers, questions, reporter).ask_all(steps)


class Interview:
    """Asks one step after the other; if the user hangs up, the rest is unknown."""

    def __init__(self, answers: TextIO, questions: TextIO, reporter: OutcomeReporter) -> None:
        self._answers = answers
        self._questions = questions
        self._reporter = reporter

    def ask_all(self, steps: list[dict[str, str]]) -> None:
        """Ask and tell every step; `steps` have the fields `settings.STEP_FIELDS`."""
        for number, step in enumerate(steps, start=1):
            self._say(f"\nStep {number} of {len(steps)}: {step['name']}\n")
            self._say(f"  Do:      {step['do']}\n  Expect:  {step['expect']}\n")
            started = time.perf_counter()
            try:
                outcome, comment = self._answer()
            except EOFError:
                outcome, comment = "unknown", "no answer was given"
            self._reporter.report(
                step["name"],
                outcome,
                duration_s=time.perf_counter() - started,
                message=f"{comment} (expected: {step['expect']})"
                if outcome == "failed"
                else comment,
                by=_person(),
                at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                expect=step["expect"],
            )

    def _answer(self) -> tuple[Outcome, str]:
        while True:
            said = self._ask("[p]ass, [f]ail or [s]kip? ").lower()
            outcome = next((one for one in _ANSWERS if said and one.startswith(said)), None)
            if outcome is not None:
                break
            self._say("Answer p, f or s. Ctrl-D leaves it open, Ctrl-C ends the run.\n")
        question = _QUESTIONS.get(outcome)
        comment = ""
        while question and not comment:
            comment = self._ask(f"{question}? ")
        return outcome, comment

    def _ask(self, question: str) -> str:
        self._say(question)
        line = self._answers.readline()
        if not line:
            raise EOFError
        return line.strip()

    def _say(self, text: str) -> None:
        self._questions.write(_shown(text))
        self._questions.flush()


@contextmanager
def _terminal(name: str) -> Iterator[tuple[TextIO, TextIO]]:
    """The terminal, exclusively for this context, and not as our controlling one."""
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with (
        os.fdopen(fd, encoding="utf-8", errors="replace") as answers,
        os.fdopen(os.dup(fd), "w", encoding="utf-8", errors="backslashreplace") as questions,
    ):
        yield answers, questions


def _leave(questions: TextIO) -> NoReturn:
    """What is printed next begins on a line of its own, and not behind the question."""
    questions.write("\n")
    questions.flush()
    os._exit(128 + signal.SIGTERM)


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name
        return f"uid {os.getuid()}"


def _shown(text: str) -> str:
    """Text of a group may hold what a unit has emitted: nothing in it moves the cursor."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text
    )
