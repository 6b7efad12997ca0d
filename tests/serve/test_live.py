"""What a run writes of its progress, and what a page is sent of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from testrium.api import SilentObserver
from testrium.declared.circuits import Rules
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import Event, Finding, UnitState
from testrium.record.runs import claimed
from testrium.report import progress_file
from testrium.report.progress_file import FILE, ProgressFile, RunProgress
from testrium.results import Awaited, GroupResult, Judgement
from testrium.serve import live
from testrium.serve.live import project_events, run_events
from testrium.words import Code, Verdict

EVENT = Event(1, "host", "got", "Send", "k-secret", (), 0, None, 0, "", 1, 1, 1, 1, "host", {})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PACE_S", 0.0)
    monkeypatch.setattr(live, "LOOK_S", 0.0)
    monkeypatch.setattr(live, "QUIET_S", 0.0)
    monkeypatch.setattr(live, "REPORT_S", 0.0)
    monkeypatch.setattr(progress_file, "PACE_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "20261121-000000-aaaa"
    folder.mkdir(parents=True)
    return folder


def scenario(name: str) -> Scenario:
    group = Group(name, Path(), (), tags=("owner:mail",), rules=Rules(mask=("secret",)))
    return Scenario(name, group, (Unit("host", 0, ""),))


def failed(one: Scenario) -> GroupResult:
    finding = Finding(Code.LOST, "host:got", "k-secret never reached host:got")
    return GroupResult(one, Verdict.FAIL, judgement=Judgement(Verdict.FAIL, (finding,)))


def written(folder: Path) -> ProgressFile:
    """Of two groups one has failed, and the other waits."""
    first, second = scenario("a"), scenario("b")
    file = ProgressFile(SilentObserver(), folder)
    file.run_started(folder.name, (first, second, scenario("c")))
    for one in (first, second):
        file.group_started(one, folder)
        file.unit_changed(one, "host", UnitState.READY)
        file.events_stored(one, (EVENT, EVENT))
    file.group_ended(failed(first))
    file.waiting(second, Awaited(("2 keys at host:got",), None))
    return file


def test_a_group_on_a_cluster_tells_where_it_runs(folder: Path) -> None:
    file, run = written(folder), RunProgress(folder)
    file.group_placed(scenario("b"), "far")
    run.read()
    rows = {one.label: live.row_of(one) for one in run.groups.values()}
    assert [(row["host"], row["units"]) for row in rows.values()] == [
        ("", [["host", "ready"]]),
        ("far", []),
        ("", []),
    ]


def test_the_file_says_how_far_a_run_is(folder: Path) -> None:
    file = written(folder)
    run = RunProgress(folder)
    run.read()
    first, second, third = run.groups.values()
    assert (first.verdict, first.finding, first.events) == ("fail", "lost at host:got", 2)
    assert (second.verdict, second.units, second.last) == ("", {"host": "ready"}, "host:got k-***")
    assert second.waiting == ("2 keys at host:got",)
    assert (third.started, third.tags, second.tags) == (None, (), ("owner:mail",))
    assert "secret" not in (folder / FILE).read_text()
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    file.close()
    assert not (folder / FILE).exists()


def test_a_further_round_begins_anew(folder: Path) -> None:
    file, run = written(folder), RunProgress(folder)
    run.read()
    file.run_started(folder.name, (scenario("a"),))
    run.read()
    assert [(one.label, one.verdict) for one in run.groups.values()] == [("a", "")]


def test_invalid_lines_of_progress_are_left_out(folder: Path) -> None:
    (folder / FILE).write_text('{"what": 1}\n[]\nnonsense\n{"what": "unit", "about": "a"}\n{"what')
    run = RunProgress(folder)
    run.read()
    assert run.groups == {}


def test_a_run_continues_when_its_progress_cannot_be_written(folder: Path) -> None:
    (folder / FILE).symlink_to(folder / "elsewhere")
    written(folder)
    assert not (folder / "elsewhere").exists()


def parsed(events: Iterator[str], count: int) -> list[tuple[str, Any]]:
    found = []
    for event in islice(events, count):
        name, data = event.strip().split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_page_is_sent_what_has_changed_and_the_end(folder: Path) -> None:
    file = written(folder)
    events = run_events(folder)
    with claimed(folder):
        ((name, data),) = parsed(events, 1)
        assert name == "progress"
        assert data["counts"] == {"all": 3, "ended": 1, "failed": 1, "running": 1}
        assert [one["label"] for one in data["groups"]] == ["a", "b", "c"]
        assert (data["groups"][0]["owner"], data["groups"][0]["tags"]) == ("mail", [])
        file.group_started(scenario("c"), folder)
        ((_, data),) = parsed(events, 1)
        assert [one["label"] for one in data["groups"]] == ["c"]
    assert [name for name, _ in parsed(events, 3)] == ["progress", "ended"]


def test_the_page_of_all_runs_receives_the_running_ones(folder: Path) -> None:
    written(folder)
    events = project_events(folder.parent.parent)
    with claimed(folder):
        ((name, data),) = parsed(events, 1)
        assert name == "runs"
        assert [run["run"] for run in data["runs"]] == [folder.name]
        assert next(events).startswith(":")  # nothing new
    ((_, data),) = parsed(events, 1)
    assert data == {"runs": []}
