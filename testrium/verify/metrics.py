"""The figures of a run, and what `[metrics]` says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from testrium.declared.circuits import Circuit
from testrium.declared.groups import Scenario
from testrium.declared.metrics import Metric
from testrium.evidence import End, EndCause, Evidence, Finding, Reported
from testrium.measures import DURATION, OF_CIRCUIT, OF_HOP, OF_UNIT, figure, hop_measure
from testrium.results import Measure
from testrium.statistics import summary
from testrium.verify.timing import LEAST_SAMPLES, UNANSWERED, Latencies
from testrium.verify.wording import close_to, listed, number_of
from testrium.words import EMPTY, Code

if TYPE_CHECKING:
    from testrium.verify.hops import HopTimes


class Measured(NamedTuple):
    """What remains of a circuit once its findings are made. `hops` by their text."""

    circuit: Circuit
    instances: int
    latencies: Latencies
    hops: Mapping[str, HopTimes] = EMPTY


def measures_of(
    scenario: Scenario, evidence: Evidence, measured: Sequence[Measured]
) -> tuple[Measure, ...]:
    """Every figure of the run that is known exactly, and is finite."""
    return (*_own(scenario, evidence, measured), *_reported(reports_by_name(evidence)))


def _own(scenario: Scenario, evidence: Evidence, measured: Sequence[Measured]) -> Iterator[Measure]:
    """What Testrium measures; without `gen-metrics` only what `[metrics]` names."""
    wanted = {metric.name for metric in scenario.group.metrics}
    for measure in _all(scenario, evidence, measured):
        if scenario.group.gen_metrics or measure.source == "group" or measure.name in wanted:
            yield measure


def _all(scenario: Scenario, evidence: Evidence, measured: Sequence[Measured]) -> Iterator[Measure]:
    if evidence.started_ns is not None and evidence.ended_ns is not None:
        taken_s = (evidence.ended_ns - evidence.started_ns) / 1e9
        yield Measure(DURATION, taken_s, "s", "group")
    for one in measured:
        for measure, unit in OF_CIRCUIT.items():
            value_ms = one.latencies.percentile_ms(_percentile(measure))
            if value_ms is not None:
                name = f"{one.circuit.name}.{measure}"
                yield Measure(name, value_ms, unit, "circuit")
        for hop, times in one.hops.items():
            for measure, taken_ms in times._asdict().items():
                name = hop_measure(one.circuit.name, hop, measure)
                yield Measure(name, taken_ms, OF_HOP[measure], "hop")
    units = {unit.name for unit in scenario.units}
    for end in evidence.ends:
        if end.unit in units:
            for measure, value in _uses(end).items():
                if value is not None:
                    yield Measure(f"{end.unit}.{measure}", value, OF_UNIT[measure], "unit")


def _reported(reports: Mapping[str, Sequence[Reported]]) -> Iterator[Measure]:
    """Reports of one name in one unit; a mixture has no value."""
    for name, same in reports.items():
        if len(_kinds(same)) == 1:
            n, mean, middle, deviation = summary([report.value for report in same])
            first = same[0]
            yield Measure(name, middle, first.unit, "reported", first.better, n, mean, deviation)


def metric_findings(
    scenario: Scenario,
    evidence: Evidence,
    measured: Sequence[Measured],
    measures: Sequence[Measure],
) -> Iterator[Finding]:
    """A finding for each figure that is not as `[metrics]` says, or that nobody reported."""
    reports = reports_by_name(evidence)
    values = {measure.name: measure for measure in measures}
    circuits = {one.circuit.name: one for one in measured}
    yield from _too_few(scenario.group.metrics, measured)
    for metric in scenario.group.metrics:
        if metric.source == "circuit":
            yield from _of_circuit(metric, circuits[metric.owner])
        elif metric.source == "reported":
            yield from _of_reports(metric, reports, values)
        elif metric.name in values:
            yield from _against_limits(metric, values[metric.name])
        else:
            yield from _not_measured(metric, evidence)


def _too_few(metrics: Sequence[Metric], measured: Sequence[Measured]) -> Iterator[Finding]:
    """Percentiles of too few keys, for each circuit whose budgets do not say so already."""
    for one in measured:
        name, latencies = one.circuit.name, one.latencies
        short = [
            f"{metric.name} needs {number_of(LEAST_SAMPLES[percentile], 'key')}"
            for metric in metrics
            if metric.source == "circuit" and metric.owner == name
            if not latencies.enough(percentile := _percentile(metric.name.rpartition(".")[2]))
        ]
        if short and all(map(latencies.enough, one.circuit.budgets)):
            message = f"{' and '.join(short)}, this run has {latencies.count}"
            yield Finding(Code.SAMPLES, name, message, circuit=name)


def _of_circuit(metric: Metric, measured: Measured) -> Iterator[Finding]:
    """As a budget: an unanswered key is infinitely slow."""
    measure = metric.name.rpartition(".")[2]
    latencies, percentile = measured.latencies, _percentile(measure)
    if not latencies.enough(percentile):
        return  # see `_too_few`
    value = latencies.percentile(percentile)
    most, least = _in_ns(metric.most, inf), _in_ns(metric.least, -inf)
    low, high = value.low, value.high
    if low <= most < high or (low < least <= high and low != high):
        from testrium.verify.route import Route

        route = Route(measured.circuit)
        where = route.hops[route.last[-1][0]].text
        message = f"the clocks cannot tell whether {metric.name} is within its limits"
        yield Finding(Code.CLOCK, where, message, circuit=metric.owner)
    elif low > most:
        lost = [name for name, span in latencies.over(round(most)) if span == UNANSWERED]
        over = tuple(lost) if high == inf else ()
        yield _finding(metric, _over(metric, _shown(metric, low / 1e6)), keys=over)
    elif high < least:
        yield _finding(metric, _under(metric, _shown(metric, high / 1e6)))


def _of_reports(
    metric: Metric, reports: Mapping[str, Sequence[Reported]], values: Mapping[str, Measure]
) -> Iterator[Finding]:
    same = reports.get(metric.name)
    if same is None:
        near = close_to(metric.name, reports)
        hints = (f"a metric {near!r} was reported",) if near else ()
        message = f"{metric.name} was not reported by any process: nothing was proved"
        yield _finding(metric, message, *hints)
        return
    kinds = _kinds(same)
    if metric.name not in values:
        yield _finding(metric, f"{metric.name} was reported in several ways: {listed(kinds)}")
    elif metric.unit and same[0].unit != metric.unit:
        unit = repr(same[0].unit) if same[0].unit else "no unit"
        yield _finding(metric, f"{metric.name} was reported in {unit}, not in {metric.unit!r}")
    else:
        reporters = sorted({report.reporter for report in same})
        yield from _against_limits(
            metric, values[metric.name], f"reported by {', '.join(reporters)}"
        )


def _against_limits(metric: Metric, measure: Measure, *hints: str) -> Iterator[Finding]:
    value = figure(measure.value, measure.unit)
    if measure.n > 1:
        value = f"{value} (median of {measure.n})"
    if metric.most is not None and measure.value > metric.most:
        yield _finding(metric, _over(metric, value, measure.unit), *hints)
    elif metric.least is not None and measure.value < metric.least:
        yield _finding(metric, _under(metric, value, measure.unit), *hints)


def _not_measured(metric: Metric, evidence: Evidence) -> Iterator[Finding]:
    if metric.source == "hop":
        why = "no key passed that hop behind another one, on one clock"
    elif metric.source == "group":
        return  # the runner ended before the group did: that is said already
    else:
        ends = [end for end in evidence.ends if end.unit == metric.owner]
        if not ends or ends[0].cause is EndCause.NOTRUN:
            return  # a finding of its own
        why = f"{metric.owner} ended before it could be looked at"
    yield _finding(metric, f"{metric.name} was not measured: {why}")


def _finding(metric: Metric, message: str, *hints: str, keys: tuple[str, ...] = ()) -> Finding:
    circuit = metric.owner if metric.source in ("circuit", "hop") else None
    unit = metric.owner if metric.source == "unit" else None
    key = keys[0] if keys else None
    return Finding(
        Code.METRIC,
        metric.name,
        message,
        circuit=circuit,
        key=key,
        keys=keys,
        hints=tuple(hints),
        unit=unit,
    )


def _over(metric: Metric, value: str, unit: str = "") -> str:
    return f"{metric.name} is {value}, over its max of {_shown(metric, metric.most, unit)}"


def _under(metric: Metric, value: str, unit: str = "") -> str:
    return f"{metric.name} is {value}, under its min of {_shown(metric, metric.least, unit)}"


def _shown(metric: Metric, value: float | None, unit: str = "") -> str:
    assert value is not None
    if value == inf:
        return "infinite, as keys are unanswered"
    return figure(value, unit or metric.unit)


def reports_by_name(evidence: Evidence) -> dict[str, list[Reported]]:
    """What processes reported in the attempt that counts."""
    found: dict[str, list[Reported]] = {}
    for report in evidence.metrics:
        if report.attempt == evidence.attempt:
            found.setdefault(report.name, []).append(report)
    return found


def _kinds(reports: Sequence[Reported]) -> list[str]:
    """In which units, and with which direction, it was reported."""
    return list(
        dict.fromkeys(f"{one.unit or 'no unit'}, {one.better} is better" for one in reports)
    )


def _percentile(measure: str) -> int:
    return 100 if measure == "max" else int(measure[1:])


def _in_ns(limit_ms: float | None, without: float) -> float:
    return without if limit_ms is None else limit_ms * 1e6


def _uses(end: End) -> dict[str, float | None]:
    return {"cpu": end.use.cpu_s, "peak-cpu": end.use.peak_cpu, "rss": end.use.max_rss}
