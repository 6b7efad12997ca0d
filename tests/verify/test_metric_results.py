"""What became of each figure that `[metrics]` names, or that was reported or compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testrium.declared.checks import Metric
from testrium.results import Judgement, MetricResult
from testrium.verify.judge import judge

KEYS = """
    circuit a:sent b:got
    a sent> k1 @0
    a sent> k2 @10
    b got< k1 @5
    b got< k2 @16
"""


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("metric command.p50 source=circuit owner=command most=6 unit=ms", True),
        ("metric command.p50 source=circuit owner=command most=4.9 unit=ms", False),
        ("metric command.p99 source=circuit owner=command most=5 unit=ms", None),
        ("metric rate least=3\nreport rate 4\nreport rate 3.5", True),
        ("metric rate least=5\nreport rate 4", False),
        ("metric rate\nreport rate 4", True),
        ("metric rate", False),  # nobody reported it
        ("report rate 4", None),  # nothing is asked of it
        ("metric rate max_regression=0.2\nreport rate 4", None),  # there are no earlier runs
        ("metric rate max_regression=0.2 most=5\nreport rate 4", True),
        ("metric rate\nreport rate 4\nreport rate 4 unit=s", False),
    ],
)
def test_whether_it_held(judged: Callable[[str], Judgement], line: str, held: bool | None) -> None:
    (result,) = judged(KEYS + line).metrics
    assert result.held is held


def test_what_is_measured_and_not_asked_for_is_left_out(
    judged: Callable[[str], Judgement],
) -> None:
    assert judged(KEYS).metrics == ()


def test_rules_come_first_in_their_order(judged: Callable[[str], Judgement]) -> None:
    text = "report z 1\nreport a 2\nreport a 4\nmetric rate\nmetric z"
    assert judged("rule orphans=allow\n" + text).metrics == (
        MetricResult("rate", Metric("rate", "reported"), held=False),
        MetricResult("z", Metric("z", "reported"), held=True),
        MetricResult("a", lowest=2.0, highest=4.0),
    )


@pytest.mark.parametrize(
    ("value", "held", "earlier", "baseline"),
    [
        (10.5, True, (10, 9, 11, 10, 10), 10.0),
        (99.0, False, (10, 9, 11, 10, 10), 10.0),
        (99.0, None, (10, 9, 11, 10), None),  # too few to compare with
    ],
)
def test_earlier_runs(
    table: Callable[[str], Any],
    value: float,
    held: bool | None,
    earlier: tuple[float, ...],
    baseline: float | None,
) -> None:
    story = table(f"rule orphans=allow\nreport rate {value}")
    scenario = story.scenario()._replace(max_regression=0.2)
    evidence = story.evidence()._replace(baseline={("rate", ""): earlier})
    (result,) = judge(scenario, evidence).metrics
    assert (result.held, result.baseline) == (held, baseline)
    assert result.rule == Metric("rate", "reported", max_regression=0.2)  # of the option
