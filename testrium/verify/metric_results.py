"""What became of each figure that somebody has an interest in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from testrium.declared.groups import Scenario
from testrium.declared.metrics import Metric
from testrium.evidence import Evidence, Finding
from testrium.results import Measure, MetricResult
from testrium.statistics import LEAST_EARLIER, median
from testrium.verify.metrics import reports_by_name
from testrium.verify.regressions import allowed_regression
from testrium.words import EMPTY, Code


def metric_results(
    scenario: Scenario,
    evidence: Evidence,
    measures: Sequence[Measure],
    findings: Iterable[Finding],
) -> tuple[MetricResult, ...]:
    """A result for what `[metrics]` names, in its order, then for what was reported or compared.

    Whatever Testrium measures besides stands in the tables of circuits and units already.
    """
    by_name = {measure.name: measure for measure in measures}
    rules = {metric.name: metric for metric in scenario.group.metrics}
    broken = {finding.where for finding in findings if finding.code is Code.METRIC}
    others = (name for name, one in by_name.items() if one.source == "reported" or name in broken)
    reports = reports_by_name(evidence)
    results = []
    for name in dict.fromkeys((*rules, *others)):
        measure, rule = by_name.get(name), rules.get(name)
        if measure is not None:
            rule = _with_option(scenario, rule, measure)
        baseline = None if measure is None else _median(measure, evidence.baseline or EMPTY)
        values = [report.value for report in reports.get(name, ())]
        several = measure is not None and measure.n > 1
        results.append(
            MetricResult(
                name,
                rule,
                _held(name, rule, measure, baseline, broken),
                baseline,
                min(values) if several else None,
                max(values) if several else None,
            )
        )
    return tuple(results)


def _with_option(scenario: Scenario, rule: Metric | None, measure: Measure) -> Metric | None:
    """The rule with what `--max-regression` adds to it."""
    allowed = allowed_regression(scenario, rule, measure)
    if allowed is None:
        return rule
    rule = rule or Metric(measure.name, measure.source, unit=measure.unit)
    return rule._replace(max_regression=allowed)


def _held(
    name: str,
    rule: Metric | None,
    measure: Measure | None,
    baseline: float | None,
    broken: Collection[str],
) -> bool | None:
    if name in broken:
        return False
    if rule is None or measure is None:
        return None
    limited = rule.most is not None or rule.least is not None
    not_compared = rule.max_regression is not None and baseline is None
    return None if not_compared and not limited else True


def _median(measure: Measure, baseline: Mapping[tuple[str, str], Sequence[float]]) -> float | None:
    """Of earlier runs, where there are enough of them to compare with."""
    earlier = baseline.get((measure.name, measure.unit), ())
    return median(earlier) if len(earlier) >= LEAST_EARLIER else None
