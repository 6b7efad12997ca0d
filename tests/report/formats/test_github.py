from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from testrium.errors import ExitCode, Problem
from testrium.evidence import Finding
from testrium.evidence import TestResult as Outcome
from testrium.report import ci
from testrium.report.ci import GithubWriter
from testrium.results import GroupResult, Judgement, RunResult
from testrium.words import Code, Verdict


class Step:
    """A step of a workflow whose repository is /home/ada."""

    def __init__(self, tmp_path: Path, cwd: Path) -> None:
        self.log = io.StringIO()
        self.summary = tmp_path / "summary"
        self.summary.write_text("before\n")
        environ = {"GITHUB_WORKSPACE": "/home/ada", "GITHUB_STEP_SUMMARY": str(self.summary)}
        self.writer = GithubWriter(self.log, cwd, environ)

    def commands(self, result: RunResult) -> list[str]:
        self.writer.run_ended(result)
        return self.log.getvalue().splitlines()


def line_of(folder: Path, _: str, circuit: str) -> int | None:
    return 14 if (folder.name, circuit) == ("checkout", "command") else None


@pytest.fixture
def step(tmp_path: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    monkeypatch.setattr(ci, "named_line", line_of)
    return Step(tmp_path, cwd)


def test_what_did_not_pass_is_annotated_where_it_is_declared(
    step: Step, run_result: RunResult
) -> None:
    commands = step.commands(run_result)

    assert [command.split(",")[0] for command in commands] == [
        "::error file=shop/groups/checkout/config.toml",
        "::warning file=shop/groups/clocks/config.toml",
        "::error file=shop/groups/disk/config.toml",
        "::error file=shop/groups/payments/refund/config.toml",
    ]
    assert commands[0].startswith(
        "::error file=shop/groups/checkout/config.toml,line=14,"
        "title=checkout%3A lost at host%3Areceived (3 keys)::k7 and 2 more never reached"
    )
    assert "broker:queued%0A97 of 100 keys did arrive" in commands[0]


def test_a_finding_of_a_unit_is_at_its_file(
    step: Step, run_result: RunResult, crashed: GroupResult, tmp_path: Path
) -> None:
    group = replace(crashed.scenario.group, folder=tmp_path)
    root = Finding(Code.CRASH, "a", "a ended", unit="a")
    result = crashed._replace(
        scenario=crashed.scenario._replace(group=group),
        judgement=Judgement(Verdict.FAIL, (root,)),
    )
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "a.toml").touch()
    (command,) = step.commands(run_result._replace(groups=(result,)))

    assert command.startswith(f"::error file={tmp_path}/units/a.toml,line=1,title=")


def test_further_tests_and_checks_that_failed_are_annotated_too(
    step: Step, run_result: RunResult, crashed: GroupResult
) -> None:
    findings = (
        Finding(Code.CRASH, "a", "a ended"),
        Finding(Code.TEST, "test_a", "test_a failed"),
        Finding(Code.CHECK, "c", "no line", explained_by="crash a"),
        Finding(Code.TEST, "test_b", "test_b failed"),
        Finding(Code.LOST, "a:b", "a key"),
    )
    lines = (
        Outcome("test_0", False, 0.1, aborted=True, file="/home/ada/t.py", line=3),
        Outcome("test_a", False, 0.1, file="/home/ada/t.py", line=7),
    )
    result = crashed._replace(judgement=Judgement(Verdict.FAIL, findings), tests=lines)
    commands = step.commands(run_result._replace(groups=(result, result)))

    assert [command.rpartition("::")[2] for command in commands] == [
        *("a ended", "a ended"),
        *("test_a failed", "test_b failed") * 2,
    ]
    assert commands[2].startswith("::error file=t.py,line=7,title=")


def test_no_text_is_a_command_of_its_own(
    step: Step, run_result: RunResult, hostile: GroupResult
) -> None:
    root = Finding(Code.LOST, "a:b,c", "50% lost\n::error::mine\r\x1b[1m")
    result = hostile._replace(judgement=Judgement(Verdict.FAIL, (root,)))
    (command,) = step.commands(run_result._replace(groups=(result,)))

    assert command.endswith("lost at a%3Ab%2Cc::50%25 lost%0A\\x3a:error::mine\\r\\x1b[1m")
    assert command.isprintable()


def test_mistakes_are_annotated_in_their_files(step: Step) -> None:
    problems = (Problem("config.toml", 4, "tiemout", "unknown key"), Problem("", None, "", "no"))
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=problems)

    assert step.commands(result) == [
        "::error file=shop/config.toml,line=4,title=testrium::tiemout: unknown key",
        "::error title=testrium::no",
    ]
    assert "## Testrium: nothing was started" in step.summary.read_text()
    assert r"config\.toml\:4\: tiemout" in step.summary.read_text()


def test_github_shows_ten_of_a_level(step: Step, run_result: RunResult, lost: GroupResult) -> None:
    commands = step.commands(run_result._replace(groups=(lost,) * 30))

    assert len(commands) == 10
    assert step.summary.read_text().count("| ✗ fail | checkout |") == 30


def test_the_summary_follows_what_was_there(step: Step, run_result: RunResult) -> None:
    step.commands(run_result)
    lines = step.summary.read_text().splitlines()

    assert lines[0] == "before"
    assert lines[1].startswith(r"## Testrium: 1 passed\, 2 failed\, 1 in error\, 1 unknown\,")
    assert r"| ✓ pass | hello | 0\.31 s |  |" in lines
    assert "<details><summary>checkout</summary>" in lines
    assert "      rerun  testrium run groups/checkout" in lines


def test_no_text_is_markup_in_the_summary(
    step: Step, run_result: RunResult, hostile: GroupResult
) -> None:
    scenario = hostile.scenario._replace(id="<b>|`@ada` [x](y) \x1b")
    text = step.writer.summary(run_result._replace(groups=(hostile._replace(scenario=scenario),)))

    assert r"&lt;b&gt;\|\`\@ada\` \[x\]\(y\) \\x1b" in text
    assert "<summary>&lt;b&gt;|`@ada` [x](y) \\x1b</summary>" in text


def test_a_summary_fits(
    step: Step, run_result: RunResult, lost: GroupResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = run_result._replace(groups=(lost,) * 30)
    whole = len(step.writer.summary(many).encode())
    for limit in (whole - 1, 2000, 200):
        monkeypatch.setattr(ci, "MOST_SUMMARY_BYTES", limit)
        assert len(step.writer.summary(many).encode()) <= max(limit, 200)


def test_a_log_that_is_gone_fails_nothing(step: Step, run_result: RunResult) -> None:
    step.log.close()
    step.summary.unlink()
    step.summary.mkdir()
    step.writer.run_ended(run_result)
