from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from testrium.cli.options import make_writers
from testrium.report.ci import AllureWriter, TeamcityWriter
from testrium.report.writer import ReportChoice
from testrium.results import GroupResult, RunResult

MESSAGE = re.compile(r"##teamcity\[(\w+)((?: \w+='(?:[^|'\[\]\n]|\|.)*')*)\]")


def test_teamcity_messages_are_nested_and_escaped(
    run_result: RunResult, hostile: GroupResult, lost: GroupResult, cwd: Path
) -> None:
    kinds: list[str] = []
    for result in (*run_result.groups, hostile, lost):
        for message in TeamcityWriter(None, cwd).messages(result):
            found = MESSAGE.fullmatch(message)
            assert found is not None, message
            kinds.append(found[1])
    assert kinds.count("testSuiteStarted") == kinds.count("testSuiteFinished")
    assert kinds.count("testStarted") == kinds.count("testFinished")
    assert {"testFailed", "testIgnored"} <= set(kinds)


def test_teamcity_tells_the_root_cause(lost: GroupResult, cwd: Path) -> None:
    messages = list(TeamcityWriter(None, cwd).messages(lost))
    failed = [message for message in messages if "testFailed" in message]
    assert "message='lost at host:received: k7 and 2 more" in failed[0]


def test_allure_has_a_step_per_circuit_and_the_logs(lost: GroupResult, tmp_path: Path) -> None:
    log = tmp_path / "run" / "units" / lost.ends[0].unit / "stdout.log"
    log.parent.mkdir(parents=True)
    log.write_text("said")
    writer = AllureWriter("allure-results", tmp_path)
    writer.group_ended(lost._replace(run_dir=tmp_path / "run"))
    (file,) = (tmp_path / "allure-results").glob("*-result.json")
    told = json.loads(file.read_text())
    assert file.name == f"{told['uuid']}-result.json"
    assert (told["status"], told["stage"]) == ("failed", "finished")
    assert told["statusDetails"]["message"].startswith("lost at host:received")
    assert told["start"] <= told["stop"]
    assert [step["status"] for step in told["steps"]][:1] == ["failed"]
    (attached,) = told["attachments"]
    assert (file.parent / attached["source"]).read_text() == "said"


@pytest.mark.parametrize("choice", [("teamcity", None), ("allure", "results")])
def test_they_are_writers_of_their_own(choice: tuple[str, str | None], tmp_path: Path) -> None:
    name, target = choice
    (writer,) = make_writers((ReportChoice(f"--writer {name}", name, target),), tmp_path)
    assert type(writer).__name__.lower() == f"{name}writer"
