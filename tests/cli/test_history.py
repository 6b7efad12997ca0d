from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.history import command
from testrium.cli.main import Common
from testrium.errors import ExitCode
from testrium.model import Group, GroupResult, RunResult, Scenario, Verdict
from testrium.record.history import FILE, append_run


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("testrium.session.state_folder", lambda cwd: tmp_path)
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
    assert head == "run         when              verdict    duration  groups"
    assert latest.startswith("20261121-2  2004-11-")
    assert latest.endswith("  fail         2.50 s  2 pass, 1 fail")
    assert first.endswith("  pass         2.50 s  1 pass")
    assert len(history("--limit", "1").output.splitlines()) == 2


def test_machines_get_a_list(state: Path) -> None:
    store(state, "20261121-2", Verdict.FAIL, Verdict.PASS, started=2000.0)
    (run,) = json.loads(history("--json").output)

    assert (run["run"], run["verdict"], run["started"]) == ("20261121-2", "fail", 2000.0)
    assert run["verdicts"] == {"fail": 1, "pass": 1}


def test_no_run_yet(state: Path) -> None:
    assert history().output == "no run is in the history: start one with testrium run\n"
    assert json.loads(history("--json").output) == []


def test_a_damaged_history_is_told(state: Path) -> None:
    (state / FILE).write_text("no database " * 100)

    assert "was set aside" in history().output
