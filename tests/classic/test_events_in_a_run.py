"""The classic API in a unit: its events are probes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testrium.modules.events import (
    Events_Manager,
)
from testrium.probe import environment as names
from tests.classic.conftest import Run


def test_events_are_probes_of_this_process(run: Run) -> None:
    Events_Manager("source", ".").Set_Event("own", event_type="Send", event_key="k")
    Events_Manager("other", ".").Set_Event("foreign")
    own, foreign = map(json.loads, (run.folder / "probes").read_bytes().splitlines())
    assert "unit" not in own
    assert (own["type"], own["key"], own["seq"]) == ("Send", "k", 1)
    assert (foreign["unit"], foreign["seq"]) == ("other", 2)


def test_nothing_is_made_beside_the_runs_database(run: Run, tmp_path: Path) -> None:
    manager = Events_Manager("source", str(tmp_path / "elsewhere"))
    manager.Set_Event("s")
    assert manager.completed_steps() == {"s"}
    assert manager.database_path == str(run.folder / "Data.db")
    assert not (tmp_path / "elsewhere").exists()


def test_evidence_cannot_be_dropped(run: Run) -> None:
    manager = Events_Manager("source", ".")
    manager.Set_Event("s")
    with pytest.warns(RuntimeWarning, match="they stay"):
        manager.drop_events_table()
    assert manager.completed_steps() == {"s"}


def test_a_new_attempt_begins_without_events(run: Run) -> None:
    manager = Events_Manager("source", ".")
    manager.Set_Event("s", event_type="Send", event_key="k")
    assert manager.completed_steps() == {"s"}
    run.new_attempt(2)
    assert manager.completed_steps() == set()
    assert manager.correlate_send_receive()["orphan_sends"] == []
    assert manager.wait_for_event("s", timeout=0) is False


def test_a_process_that_the_runner_left_behind(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names.PROBES, f"{path}/probes")
    monkeypatch.setenv(names.SOCKET, f"{path}/gone")
    manager = Events_Manager("a", path)
    manager.Set_Event("s")
    with pytest.raises(RuntimeError, match="has ended"):
        manager.list_events()
    with pytest.raises(RuntimeError, match="has ended"):
        manager.wait_for_event("s")
