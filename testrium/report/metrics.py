"""The metrics of a group: what somebody reported, limited or compared, in words."""

from __future__ import annotations

from typing import NamedTuple

from testrium.measures import figure
from testrium.model import Judgement, Measure, Metric, MetricResult, Verdict


class MetricView(NamedTuple):
    """A line of the table of metrics; None where there is nothing to tell.

    `value` is the median of `n` reports, or what Testrium measured. `verdict` is None where nothing
    is asked of it.
    """

    name: str
    verdict: Verdict | None
    value: str | None
    rule: str
    baseline: str | None
    n: int | None
    mean: str | None
    deviation: str | None
    lowest: str | None
    highest: str | None


def metric_views(judgement: Judgement) -> tuple[MetricView, ...]:
    """What became of the metrics, in the order of the judgement."""
    measures = {measure.name: measure for measure in judgement.measures}
    return tuple(_view(result, measures.get(result.name)) for result in judgement.metrics)


def _view(result: MetricResult, measure: Measure | None) -> MetricView:
    unit = "" if measure is None else measure.unit

    def shown(value: float | None) -> str | None:
        return None if value is None else figure(value, unit)

    return MetricView(
        name=result.name,
        verdict=_verdict(result),
        value=None if measure is None else shown(measure.value),
        rule=_rule(result.rule, unit),
        baseline=shown(result.baseline),
        n=None if measure is None or measure.source != "reported" else measure.n,
        mean=None if measure is None or measure.n < 2 else shown(measure.mean),
        deviation=None if measure is None else shown(measure.deviation),
        lowest=shown(result.lowest),
        highest=shown(result.highest),
    )


def _verdict(result: MetricResult) -> Verdict | None:
    if result.held is not None:
        return Verdict.PASS if result.held else Verdict.FAIL
    return None if result.rule is None else Verdict.UNKNOWN


def _rule(rule: Metric | None, unit: str) -> str:
    """`max 80 ms, at most 20% worse`; "" where there is none."""
    if rule is None:
        return ""
    parts = []
    if rule.least is not None:
        parts.append(f"min {figure(rule.least, rule.unit or unit)}")
    if rule.most is not None:
        parts.append(f"max {figure(rule.most, rule.unit or unit)}")
    if rule.max_regression is not None:
        parts.append(f"at most {rule.max_regression:.0%} worse")
    return ", ".join(parts) or "must be there"
