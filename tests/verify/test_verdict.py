"""From findings to a verdict."""

from __future__ import annotations

import pytest

from testrium.evidence import Finding
from testrium.verify.judge import circuit_verdict, verdict_of
from testrium.words import Code


def found(code: Code, *, excused: bool = False, circuit: str | None = None) -> tuple[Finding, bool]:
    return Finding(code, "here", "", circuit=circuit), excused


@pytest.mark.parametrize(
    ("ranked", "verdict"),
    [
        ([], "pass"),
        ([found(Code.LOST)], "fail"),
        ([found(Code.GAP, excused=True)], "unknown"),
        ([found(Code.CLOCK)], "unknown"),
        ([found(Code.GAP, excused=True), found(Code.LOST, excused=True)], "unknown"),
        ([found(Code.GAP, excused=True), found(Code.LOST)], "fail"),
        ([found(Code.LOST), found(Code.GAP, excused=True)], "fail"),
        ([found(Code.LOST), found(Code.INFRA)], "error"),
    ],
)
def test_verdict(ranked: list[tuple[Finding, bool]], verdict: str) -> None:
    assert verdict_of(ranked) == verdict


def test_a_circuit_answers_for_its_own_findings() -> None:
    ranked = [found(Code.LOST, circuit="one"), found(Code.SAMPLES, circuit="two")]
    assert [circuit_verdict(ranked, name) for name in ("one", "two", "three")] == [
        "fail",
        "unknown",
        "pass",
    ]
