"""The tables of a group: its circuits, metrics, units, checks and tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from testrium import phrases
from testrium.evidence import CheckResult
from testrium.evidence import TestResult as Test
from testrium.report.escape import cut
from testrium.report.lines import STYLES, Line, Span, line, table
from testrium.report.view import GroupView, MetricView, UnitView
from testrium.results import CircuitResult
from testrium.words import Verdict

_INDENT = 2

#: Of a metric's name, which may have 200 characters: the others say more in that room.
_NAME_WIDTH = 40


def tables(view: GroupView, width: int | None) -> Iterator[Line]:
    """A table for each of the five that the group has."""
    if view.circuits:
        yield from _titled("circuits", _circuit_rows(view.circuits), width, right=range(2, 7))
    if view.metrics:
        yield from _titled(
            "metrics", _metric_rows(view.metrics, width), width, right=(2, *range(4, 10))
        )
    if view.units:
        yield from _titled("units", _unit_rows(view.units), width, right=range(2, 8))
    if view.checks:
        yield from _titled("checks", _result_rows(view.checks), width, right=(2,))
    if view.tests:
        yield from _titled("tests", _result_rows(view.tests), width, right=(2,))


def _titled(
    title: str, rows: list[list[Span]], width: int | None, *, right: Collection[int]
) -> Iterator[Line]:
    yield line()
    yield line(" " * _INDENT, Span(title, "strong"))
    room = None if width is None else width - 2 * _INDENT
    for row in table(rows, width=room, right=right):
        yield row.indented(2 * _INDENT)


def _circuit_rows(circuits: Sequence[CircuitResult]) -> list[list[Span]]:
    heads = ("name", "verdict", "instances", "p50", "p95", "p99", "max")
    return [[Span(head, "dim") for head in heads], *map(_circuit_row, circuits)]


def _circuit_row(circuit: CircuitResult) -> list[Span]:
    times = (circuit.p50_ms, circuit.p95_ms, circuit.p99_ms, circuit.max_ms)
    return [
        Span(circuit.name),
        Span(str(circuit.verdict), STYLES[circuit.verdict]),
        Span(str(circuit.instances)),
        *(Span("-" if time is None else phrases.milliseconds(time)) for time in times),
    ]


def _metric_rows(metrics: Sequence[MetricView], width: int | None) -> list[list[Span]]:
    """What was reported more than once, and what was compared, have columns of their own."""
    room = 0 if width is None else max(16, min(_NAME_WIDTH, width - 30))
    several = any(metric.mean is not None for metric in metrics)
    compared = any(metric.baseline is not None for metric in metrics)
    heads = ["name", "verdict", "value", "rule"]
    heads += ["baseline"] if compared else []
    heads += ["n", "mean", "deviation", "min", "max"] if several else []
    rows = [[Span(head, "dim") for head in heads]]
    for metric in metrics:
        verdict = metric.verdict
        rows.append(
            [
                Span(metric.name if width is None else cut(metric.name, room)),
                Span("-") if verdict is None else Span(str(verdict), STYLES[verdict]),
                Span(metric.value or "-"),
                Span(metric.rule or "-"),
                *([Span(metric.baseline or "-")] if compared else ()),
                *(_report_columns(metric) if several else ()),
            ]
        )
    return rows


def _report_columns(metric: MetricView) -> list[Span]:
    count = "-" if metric.n is None else str(metric.n)
    texts = (metric.mean, metric.deviation, metric.lowest, metric.highest)
    return [Span(count), *(Span(text or "-") for text in texts)]


def _unit_rows(units: Sequence[UnitView]) -> list[list[Span]]:
    heads = ["name", "state", "ready", "ended", "pid", "starts"]
    measured = any(unit.use.cpu_s is not None for unit in units)
    if measured:
        heads += ["CPU", "memory"]
    rows = [[Span(head, "dim") for head in heads]]
    for unit in units:
        times = (unit.ready_s, unit.ended_s)
        rows.append(
            [
                Span(unit.name),
                Span(unit.state),
                *(Span(_moment(time)) for time in times),
                Span("-" if unit.pid is None else str(unit.pid)),
                Span(str(unit.starts)),
                *(_use_columns(unit) if measured else ()),
            ]
        )
    return rows


def _moment(time_s: float | None) -> str:
    """A moment of a unit's life; a fixture may have been ready before the group began."""
    if time_s is None:
        return "-"
    return phrases.duration(time_s) if time_s >= 0 else "before"


def _use_columns(unit: UnitView) -> tuple[Span, Span]:
    cpu_s, rss = unit.use.cpu_s, unit.use.max_rss
    return (
        Span("-" if cpu_s is None else phrases.duration(cpu_s)),
        Span("-" if rss is None else phrases.megabytes(rss)),
    )


def _result_rows(results: Sequence[Test] | Sequence[CheckResult]) -> list[list[Span]]:
    rows = []
    for test in results:
        verdict = (
            Verdict.SKIP
            if getattr(test, "skipped", False)
            else Verdict.PASS
            if test.passed
            else Verdict.FAIL
        )
        rows.append(
            [
                Span(str(verdict), STYLES[verdict]),
                Span(test.name),
                Span(phrases.duration(test.duration_s)),
                Span(" ".join(test.message.split()), "dim"),
            ]
        )
    return rows
