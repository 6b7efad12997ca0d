"""How a person is asked; tests/end_to_end/test_suites.py has a real terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from testrium.suites import manual, protocol
from testrium.suites.manual import Interview
from testrium.suites.protocol import OutcomeReporter

Outcomes = Callable[[], dict[str, tuple[str, str]]]

STEPS = [
    {"name": "page", "do": "Open it", "expect": "It is\x1b[2J there"},
    {"name": "close", "do": "Close it", "expect": "It is gone"},
]


def ask(answers: str) -> str:
    """What was shown to somebody who gave these answers."""
    questions = io.StringIO()
    Interview(io.StringIO(answers), questions, OutcomeReporter()).ask_all(STEPS)
    return questions.getvalue()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("p\nPASS\n", {"page": ("passed", ""), "close": ("passed", "")}),
        (
            "f\n\n 404 \nskip\nno time\n",
            {
                "page": ("failed", "404 (expected: It is\x1b[2J there)"),
                "close": ("skipped", "no time"),
            },
        ),
        (
            "problem\n\npa\nf\nstill there",
            {"page": ("passed", ""), "close": ("failed", "still there (expected: It is gone)")},
        ),
        (
            "p\n",
            {
                "page": ("passed", ""),
                "close": ("unknown", "no answer was given"),
            },
        ),
    ],
)
def test_answers(outcomes: Outcomes, answers: str, expected: dict[str, tuple[str, str]]) -> None:
    ask(answers)
    assert outcomes() == expected


def test_questions(outcomes: Outcomes) -> None:
    shown = ask("p\ns\nwhy not\n")
    assert "Step 1 of 2: page\n  Do:      Open it\n  Expect:  It is\\x1b[2J there\n" in shown
    assert shown.endswith("[p]ass, [f]ail or [s]kip? Why? ")


def test_an_invalid_answer_is_reported(outcomes: Outcomes) -> None:
    """A word that only begins like one is none: "problem" is no pass."""
    shown = ask("problem\nfi\n")
    assert shown.count("Answer p, f or s.") == 2
    assert set(outcomes().values()) == {("unknown", "no answer was given")}


def test_no_question_is_asked_without_a_person(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = protocol.environment([], [], [("page", "Open", "There")])
    for name, text in {**variables, protocol.UNASKED: "CI is set"}.items():
        monkeypatch.setenv(name, text)
    manual.main()
    assert outcomes() == {"page": ("unknown", "could not be asked: CI is set")}
