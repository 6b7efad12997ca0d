from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from testrium.report import json_report, stored
from testrium.report.view import view_group
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict


@pytest.fixture
def run_folder(run_result: RunResult, tmp_path: Path) -> Path:
    folder = tmp_path / run_result.run
    json_report.write_report(run_result, folder / json_report.RUN_FILE)
    return folder


def moved(result: GroupResult, folder: Path) -> GroupResult:
    """As the report of a run that has been moved should name it."""
    if result.run_dir is None:
        return result
    return result._replace(run_dir=folder / result.scenario.folder_name)


def test_a_stored_run_shows_the_same(run_result: RunResult, run_folder: Path, cwd: Path) -> None:
    again = stored.read_report(run_folder / json_report.RUN_FILE)

    assert (again.run, again.verdict, again.exit_code) == (
        run_result.run,
        run_result.verdict,
        run_result.exit_code,
    )
    assert again.folder == run_folder
    assert [view_group(group, cwd=cwd) for group in again.groups] == [
        view_group(moved(group, run_folder), cwd=cwd) for group in run_result.groups
    ]


def test_hostile_text_comes_back(
    hostile: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    json_report.write_report(run_result._replace(groups=(hostile,)), path)
    (again,) = stored.read_report(path).groups

    assert again.judgement.findings == hostile.judgement.findings
    assert again.ends == hostile.ends
    assert again.tests == hostile.tests


def test_a_report_elsewhere_names_the_run_folder_as_it_was(
    run_result: RunResult, lost: GroupResult, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    json_report.write_report(run_result._replace(groups=(lost,)), path)

    assert stored.read_report(path).groups[0].run_dir == lost.run_dir


@pytest.mark.parametrize("place", ["/etc", "RUN/../../other", "RUN/../../../RUN/checkout"])
def test_no_report_leads_out_of_its_run(
    run_folder: Path, run_result: RunResult, place: str
) -> None:
    path = run_folder / json_report.RUN_FILE
    data = json.loads(path.read_text())
    data["groups"][0]["run_dir"] = place.replace("RUN", str(run_folder))
    path.write_text(json.dumps(data))

    assert stored.read_run(run_folder).groups[0].run_dir is None


def test_modes_are_told_apart(run_result: RunResult, lost: GroupResult, tmp_path: Path) -> None:
    other = lost._replace(scenario=lost.scenario._replace(mode="INFO"))
    path = tmp_path / "report.json"
    json_report.write_report(run_result._replace(groups=(lost, other)), path)

    labels = [view_group(group, cwd=tmp_path).label for group in stored.read_report(path).groups]
    assert labels == ["checkout@DEBUG", "checkout@INFO"]


def test_a_run_that_was_killed_shows_the_groups_that_ended(
    lost: GroupResult, passed: GroupResult, tmp_path: Path
) -> None:
    for result in (lost, passed):
        folder = tmp_path / "runs" / result.scenario.folder_name
        json_report.write_group(result, folder / json_report.GROUP_FILE)
    again = stored.read_run(tmp_path / "runs")

    assert [group.scenario.id for group in again.groups] == ["checkout", "hello"]
    assert again.verdict is Verdict.ERROR


def test_no_report_at_all(tmp_path: Path) -> None:
    with pytest.raises(stored.StoredReportError, match="did not finish"):
        stored.read_run(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"run": 1}', "null", '{"run": "x", "groups": [{}]}', "\x80"],
)
def test_an_invalid_report_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / json_report.RUN_FILE
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(stored.StoredReportError, match=r"report\.json cannot be read as a report"):
        stored.read_run(tmp_path)


def test_an_unknown_verdict_is_an_error(run_folder: Path) -> None:
    path = run_folder / json_report.RUN_FILE
    data = json.loads(path.read_text())
    data["verdict"] = "perhaps"
    path.write_text(json.dumps(data))

    with pytest.raises(stored.StoredReportError, match="perhaps"):
        stored.read_run(run_folder)


#: What every report has had since there are reports, but for what names a result.
NEEDED = (
    "id",
    "mode",
    "verdict",
    "run_dir",
    "duration_s",
    "name",
    "state",
    "code",
    "where",
    "message",
)


def test_a_report_of_an_older_version_is_shown(
    lost: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    """Whatever field it does not have yet; and what a newer one adds is left out."""
    path = tmp_path / json_report.RUN_FILE
    data: Any = json_report.run_json(run_result._replace(groups=(lost,)))
    for field in [name for name in data["groups"][0] if name not in NEEDED]:
        older = json.loads(json.dumps(data))
        del older["groups"][0][field]
        path.write_text(json.dumps(older))
        (again,) = stored.read_report(path).groups
        assert view_group(again, cwd=tmp_path).label == "checkout", field

    for rows in ("findings", "units", "circuits", "checks", "tests", "metrics"):
        for row in data["groups"][0][rows]:
            for field in [name for name in row if name not in NEEDED]:
                if rows == "circuits" and field == "instances":
                    continue
                del row[field]
            row["from-tomorrow"] = 1
    path.write_text(json.dumps(data))
    (again,) = stored.read_report(path).groups
    assert view_group(again, cwd=tmp_path).findings[0].code == lost.judgement.findings[0].code
    assert [end.unit for end in again.ends] == [end.unit for end in lost.ends]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "nested more than 200 deep"),
        ("[" * 900 + "]" * 900, "nested more than 200 deep"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "nested more than 200 deep"),
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9" * 5_000, "a number has 5000 digits, more than 20"),
        ('"1.5"', "duration_s: expected a number, got '1.5'"),
        ("true", "duration_s: expected a number, got 'True'"),
    ],
)
def test_a_hostile_report_is_refused_in_words_at_once(
    run_folder: Path, text: str, reason: str
) -> None:
    path = run_folder / json_report.RUN_FILE
    kept = path.read_text()
    begin = kept.index('"duration_s": ') + len('"duration_s": ')
    path.write_text(kept[:begin] + text + kept[kept.index(",", begin) :])
    started = time.process_time()
    with pytest.raises(stored.StoredReportError, match=re.escape(reason)):
        stored.read_report(path)
    assert time.process_time() - started < 2


def test_a_report_that_is_too_large_is_not_read(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 100)
    with pytest.raises(stored.StoredReportError, match="more than 0"):
        stored.read_report(run_folder / json_report.RUN_FILE)


def test_a_text_in_the_place_of_a_number_is_told(run_folder: Path) -> None:
    path = run_folder / json_report.RUN_FILE
    path.write_text(re.sub(r'"p50_ms": [^,]+', '"p50_ms": "long"', path.read_text()))
    told = r"groups\.1\.circuits\.0\.p50_ms: expected a number, got 'long'"
    with pytest.raises(stored.StoredReportError, match=told):
        stored.read_report(path)
