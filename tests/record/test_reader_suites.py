"""From the probes of suites to results of tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import Event, Evidence
from testrium.record.reader import with_suites
from testrium.words import EMPTY, Code

SUITE = Unit("suite", 0, "suite.toml", entrypoint="x:y", kind="pytest")
OTHER = Unit("other", 1, "other.toml", entrypoint="x:y")
SCENARIO = Scenario("g", Group("g", Path("/g"), (SUITE, OTHER)), (SUITE, OTHER))


def event(number: int, unit: str = "suite", attempt: int = 1, **meta: Any) -> Event:
    return Event(
        id=number,
        unit=unit,
        step="step",
        type="Default",
        key=None,
        cause=(),
        t_ns=number,
        t_low_ns=None,
        wall_ns=0,
        domain="d",
        pid=1,
        seq=number,
        start=1,
        attempt=attempt,
        owner=unit,
        meta=meta or EMPTY,
    )


def results(*events: Event, attempt: int = 1) -> Evidence:
    return with_suites(SCENARIO, Evidence(events=events, attempt=attempt))


VERDICTS = {"passed": "pass", "failed": "fail", "skipped": "skip", "unknown": "unknown"}


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"outcome": "passed", "duration_s": 0.5}, (True, 0.5, "")),
        ({"outcome": "failed", "message": "assert 0"}, (False, 0.0, "assert 0")),
        ({"outcome": "skipped", "message": "no time"}, (True, 0.0, "no time")),
        ({"outcome": "skipped"}, (True, 0.0, "skipped")),
        ({"outcome": "unknown", "message": "no terminal"}, (True, 0.0, "unknown: no terminal")),
        ({"outcome": "failed", "message": 3, "duration_s": "x"}, (False, 0.0, "")),
    ],
)
def test_a_test(meta: dict[str, Any], expected: tuple[bool, float, str]) -> None:
    (test,) = results(event(1, test="a::b", **meta)).tests
    assert (test.name, test.unit) == ("suite::a::b", "suite")
    assert (test.passed, test.duration_s, test.message) == expected
    assert test.verdict == VERDICTS[meta["outcome"]]


def test_the_suite_itself() -> None:
    (test,) = results(event(1, test="", outcome="failed", message="no tests were found")).tests
    assert (test.name, test.message) == ("suite", "no tests were found")


def test_rows_without_a_test_are_left_out() -> None:
    evidence = results(
        event(1, "other", test="a", outcome="passed"),
        event(2, test="a"),
        event(3, outcome="passed"),
        event(4, test=3, outcome="passed"),
        event(5, test="a", outcome="passed", attempt=1),
        attempt=2,
    )
    assert evidence.tests == ()


def test_of_a_suite_that_was_started_again_the_last_result_counts() -> None:
    evidence = results(
        event(1, test="a", outcome="failed"),
        event(2, test="b", outcome="passed"),
        event(3, test="a", outcome="passed"),
    )
    assert [(test.name, test.passed) for test in evidence.tests] == [
        ("suite::a", True),
        ("suite::b", True),
    ]


def test_what_was_not_answered_is_unknown() -> None:
    (finding,) = results(
        event(1, test="a", outcome="passed"),
        event(2, test="b", outcome="unknown", message="could not be asked: CI is set"),
    ).findings
    assert (finding.code, finding.where) == (Code.GAP, "suite")
    assert finding.message == ("1 of 2 steps of suite has no answer: could not be asked: CI is set")


def test_where_everything_was_skipped_nothing_was_proved() -> None:
    skipped = event(1, test="a", outcome="skipped")
    (finding,) = results(skipped).findings
    assert finding.message == "every test of suite was skipped: nothing was proved"
    assert results(skipped, event(2, test="b", outcome="passed")).findings == ()
