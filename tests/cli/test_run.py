"""What the options of `testrium run` ask for; end_to_end/test_many_groups.py sees it happen."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.main import Common, entry
from testrium.cli.run import command
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, TestriumError, UsageError
from testrium.record.runs import MARK
from testrium.results import GroupResult, RunResult
from testrium.session import Request
from testrium.words import Verdict


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """All that would be run."""
    asked: list[Request] = []

    def run(request: Request) -> RunResult:
        asked.append(request)
        return RunResult("20261121-1", Verdict.PASS, ExitCode.SUCCESS, 0.1)

    monkeypatch.setattr("testrium.session.run", run)
    return asked


def call(*arguments: str, common: Common | None = None) -> Result:
    return CliRunner().invoke(command, arguments, obj=common, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ((), "max_failures", None),
        (("-x",), "max_failures", 1),
        (("--maxfail", "3"), "max_failures", 3),
        (("--strict",), "strict", True),
        ((), "keep", "all"),
        (("--keep", "failed"), "keep", "failed"),
        ((), "shuffle", None),
        (("--shuffle", "42"), "shuffle", 42),
        (("--repeat", "3"), "repeat", 3),
        ((), "rounds", 1),
        (("--repeat", "3"), "rounds", 1),
        (("--until-fail",), "rounds", None),
        (("--until-fail", "--repeat", "3"), "rounds", 4),
        (("-j", "7"), "jobs", 7),
        (("a", "b*"), "paths", ("a", "b*")),
        (("--shuffle", "a*", "b"), "paths", ("a*", "b")),
        (("a", "--shuffle"), "paths", ("a",)),
    ],
)
def test_an_option_becomes_a_part_of_the_request(
    requests: list[Request], arguments: tuple[str, ...], field: str, value: object
) -> None:
    assert call(*arguments).exit_code == 0
    assert getattr(requests[0], field) == value


def test_a_seed_that_was_drawn_is_told(requests: list[Request]) -> None:
    output = call("--shuffle").output
    assert f"notice: in random order: --shuffle {requests[0].shuffle}\n" in output


def test_less_before_and_after_the_command(requests: list[Request]) -> None:
    call("--less", "b", "--all-modes", "--tag", "x", "--grep", "y", common=Common(less=("a",)))
    selection = requests[0].selection
    assert selection.less == ("a", "b")
    assert (selection.all_modes, selection.tag, selection.grep) == (True, "x", "y")


@pytest.mark.parametrize(
    ("option", "begins"),
    [
        ("--html", "<!"),
        ("--junit", "<?xml"),
        ("--json", "{"),
        ("--tap", "TAP version 14"),
        ("--json-stream", '{"event": "run_ended"'),
    ],
)
def test_reports_are_written(
    requests: list[Request], tmp_path: Path, option: str, begins: str
) -> None:
    file = tmp_path / "report"
    assert call(option, str(file)).stdout.endswith(f"\nwrote {file}\n")
    assert file.read_text().lstrip().startswith(begins)
    assert "wrote" not in call("-q", option, str(file)).output
    assert "wrote" not in call(option, "-").output


def test_files_that_were_written_are_in_one_line(
    requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--json", "-", "--html", "a.html", "--junit", "b.xml", "--tap", "/dev/null")
    result = call(*given)
    assert result.stderr.endswith("\nwrote a.html, b.xml\n")
    assert json.loads(result.stdout)["verdict"] == "pass"


@pytest.mark.parametrize(
    ("earlier", "project", "told"),
    [
        ((), None, False),
        ((".",), None, True),
        (("here/shop",), None, True),
        (("here/shop/cart",), None, True),
        (("elsewhere",), None, False),
        ((".",), "here/testrium.toml", False),
    ],
)
def test_a_run_apart_from_earlier_ones_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    earlier: tuple[str, ...],
    project: str | None,
    told: bool,
) -> None:
    here = tmp_path / "here"
    group = Group("shop/cart", here / "shop/cart", ())
    group.folder.mkdir(parents=True)
    for folder in earlier:
        state = tmp_path / folder / ".testrium"
        state.mkdir(parents=True)
        (state / MARK).touch()
    if project is not None:
        (tmp_path / project).touch()
    one = GroupResult(Scenario(group.id, group, (), mode="DEBUG", repeat=0), Verdict.PASS)
    kept = here / ".testrium/runs/1"
    result = RunResult("1", Verdict.PASS, ExitCode.SUCCESS, 0.1, (one,), folder=kept)
    monkeypatch.setattr("testrium.session.run", lambda _: result)
    monkeypatch.chdir(here)
    output = call().output
    places = [f"earlier ones are in {tmp_path / folder / '.testrium'}:" for folder in earlier]
    assert any(place in output for place in places) == ("notice:" in output) == told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-j", "0"), "expected a number from 1, or auto"),
        (("--keep", "some"), "'some' is not one of 'all', 'failed', 'none'"),
        (("--repeat", "-1"), "-1 is not in the range 0<=x<=100000"),
    ],
)
def test_a_wrong_value_is_refused(
    requests: list[Request], arguments: tuple[str, ...], message: str
) -> None:
    result = call(*arguments)
    assert message in result.output
    assert requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone",), 3, "gone: no such folder"),
        (("empty",), 2, "no group found"),
        (("--failed", "empty"), 2, "no earlier run is kept"),
        (("--grep", "[", "empty"), 2, "no group found"),
    ],
)
def test_what_is_not_started_is_reported_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("testrium.run.supervisor.client.Supervisor.launch", nullcontext)
    files = ["--json", "report.json", "--junit", "report.xml", "--tap", "report.tap"]
    with pytest.raises(TestriumError):
        call(*arguments, *files)
    report = json.loads(Path("report.json").read_text())

    assert (report["verdict"], report["exit_code"], report["groups"]) == ("error", code, [])
    assert message in report["errors"][0]["message"]
    assert message in Path("report.xml").read_text()
    assert message in Path("report.tap").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "gone/report.json"), "does not exist"),
        (("--json", "-", "--html", "-"), "--json and --html would both write to standard output"),
        (("--writer", "jnit=x"), "writers: unknown name 'jnit'; did you mean 'junit'?"),
        (("--writer", "tap"), "--writer tap needs a file: --writer tap=FILE"),
    ],
)
def test_reports_that_cannot_be_written_are_refused_before_the_run(
    requests: list[Request], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        call(*arguments)
    assert requests == []


@pytest.mark.parametrize(
    ("arguments", "message", "names"),
    [
        ("--nope --json a.json --writer xunit=b.xml", "No such option '--nope'", "a.json b.xml"),
        ("--json=a.json -j x --tap api.http", "got 'x'", "a.json"),
        ("--shuffle nowhere --json a.json", "--shuffle nowhere: expected", "a.json"),
        ("--html no/a.html --json a.json --tap b.tap", "does not exist", "a.json b.tap"),
        ("--json a.json --junit a.json", "--json and --junit would both write", "a.json"),
        ("--json a.json --archive b.zip --keep none", "--archive has nothing", "a.json"),
        ("--json a.json --junit", "'--junit' requires an argument", "a.json"),
        ("--json no/a.json --nope", "No such option '--nope'", ""),
    ],
)
def test_a_wrong_option_is_told_in_the_reports_that_others_name(
    requests: list[Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    message: str,
    names: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert entry(["run", *arguments.split()]) == ExitCode.CONFIG_ERROR
    assert sorted(path.name for path in tmp_path.iterdir()) == names.split()
    if names:
        report = json.loads(Path("a.json").read_text())
        assert (report["verdict"], report["exit_code"], report["groups"]) == ("error", 3, [])
        assert message in report["errors"][0]["message"]
    assert requests == []


def test_reports_by_the_names_of_their_writers(requests: list[Request], tmp_path: Path) -> None:
    call("--writer", f"tap={tmp_path / 'a'}", "--writer", f"json={tmp_path / 'b'}")
    assert (tmp_path / "a").read_text().startswith("TAP version 14")
    assert json.loads((tmp_path / "b").read_text())["verdict"] == "pass"


def test_standard_output_is_the_report_alone(requests: list[Request]) -> None:
    result = call("--html", "-")
    assert result.stdout.lower().strip().startswith("<!doctype html>")
    assert "nothing was run" in result.stderr


def test_a_workflow_of_github_gets_a_summary(
    requests: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    call()
    assert not (tmp_path / "summary").exists()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    call()
    assert (tmp_path / "summary").read_text().startswith("## Testrium: nothing was run")
