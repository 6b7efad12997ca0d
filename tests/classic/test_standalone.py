"""The classic API outside of runs: a database of its own, shared by processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from testrium.classic import standalone
from testrium.errors import InfraError
from testrium.modules.events import (
    Events_Manager,
)
from testrium.record.inotify import Inotify

FORK = multiprocessing.get_context("fork")


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


def rows(path: str) -> list[str]:
    """The steps that a reader sees who knows nothing of Testrium."""
    with closing(sqlite3.connect(f"{path}/Data.db")) as connection:
        return [step for (step,) in connection.execute("SELECT StepCompleted FROM Events")]


def test_state_set_by_a_killed_process_is_there_on_opening(path: str) -> None:
    def work() -> None:
        Events_Manager("a", path).Set_Event("last words")
        os._exit(0)

    Events_Manager("*", path)
    standalone._logs.clear()  # as in another process
    in_process(work)
    Events_Manager("*", path)
    assert rows(path) == ["last words"]


def test_rows_are_there_for_readers_by_sql_without_a_flush(path: str) -> None:
    manager = Events_Manager("a", path)
    took = []
    for number in range(5):
        manager.Set_Event(f"s{number}")
        began = time.perf_counter()
        while len(rows(path)) <= number:
            assert time.perf_counter() - began < 10
            time.sleep(0.002)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1  # the others may stand in line for a core


def test_no_thread_is_left_once_all_is_stored_or_at_a_fork(path: str) -> None:
    manager = Events_Manager("a", path)
    manager.Set_Event("s")
    names: list[str] = []

    def work() -> None:
        assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
        Events_Manager("a", path).Set_Event("child")

    before = [thread.name for thread in threading.enumerate()]
    assert in_process(work) == 0
    names = [thread.name for thread in threading.enumerate()]
    assert (before.count("testrium-store"), names.count("testrium-store")) == (1, 0)
    assert rows(path).count("s") == 1  # a slow child has stored its own event, too
    assert manager.completed_steps() == {"s", "child"}


def test_a_process_stores_its_events_at_its_end(path: str) -> None:
    code = (
        "import sys; from testrium.modules.events import Events_Manager\n"
        "Events_Manager('a', sys.argv[1]).Set_Event('s')"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    with closing(sqlite3.connect(f"{path}/Data.db")) as connection:
        assert connection.execute("SELECT StepCompleted FROM Events").fetchall() == [("s",)]


def test_a_folder_that_is_gone_at_the_end_raises_nothing(path: str) -> None:
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


def test_what_is_waited_for_is_stored_and_seen_in_one_transaction(path: str) -> None:
    reader, log = Events_Manager("*", path), standalone.log_at(f"{path}/Data.db")
    said: list[str] = []
    with log.reading() as connection:
        connection.set_trace_callback(said.append)
    log._emitter.emit("s", "Default", None, (), {}, "a")
    assert reader.wait_for_event("s", unit="a", timeout=10)
    verbs = [text.split()[0] for text in said]
    assert (verbs[0], verbs[-1]) == ("BEGIN", "COMMIT")
    assert verbs.count("BEGIN") == 1
    assert len(verbs) == 8
    said.clear()
    assert reader.wait_for_event("s", unit="a", timeout=10)
    assert [text.split()[0] for text in said] == ["SELECT"]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("persist",)


def test_who_opens_a_database_that_is_there_writes_nothing(path: str) -> None:
    Events_Manager("a", path)
    changes = slice(24, 28)  # what SQLite counts: https://sqlite.org/fileformat.html
    before = Path(f"{path}/Data.db").read_bytes()[changes]
    standalone._logs.clear()  # as in another process
    Events_Manager("b", path)
    assert Path(f"{path}/Data.db").read_bytes()[changes] == before


def test_a_process_without_a_loop_does_not_import_asyncio(path: str) -> None:
    code = (
        "import sys; from testrium.modules.events import Events_Manager\n"
        "manager = Events_Manager('a', sys.argv[1]); manager.Set_Event('s')\n"
        "assert manager.wait_for_event('s', timeout=10); sys.exit('asyncio' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


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


def test_a_file_that_is_not_a_database_is_refused(path: str) -> None:
    Path(path, "Data.db").write_bytes(b"something else" * 100)
    with pytest.raises(InfraError, match="cannot open"):
        Events_Manager("a", path)


def test_logs_are_shared_by_managers(path: str) -> None:
    Events_Manager("a", path)
    Events_Manager("b", path)
    assert standalone.log_at(f"{path}/Data.db") is standalone.log_at(f"{path}/Data.db")
