"""The command line wins, then TESTRIUM_ADDOPTS, then `[run]` of the project file."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import tomli_w

from testrium.cli.main import entry
from testrium.cli.run import command
from testrium.declared.project import RunTable
from testrium.errors import ExitCode
from testrium.results import RunResult
from testrium.session import Request
from testrium.words import Verdict


@pytest.fixture
def requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """All that would be run."""
    asked: list[Request] = []

    def run(request: Request) -> RunResult:
        asked.append(request)
        return RunResult("20261121-1", Verdict.PASS, ExitCode.SUCCESS, 0.1)

    monkeypatch.setattr("testrium.session.run", run)
    monkeypatch.chdir(tmp_path)
    return asked


def in_project(**run: Any) -> None:
    """Give the current folder a project file."""
    Path("testrium.toml").write_text(tomli_w.dumps({"run": run}))


def test_added_options_hold_until_the_command_line_says_otherwise(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTRIUM_ADDOPTS", "-j 3 --less 'a b' --keep failed")
    assert entry(["run", "--keep", "none", "--less", "c"]) == ExitCode.SUCCESS
    (request,) = requests
    assert (request.jobs, request.keep, request.selection.less) == (3, "none", ("a b", "c"))


def test_the_project_file_comes_last(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"max-regression": "20%", "less": ["x"]}
    in_project(jobs=4, keep="failed", strict=True, **table)
    monkeypatch.setenv("TESTRIUM_ADDOPTS", "--keep none")
    assert entry(["run", "-j", "2"]) == ExitCode.SUCCESS
    assert entry([]) == ExitCode.SUCCESS
    first, alone = requests
    assert (first.jobs, first.keep, first.max_regression, first.strict) == (2, "none", 0.2, True)
    assert first.selection.less == ("x",)
    assert (alone.jobs, alone.keep) == (4, "none")


def test_the_project_file_takes_every_name_of_an_option(
    requests: list[Request], tmp_path: Path
) -> None:
    in_project(**{"exclude": ["x"], "last-failed": False, "junit-xml": "out.xml"})
    assert entry(["run"]) == ExitCode.SUCCESS
    assert (requests[0].selection.less, requests[0].selection.failed) == (("x",), None)
    assert (tmp_path / "out.xml").exists()


def test_reports_of_the_project_file_are_written(requests: list[Request], tmp_path: Path) -> None:
    in_project(junit="out.xml", writer="tap=out.tap", shuffle=True, json_stream="out.jsonl")
    assert entry(["run", "--json", "out.json"]) == ExitCode.SUCCESS
    assert {path.name for path in tmp_path.glob("out.*")} == {
        "out.xml",
        "out.tap",
        "out.json",
        "out.jsonl",
    }
    assert requests[0].shuffle is not None


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"jbos": 4}, "testrium.toml:2: run.jbos: unknown key; did you mean 'jobs'?"),
        ({"jobs": "many"}, 'testrium.toml:2: run.jobs: must be a number from 1, or "auto"'),
        ({"keep": "some"}, "testrium.toml:2: run.keep: "),
        ({"strict": 1}, "testrium.toml:2: run.strict: "),
        ({"max-regression": "much"}, 'expected a percentage such as "20%"'),
    ],
)
def test_a_wrong_default_is_refused(
    requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    run: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    in_project(**run)
    assert entry(["run"]) == ExitCode.CONFIG_ERROR
    assert message in capsys.readouterr().err
    assert requests == []


def test_a_wrong_added_option_is_told_in_the_report(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_project(json="a.json")
    for added, message in (("--nope", "No such option '--nope'"), ("'", "No closing quotation")):
        monkeypatch.setenv("TESTRIUM_ADDOPTS", added)
        assert entry(["run"]) == ExitCode.CONFIG_ERROR
        (error,) = json.loads(Path("a.json").read_text())["errors"]
        assert message in error["message"]
        assert "TESTRIUM_ADDOPTS" in error["message"]
        Path("a.json").unlink()
    assert requests == []


def test_added_options_that_cannot_be_split_are_refused(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTRIUM_ADDOPTS", "--less 'a")
    assert entry(["run"]) == ExitCode.CONFIG_ERROR
    assert 'TESTRIUM_ADDOPTS="--less \'a": No closing quotation' in capsys.readouterr().err
    assert requests == []


def test_a_wrong_project_file_is_told_once(
    requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "testrium.toml").write_text("x = ")
    assert entry(["run"]) == ExitCode.CONFIG_ERROR
    assert capsys.readouterr().err.count("testrium.toml:1") == 1


def test_every_option_of_run_can_stand_in_the_project_file() -> None:
    options = {one.name for one in command.params if isinstance(one, click.Option)}
    assert {field.name for field in fields(RunTable)} == options - {"fail_fast", "help", "x"}
