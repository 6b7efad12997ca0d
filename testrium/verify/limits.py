"""Units that used more memory or CPU than they may."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.evidence import Evidence, Finding, Sample
from testrium.words import Code

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
    message = (
        f"{unit.name} used {_megabytes(worst.rss)} of memory; max_rss is {_megabytes(allowed)}"
    )
    hints = [_since(over[0].t_ns, evidence)]
    if worst.children:
        hints.append(f"processes that it started count too: {worst.children} then")
    return _finding(unit, message, hints, over[0].t_ns)


def _cpu(unit: Unit, allowed: float, means: list[tuple[int, float]], evidence: Evidence) -> Finding:
    worst = max(mean for _, mean in means)
    message = f"{unit.name} used {worst:.0f} % of a core over 1 s; max_cpu is {allowed:g} %"
    return _finding(unit, message, [_since(means[0][0], evidence)], means[0][0])


def _finding(unit: Unit, message: str, hints: list[str], t_ns: int) -> Finding:
    told = tuple(hint for hint in hints if hint)
    return Finding(Code.LIMIT, unit.name, message, hints=told, unit=unit.name, t_ns=t_ns)


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


def _megabytes(size: int) -> str:
    """As it is declared: "200MB" is 200 000 000 bytes."""
    return f"{size / 1e6:.1f} MB" if size < 100_000_000 else f"{size / 1e6:.0f} MB"
