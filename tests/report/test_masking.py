"""Secrets of units, hidden in what is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testrium.declared.circuits import Rules
from testrium.evidence import TestResult
from testrium.report import masking
from testrium.report.masking import Mask, mask_of, masked, without_values
from testrium.results import GroupResult, Measure
from testrium.words import EMPTY


def declaring(result: GroupResult, *patterns: str) -> GroupResult:
    group = replace(result.scenario.group, rules=Rules(mask=patterns))
    return result._replace(scenario=result.scenario._replace(group=group))


def test_what_matches_becomes_stars() -> None:
    mask = Mask((r"\d{4}-\d{4}", "key=[a-z]+"))
    assert mask.text("card 1234-5678, key=abc; 12-34") == "card ***, ***; 12-34"
    assert Mask(("x*",)).text("abxx") == "ab***", "a match of nothing hides nothing"
    assert not Mask(())


def test_a_pattern_that_takes_too_long_hides_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_LIMIT_S", 0.05)
    mask = Mask(("(a+)+$",))
    assert mask.text("aa") == "***"
    assert mask.text("a" * 60 + "!") == masking.HIDDEN
    assert mask.text("at once, too") == masking.HIDDEN


def test_without_a_pattern_a_result_stays_as_it_is(lost: GroupResult) -> None:
    assert masked(lost) is lost
    assert not mask_of(lost.scenario)


def test_the_value_of_a_variable_becomes_its_name(
    lost: GroupResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = lost.judgement.findings[0]
    key = finding.keys[0]
    monkeypatch.setenv("TOKEN", f"{key}-4711")
    told = finding._replace(message=f"sent {key}-4711", keys=(f"{key}-4711",))
    result = lost._replace(
        scenario=lost.scenario._replace(env_names=("NOT_SET", "TOKEN")),
        judgement=lost.judgement._replace(findings=(told,)),
    )
    for hidden in (masked(result), without_values(result)):
        (shown,) = hidden.judgement.findings
        assert (shown.message, shown.keys) == ("sent ${env.TOKEN}", ("${env.TOKEN}",))
    assert without_values(declaring(lost, ".+")).judgement == lost.judgement
    event = next(iter(lost.witnesses.values()))
    named = event._replace(step=f"s-{key}-4711", meta={f"{key}-4711": 1})
    hidden_event = mask_of(result.scenario).event(named)
    assert (hidden_event.step, dict(hidden_event.meta)) == ("s-${env.TOKEN}", {"${env.TOKEN}": 1})


def test_all_texts_of_a_result_are_masked(lost: GroupResult, crashed: GroupResult) -> None:
    finding = lost.judgement.findings[0]
    key = finding.keys[0]
    shown = masked(declaring(lost, key))
    assert shown.judgement.findings[0].keys[0] == "***"
    assert key not in shown.judgement.findings[0].message
    assert shown.judgement.findings[0].where == finding.where
    assert all(event.key != key for event in shown.witnesses.values())
    line = next(end.last_lines[-1] for end in crashed.ends if end.last_lines)
    ends = masked(declaring(crashed, ".+")).ends
    assert line not in {text for end in ends for text in end.last_lines}


def test_what_tests_printed_and_metrics_told_is_masked(lost: GroupResult) -> None:
    told = Measure("rate", 1.0, "", "reported", details={"who": "x1"})
    printed = TestResult("t", False, 0.1, output="x1\n", remarks=(("inspect", "see x1"),))
    judgement = lost.judgement._replace(measures=(told,))
    shown = masked(declaring(lost._replace(judgement=judgement, tests=(printed,)), "x1"))
    assert (shown.tests[0].output, shown.tests[0].remarks) == ("***\n", (("inspect", "see ***"),))
    assert shown.judgement.measures[0].details == {"who": "***"}


def test_metadata_is_masked_however_deep(lost: GroupResult) -> None:
    event = next(iter(lost.witnesses.values()))
    deep = event._replace(meta={"a": ["x1", {"b": "x1"}], "n": 1, "m": EMPTY}, cause=("x1",))
    hidden = Mask(("x1",)).event(deep)
    assert dict(hidden.meta) == {"a": ["***", {"b": "***"}], "n": 1, "m": {}}
    assert hidden.cause == ("***",)
