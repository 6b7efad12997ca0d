from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.history import Tables, command
from testrium.cli.main import Common
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, UsageError
from testrium.history import results
from testrium.history.database import FILE, append_run
from testrium.results import GroupResult, Judgement, Measure, RunResult
from testrium.words import Verdict


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("testrium.history.queries.state_folder", lambda cwd: tmp_path)
    return tmp_path


def store(state: Path, run: str, *verdicts: Verdict, started: float) -> None:
    groups = tuple(
        GroupResult(Scenario("g", Group("g", state, ()), ()), verdict) for verdict in verdicts
    )
    append_run(state, RunResult(run, verdicts[0], ExitCode.FAILURE, 2.5, groups, (), None, started))


def history(*arguments: str) -> Result:
    return CliRunner().invoke(
        command, arguments, obj=Common(), catch_exceptions=False, standalone_mode=False
    )


def test_runs_are_listed(state: Path) -> None:
    store(state, "20261121-1", Verdict.PASS, started=1.0e9)
    store(state, "20261121-2", Verdict.FAIL, Verdict.PASS, Verdict.PASS, started=1.1e9)

    head, latest, first = history().output.splitlines()
    assert head == "run         when              verdict  duration  groups"
    assert latest.startswith("20261121-2  2004-11-")
    assert latest.endswith("  fail       2.50 s  2 pass, 1 fail")
    assert first.endswith("  pass       2.50 s  1 pass")
    assert len(history("--limit", "1").output.splitlines()) == 2


def test_machines_get_a_list(state: Path) -> None:
    store(state, "20261121-2", Verdict.FAIL, Verdict.PASS, started=2000.0)
    (run,) = json.loads(history("--json").output)

    assert (run["run"], run["verdict"], run["started"]) == ("20261121-2", "fail", 2000.0)
    assert run["verdicts"] == {"fail": 1, "pass": 1}


def test_no_run_yet(state: Path) -> None:
    assert history().output == "the history is empty: start a run with testrium run\n"
    assert json.loads(history("--json").output) == []


def test_a_damaged_history_is_told(state: Path) -> None:
    (state / FILE).write_text("no database " * 100)

    assert "was set aside" in history().output


# Groups and figures ------------------------------------------------------------------------------


def measured(state: Path, run: str, *values: float, started: float = 1.0e9) -> None:
    """A run of the group `shop` with a repeat for each value of command.p50."""
    groups = tuple(
        GroupResult(
            Scenario("shop", Group("shop", state.parent / "shop", ()), (), repeat=repeat),
            Verdict.FAIL if value > 50 else Verdict.PASS,
            duration_s=value,
            judgement=Judgement(
                Verdict.PASS,
                measures=(
                    Measure("command.p50", value, "ms", "circuit"),
                    Measure("rate", 7.0, "1/s", "reported", "larger", 3, 7.0, 0.5),
                ),
            ),
        )
        for repeat, value in enumerate(values)
    )
    append_run(
        state, RunResult(run, Verdict.PASS, ExitCode.SUCCESS, 2.5, groups, (), None, started)
    )


@pytest.fixture
def five(state: Path) -> Path:
    for number in range(5):
        measured(state, f"r{number}", 10.0 + number, started=1.0e9 + number)
    return state


def test_a_group_s_results_and_figures(five: Path) -> None:
    output = history("shop", "--limit", "2").output
    lines = output.splitlines()
    assert lines[0] == "shop DEBUG  5 results"
    assert [line.split()[0] for line in lines[1:4]] == ["run", "r4", "r3"]
    assert lines[6].split() == ["command.p50", "14", "ms", "12", "ms", "1.48", "ms", "▁▃▅▆█"]
    assert lines[7].split()[-1] == "▄▄▄▄▄"
    assert history("group", "shop", "--limit", "2").output == output
    assert len(json.loads(history("shop", "--limit", "2", "--json").output)) == 2


def test_a_group_that_is_called_like_a_command(state: Path) -> None:
    group = GroupResult(Scenario("flaky", Group("flaky", state, ()), ()), Verdict.PASS)
    append_run(state, RunResult("r1", Verdict.PASS, ExitCode.SUCCESS, 1.0, (group,)))
    assert history("flaky").output == "no flaky groups\n"
    assert history("group", "flaky").output.startswith("flaky DEBUG  1 result\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shp",), "no group 'shp' is in the history; did you mean 'shop'?"),
        (("flakey",), "no group 'flakey' is in the history; did you mean 'flaky'?"),
        (("accept", "shp"), "no group 'shp' is in the history; did you mean 'shop'?"),
        (("metric", "comand.p50"), "did you mean 'command.p50'?"),
        (("metric", "command.p50", "--group", "shp"), "of group 'shp' is in the history; did you"),
        (("compare", "x"), "no run 'x' is in the history"),
        (("compare", "r"), "5 runs begin with 'r'"),
    ],
)
def test_what_is_not_there(five: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        history(*arguments)
    assert message in str(caught.value)


def test_nothing_to_compare(state: Path) -> None:
    with pytest.raises(UsageError, match="no earlier run is kept"):
        history("compare")


def test_a_figure_over_the_runs(five: Path) -> None:
    measured(five, "r9", 10.0, 12.0, started=2.0e9)
    lines = history("metric", "command.p50", "--limit", "2").output.splitlines()
    assert lines[0] == "command.p50  shop DEBUG, smaller is better  █▁"
    assert lines[2].split()[3:] == ["11", "ms", "11", "ms", "1.41", "ms", "2"]
    assert lines[3].split()[3:] == ["14", "ms", "14", "ms", "-", "1"]
    assert len(lines) == 4
    (latest, *_) = json.loads(history("metric", "rate", "--json").output)
    assert (latest["run"], latest["median"], latest["unit"]) == ("r9", 7.0, "1/s")


def test_two_runs_side_by_side(five: Path) -> None:
    for number in range(5, 8):
        measured(five, f"r{number}", 10.0, started=1.0e9 + number)
    measured(five, "r8", 20.0, started=1.1e9)
    lines = history("compare").output.splitlines()
    assert lines[0] == "shop DEBUG  confidence from the noise of 7 other runs"
    assert lines[2].split()[:6] == ["command.p50", "10", "ms", "20", "ms", "+100.0%"]
    (p50, _) = json.loads(history("compare", "r0", "--json").output)
    assert (p50["first"], p50["second"], p50["worse"]) == (10.0, 20.0, True)
    (p50, _) = json.loads(history("compare", "r8", "r1", "--json").output)
    assert (p50["first"], p50["second"], p50["worse"]) == (20.0, 11.0, False)


def test_flaky_and_slow(five: Path) -> None:
    measured(five, "r9", 10.0, 99.0, started=2.0e9)
    assert history("flaky").output.splitlines()[1].split()[:4] == ["shop", "1", "1", "50%"]
    assert history("slow").output.splitlines()[1].split()[:3] == ["shop", "12.0", "s"]


def test_export(five: Path, tmp_path: Path) -> None:
    assert history("export").output.startswith("run,started,revision,")
    assert len(json.loads(history("export", "--format", "json").output)) == 5
    for name in ("out.json", "out.JSON"):
        told = history("export", str(tmp_path / name)).output
        assert told == f"results of all groups: {tmp_path / name} (JSON)\n"
        assert len(json.loads((tmp_path / name).read_text())) == 5
    told = history("export", "--group", "nobody", str(tmp_path / "out.csv")).output
    assert told == f"results of nobody: {tmp_path / 'out.csv'} (CSV)\n"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1


def test_export_to_what_tells_no_format(five: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"out\.txt: unknown ending: use \.csv, \.json or --format"
    ):
        history("export", str(tmp_path / "out.txt"))
    assert not (tmp_path / "out.txt").exists()
    history("export", "--format", "csv", str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text().startswith("run,started,revision,")


def test_accept(five: Path) -> None:
    assert "later runs only" in history("accept", "shop").output


def test_an_encoding_without_bars(five: Path) -> None:
    tables = Tables(80, "ascii")
    text = "\n".join(one.text for one in tables.group(results("shop", project=five), 3))
    assert "_-=+#" in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
