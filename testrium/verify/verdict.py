"""From findings to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from testrium.declared.groups import Scenario
from testrium.evidence import Finding
from testrium.words import UNKNOWN_CODES, Code, Verdict

Ranked = Sequence[tuple[Finding, bool]]


def verdict_of(ranked: Iterable[tuple[Finding, bool]]) -> Verdict:
    """What findings come to: error, fail, unknown or pass.

    Args:
        ranked: findings with a flag: it is unknown, or explained by an unknown one. Such a finding
            fails nothing.
    """
    verdict = Verdict.PASS
    for finding, excused in ranked:
        if finding.code is Code.INFRA:
            return Verdict.ERROR
        if not excused and finding.code not in UNKNOWN_CODES:
            verdict = Verdict.FAIL
        elif verdict is Verdict.PASS:
            verdict = Verdict.UNKNOWN
    return verdict


def circuit_verdict(ranked: Ranked, name: str) -> Verdict:
    """What the findings of one circuit come to."""
    return verdict_of(one for one in ranked if one[0].circuit == name)


def against_expectation(scenario: Scenario, verdict: Verdict) -> tuple[Verdict, list[Finding]]:
    """Apply `expect-fail`: a failure is expected then, and a pass is the failure."""
    reason = scenario.group.expect_fail
    if reason and verdict is Verdict.FAIL:
        return Verdict.XFAIL, []
    if reason and verdict is Verdict.PASS:
        message = f"expected to fail ({reason}), and it passed: remove expect-fail"
        return Verdict.FAIL, [Finding(Code.UNEXPECTED_PASS, scenario.id, message)]
    return verdict, []
