"""The command line wins, then TESTRIUM_ADDOPTS, then `[run]` of the project file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testrium.cli.main import entry
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


def in_project(monkeypatch: pytest.MonkeyPatch, run: dict[str, Any]) -> None:
    project = SimpleNamespace(run=run, file=Path("testrium.toml"))
    monkeypatch.setattr("testrium.load.project.find_project", lambda _: project)


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
    table = {"jobs": 4, "keep": "failed", "max-regression": "20%", "strict": True, "less": ["x"]}
    in_project(monkeypatch, table)
    monkeypatch.setenv("TESTRIUM_ADDOPTS", "--keep none")
    assert entry(["run", "-j", "2"]) == ExitCode.SUCCESS
    assert entry([]) == ExitCode.SUCCESS
    first, alone = requests
    assert (first.jobs, first.keep, first.max_regression, first.strict) == (2, "none", 0.2, True)
    assert first.selection.less == ("x",)
    assert (alone.jobs, alone.keep) == (4, "none")


def test_reports_of_the_project_file_are_written(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_project(monkeypatch, {"junit-xml": "out.xml", "writer": "tap=out.tap", "shuffle": True})
    assert entry(["run", "--json", "out.json"]) == ExitCode.SUCCESS
    assert {path.name for path in tmp_path.glob("out.*")} == {"out.xml", "out.tap", "out.json"}
    assert requests[0].shuffle is not None


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"jbos": 4}, "run.jbos: unknown option; did you mean 'jobs'?"),
        ({"jobs": "many"}, "expected a number from 1, or auto, got 'many'"),
        ({"keep": "some"}, "'some' is not one of 'all', 'failed', 'none'"),
    ],
)
def test_a_wrong_default_is_refused(
    requests: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run: dict[str, Any],
    message: str,
) -> None:
    in_project(monkeypatch, run)
    assert entry(["run"]) == ExitCode.CONFIG_ERROR
    assert message in capsys.readouterr().err
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
