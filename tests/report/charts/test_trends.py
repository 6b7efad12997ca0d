from __future__ import annotations

from testrium.report.charts.trends import (
    MOST_RESULTS,
    PastResult,
    PastRun,
    Series,
    all_series,
    charts,
    owner_of,
    run_chart,
)
from testrium.results import Measure
from testrium.words import Verdict

SIGNS = {"+": Verdict.PASS, "x": Verdict.FAIL, "-": Verdict.SKIP, "?": Verdict.UNKNOWN}


def results(signs: str, name: str = "g") -> list[PastResult]:
    """One for each sign."""
    return [
        PastResult(name, f"r{n}", 1.7e9 + n, SIGNS[sign], 1.0 + n) for n, sign in enumerate(signs)
    ]


def series(signs: str) -> Series:
    (one,) = all_series(results(signs))
    return one


def test_a_series_for_each_name() -> None:
    found = all_series([*results("+x", name="c"), *results("-x?+", name="b")])
    assert [one.name for one in found] == ["b", "c"]
    assert [one.run for one in found[0].not_passed] == ["r1", "r2"]


def test_only_the_latest_results_count() -> None:
    one = series("x" + "+" * MOST_RESULTS)
    assert (len(one.results), one.not_passed, one.last.run) == (200, (), "r200")


def test_every_run_is_a_point_of_the_chart() -> None:
    runs = [
        PastRun(f"r{n}", 1.7e9 + n, SIGNS[sign], duration, "", "", n == 1)
        for n, (sign, duration) in enumerate([("+", 1.0), ("x", 3.0), ("+", 2.0)])
    ]
    chart = run_chart(runs)
    assert chart is not None
    assert (chart.last, chart.usual, chart.least, chart.most) == ("2 s", "2 s", "1 s", "3 s")
    points = chart.data["points"]
    assert [(value, verdict, run) for _, value, verdict, _, run in points] == [
        (1.0, "pass", ""),
        (3.0, "fail", "r1"),  # the others have no folder any more
        (2.0, "pass", ""),
    ]
    assert run_chart([]) is None


def test_a_figure_needs_two_values_for_a_chart_and_those_of_units_come_last() -> None:
    own = [
        one._replace(
            figures={
                "api.cpu": Measure("api.cpu", 7.0, "%", "unit"),
                "c.p95": Measure("c.p95", 7.0, "ms", "circuit"),
                "duration": Measure("duration", one.duration_s, "s", "group"),
            }
            | ({"d.p95": Measure("d.p95", 7.0, "ms", "circuit")} if n else {})
        )
        for n, one in enumerate(results("+x"))
    ]
    found = charts(all_series(own)[0])
    assert [one.name for one in found] == ["duration", "c.p95", "api.cpu"]
    assert (found[0].last, found[0].usual) == ("2 s", "1.5 s")


def test_a_figure_that_the_last_result_lacks_is_not_of_now() -> None:
    value = {"c.p95": Measure("c.p95", 7.0, "ms", "circuit")}
    old, new, last = (one._replace(figures=value) for one in results("+++"))
    assert charts(all_series([old, new, last])[0])[0].measured
    (chart,) = charts(all_series([old, new, last._replace(figures={})])[0])
    assert (chart.last, chart.measured) == ("7 ms", False)


def test_the_pass_before_a_result() -> None:
    one = series("+x?x")
    assert one.pass_before(one.last) == one.results[0]
    assert one.pass_before(one.results[0]) is None


def test_the_owner_is_a_tag() -> None:
    assert owner_of(("slow", "owner:payments")) == "payments"
    assert owner_of(("owner-mail",)) == "mail"
    assert owner_of(("slow", "owners")) == ""
    (one,) = all_series([results("+")[0]._replace(tags=("owner=mail", "slow"))])
    assert (one.owner, one.tags) == ("mail", ("slow",))
