"""From findings to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testrium.declared.checks import Check, Metric
from testrium.declared.circuits import Circuit, Hop
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import EarlierRun, Evidence, Finding, TestResult
from testrium.verify.instances import earlier_causes
from testrium.verify.judge import circuit_verdict, judge, verdict_of
from testrium.words import Code, Place


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
    assert [circuit_verdict(ranked, name, ()) for name in ("one", "two", "three")] == [
        "fail",
        "unknown",
        "pass",
    ]


# Groups that prove nothing ------------------------------------------------------------------------


def scenario(units: dict[str, Any], **declared: Any) -> Scenario:
    unit = Unit("a", 0, "units/a.toml", command=("true",), quiet=True, **units)
    group = Group("shop/cart", Path("cart"), (unit,), **declared)
    return Scenario("shop/cart", group, (unit,))


def judged_as(one: Scenario, evidence: Evidence = Evidence(ended_ns=1)) -> list[str]:  # noqa: B008
    judgement = judge(one, evidence)
    return [
        str(judgement.verdict),
        *(f"{finding.code} {finding.where}" for finding in judgement.findings),
        *(f"note {finding.code} {finding.where}" for finding in judgement.notes),
    ]


def test_a_group_that_declares_nothing_passes_with_a_note_and_fails_where_it_is_strict() -> None:
    one = scenario({})
    assert judged_as(one) == ["pass", "note vacuous shop/cart"]
    assert judged_as(one._replace(strict=True)) == ["fail", "vacuous shop/cart"]


@pytest.mark.parametrize(
    ("units", "declared"),
    [
        ({"events": ("up",)}, {}),
        ({"stop_events": ("flushed",)}, {}),
        ({"ready_event": "up"}, {}),
        ({"kind": "pytest"}, {}),
        ({"kind": "manual"}, {}),
        ({}, {"circuits": (Circuit("c", ((Hop("a:s", (Place("a", "s"),)),),), keys=(0, None)),)}),
        ({}, {"checks": (Check("bill", exists="bill.txt"),)}),
        ({}, {"metrics": (Metric("rate", source="reported"),)}),
        ({}, {"test_modules": ("test_case",)}),
    ],
)
def test_a_group_that_declares_something_is_not_vacuous(
    units: dict[str, Any], declared: dict[str, Any]
) -> None:
    one = scenario(units, **declared)._replace(strict=True)
    assert "vacuous shop/cart" not in judged_as(one)
    assert "note vacuous shop/cart" not in judged_as(one._replace(strict=False))


@pytest.mark.parametrize(
    ("events", "vacuous"),
    [("a:s> k\nb:r< k", False), ("a:s k", True), ("a:s> k attempt=2\nb:r< k attempt=2", True)],
)
def test_what_is_sent_and_received_counts(
    table: Callable[[str], Any], events: str, vacuous: bool
) -> None:
    evidence = table(events).evidence()
    one = scenario({})
    assert ("note vacuous shop/cart" in judged_as(one, evidence)) is vacuous


def test_tests_that_were_run_count() -> None:
    tests = (TestResult("test_order", True, 0.1),)
    assert judged_as(scenario({}), Evidence(tests=tests, ended_ns=1)) == ["pass"]


def test_what_fails_is_not_vacuous_too(table: Callable[[str], Any]) -> None:
    evidence = table("end a exit=1").evidence()
    assert judged_as(scenario({})._replace(strict=True), evidence) == ["fail", "crash a"]


# Causes of earlier runs ---------------------------------------------------------------------------


def test_only_causes_of_earlier_runs_make_a_key_stale(table: Callable[[str], Any]) -> None:
    circuits = table("circuit a:s b:r c:t").circuits
    runs = [
        EarlierRun({("a", "s", "Send"): frozenset({"k"}), ("b", "r", "Receive"): frozenset({"j"})}),
        EarlierRun({("a", "s", "Default"): frozenset({"o"})}, (("p", "o"), ("q", "p"), ("x", "y"))),
    ]
    assert earlier_causes(circuits, runs) == {
        "": frozenset({"k"}),
        "command": frozenset({"k", "o", "p", "q"}),
    }


def test_a_circuit_of_the_whole_run_has_no_earlier_causes(table: Callable[[str], Any]) -> None:
    circuits = table("circuit a:s b:r per=run").circuits
    runs = [EarlierRun({("a", "s", "Send"): frozenset({"k"})})]
    assert earlier_causes(circuits, runs) == {"": frozenset({"k"})}
