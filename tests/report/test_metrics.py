"""The table of metrics, in the terminal and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.checks import Metric
from testrium.errors import ExitCode
from testrium.report import group_text, html, json_report, stored
from testrium.report.lines import symbols_for
from testrium.report.view import metric_views, view_group
from testrium.results import GroupResult, Judgement, Measure, MetricResult, RunResult
from testrium.words import Verdict

MEASURES = (
    Measure("throughput", 812.5, "1/s", "reported", "larger"),
    Measure("time", 0.131, "s", "reported", n=12, mean=0.123, deviation=0.052),
    Measure("host.rss", 16_100_000, "B", "unit"),
)
RESULTS = (
    MetricResult("throughput", Metric("throughput", "reported", least=1000, unit="1/s"), False),
    MetricResult(
        "time",
        Metric("time", "reported", max_regression=0.2),
        True,
        baseline=0.125,
        lowest=0.00742,
        highest=0.186,
    ),
    MetricResult("host.rss", Metric("host.rss", "unit", "host", most=5e8, unit="B"), True),
    MetricResult("cache", Metric("cache", "reported"), False),
    MetricResult("order.p99", Metric("order.p99", "circuit", "order", most=80, unit="ms")),
)


@pytest.fixture
def measured(passed: GroupResult) -> GroupResult:
    return passed._replace(judgement=Judgement(Verdict.FAIL, measures=MEASURES, metrics=RESULTS))


def shown(result: GroupResult, cwd: Path, width: int | None) -> list[str]:
    view = view_group(result, cwd=cwd)
    lines = group_text.group_block(view, symbols_for("utf-8"), width=width, detailed=True)
    texts = [line.text for line in lines]
    start = texts.index("  metrics")
    return texts[start : texts.index("", start)]


TABLE = """\
name        verdict      value  rule           baseline   n    mean  deviation      min     max
throughput  fail     812.5 1/s  min 1000 1/s          -   1       -          -        -       -
time        pass        131 ms  max 20% worse    125 ms  12  123 ms      52 ms  7.42 ms  186 ms
host.rss    pass       16.1 MB  max 500 MB            -   -       -          -        -       -
cache       fail             -  must be there         -   -       -          -        -       -
order.p99   unknown          -  max 80 ms             -   -       -          -        -       -
"""


def test_all_of_it(measured: GroupResult, cwd: Path) -> None:
    lines = shown(measured, cwd, None)[1:]
    assert "".join(f"{line[4:]}\n" for line in lines) == TABLE


def test_columns_without_a_value_are_left_out(measured: GroupResult, cwd: Path) -> None:
    judgement = measured.judgement._replace(metrics=RESULTS[:1])
    assert shown(measured._replace(judgement=judgement), cwd, 80) == [
        "  metrics",
        "    name        verdict      value  rule",
        "    throughput  fail     812.5 1/s  min 1000 1/s",
    ]


def test_what_was_told_with_a_value_stands_behind_it(measured: GroupResult, cwd: Path) -> None:
    details = {"rows": 9, "cold": True, "who": "me"}
    judgement = measured.judgement._replace(
        measures=(MEASURES[0]._replace(details=details),), metrics=RESULTS[:1]
    )
    assert shown(measured._replace(judgement=judgement), cwd, 80) == [
        "  metrics",
        "    name        verdict      value  rule          details",
        "    throughput  fail     812.5 1/s  min 1000 1/s  rows=9 cold=true who=me",
    ]


def test_a_long_name_leaves_room_for_the_others(measured: GroupResult, cwd: Path) -> None:
    name = "n" * 200
    judgement = Judgement(
        Verdict.PASS,
        measures=(Measure(name, 3, "", "reported"),),
        metrics=(MetricResult(name),),
    )
    result = measured._replace(judgement=judgement)
    assert shown(result, cwd, 80)[-1] == f"    {'n' * 39}…  -            3  -"
    assert shown(result, cwd, 50)[-1] == f"    {'n' * 19}…  -            3  -"
    assert name in shown(result, cwd, None)[-1]


def test_no_table_without_metrics(passed: GroupResult, cwd: Path) -> None:
    view = view_group(passed, cwd=cwd)
    lines = group_text.group_block(view, symbols_for("utf-8"), detailed=True)
    assert "  metrics" not in [line.text for line in lines]


def test_a_stored_result_has_the_same_table(
    measured: GroupResult, cwd: Path, tmp_path: Path
) -> None:
    json_report.write_group(measured, tmp_path / json_report.GROUP_FILE)
    (again,) = stored.read_run(tmp_path).groups
    assert metric_views(again.judgement) == metric_views(measured.judgement)
    assert again.judgement.metrics == RESULTS


def test_the_page(measured: GroupResult, cwd: Path) -> None:
    run = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (measured,))
    page = html.render(run, cwd=cwd)
    assert '<section id="group-1-metrics"><h3>Metrics</h3>' in page
    row = page[page.index("<td>time</td>") :].split("</tr>")[0]
    for text in ("131 ms", "max 20% worse", "125 ms", "12", "7.42 ms", "186 ms"):
        assert f">{text}</td>" in row
