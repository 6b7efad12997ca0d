"""What is tried again, and what is in quarantine: pure, on results that are made up."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.declared.project import Quarantine
from testrium.evidence import Finding
from testrium.judging.group import idle_entries, quarantined, tried_again
from testrium.load.project import KnownFailure
from testrium.results import GroupResult, Judgement
from testrium.words import Code, Verdict

TODAY = date(2026, 6, 15)


def result(
    *findings: Finding, verdict: Verdict = Verdict.FAIL, id_: str = "shop/cart"
) -> GroupResult:
    scenario = Scenario(id_, Group(id_, Path("/") / id_, ()), ())
    return GroupResult(scenario, verdict, judgement=Judgement(verdict, findings))


def entry(
    group: str = "shop/cart",
    code: str = "lost",
    where: str | None = None,
    until: date | None = None,
) -> KnownFailure:
    rule = Quarantine(group=group, code=code, where=where, until=until, reason="#812")
    return KnownFailure(rule, "testrium.toml:3")


LOST = Finding(Code.LOST, "worker:taken", "k1 got lost")
LATE = Finding(Code.LATE, "worker:taken", "too late")
FOLLOWS = Finding(Code.MISSING, "db:stored", "absent", explained_by="lost worker:taken")


@pytest.mark.parametrize(
    ("entries", "findings", "known"),
    [
        ([entry()], [LOST], True),
        ([entry()], [LOST, FOLLOWS], True),
        ([entry(where="worker:taken")], [LOST], True),
        ([entry(where="worker:*", group="shop/*")], [LOST], True),
        ([entry(until=TODAY)], [LOST], True),
        ([entry(until=date(2026, 6, 14))], [LOST], False),
        ([entry(where="db:stored")], [LOST], False),
        ([entry(group="cart")], [LOST], False),
        ([entry(code="missing")], [LOST, FOLLOWS], False),
        ([entry()], [LOST, LATE], False),
        ([entry(), entry(code="late")], [LOST, LATE], True),
        ([], [LOST], False),
        ([entry()], [], False),
    ],
)
def test_a_failure_is_known_if_each_of_its_roots_is(
    entries: list[KnownFailure], findings: list[Finding], known: bool
) -> None:
    judged = quarantined(result(*findings), entries, TODAY)
    assert judged.verdict == ("xfail" if known else "fail")
    if known:
        assert judged.reason == "quarantined, lost at worker:taken: #812"
        assert judged.judgement.findings == tuple(findings)  # all of them are shown


def test_only_failures_are_quarantined() -> None:
    unknown = result(Finding(Code.GAP, "db", "a hole"), verdict=Verdict.UNKNOWN)
    assert quarantined(unknown, [entry(code="gap")], TODAY) is unknown


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (entry(), []),
        (entry(code="late"), ["late of shop/cart: unused, no such finding in this run"]),
        (entry(group="shop/other"), []),  # was not run
        (entry(group="later"), []),  # was skipped
        (entry(until=date(2026, 6, 1)), ["outdated, until = 2026-06-01 is over"]),
    ],
)
def test_entries_that_are_not_needed_are_reported(one: KnownFailure, told: list[str]) -> None:
    results = [result(LOST), result(verdict=Verdict.SKIP, id_="later")]
    said = list(idle_entries([one], results, TODAY))
    assert len(said) == len(told)
    for line, part in zip(said, told, strict=True):
        assert line.startswith("testrium.toml:3: quarantine: ")
        assert part in line


def test_an_entry_that_an_earlier_try_needed_is_used() -> None:
    judged = tried_again(result(verdict=Verdict.PASS), [result(LOST)])
    assert list(idle_entries([entry()], [judged], TODAY)) == []


def test_what_passes_at_last_is_flaky() -> None:
    passed = result(verdict=Verdict.PASS)
    judged = tried_again(passed, [result(LOST), result(LATE)])
    (note,) = judged.judgement.notes
    assert (judged.verdict, note.code, note.where) == ("pass", "flaky", "shop/cart")
    assert note.message == (
        "passed at try 3; the first was fail: lost at worker:taken: k1 got lost"
    )
    assert [one.finding for one in judged.tries] == [LOST, LATE]
    failed = tried_again(passed, [result(LOST)], fails=True)
    assert (failed.verdict, failed.judgement.findings[0].code) == ("fail", "flaky")


def test_what_never_passes_has_its_own_findings() -> None:
    judged = tried_again(result(LATE), [result(LOST)], fails=True)
    assert (judged.verdict, judged.judgement.findings) == ("fail", (LATE,))
    assert judged.judgement.notes == ()
