from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from testrium.errors import ExitCode, InfraError, Problem
from testrium.report import json_report
from testrium.report.fields import report_schema
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

RUN_FIELDS = ["testrium", "run", "verdict", "exit_code", "duration_s", "errors", "groups"]
GROUP_FIELDS = ["id", "mode", "params", "repeat", "verdict", "duration_s", "run_dir", "notes"]
GROUP_FIELDS += ["findings", "units", "circuits", "required", "tests", "checks"]
FINDING_FIELDS = ["code", "where", "circuit", "key", "keys", "message", "events", "explained_by"]
UNIT_FIELDS = ["name", "state", "pid", "exit_code", "signal", "starts", "ready_s", "ended_s"]
CIRCUIT_FIELDS = ["name", "instances", "verdict", "p50_ms", "p95_ms", "p99_ms", "max_ms"]


@pytest.fixture(autouse=True)
def version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testrium.report.json_report.__version__", "1.0.0")


def in_order(data: dict[str, Any], fields: list[str]) -> bool:
    return [field for field in data if field in fields] == fields


def test_the_fields_of_the_contract_are_there_in_its_order(run_result: RunResult) -> None:
    data = json.loads(json_report.render(run_result))
    group = data["groups"][1]

    assert in_order(data, RUN_FIELDS)
    assert in_order(group, GROUP_FIELDS)
    assert in_order(group["findings"][0], FINDING_FIELDS)
    assert in_order(group["notes"][0], FINDING_FIELDS)
    assert in_order(group["units"][0], UNIT_FIELDS)
    assert in_order(group["circuits"][0], CIRCUIT_FIELDS)
    assert group["required"] == {
        "completed": [{"unit": "host", "step": "ready"}],
        "missing": [{"unit": "host", "step": "received"}],
    }
    assert group["circuits"][0]["p95_ms"] is None
    assert group["units"][0]["ready_s"] == 0.04


def test_report_of_a_run(run_result: RunResult, same_as_gold: Callable[[str, str], None]) -> None:
    same_as_gold("report.json", json_report.render(run_result))


def test_a_skipped_group_gives_its_reason(skipped: GroupResult) -> None:
    group = json_report.group_json(skipped)

    assert (group["verdict"], group["reason"]) == ("skip", "chromium is not on PATH")
    assert group["run_dir"] is None


def test_an_expected_failure_gives_its_reason(expected_failure: GroupResult) -> None:
    assert json_report.group_json(expected_failure)["reason"] == "loses every tenth order"


def test_a_configuration_error_is_a_report_without_groups() -> None:
    problem = Problem("checkout/config.toml", 4, "tiemout", "unknown key")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.01, errors=(problem,))
    data = json.loads(json_report.render(result))

    assert (data["verdict"], data["exit_code"], data["groups"]) == ("error", 3, [])
    assert data["errors"] == [
        {
            "file": "checkout/config.toml",
            "line": 4,
            "key": "tiemout",
            "message": "unknown key",
        }
    ]


def test_hostile_text_is_kept_as_it_is(
    hostile: GroupResult, run_result: RunResult, hostile_text: str
) -> None:
    text = json_report.render(run_result._replace(groups=(hostile,)))
    group = json.loads(text)["groups"][0]

    assert text.isascii()
    assert group["id"] == hostile_text
    assert group["circuits"][0]["max_ms"] is None
    assert group["events"][0]["meta"] == {hostile_text: [hostile_text, None]}


def closed(schema: Any) -> Any:
    """The same schema, which refuses what it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return {name: closed(each) for name, each in schema.items()} | more


def test_the_schema_names_every_field_that_is_written(
    run_result: RunResult, hostile: GroupResult, lost: GroupResult
) -> None:
    schema = report_schema()
    validator = Draft202012Validator(closed(schema))
    for groups in (run_result.groups, (hostile,), (lost,)):
        data = json.loads(json_report.render(run_result._replace(groups=groups)))
        assert [error.message for error in validator.iter_errors(data)] == []
        assert list(data) == list(schema["properties"])
        assert list(data["groups"][0]) == list(schema["$defs"]["GroupReport"]["properties"])


def test_the_schema_refuses_another_verdict(run_result: RunResult) -> None:
    data = json.loads(json_report.render(run_result))
    data["groups"][0]["verdict"] = "perhaps"
    (error,) = Draft202012Validator(report_schema()).iter_errors(data)
    assert (error.json_path, error.message.split()[0]) == ("$.groups[0].verdict", "'perhaps'")


def test_files_are_written_whole_and_private(run_result: RunResult, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    json_report.write_report(run_result, path)
    json_report.write_report(run_result, path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]
    assert json.loads(path.read_text()) == json_report.run_json(run_result)


def test_a_failed_write_says_where_and_leaves_nothing(
    run_result: RunResult, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InfraError, match=r"cannot write .*report\.json: "):
        json_report.write_report(run_result, tmp_path / "file" / "report.json")
    with pytest.raises(InfraError, match="cannot write"):
        json_report.write_report(run_result, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_report(
    run_result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(descriptor: int, *_: object, **__: object) -> None:
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("testrium.system.files.os.fdopen", full)
    with pytest.raises(InfraError, match="No space left on device"):
        json_report.write_report(run_result, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old"
