"""What the options of `testrium run` ask for; end_to_end/test_many_groups.py sees it happen."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.main import Common
from testrium.cli.run import command
from testrium.errors import ExitCode
from testrium.model import RunResult, Verdict
from testrium.session import Request


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
        ((), "fail_fast", False),
        (("-x",), "fail_fast", True),
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
        (("--shuffle", "a", "b"), "paths", ("a", "b")),
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
    ("option", "begins"), [("--html", "<!"), ("--junit", "<?xml"), ("--json", "{")]
)
def test_reports_are_written(
    requests: list[Request], tmp_path: Path, option: str, begins: str
) -> None:
    file = tmp_path / "report"
    call(option, str(file))
    assert file.read_text().lstrip().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-j", "0"), "expected a number from 1, or auto"),
        (("--keep", "some"), "'some' is not one of 'all', 'failed', 'none'"),
        (("--repeat", "-1"), "-1 is not in the range x>=0"),
    ],
)
def test_a_wrong_value_is_refused(
    requests: list[Request], arguments: tuple[str, ...], message: str
) -> None:
    result = call(*arguments)
    assert message in result.output
    assert requests == []
