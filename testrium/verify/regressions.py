"""Figures that became worse than in earlier runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from testrium.declared.groups import Scenario
from testrium.declared.metrics import COMPARED, Metric
from testrium.evidence import Finding
from testrium.measures import figure
from testrium.results import Measure
from testrium.statistics import LEAST_EARLIER, Comparison, against_earlier
from testrium.verify.wording import listed, number_of
from testrium.words import Code

#: What a change must come to at least, by source and unit: what schedulers do is no regression.
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
    `testrium.statistics.against_earlier`. What has `broken` a limit is told already.

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
    findings = [_finding(one, scenario, hops) for one in worse]
    doubtful = [one.measure.name for one in slower if one not in certain]
    notes = (*_too_few(scenario, short), *_may_be_the_machine(scenario, doubtful))
    return Regressions(tuple(findings), notes)


def _is_certain(one: _Compared, slower: Sequence[_Compared], scenario: Scenario) -> bool:
    """Whether it is the code that became slower, not the machine for the time of one run.

    Other programs make most keys slower, but hardly all of them: where nobody has named the figure
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


def _finding(one: _Compared, scenario: Scenario, hops: Sequence[_Compared]) -> Finding:
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


def _too_few(scenario: Scenario, short: Mapping[str, int]) -> Iterator[Finding]:
    if not short:
        return
    most = max(short.values())
    message = (
        f"not enough runs to compare {listed(list(short))} with:"
        f" {number_of(most, 'earlier run')} that passed in the same mode, with the same parameters"
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
