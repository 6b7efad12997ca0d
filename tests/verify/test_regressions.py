"""Figures beside those of earlier runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from testrium.declared.checks import Metric
from testrium.declared.circuits import Circuit, Hop
from testrium.declared.groups import Group, Scenario
from testrium.evidence import Finding
from testrium.results import Measure
from testrium.verify.metrics import Regressions, find_regressions
from testrium.words import Place

HOPS = tuple(
    (Hop(text, (Place(*text.split(":")),)),) for text in ("client:sent", "host:got", "db:stored")
)
STEADY = (10.0, 10.2, 9.9, 10.1, 10.0, 10.1, 9.9, 10.0, 10.2, 10.0)


def scenario(*metrics: Metric, max_regression: float | None = 0.2) -> Scenario:
    group = Group("g", Path("g"), (), circuits=(Circuit("command", HOPS),), metrics=metrics)
    return Scenario("g", group, (), max_regression=max_regression)


def compared(
    measure: Measure, earlier: tuple[float, ...], *metrics: Metric, **options: float | None
) -> Regressions:
    """One figure, named in `[metrics]`."""
    baseline = {(measure.name, measure.unit): earlier}
    named = metrics or (Metric(measure.name, measure.source, max_regression=0.2),)
    return find_regressions(scenario(*named, **options), baseline, [measure])


def by_option(*measures: Measure) -> tuple[list[str], list[str]]:
    """Places of the findings, and the notes, with `--max-regression 20%` alone."""
    baseline = {(one.name, one.unit): STEADY for one in measures}
    found = find_regressions(scenario(), baseline, measures)
    return [one.where for one in found.findings], [one.message for one in found.notes]


def hop(text: str, value: float, measure: str = "p50") -> Measure:
    return Measure(f"command.{text}.{measure}", value, "ms", "hop")


def told(finding: Finding) -> list[str]:
    return [finding.message, *finding.hints]


def test_a_slow_hop_is_named_with_its_figures() -> None:
    (finding,) = compared(hop("host:got", 13.0), STEADY).findings
    assert (finding.where, finding.circuit) == ("command.host:got.p50", "command")
    assert finding.unit == "host"
    assert told(finding) == [
        "command.host:got.p50 is 13 ms, 30% worse than in 10 earlier runs: their median is 10 ms",
        "limit 12 ms: the median and the 20% that are allowed",
        (
            "spread of the earlier runs 156 us"
            " (robust: median absolute deviation, or the tail if that is longer)"
        ),
    ]


def test_an_allowed_change_is_not_a_finding() -> None:
    assert compared(hop("host:got", 11.9), STEADY) == Regressions()


def test_noise_is_not_a_finding() -> None:
    noisy = (10.0, 14.0, 8.0, 12.0, 9.0, 13.0, 7.0, 11.0, 10.5, 9.5)
    assert compared(hop("host:got", 13.5), noisy) == Regressions()
    (finding,) = compared(hop("host:got", 30.0), noisy).findings
    assert finding.hints[0].endswith("5 times the spread, more than the 20% that are allowed")


def test_a_change_within_scheduling_noise_is_not_a_finding() -> None:
    tiny = tuple(value / 100 for value in STEADY)
    assert compared(hop("host:got", 1.0), tiny) == Regressions()
    (finding,) = compared(hop("host:got", 1.3), tiny).findings
    assert finding.hints[0] == "limit 1.1 ms: the median and 1 ms, the least that counts"


def test_of_a_figure_that_should_be_large_less_is_worse() -> None:
    rate = Measure("rate", 7.0, "1/s", "reported", "larger")
    (finding,) = compared(rate, STEADY).findings
    assert told(finding)[:2] == [
        "rate is 7 1/s, 30% worse than in 10 earlier runs: their median is 10 1/s",
        "limit 8 1/s: the median and the 20% that are allowed",
    ]
    assert compared(rate._replace(value=13.0), STEADY) == Regressions()


def test_few_runs_are_a_note() -> None:
    found = compared(hop("host:got", 99.0), STEADY[:4])
    assert found.findings == ()
    (note,) = found.notes
    assert note.where == "g"
    assert note.message == (
        "not enough runs to compare command.host:got.p50 with: 4 earlier runs that passed in the"
        " same mode, with the same parameters and on the same machine, 5 are needed"
    )


def test_values_in_another_unit_do_not_count() -> None:
    measure = Measure("rate", 9.0, "1/s", "reported")
    found = find_regressions(scenario(), {("rate", "1/min"): STEADY}, [measure])
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("measure", "is_compared"),
    [
        (Measure("command.p50", 99.0, "ms", "circuit"), True),
        (Measure("command.p95", 99.0, "ms", "circuit"), True),
        (Measure("command.p99", 99.0, "ms", "circuit"), False),
        (Measure("command.max", 99.0, "ms", "circuit"), False),
        (Measure("duration", 99.0, "s", "group"), True),
        (Measure("host.rss", 99.0, "B", "unit"), False),
        (Measure("queue", 99.0, "", "reported"), True),
    ],
)
def test_which_figures_are_compared(measure: Measure, is_compared: bool) -> None:
    findings, _ = by_option(hop("host:got", 99.0, "p10"), measure)
    assert (measure.name in findings) is is_compared
    assert compared(measure, STEADY, max_regression=None).findings


def test_a_slow_machine_is_a_note() -> None:
    """Other programs slow most keys down, but not all."""
    slower = [hop("host:got", 14.0), Measure("command.p50", 14.0, "ms", "circuit")]
    findings, notes = by_option(hop("host:got", 10.3, "p10"), *slower)
    assert findings == []
    assert notes == [
        (
            "command.host:got.p50 and command.p50 were slower than in earlier runs, but not the"
            " fastest tenth of the keys at any hop: other programs on the machine may be the reason"
        )
    ]
    findings, _ = by_option(hop("db:stored", 14.0, "p10"), *slower)
    assert findings == ["command.db:stored.p10", "command.p50"]


def test_without_circuits_the_duration_counts() -> None:
    declared = scenario()
    bare = declared._replace(group=replace(declared.group, circuits=()))
    measure = Measure("duration", 14.0, "s", "group")
    assert find_regressions(bare, {("duration", "s"): STEADY}, [measure]).findings
    assert not find_regressions(declared, {("duration", "s"): STEADY}, [measure]).findings


def test_a_metric_s_own_percentage_counts_more_than_the_option_s() -> None:
    metric = Metric("queue", "reported", max_regression=0.5)
    measure = Measure("queue", 14.0, "", "reported")
    assert compared(measure, STEADY, metric) == Regressions()
    assert by_option(measure) == (["queue"], [])


def test_what_is_not_asked_for_is_not_compared() -> None:
    measure = Measure("queue", 99.0, "", "reported")
    assert find_regressions(scenario(), None, [measure]) == Regressions()
    baseline = {("queue", ""): STEADY}
    assert find_regressions(scenario(max_regression=None), baseline, [measure]) == Regressions()
    assert find_regressions(scenario(), baseline, [measure], {"queue"}) == Regressions()


def test_the_slowest_hop_comes_first_and_once() -> None:
    measures = [
        Measure("command.p50", 40.0, "ms", "circuit"),
        hop("host:got", 14.0, "p10"),
        hop("host:got", 13.0),
        hop("db:stored", 20.0, "p10"),
        hop("db:stored", 20.0),
    ]
    baseline = {(one.name, "ms"): STEADY for one in measures}
    found = find_regressions(scenario(), baseline, measures)
    assert [finding.where for finding in found.findings] == [
        "command.db:stored.p50",
        "command.host:got.p10",
        "command.p50",
    ]
    assert found.findings[-1].hints[-1] == (
        "of its hops db:stored became slower most: 20 ms, median before 10 ms (+100%)"
    )


# 50 runs without a change, and one with ----------------------------------------------------------


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_50_unchanged_runs_raise_no_alarm(noise: float, seed: int) -> None:
    """Hops take 20 ms, with a noise of so much (a lognormal one: its tail is long)."""
    random = Random(seed)
    earlier: list[float] = []
    alarms = 0
    for _ in range(50):
        value = 20.0 * random.lognormvariate(0.0, noise)
        alarms += len(compared(hop("host:got", value), tuple(earlier[:30])).findings)
        earlier.insert(0, value)
    assert alarms == 0


@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("seed", range(5))
def test_30_percent_in_one_hop_is_found_at_once(noise: float, seed: int) -> None:
    random = Random(seed)
    earlier = tuple(20.0 * random.lognormvariate(0.0, noise) for _ in range(10))
    slow = 20.0 * 1.3 * random.lognormvariate(0.0, noise)
    assert compared(hop("host:got", slow), earlier).findings
