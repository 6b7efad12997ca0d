from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testrium.errors import InfraError
from testrium.evidence import UnitState
from testrium.report.json_report import StreamWriter, group_json
from testrium.results import GroupResult, RunResult


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_is_there_as_soon_as_it_is_told(
    lost: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    path = tmp_path / "stream.jsonl"
    writer = StreamWriter(path.name, tmp_path)
    named = {"id": "checkout", "mode": "DEBUG", "params": {}, "repeat": 0}

    writer.run_started("r-1", (lost.scenario,))
    (first,) = lines(path)
    assert (first["event"], first["run"], first["groups"]) == ("run_started", "r-1", [named])
    assert first["time"] > 1_700_000_000

    writer.group_started(lost.scenario, Path("/run"))
    started = lines(path)[-1]
    assert started == {
        "event": "group_started",
        "time": started["time"],
        **named,
        "run_dir": "/run",
    }

    writer.unit_changed(lost.scenario, "host", UnitState.READY)
    assert (lines(path)[-1]["unit"], lines(path)[-1]["state"]) == ("host", "ready")

    writer.notice("careful")
    assert lines(path)[-1]["message"] == "careful"

    writer.group_ended(lost)
    *_, finding, ended = lines(path)
    assert (finding["event"], finding["id"]) == ("finding", "checkout")
    assert finding["finding"] == ended["group"]["findings"][-1]
    assert (ended["event"], ended["group"]) == ("group_ended", group_json(lost))

    writer.run_ended(run_result)
    last = lines(path)[-1]
    assert (last["event"], last["verdict"], last["exit_code"]) == ("run_ended", "error", 5)
    assert "groups" not in last


def test_any_content_is_one_line(
    hostile: GroupResult, run_result: RunResult, tmp_path: Path, hostile_text: str
) -> None:
    path = tmp_path / "stream.jsonl"
    writer = StreamWriter(str(path), tmp_path)
    writer.notice(hostile_text)
    writer.group_ended(hostile)
    writer.run_ended(run_result)

    assert path.read_text().isascii()
    assert lines(path)[0]["message"] == hostile_text


def test_standard_output(capsys: pytest.CaptureFixture[str], run_result: RunResult) -> None:
    writer = StreamWriter("-", Path())
    writer.run_ended(run_result)

    assert json.loads(capsys.readouterr().out)["event"] == "run_ended"


def test_a_file_that_cannot_be_written(run_result: RunResult) -> None:
    with pytest.raises(InfraError, match="cannot write /dev/full: No space left on device"):
        StreamWriter("/dev/full", Path()).run_ended(run_result)
