"""Flaky and slow results, figures over time, differences: from records."""

from __future__ import annotations

import csv
import io
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from testrium.history.database import History, append_run
from testrium.history.queries import as_csv, as_json
from testrium.history.rows import ResultRecord
from testrium.history.trends import changes_of, flaky_of, points_of, slow_of
from testrium.results import Measure
from testrium.words import Verdict
from tests.record.conftest import checkout_result, stored_run

_NUMBERS = count(1)


def record(run: str = "r1", verdict: str = "pass", **changes: Any) -> ResultRecord:
    values = changes.pop("values", {})
    fields: dict[str, Any] = {
        "id": next(_NUMBERS),
        "run": run,
        "group": "shop",
        "folder": "shop",
        "mode": "DEBUG",
        "params": {},
        "repeat": 0,
        "verdict": Verdict(verdict),
        "duration_s": 1.0,
        "root_code": None if verdict == "pass" else "lost",
        "root_where": None if verdict == "pass" else "host:got",
        "average_latency_s": None,
        "machine": "m",
        "started": 1000.0,
        "revision": None,
        "dirty": None,
        "measures": {name: Measure(name, value, "ms", "hop") for name, value in values.items()},
    }
    return ResultRecord(**fields | changes)


# Flaky -------------------------------------------------------------------------------------------


def clean(run: str, verdict: str, revision: str = "c1") -> ResultRecord:
    return record(run, verdict, revision=revision, dirty=False)


def test_pass_and_fail_on_one_commit_is_flaky() -> None:
    results = [
        clean("r4", "pass"),
        clean("r3", "fail"),
        clean("r2", "unknown"),
        clean("r1", "fail"),
    ]
    (one,) = flaky_of(results)
    assert (one.group, one.passed, one.failed, one.rate) == ("shop", 1, 3, 0.75)
    assert (one.codes, one.causes, one.last_failed) == (("c1",), ("lost host:got",), "r1")


def test_a_pass_on_a_later_try_is_flaky() -> None:
    (one,) = flaky_of([record("r2"), record("r1", tries=3, root_code="lost", root_where="a:b")])
    assert (one.passed, one.failed, one.causes, one.last_failed) == (1, 2, ("lost a:b",), "r1")


@pytest.mark.parametrize(
    "results",
    [
        [clean("r2", "pass", "c2"), clean("r1", "fail", "c1")],
        [record("r2", "pass", revision="c1", dirty=True), record("r1", "fail", revision="c1")],
        [record("r2", "pass"), record("r1", "fail")],
        [clean("r2", "pass"), clean("r1", "pass")],
        [clean("r2", "fail"), clean("r1", "error")],
        [clean("r2", "pass"), clean("r1", "skip")],
        [record("r1", "pass", mode="INFO"), record("r1", "fail")],
        [record("r1", "pass", params={"size": "1"}), record("r1", "fail")],
        [],
    ],
)
def test_what_is_not_flaky(results: list[ResultRecord]) -> None:
    assert flaky_of(results) == ()


def test_repeats_of_one_run_are_the_same_code() -> None:
    (one,) = flaky_of([record("r1", "fail", dirty=True, revision="c1"), record("r1", "pass")])
    assert one.codes == ("r1",)


def test_the_most_undecided_comes_first() -> None:
    often = [record("r1", verdict, folder="a", group="a") for verdict in ("pass", "fail")]
    seldom = [record("r1", verdict) for verdict in ("pass", "pass", "pass", "fail")]
    assert [one.group for one in flaky_of(seldom + often)] == ["a", "shop"]


# Slow --------------------------------------------------------------------------------------------


def test_the_slowest_comes_first_by_its_latest_runs() -> None:
    quick = [record(duration_s=1.0), record(duration_s=3.0), record(duration_s=2.0)]
    slow = [record(group="b", folder="b", duration_s=5.0)] * 20
    slow += [record(group="b", folder="b", duration_s=99.0)]
    skipped = [record(verdict="skip", group="c", folder="c", duration_s=0.0)]
    first, second = slow_of(quick + slow + skipped)
    assert (first.group, first.n, first.longest_s) == ("b", 20, 5.0)
    assert (second.median_s, second.longest_s, second.last_s) == (2.0, 3.0, 1.0)


# Points ------------------------------------------------------------------------------------------


def test_repeats_become_one_point() -> None:
    results = [
        record("r2", values={"x": 5.0}),
        record("r1", values={"x": 1.0}),
        record("r1", values={"x": 2.0}, repeat=1),
        record("r1", values={"x": 6.0}, repeat=2),
        record("r1", values={"y": 9.0}, repeat=3),
    ]
    alone, repeated = points_of("x", results)
    assert (alone.run, alone.n, alone.deviation) == ("r2", 1, None)
    assert (repeated.run, repeated.n, repeated.mean, repeated.median) == ("r1", 3, 3.0, 2.0)
    assert repeated.deviation == pytest.approx(2.6458, abs=1e-4)


# Differences -------------------------------------------------------------------------------------


def repeats(run: str, *values: float, **changes: Any) -> list[ResultRecord]:
    return [record(run, values={"x": value}, **changes) for value in values]


OTHERS = repeats("r0", 10.0, 10.2, 9.8, 10.1, 9.9)


def test_a_difference_beside_the_noise_of_other_runs() -> None:
    (change,) = changes_of(repeats("r1", 10.0), repeats("r2", 13.0), OTHERS)
    assert (change.first, change.second) == (10.0, 13.0)
    assert change.change == pytest.approx(0.3)
    assert change.confidence == pytest.approx(1.0, abs=1e-6)
    assert (change.because, change.worse) == ("the noise of 5 other runs", True)
    (change,) = changes_of(repeats("r1", 10.0), repeats("r2", 10.1), OTHERS)
    assert change.confidence is not None
    assert change.confidence < 0.5


def test_enough_repeats_need_no_other_runs() -> None:
    (change,) = changes_of(repeats("r1", 1, 2, 3, 4), repeats("r2", 5, 6, 7, 8), ())
    assert change.confidence == pytest.approx(1 - 2 / 70)
    assert change.because == "4 and 4 repeats"


def test_where_nothing_tells_there_is_no_confidence() -> None:
    (change,) = changes_of(repeats("r1", 1.0), repeats("r2", 2.0), OTHERS[:4])
    assert (change.confidence, change.because) == (None, "too few repeats and other runs")
    (change,) = changes_of(repeats("r1", 1.0), repeats("r2", 2.0, machine="n"), OTHERS)
    assert (change.confidence, change.because) == (None, "two machines")


def test_noise_is_only_of_what_compares() -> None:
    for circumstances in ({"verdict": "fail"}, {"mode": "INFO"}, {"machine": "n"}):
        others = repeats("r0", *(10.0,) * 9, **circumstances)
        (change,) = changes_of(repeats("r1", 1.0), repeats("r2", 2.0), others)
        assert change.confidence is None


def test_only_common_figures_are_compared() -> None:
    first = [record("r1", values={"x": 1.0, "y": 1.0})]
    second = [record("r2", values={"x": 0.0, "z": 1.0})]
    (change,) = changes_of(first, second, ())
    assert (change.name, change.change, change.worse) == ("x", -1.0, False)
    (change,) = changes_of(second, first, ())
    assert (change.change, change.worse) == (None, True)


# Export ------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_figure() -> None:
    results = [
        record("r1", values={"x": 1.5, "=cmd()": 2.0}, params={"b": "2", "a": "1"}, dirty=True),
        record("r0", "fail"),
    ]
    x, formula, bare = csv.DictReader(io.StringIO(as_csv(results)))
    assert (x["run"], x["figure"], x["value"], x["unit"]) == ("r1", "x", "1.5", "ms")
    assert (x["params"], x["dirty"], x["revision"]) == ('{"a": "1", "b": "2"}', "true", "")
    assert x["started"] == "1970-01-01T00:16:40.000+00:00"
    assert formula["figure"] == "'=cmd()"
    assert (bare["verdict"], bare["root_where"], bare["figure"]) == ("fail", "host:got", "")


def test_json_has_a_list_of_figures() -> None:
    (one,) = json.loads(as_json([record("r1", values={"x": 1.5})]))
    assert (one["run"], one["verdict"], one["params"]) == ("r1", "pass", {})
    (figure,) = one["figures"]
    assert (figure["figure"], figure["value"], figure["deviation"]) == ("x", 1.5, None)


def test_details_of_a_figure_are_kept_and_exported(tmp_path: Path) -> None:
    details = {"rows": 9, "cold": True}
    measure = Measure("throughput", 1.5, "1/s", "reported", details=details)
    result = checkout_result()
    result = result._replace(judgement=result.judgement._replace(measures=(measure,)))
    append_run(tmp_path, stored_run("r1", result))
    with History(tmp_path) as history:
        found = history.results()
    assert found[0].measures["throughput"] == measure
    (row,) = csv.DictReader(io.StringIO(as_csv(found)))
    assert row["details"] == '{"rows": 9, "cold": true}'
    assert json.loads(as_json(found))[0]["figures"][0]["details"] == details
