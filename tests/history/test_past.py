"""What was before a result: figures over runs, and the last pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode
from testrium.evidence import End, EndCause, LogPiece, StoredLog, UnitState
from testrium.history.database import FILE, History
from testrium.history.past import PastReader, new_lines
from testrium.history.rows import Revision
from testrium.report.charts.trends import Past
from testrium.report.json_report import write_report
from testrium.results import GroupResult, Judgement, Measure, RunDetail, RunOrigin, RunResult
from testrium.words import Verdict


def log(unit: str, text: str) -> StoredLog:
    return StoredLog(unit, "stdout", len(text), (LogPiece(0, text.encode()),))


def test_lines_are_new_that_have_no_like() -> None:
    before = [log("a", "took 12 ms\nready\n"), log("b", "x\n")]
    now = [log("a", "took 900 ms\nqueue full\nready\nqueue full\n"), log("c", "hello\n")]
    assert [(one.unit, one.lines) for one in new_lines(before, now)] == [
        ("a", ("queue full",)),
        ("c", ("hello",)),
    ]


def result(verdict: Verdict, p95_ms: float, code: int) -> GroupResult:
    measures = (Measure("order.p95", p95_ms, "ms", "circuit"),)
    end = End("a", EndCause.SELF, UnitState.FINISHED, exit_code=code)
    scenario = Scenario("shop", Group("shop", Path("/nowhere/shop"), ()), ())
    return GroupResult(
        scenario, verdict, 1.0, judgement=Judgement(verdict, measures=measures), ends=(end,)
    )


def run(state: Path, name: str, started: float, one: GroupResult, commit: str) -> RunResult:
    folder = state / "runs" / name
    folder.mkdir(parents=True)
    done = RunResult(
        name,
        one.verdict,
        ExitCode.SUCCESS,
        1.0,
        (one,),
        folder=folder,
        started_wall=started,
        origin=RunOrigin(revision=commit),
    )
    write_report(done, folder / "report.json")
    with History(state) as history:
        history.append(done, command_line=(), revision=Revision(commit, dirty=False))
    return done


def test_the_last_pass_tells_what_is_different(tmp_path: Path) -> None:
    for number, p95_ms in enumerate((10.0, 10.2, 9.9), 1):
        name = f"20261121-03150{number}-ab12"
        run(tmp_path, name, number, result(Verdict.PASS, p95_ms, 0), "aaaa")
    now = run(tmp_path, "20261121-031509-ab12", 9.0, result(Verdict.FAIL, 80.0, 3), "bbbb")
    past = PastReader(now).past_of(now.groups[0], RunDetail())

    (chart,) = past.charts
    assert (chart.name, len(chart.data["points"])) == ("order.p95", 4)
    assert past.last_pass is not None
    assert past.last_pass.run == "20261121-031503-ab12"
    rows = {one.name: one for one in past.last_pass.differences}
    assert rows["git revision"][1:3] == ("aaaa", "bbbb")
    assert rows["order.p95"][1:] == (
        *("9.9 ms", "80 ms", "×8", "9.9 ms to 10.2 ms in 3 passes"),  # noqa: RUF001
        "latency of the whole route: 95 % of the keys took at most this",
    )
    assert rows["end of a"][1:3] == ("ended with exit code 0", "ended with exit code 3")
    assert all(one.about for one in past.last_pass.differences)
    assert past.last_pass.remarks == (
        "Logs, hops and configuration of that run are not kept (--keep all keeps them).",
    )


@pytest.mark.parametrize(
    ("measure", "about"),
    [
        (Measure("duration", 1, "s", "group"), "the whole group, from the start of its first unit"),
        (Measure("order.max", 1, "ms", "circuit"), "latency of the whole route: the slowest key"),
        (
            Measure("order.w:done.p50", 1, "ms", "hop"),
            "time from the hop before to this one: half of the keys took at most this",
        ),
        (Measure("rows.max", 1, "1", "reported"), "reported by a process"),
    ],
)
def test_a_figure_that_differs_is_explained(measure: Measure, about: str, tmp_path: Path) -> None:
    low, high = (
        one._replace(judgement=Judgement(one.verdict, measures=(measure._replace(value=value),)))
        for one, value in ((result(Verdict.PASS, 1.0, 0), 1.0), (result(Verdict.FAIL, 9.0, 0), 9.0))
    )
    run(tmp_path, "20261121-031501-ab12", 1.0, low, "aaaa")
    now = run(tmp_path, "20261121-031509-ab12", 9.0, high, "aaaa")
    past = PastReader(now).past_of(now.groups[0], RunDetail())
    found = past.last_pass.differences if past.last_pass else ()
    assert [one.about for one in found] == [about]


def test_a_change_within_the_noise_is_not_a_difference(tmp_path: Path) -> None:
    for number, p95_ms in enumerate((10.0, 14.0, 8.0), 1):
        name = f"20261121-03150{number}-ab12"
        run(tmp_path, name, number, result(Verdict.PASS, p95_ms, 0), "aaaa")
    now = run(tmp_path, "20261121-031509-ab12", 9.0, result(Verdict.FAIL, 11.0, 0), "aaaa")
    past = PastReader(now).past_of(now.groups[0], RunDetail())
    assert past.last_pass is not None
    assert past.last_pass.differences == ()


def test_without_a_history_nothing_is_told_or_made(tmp_path: Path) -> None:
    one = result(Verdict.FAIL, 1.0, 0)
    folder = tmp_path / "runs" / "r"
    alone = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (one,), folder=folder)
    assert PastReader(alone).past_of(one, RunDetail()) == Past()
    assert not (tmp_path / FILE).exists()


@pytest.fixture(autouse=True)
def _one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testrium.history.rows.machine_class", lambda: "here")
