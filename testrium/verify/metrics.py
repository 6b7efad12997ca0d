"""The figures of a run, their rules in `[metrics]`, limits of units, and regressions."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf

from testrium.declared.checks import COMPARED, Metric
from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, Evidence, Finding, Reported, Sample
from testrium.phrases import close_to, figure, listed, megabytes, plural
from testrium.results import Measure, MetricResult
from testrium.statistics import LEAST_EARLIER, Comparison, against_earlier, median, summary
from testrium.tuples import NamedTuple
from testrium.verify.circuits import CircuitFacts
from testrium.verify.timing import LEAST_SAMPLES, UNANSWERED
from testrium.words import DURATION, EMPTY, OF_CIRCUIT, OF_HOP, OF_UNIT, Code, hop_measure

#: A report whose name is so close to a metric's may be meant.
_LIKENESS = 0.75


def measures_of(
    scenario: Scenario, evidence: Evidence, facts: Sequence[CircuitFacts]
) -> tuple[Measure, ...]:
    """Every figure of the run that is known exactly, and is finite."""
    return (*_own(scenario, evidence, facts), *_reported(reports_by_name(evidence)))


def _own(
    scenario: Scenario, evidence: Evidence, facts: Sequence[CircuitFacts]
) -> Iterator[Measure]:
    """What Testrium measures; without `gen-metrics` only what `[metrics]` names."""
    wanted = {metric.name for metric in scenario.group.metrics}
    for measure in _all(scenario, evidence, facts):
        if scenario.group.gen_metrics or measure.source == "group" or measure.name in wanted:
            yield measure


def _all(
    scenario: Scenario, evidence: Evidence, facts: Sequence[CircuitFacts]
) -> Iterator[Measure]:
    if evidence.started_ns is not None and evidence.ended_ns is not None:
        taken_s = (evidence.ended_ns - evidence.started_ns) / 1e9
        yield Measure(DURATION, taken_s, "s", "group")
    for one in facts:
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
            details = next((one.details for one in reversed(same) if one.details), EMPTY)
            told = (first.better, n, mean, deviation, details)
            yield Measure(name, middle, first.unit, "reported", *told)


def metric_findings(
    scenario: Scenario,
    evidence: Evidence,
    facts: Sequence[CircuitFacts],
    measures: Sequence[Measure],
) -> Iterator[Finding]:
    """A finding for each figure that breaks its rule in `[metrics]`, or was not reported."""
    reports = reports_by_name(evidence)
    values = {measure.name: measure for measure in measures}
    circuits = {one.circuit.name: one for one in facts}
    yield from _too_few(scenario.group.metrics, facts)
    for metric in scenario.group.metrics:
        if metric.source == "circuit":
            yield from _of_circuit(metric, circuits[metric.owner])
        elif metric.source == "reported":
            yield from _of_reports(metric, reports, values)
        elif metric.name in values:
            yield from _against_limits(metric, values[metric.name])
        else:
            yield from _not_measured(metric, evidence)


def _too_few(metrics: Sequence[Metric], facts: Sequence[CircuitFacts]) -> Iterator[Finding]:
    """Percentiles of too few keys, for each circuit whose budgets do not say so already."""
    for one in facts:
        name, latencies = one.circuit.name, one.latencies
        short = [
            f"{metric.name} needs {plural(LEAST_SAMPLES[percentile], 'key')}"
            for metric in metrics
            if metric.source == "circuit" and metric.owner == name
            if not latencies.enough(percentile := _percentile(metric.name.rpartition(".")[2]))
        ]
        if short and all(map(latencies.enough, one.circuit.budgets)):
            message = f"{' and '.join(short)}, this run has {latencies.count}"
            yield Finding(Code.SAMPLES, name, message, circuit=name)


def _of_circuit(metric: Metric, facts: CircuitFacts) -> Iterator[Finding]:
    """As a budget: an unanswered key is infinitely slow."""
    measure = metric.name.rpartition(".")[2]
    latencies, percentile = facts.latencies, _percentile(measure)
    if not latencies.enough(percentile):
        return  # see `_too_few`
    value = latencies.percentile(percentile)
    most, least = _in_ns(metric.most, inf), _in_ns(metric.least, -inf)
    low, high = value.low, value.high
    if low <= most < high or (low < least <= high and low != high):
        where = facts.route.hops[facts.route.last[-1][0]].text
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
        near = close_to(metric.name, reports, likeness=_LIKENESS)
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


def unreported(scenario: Scenario, evidence: Evidence) -> frozenset[str]:
    """The metrics that no process reported, and none under a name that may be a misspelling."""
    reports = reports_by_name(evidence)
    return frozenset(
        metric.name
        for metric in scenario.group.metrics
        if metric.source == "reported"
        and metric.name not in reports
        and close_to(metric.name, reports, likeness=_LIKENESS) is None
    )


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


#: What a change must come to at least, by source and unit: less may be the work of schedulers.
_FLOORS = {("circuit", "ms"): 1.0, ("hop", "ms"): 1.0, ("group", "s"): 0.5}

Baseline = Mapping[tuple[str, str], Sequence[float]]


class Regressions(NamedTuple):
    """What is worse, and what could not be compared."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


class _Compared(NamedTuple):
    measure: Measure
    metric: Metric | None
    allowed: float
    result: Comparison


def find_regressions(
    scenario: Scenario,
    baseline: Baseline | None,
    measures: Sequence[Measure],
    broken: Collection[str] = (),
) -> Regressions:
    """Compare what `[metrics]` and `--max-regression` say with earlier runs; see
    `testrium.statistics.against_earlier`. What has `broken` a limit is reported already.

    The slowest hop of a circuit comes first. With too few earlier runs there is a note.
    """
    if baseline is None:
        return Regressions()
    compared: list[_Compared] = []
    short: dict[str, int] = {}
    declared = {metric.name: metric for metric in scenario.group.metrics}
    for measure in measures:
        metric = declared.get(measure.name)
        allowed = allowed_regression(scenario, metric, measure)
        if allowed is None or measure.name in broken:
            continue
        earlier = baseline.get((measure.name, measure.unit), ())
        result = against_earlier(
            measure.value,
            earlier,
            allowed=allowed,
            larger_is_better=measure.better == "larger",
            floor=_FLOORS.get((measure.source, measure.unit), 0.0),
        )
        if result is None:
            short[measure.name] = len(earlier)
        else:
            compared.append(_Compared(measure, metric, allowed, result))
    hops = [one for one in compared if one.measure.source == "hop"]
    # Of equals the median, which people know.
    hops.sort(key=lambda one: (one.result.change or 0.0, one.measure.name), reverse=True)
    others = [one for one in compared if one.measure.source != "hop"]
    slower = [one for one in (*hops, *others) if one.result.worse]
    certain = [one for one in slower if _is_certain(one, slower, scenario)]
    certain_hops = [one for one in certain if one.measure.source == "hop"]
    worse = (*_each_once(certain_hops), *(one for one in certain if one not in certain_hops))
    findings = [_regression(one, scenario, hops) for one in worse]
    doubtful = [one.measure.name for one in slower if one not in certain]
    notes = (*_too_few_earlier(scenario, short), *_may_be_the_machine(scenario, doubtful))
    return Regressions(tuple(findings), notes)


def _is_certain(one: _Compared, slower: Sequence[_Compared], scenario: Scenario) -> bool:
    """Whether it is the code that became slower, not the machine for the time of one run.

    Other programs make most keys slower, but hardly all of them: where no metric names the figure
    in `[metrics]`, the fastest tenth of a hop of the circuit must have become slower too.
    """
    named = one.metric is not None and one.metric.max_regression is not None
    if named or one.measure.source == "reported" or not scenario.group.circuits:
        return True
    tenths = [other.measure for other in slower if other.measure.name.endswith(".p10")]
    if one.measure.source == "hop":
        return any(_hop_of(tenth) == _hop_of(one.measure) for tenth in tenths)
    circuit = _circuit_of(one.measure, scenario)
    return any(circuit in (None, _circuit_of(tenth, scenario)) for tenth in tenths)


def _may_be_the_machine(scenario: Scenario, doubtful: Sequence[str]) -> Iterator[Finding]:
    if doubtful:
        were = "was" if len(doubtful) == 1 else "were"
        message = (
            f"{listed(doubtful)} {were} slower than in earlier runs, but not the fastest tenth of"
            " the keys at any hop: other programs on the machine may be the reason"
        )
        yield Finding(Code.METRIC, scenario.id, message)


def _each_once(hops: Sequence[_Compared]) -> list[_Compared]:
    """Of the percentiles of one hop that are worse the first: they tell the same."""
    worse: dict[str, _Compared] = {}
    for one in hops:
        if one.result.worse:
            worse.setdefault(_hop_of(one.measure), one)
    return list(worse.values())


def _hop_of(measure: Measure) -> str:
    """`command.host:received` of `command.host:received.p50`."""
    return measure.name.rpartition(".")[0]


def allowed_regression(scenario: Scenario, metric: Metric | None, measure: Measure) -> float | None:
    """How much worse the figure may be; None where it is not compared."""
    if metric is not None and metric.max_regression is not None:
        return metric.max_regression
    if measure.source == "circuit" and measure.name.rpartition(".")[2] not in COMPARED:
        return None
    return None if measure.source == "unit" else scenario.max_regression


def _regression(one: _Compared, scenario: Scenario, hops: Sequence[_Compared]) -> Finding:
    measure, result = one.measure, one.result
    unit = measure.unit
    change = "" if result.change is None else f", {abs(result.change):.0%} worse"
    message = (
        f"{measure.name} is {figure(measure.value, unit)}{change} than in"
        f" {result.n} earlier runs: their median is {figure(result.median, unit)}"
    )
    circuit = _circuit_of(measure, scenario)
    hints = [
        f"limit {figure(result.limit, unit)}: the median and {_margin(one)}",
        (
            f"spread of the earlier runs {figure(result.spread, unit)}"
            " (robust: median absolute deviation, or the tail if that is longer)"
        ),
    ]
    if measure.source == "circuit":
        hints += _slower_hops(circuit, hops)
    return Finding(
        Code.METRIC,
        measure.name,
        message,
        circuit=circuit,
        hints=tuple(hints),
        unit=_unit_of(measure, scenario),
    )


def _margin(one: _Compared) -> str:
    """What decided the limit, in words."""
    result, unit = one.result, one.measure.unit
    distance = abs(result.limit - result.median)
    if distance <= one.allowed * abs(result.median) * (1 + 1e-9):
        return f"the {one.allowed:.0%} that are allowed"
    if distance > result.factor * result.spread * (1 + 1e-9):
        return f"{figure(distance, unit)}, the least that counts"
    return f"{result.factor:.2g} times the spread, more than the {one.allowed:.0%} that are allowed"


def _slower_hops(circuit: str | None, hops: Sequence[_Compared]) -> Iterator[str]:
    """The hop that became slower most, to look at."""
    for hop in hops:
        change = hop.result.change
        if circuit is not None and hop.measure.name.startswith(f"{circuit}.") and change:
            if change > 0:
                name = _hop_of(hop.measure).removeprefix(f"{circuit}.")
                earlier = figure(hop.result.median, "ms")
                yield (
                    f"of its hops {name} became slower most: {figure(hop.measure.value, 'ms')},"
                    f" median before {earlier} (+{change:.0%})"
                )
            return


def _too_few_earlier(scenario: Scenario, short: Mapping[str, int]) -> Iterator[Finding]:
    if not short:
        return
    most = max(short.values())
    message = (
        f"not enough runs to compare {listed(list(short))} with:"
        f" {plural(most, 'earlier run')} that passed in the same mode, with the same parameters"
        f" and on the same machine, {LEAST_EARLIER} are needed"
    )
    yield Finding(Code.METRIC, scenario.id, message)


def _circuit_of(measure: Measure, scenario: Scenario) -> str | None:
    if measure.source not in ("circuit", "hop"):
        return None
    names = [
        circuit.name
        for circuit in scenario.group.circuits
        if measure.name.startswith(f"{circuit.name}.")
    ]
    return max(names, key=len, default=None)


def _unit_of(measure: Measure, scenario: Scenario) -> str | None:
    """The unit to look at, where the figure is of one."""
    if measure.source == "unit":
        return measure.name.rpartition(".")[0]
    if measure.source != "hop":
        return None
    units = {
        place.unit
        for circuit in scenario.group.circuits
        for hop in circuit.hops
        if _hop_of(measure) == f"{circuit.name}.{hop.text}"
        for place in hop.places
    }
    return units.pop() if len(units) == 1 else None


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
    return replace(rule, max_regression=allowed)


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


#: Over so long a time CPU use is averaged before it is compared with `max_cpu`.
CPU_WINDOW_NS = 1_000_000_000


def limit_findings(scenario: Scenario, evidence: Evidence) -> Iterable[Finding]:
    """A finding for each limit that a unit broke, at the first moment, with the worst figure."""
    for unit in scenario.units:
        samples = [sample for sample in evidence.samples if sample.unit == unit.name]
        if unit.max_rss is not None:
            over = [sample for sample in samples if sample.rss > unit.max_rss]
            if over:
                yield _memory(unit, unit.max_rss, over, evidence)
        if unit.max_cpu is not None:
            means = [mean for mean in _means(samples) if mean[1] > unit.max_cpu]
            if means:
                yield _cpu(unit, unit.max_cpu, means, evidence)


def _memory(unit: Unit, allowed: int, over: list[Sample], evidence: Evidence) -> Finding:
    worst = max(over, key=lambda sample: sample.rss)
    message = f"{unit.name} used {megabytes(worst.rss)} of memory; max_rss is {megabytes(allowed)}"
    hints = [_since(over[0].t_ns, evidence)]
    if worst.children:
        hints.append(f"processes that it started count too: {worst.children} then")
    return _limit_finding(unit, "max_rss", message, hints, over[0].t_ns)


def _cpu(unit: Unit, allowed: float, means: list[tuple[int, float]], evidence: Evidence) -> Finding:
    worst = max(mean for _, mean in means)
    message = f"{unit.name} used {worst:.0f} % of a core over 1 s; max_cpu is {allowed:g} %"
    return _limit_finding(unit, "max_cpu", message, [_since(means[0][0], evidence)], means[0][0])


def _limit_finding(unit: Unit, key: str, message: str, hints: list[str], t_ns: int) -> Finding:
    return Finding(
        Code.LIMIT,
        unit.name,
        message,
        hints=tuple(hint for hint in hints if hint),
        unit=unit.name,
        t_ns=t_ns,
        declared_as=key,
    )


def _means(samples: Sequence[Sample]) -> Iterable[tuple[int, float]]:
    """When each window of at least a second ended, and the mean CPU use in it in percent."""
    window: deque[Sample] = deque()
    for sample in samples:
        if window and window[-1].start != sample.start:
            window.clear()
        window.append(sample)
        while len(window) > 1 and sample.t_ns - window[1].t_ns >= CPU_WINDOW_NS:
            window.popleft()
        lasted_ns = sample.t_ns - window[0].t_ns
        if lasted_ns >= CPU_WINDOW_NS:
            yield sample.t_ns, (sample.cpu_s - window[0].cpu_s) / (lasted_ns / 1e9) * 100


def _since(t_ns: int, evidence: Evidence) -> str:
    if evidence.started_ns is None:
        return ""
    return f"first over it {(t_ns - evidence.started_ns) / 1e9:.2f} s after the start of the group"
