"""The classic API, the same alone and under a recorder. The shapes are those of testrium 0.3.0."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from testrium.modules.events import (
    EVENT_DB_ENV,
    VALID_EVENT_TYPES,
    Events_Manager,
    Results_Manager,
    UnitStatus_Manager,
    resolve_database_path,
)


@pytest.fixture(params=["alone", "run"])
def anywhere(request: pytest.FixtureRequest, path: str) -> str:
    """Both ways to work: alone in `path`, and under a runner."""
    if request.param == "run":
        request.getfixturevalue("run")
    return path


# The same everywhere -----------------------------------------------------------------------------


def test_events_in_order_of_time(anywhere: str) -> None:
    source, target = (Events_Manager(Unit=unit, path=anywhere) for unit in ("source", "target"))
    before = time.time()
    source.Set_Event("ready")
    source.Set_Event("sent", event_type="Send", event_key="k1", metadata={"a": 1}, b=[2])
    target.Set_Event("got", event_type="Receive", event_key="k1")
    ready, sent, got = Events_Manager("*", anywhere).list_events()
    assert list(ready) == [
        *("ID", "Unit", "StepCompleted", "EventType", "EventKey", "Time", "Metadata"),
    ]
    assert before - 1 < ready["Time"] <= sent["Time"] <= got["Time"] < time.time() + 1
    for number, event in enumerate((ready, sent, got), start=1):
        assert event["ID"] == number
        del event["ID"], event["Time"]
    assert ready == {
        "Unit": "source",
        "StepCompleted": "ready",
        "EventType": "Default",
        "EventKey": "",
        "Metadata": {},
    }
    assert (sent["EventType"], sent["EventKey"]) == ("Send", "k1")
    assert sent["Metadata"] == {"a": 1, "b": [2]}
    assert (got["Unit"], got["StepCompleted"]) == ("target", "got")


def test_a_manager_sees_its_unit_unless_told(anywhere: str) -> None:
    a, b, every = (Events_Manager(unit, anywhere) for unit in ("a", "b", "*"))
    a.Set_Event("one")
    b.Set_Event("two")
    assert a.completed_steps() == {"one"}
    assert a.completed_steps("b") == {"two"}
    assert a.completed_steps("*") == every.completed_steps() == {"one", "two"}
    assert [event["Unit"] for event in b.list_events()] == ["b"]
    assert every.list_events("c") == []


def test_columns(anywhere: str) -> None:
    manager = Events_Manager("a", anywhere)
    empty: dict[str, dict[int, Any]] = {
        name: {}
        for name in ("ID", "Unit", "StepCompleted", "EventType", "EventKey", "Time", "Metadata")
    }
    assert manager.List_Events() == empty
    manager.Set_Event("one")
    manager.Set_Event("two", x=1)
    columns = manager.List_Events()
    assert columns["StepCompleted"] == {0: "one", 1: "two"}
    assert columns["Metadata"] == {0: {}, 1: {"x": 1}}


def test_correlations(anywhere: str) -> None:
    a, b, every = (Events_Manager(unit, anywhere) for unit in ("a", "b", "*"))
    assert every.correlate_send_receive() == {
        "paired": [],
        "orphan_sends": [],
        "orphan_receives": [],
        "duplicate_keys": [],
        "average_latency": 0.0,
    }
    for manager, step, kind, key in (
        (a, "s", "Send", "k2"),
        (a, "s", "Send", "k1"),
        (b, "r", "Receive", "k1"),
        (b, "r", "Receive", "k2"),
        (b, "again", "Receive", "k2"),
        (a, "s", "Send", "lost"),
        (b, "r", "Receive", "ghost"),
        (b, "r2", "Receive", "ghost"),
    ):
        manager.Set_Event(step, event_type=kind, event_key=key)
    found = a.correlate_send_receive()
    assert [(one["event_key"], one["receive_step"]) for one in found["paired"]] == [
        ("k1", "r"),
        ("k2", "r"),
    ]
    first = found["paired"][0]
    assert (first["send_unit"], first["receive_unit"], first["send_step"]) == ("a", "b", "s")
    assert 0 < first["latency"] < 60
    latencies = [one["latency"] for one in found["paired"]]
    assert found["average_latency"] == sum(latencies) / 2
    assert [one["EventKey"] for one in found["orphan_sends"]] == ["lost"]
    assert [one["StepCompleted"] for one in found["orphan_receives"]] == ["r", "r2"]
    assert found["duplicate_keys"] == [
        {"event_key": "ghost", "send_count": 0, "receive_count": 2},
        {"event_key": "k2", "send_count": 1, "receive_count": 2},
    ]


def test_required_events(anywhere: str) -> None:
    manager = Events_Manager("a", anywhere)
    manager.Set_Event("one")
    units: list[dict[str, Any]] = [
        {"name": "a", "events": ["one", "two"]},
        {"name": "b", "enabled": False, "events": ["x"]},
        {"name": "c"},
    ]
    assert manager.verify_required_events(units) == {
        "completed": [{"unit": "a", "step": "one"}],
        "missing": [{"unit": "a", "step": "two"}],
    }
    with pytest.raises(KeyError):
        manager.verify_required_events([{"events": ["one"]}])


def test_waits(anywhere: str) -> None:
    manager, every = Events_Manager("a", anywhere), Events_Manager("*", anywhere)
    manager.Set_Event("past", event_key="k")
    assert manager.wait_for_event("past") is True
    assert every.wait_for_event("past") is True
    assert every.wait_for_event("past", unit="a", event_key="k", timeout=0) is True
    assert every.wait_for_event("past", unit="b", timeout=0.01) is False
    assert every.wait_for_event("past", event_key="l", timeout=0.01) is False
    assert every.wait_for_event("never", timeout=-1) is False

    def emit() -> None:
        assert every.wait_for_event("go", unit="a", timeout=60)
        Events_Manager("b", anywhere).Set_Event("future")

    thread = threading.Thread(target=emit)
    thread.start()
    manager.Set_Event("go")
    assert every.wait_for_event("future", unit="b", timeout=60)
    thread.join()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"step": "s", "event_type": "Send"}, ValueError),
        ({"step": "s", "event_type": "Send", "event_key": ""}, ValueError),
        ({"step": "s", "event_type": "send", "event_key": "k"}, ValueError),
        ({"step": "s", "event_type": None}, ValueError),
        ({"step": None}, TypeError),
        ({"step": ""}, ValueError),
        ({"step": "s", "metadata": "text"}, ValueError),
        ({"step": "s", "metadata": {"x": object()}}, TypeError),
        ({"step": "s", "x": float("nan")}, ValueError),
    ],
)
def test_an_invalid_event_is_refused(
    anywhere: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    manager = Events_Manager("a", anywhere)
    with pytest.raises(error):
        manager.Set_Event(**arguments)
    assert manager.list_events() == []


def test_numbers_become_text(anywhere: str) -> None:
    manager = Events_Manager("a", anywhere)
    manager.Set_Event(5, event_key=6)
    (event,) = manager.list_events()
    assert (event["StepCompleted"], event["EventKey"]) == ("5", "6")


def test_names_of_units(path: str) -> None:
    with pytest.raises(ValueError, match="means all of them"):
        Events_Manager("*", path).Set_Event("s")
    with pytest.raises(ValueError, match="not a valid name of a unit"):
        Events_Manager("a b", path)
    with pytest.raises(TypeError):
        Events_Manager(None, path)  # type: ignore[arg-type]


def test_statuses(anywhere: str) -> None:
    statuses = UnitStatus_Manager(anywhere)
    assert statuses.list_statuses() == {}
    assert statuses.get_status("a") is None
    statuses.set_status("a", "starting")
    statuses.set_status("a", "ready")
    statuses.set_status("b", "failed")
    assert statuses.get_status("a") == "ready"
    assert statuses.list_statuses() == {"a": "ready", "b": "failed"}
    for wrong in ("READY", "", "gone"):
        with pytest.raises(ValueError, match="not a status"):
            statuses.set_status("a", wrong)


def test_results(anywhere: str) -> None:
    results = Results_Manager(anywhere)
    results.store_result("group", True, 1.5, 0.25, {"x": 1})
    results.store_result("group", False, 2, None, None)
    with pytest.raises(TypeError):
        results.store_result("group", True, 1.5, 0.2, {"x": object()})
    with closing(sqlite3.connect(results.database_path)) as connection:
        rows = connection.execute(
            "SELECT TestGroup, Passed, Duration, AverageLatency, Summary FROM Results ORDER BY ID"
        ).fetchall()
    assert rows == [("group", 1, 1.5, 0.25, '{"x": 1}'), ("group", 0, 2, None, "null")]


def test_flush_makes_events_readable_with_sql(anywhere: str) -> None:
    manager = Events_Manager("a", anywhere)
    manager.Set_Event("s", event_type="Send", event_key="k", metadata={"a": 1})
    manager.flush()
    with closing(sqlite3.connect(manager.database_path)) as connection:
        rows = connection.execute(
            "SELECT ID, Unit, StepCompleted, EventType, EventKey, Metadata FROM Events"
        ).fetchall()
    assert rows == [(1, "a", "s", "Send", "k", '{"a":1}')]


def test_the_kinds_of_event() -> None:
    assert sorted(VALID_EVENT_TYPES) == ["Default", "Exception", "Receive", "Send"]


# Where the database is ---------------------------------------------------------------------------


def test_places(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_database_path(path) == f"{path}/Data.db"
    assert resolve_database_path(f"{path}/x/Other.db") == f"{path}/x/Other.db"
    assert resolve_database_path(Path(path)) == f"{path}/Data.db"
    monkeypatch.chdir(path)
    assert resolve_database_path(None) == resolve_database_path(".") == f"{path}/Data.db"
    assert resolve_database_path("new/folder") == f"{path}/new/folder/Data.db"
    assert Path(path, "new", "folder").is_dir()
    monkeypatch.setenv(EVENT_DB_ENV, f"{path}/Env.db")
    assert resolve_database_path("anywhere") == f"{path}/Env.db"
    monkeypatch.setenv(EVENT_DB_ENV, "")
    assert resolve_database_path(".") == f"{path}/Data.db"
