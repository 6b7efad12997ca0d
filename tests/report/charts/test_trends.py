from __future__ import annotations

from testrium.report.charts.trends import (
    MOST_RESULTS,
    PastResult,
    PastRun,
    PastValue,
    Series,
    all_series,
    curves,
    run_strip,
)
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


def test_every_run_has_its_bar() -> None:
    runs = [
        PastRun(f"r{n}", 1.7e9, SIGNS[sign], duration, "", "", n == 1)
        for n, (sign, duration) in enumerate([("+", 1.0), ("x", 2.0), ("-", 0.0)])
    ]
    strip = run_strip(runs)
    first, second, third = strip.bars
    assert second.height == 2 * first.height
    assert third.height > 0
    assert all(bar.y + bar.height == strip.base for bar in strip.bars)
    assert [bar.run for bar in strip.bars] == ["", "r1", ""]
    assert run_strip([]).bars == ()


def test_a_figure_needs_two_values_for_a_curve() -> None:
    own = [
        one._replace(
            figures={"duration": PastValue(one.duration_s, "s")}
            | ({"c.p95": PastValue(7.0, "ms")} if n else {})
        )
        for n, one in enumerate(results("+x+")[:2])
    ]
    (curve,) = curves(all_series(own)[0])
    assert (curve.name, curve.last, curve.usual) == ("duration", "2 s", "1.5 s")
    assert [point.good for point in curve.points] == [True, False]
    assert curve.points[0].y > curve.points[1].y
