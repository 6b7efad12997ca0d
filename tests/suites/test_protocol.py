"""What a suite tells becomes probes that can always be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.probe.event import check_step
from testrium.suites import protocol
from testrium.suites.protocol import STEP_LENGTH, OutcomeReporter, step_of

if TYPE_CHECKING:
    from tests.suites.conftest import Told


@given(st.text())
def test_every_id_makes_a_step(test: str) -> None:
    check_step(step_of(test))


def test_a_long_id_stays_different_from_others() -> None:
    one, other = ("x" * 300 + end for end in "ab")
    assert step_of(one) != step_of(other)
    assert len(step_of(one)) == STEP_LENGTH
    assert step_of("a::b[1-x]") == "a::b[1-x]"


def test_settings_are_read_as_they_were_written() -> None:
    steps = [("a b", "do\n'x'", ""), ("c", "${d}", "e")]
    variables = protocol.environment(["/p", "q\n"], [], steps)
    assert protocol.paths(variables) == ["/p", "q\n"]
    assert protocol.arguments(variables) == []
    assert protocol.steps(variables) == [
        {"name": name, "do": do, "expect": expect} for name, do, expect in steps
    ]


def test_texts_are_cut_and_escaped(told: Told) -> None:
    reporter = OutcomeReporter()
    reporter.report(
        "a\udcff", "failed", message="first\nsecond", traceback="\udcff" * 100_000, by="me"
    )
    (probe,) = told()
    assert probe["test"] == r"a\udcff"
    assert probe["message"] == "first"
    assert probe["by"] == "me"
    assert len(probe["traceback"]) < 300_000
    reporter.conclude()
    assert len(told()) == 1


def test_a_suite_without_tests_has_failed(told: Told) -> None:
    OutcomeReporter().conclude()
    assert told() == [{"test": "", "outcome": "failed", "message": "no tests were found"}]


def test_nothing_is_told_outside_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESTRIUM_PROBES", raising=False)
    reporter = OutcomeReporter()
    reporter.report("a", "passed")
    assert reporter.count == 1
