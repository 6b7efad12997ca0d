"""Names that people know from other tools, and wrong usage, which is told in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testrium.cli.main import entry
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, NoGroupsError
from testrium.history.database import append_run
from testrium.rejudge import failed_results
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

CONFIG = """
[Configs]
units = ["only"]
tags = [{tags}]
"""
UNIT = """
[only]
init = 0
command = ["true"]
"""

Listed = Callable[..., list[str]]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three groups in the current folder, which is a project."""
    (tmp_path / "testrium.toml").write_text("")
    for name, tags in (("a", '"http"'), ("b", '"http", "slow"'), (f"c{40 * 'a'}b", "")):
        (tmp_path / name / "units").mkdir(parents=True)
        (tmp_path / name / "config.toml").write_text(CONFIG.format(tags=tags))
        (tmp_path / name / "units" / "only.toml").write_text(UNIT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def listed(groups: Path, capsys: pytest.CaptureFixture[str]) -> Listed:
    """The first letters of the groups that `testrium list` selects."""

    def work(*arguments: str) -> list[str]:
        assert entry(["list", *arguments]) == ExitCode.SUCCESS
        return [line[0] for line in capsys.readouterr().out.splitlines()]

    return work


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-k", "^[ab]"), ["a", "b"]),
        (("--grep", "^[ab]"), ["a", "b"]),
        (("-m", "http and not slow"), ["a"]),
        (("--exclude", "a"), ["b", "c"]),
        (("--less", "a", "--exclude", "b"), ["c"]),
    ],
)
def test_names_of_other_tools_select_groups(
    listed: Listed, arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert listed(*arguments) == expected


@pytest.mark.parametrize(
    "options",
    [
        ("--less", "a", "b"),
        ("--less", "a", "b", "-v"),
        ("-v", "--exclude=a", "b"),
        ("--less", "a", "--less", "b"),
    ],
)
def test_several_groups_are_left_out_before_the_command(
    groups: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert entry([*options, "list"]) == ExitCode.SUCCESS
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["c"]


def test_mistakes_of_a_group_that_is_left_out_are_not_checked(
    groups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (groups / "a" / "config.toml").write_text("colour = 1")
    assert entry(["--less", "a", "check"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out == "2 groups, 2 units: no problem\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["list", "--tag", "nope"], 2, "no group matches --tag nope (tags: http, slow)"),
        (["list", "-k", "nope"], 2, "no group matches --grep nope"),
        (["list", "-k", "(a+)+$"], 3, "--grep '(a+)+$' took more than 1 s of CPU time"),
        (["list", "-k", "a{99999999999}"], 3, "--grep 'a{99999999999}': invalid regular expr"),
        (["list", "-k", "("], 3, "--grep '(': invalid regular expression: missing )"),
        (["list", "--tag", "(" * 50_000], 3, "--tag "),
        (["run", "--shuffle", "abc"], 3, "--shuffle abc: expected a number as SEED, or a PATH"),
        (["run", "--shuffle", "9" * 5000], 3, "expected a SEED of at most 18 digits"),
        (["run", "--repeat", "9" * 30], 3, "is not in the range 0<=x<=100000"),
        (["run", "--repeat", "9" * 5000], 3, "--repeat"),
        (["run", "-j", "9" * 5000], 3, "expected a number from 1, or auto"),
        (["run", "-j", "\u00b2"], 3, "expected a number from 1, or auto"),
        (["history", "--limit", "9" * 30], 3, "is not in the range"),
        (["a"], 3, "No such command 'a'. Did you mean 'run a'?"),
        (["chek"], 3, "No such command 'chek'. Did you mean 'check'?"),
        (["--less", "a", "history"], 3, "--less: testrium history leaves no group out; give it to"),
        (["--less", "no", "check"], 3, "--less no: no such group"),
        (["--less", "a", "b"], 3, "No such command 'b'. Did you mean 'run b'?"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_usage_is_told_in_words(
    groups: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert entry(arguments) == code
    told = capsys.readouterr().err
    assert message in " ".join(told.replace("\u2502", " ").split())
    assert "Traceback" not in told


def test_what_failed_is_remembered_for_each_group(groups: Path) -> None:
    def ran(run: str, name: str, verdict: Verdict, started: float) -> None:
        scenario = Scenario(name, Group(name, groups / name, ()), ())
        result = GroupResult(scenario, verdict)
        append_run(
            groups / ".testrium",
            RunResult(run, verdict, ExitCode.FAILURE, 1.0, (result,), (), None, started),
        )

    def failed() -> list[str]:
        return sorted(key.folder.name for key in failed_results(groups))

    ran("20261121-1", "a", Verdict.FAIL, 1.0e9)
    ran("20261121-2", "b", Verdict.UNKNOWN, 1.1e9)
    assert failed() == ["a", "b"]
    ran("20261121-3", "a", Verdict.PASS, 1.2e9)
    assert failed() == ["b"]
    ran("20261121-4", "b", Verdict.PASS, 1.3e9)
    with pytest.raises(NoGroupsError, match="--failed: everything passed when it was last run"):
        failed_results(groups)
