"""The classic API, alone and under a recorder. The shapes are those of testrium 0.3.0."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest

from testrium.errors import InfraError
from testrium.modules import alone
from testrium.modules.events import (
    EVENT_DB_ENV,
    VALID_EVENT_TYPES,
    Events_Manager,
    Results_Manager,
    UnitStatus_Manager,
    resolve_database_path,
)
from testrium.probe import environment as names
from testrium.record.inotify import Inotify
from testrium.record.recorder import Recorder
from testrium.record.waits import WaitServer

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run; each test says where its events are."""
    for name in (EVENT_DB_ENV, names.PROBES, names.UNIT, names.DOMAIN, names.SOCKET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path)


class Run:
    """A recorder and its socket in a thread, and this process as the unit `source`."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self._socket = socket
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def new_attempt(self, attempt: int) -> None:
        done = threading.Event()

        def work() -> None:
            self.recorder.new_attempt(attempt)
            done.set()

        self.loop.call_soon_threadsafe(work)
        assert done.wait(60)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with (
            Recorder(self.folder / "Data.db", names.clock_domain()) as self.recorder,
            WaitServer(self.recorder, self._socket),
        ):
            self.recorder.watch("source", 1, 1, self.folder / "probes")
            self._started.set()
            await self._over.wait()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as short:
        socket = Path(short) / "waits"
        monkeypatch.setenv(names.PROBES, str(tmp_path / "probes"))
        monkeypatch.setenv(names.UNIT, "source")
        monkeypatch.setenv(names.DOMAIN, names.clock_domain())
        monkeypatch.setenv(names.SOCKET, str(socket))
        monkeypatch.setenv(EVENT_DB_ENV, str(tmp_path / "Data.db"))
        with Run(tmp_path, socket) as made:
            yield made


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
def test_what_is_no_event(anywhere: str, arguments: dict[str, Any], error: type[Exception]) -> None:
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
    with pytest.raises(ValueError, match="stands for all"):
        Events_Manager("*", path).Set_Event("s")
    with pytest.raises(ValueError, match="no unit's name"):
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
        with pytest.raises(ValueError, match="no status"):
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


def test_a_manager_makes_its_database(path: str) -> None:
    manager = Events_Manager("a", path)
    assert manager.database_path == f"{path}/Data.db"
    assert Path(manager.database_path).exists()
    assert Path(manager.database_path).stat().st_mode & 0o777 == 0o600


# Alone -------------------------------------------------------------------------------------------


def in_process(work: Callable[[], None]) -> int:
    """Do it in a forked child; its exit code."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_event_survives_sigkill_right_behind_it(path: str) -> None:
    def work() -> None:
        Events_Manager("a", path).Set_Event("last words")
        os.kill(os.getpid(), signal.SIGKILL)

    Events_Manager("*", path)
    assert in_process(work) == -signal.SIGKILL
    assert Events_Manager("*", path).completed_steps() == {"last words"}


def test_a_process_stores_its_events_at_its_end(path: str) -> None:
    code = (
        "import sys; from testrium.modules.events import Events_Manager\n"
        "Events_Manager('a', sys.argv[1]).Set_Event('s')"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    with closing(sqlite3.connect(f"{path}/Data.db")) as connection:
        assert connection.execute("SELECT StepCompleted FROM Events").fetchall() == [("s",)]


def test_a_folder_that_is_gone_at_the_end_is_no_error(path: str) -> None:
    code = (
        "import sys, shutil; from testrium.modules.events import Events_Manager\n"
        "Events_Manager('a', sys.argv[1]).Set_Event('s')\n"
        "shutil.rmtree(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{path}/x"], check=True, capture_output=True
    )
    assert done.stderr == b""


def test_many_processes_at_once_lose_nothing(path: str) -> None:
    every = Events_Manager("*", path)

    def work(name: str) -> None:
        manager = Events_Manager(name, path)
        for number in range(100):
            manager.Set_Event(f"s{number}")
            if number % 10 == 0:
                manager.flush()

    processes = [FORK.Process(target=work, args=(f"u{i}",)) for i in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    events = every.list_events()
    assert len(events) == 600
    assert {event["ID"] for event in events} == set(range(1, 601))
    for i in range(6):
        steps = [event["StepCompleted"] for event in events if event["Unit"] == f"u{i}"]
        assert steps == [f"s{number}" for number in range(100)]


def test_threads_may_share_a_manager(path: str) -> None:
    manager = Events_Manager("a", path)

    def work(name: str) -> None:
        for number in range(20):
            manager.Set_Event(f"{name}-{number}")
            assert f"{name}-{number}" in manager.completed_steps()

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager.list_events()) == 80


def test_a_child_of_a_fork_has_its_own_connection(path: str) -> None:
    manager = Events_Manager("a", path)
    manager.Set_Event("before")
    manager.flush()

    def work() -> None:
        assert manager.wait_for_event("before", timeout=0)
        manager.Set_Event("child")
        manager.flush()

    assert in_process(work) == 0
    manager.Set_Event("after")
    assert [event["StepCompleted"] for event in manager.list_events()] == [
        "before",
        "child",
        "after",
    ]


@pytest.mark.parametrize("inotify", [True, False])
def test_a_waiter_is_woken_by_another_process(
    path: str, monkeypatch: pytest.MonkeyPatch, inotify: bool
) -> None:
    if not inotify:
        monkeypatch.setattr(Inotify, "open", lambda: None)
    every = Events_Manager("*", path)

    def work() -> None:
        assert Events_Manager("*", path).wait_for_event("ask", unit="a", timeout=60)
        Events_Manager("b", path).Set_Event("answer")

    process = FORK.Process(target=work)
    process.start()
    Events_Manager("a", path).Set_Event("ask")
    assert every.wait_for_event("answer", unit="b", timeout=60, poll_interval=0.001)
    process.join()


def test_a_waiter_sees_rows_that_were_put_there_by_hand(path: str) -> None:
    every = Events_Manager("*", path)

    def work() -> None:
        with closing(sqlite3.connect(every.database_path)) as connection, connection:
            connection.execute(
                "INSERT INTO Events (Unit, StepCompleted, EventType, Time, Metadata)"
                " VALUES ('x', 'by hand', 'Default', 1.0, 'no JSON')"
            )

    thread = threading.Thread(target=work)
    thread.start()
    assert every.wait_for_event("by hand", unit="x", timeout=60)
    thread.join()
    (event,) = every.list_events()
    assert (event["EventKey"], event["Metadata"]) == ("", {})


def test_correlations_of_rows_by_hand_use_the_wall_clock(path: str) -> None:
    every = Events_Manager("*", path)
    Events_Manager("a", path).Set_Event("s", event_type="Send", event_key="k")
    every.flush()
    with closing(sqlite3.connect(every.database_path)) as connection, connection:
        (sent,) = connection.execute("SELECT Time FROM Events").fetchone()
        connection.execute(
            "INSERT INTO Events (Unit, StepCompleted, EventType, EventKey, Time)"
            " VALUES ('x', 'r', 'Receive', 'k', ?)",
            (sent + 2,),
        )
    (pair,) = every.correlate_send_receive()["paired"]
    assert pair["latency"] == pytest.approx(2, abs=1e-5)


def test_copied_rows_pair(path: str) -> None:
    every = Events_Manager("*", path)
    for unit, kind in (("a", "Send"), ("b", "Receive")):
        Events_Manager(unit, path).Set_Event("s", event_type=kind, event_key="k0")
    every.flush()
    with closing(sqlite3.connect(every.database_path)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(Events)")]
        rows = connection.execute("SELECT * FROM Events").fetchall()
        marks = ",".join("?" * len(columns))
        for number in range(1, 500):
            for place, row in enumerate(rows):
                copy = dict(zip(columns, row, strict=True))
                copy |= {"ID": 2 * number + place + 1, "EventKey": f"k{number}"}
                connection.execute(f"INSERT INTO Events VALUES ({marks})", [*copy.values()])
    found = every.correlate_send_receive()
    assert len(found["paired"]) == 500
    assert [one["event_key"] for one in found["paired"]] == sorted(f"k{i}" for i in range(500))


def test_dropping_begins_anew(path: str) -> None:
    manager = Events_Manager("a", path)
    manager.Set_Event("stored")
    manager.flush()
    manager.Set_Event("not stored yet")
    manager.drop_events_table()
    assert manager.list_events() == []
    manager.Set_Event("again")
    (event,) = manager.list_events()
    assert (event["ID"], event["StepCompleted"]) == (1, "again")


def test_a_deleted_database_does_not_come_back(path: str) -> None:
    Events_Manager("a", path).Set_Event("old")
    Path(path, "Data.db").unlink()
    manager = Events_Manager("a", path)
    assert manager.list_events() == []
    manager.Set_Event("new")
    assert manager.completed_steps() == {"new"}


def test_a_folder_made_anew(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "x"
    Events_Manager("a", str(folder)).Set_Event("old")
    shutil.rmtree(folder)
    manager = Events_Manager("a", str(folder))
    manager.Set_Event("new")
    assert manager.completed_steps() == {"new"}


def test_the_database_of_an_ancestor_is_read_on(path: str) -> None:
    with closing(sqlite3.connect(f"{path}/Data.db")) as old, old:
        old.execute(
            "CREATE TABLE Events (ID INTEGER PRIMARY KEY AUTOINCREMENT, Unit TEXT,"
            " StepCompleted TEXT, EventType TEXT, EventKey TEXT, Time NUMBER, Metadata TEXT)"
        )
        old.execute("INSERT INTO Events VALUES (7, 'a', 'old', 'Default', '', 1.5, '{}')")
    manager = Events_Manager("a", path)
    manager.Set_Event("new")
    assert [event["ID"] for event in manager.list_events()] == [7, 8]


def test_a_file_that_is_no_database(path: str) -> None:
    Path(path, "Data.db").write_bytes(b"something else" * 100)
    with pytest.raises(InfraError, match="cannot open"):
        Events_Manager("a", path)


def test_logs_are_shared_by_managers(path: str) -> None:
    Events_Manager("a", path)
    Events_Manager("b", path)
    assert alone.log_at(f"{path}/Data.db") is alone.log_at(f"{path}/Data.db")


# Under the runner --------------------------------------------------------------------------------


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
