"""Units over their limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import Evidence, Finding, Sample
from testrium.verify.metrics import CPU_WINDOW_NS, limit_findings
from testrium.words import Code

MB = 1_000_000
S = 1_000_000_000


def sample(
    t_ns: int, *, cpu_s: float = 0.0, rss: int = 0, start: int = 1, children: int = 0
) -> Sample:
    return Sample("a", start, t_ns, cpu_s, None, rss, 1, 5, children)


def found(
    *samples: Sample, max_rss: int | None = None, max_cpu: float | None = None
) -> list[Finding]:
    unit = Unit("a", 0, "units/a.toml", command=("a",), max_rss=max_rss, max_cpu=max_cpu)
    scenario = Scenario("g", Group("g", Path("g"), (unit,)), (unit,))
    return list(limit_findings(scenario, Evidence(samples=samples, started_ns=0)))


def test_memory_over_its_limit_is_one_finding_with_its_figures() -> None:
    samples = [sample(S, rss=50 * MB), sample(2 * S, rss=101 * MB), sample(3 * S, rss=300 * MB)]
    [finding] = found(*samples, max_rss=100 * MB)
    assert (finding.code, finding.where, finding.unit) == (Code.LIMIT, "a", "a")
    assert finding.message == "a used 300 MB of memory; max_rss is 100 MB"
    assert finding.hints == ("first over it 2.00 s after the start of the group",)
    assert finding.t_ns == 2 * S


def test_processes_that_it_started_are_mentioned() -> None:
    [finding] = found(sample(S, rss=200 * MB, children=3), max_rss=100 * MB)
    assert finding.hints[1] == "processes that it started count too: 3 then"


def test_at_the_limit_is_not_over_it() -> None:
    assert found(sample(S, rss=100 * MB), max_rss=100 * MB) == []


def test_without_a_limit_there_is_no_finding() -> None:
    assert found(sample(0), sample(2 * S, cpu_s=2.0, rss=900 * MB)) == []


def test_less_than_a_second_gives_no_mean() -> None:
    assert found(sample(0), sample(S - 1, cpu_s=1.0), max_cpu=50) == []


def test_cpu_of_two_starts_is_not_one_mean() -> None:
    first = [sample(0), sample(S // 2, cpu_s=0.5)]
    second = [sample(S, cpu_s=0.0, start=2), sample(S + S // 2, cpu_s=0.4, start=2)]
    assert found(*first, *second, max_cpu=10) == []


def test_both_limits_are_two_findings() -> None:
    findings = found(sample(0), sample(S, cpu_s=1.0, rss=2 * MB), max_rss=MB, max_cpu=50)
    assert [finding.message for finding in findings] == [
        "a used 2.0 MB of memory; max_rss is 1.0 MB",
        "a used 100 % of a core over 1 s; max_cpu is 50 %",
    ]
    assert [finding.declared_as for finding in findings] == ["max_rss", "max_cpu"]


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 100)), min_size=2, max_size=50))
def test_the_mean_covers_at_least_a_second(steps: list[tuple[int, int]]) -> None:
    """Against the definition: no shorter window, and the shortest that is long enough."""
    t_ns, cpu_s = 0, 0.0
    samples = []
    for elapsed_ms, percent in steps:
        t_ns += elapsed_ms * 1_000_000
        cpu_s += elapsed_ms / 1000 * percent / 100
        samples.append(sample(t_ns, cpu_s=cpu_s))
    over = []
    for index, now in enumerate(samples):
        longer = [one for one in samples[:index] if now.t_ns - one.t_ns >= CPU_WINDOW_NS]
        if longer:
            then = longer[-1]
            mean = (now.cpu_s - then.cpu_s) / (now.t_ns - then.t_ns) * 1e9 * 100
            if mean > 50:
                over.append((now.t_ns, mean))
    findings = found(*samples, max_cpu=50)
    assert [finding.t_ns for finding in findings] == [t for t, _ in over[:1]]
    for finding in findings:
        worst = float(finding.message.split(" used ")[1].split()[0])
        assert worst == pytest.approx(max(mean for _, mean in over), abs=0.51)
