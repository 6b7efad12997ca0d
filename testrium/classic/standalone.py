"""The classic API without a runner: a Data.db of its own.

An event is one line appended to `Data.db-probes`, which costs microseconds and is safe from the
moment the call returns. A thread stores the new lines soon after, for those who read by SQL;
managers store them before they read, and when they open the database, in one transaction with how
far the file was read. So it does not matter which process does, nor who is killed when.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from testrium.errors import InfraError
from testrium.probe.emitter import emitter_of
from testrium.probe.environment import clock_domain
from testrium.record.database import (
    BUSY_S,
    in_transaction,
    insert_events,
    make_tables,
    next_id,
    open_database,
)
from testrium.record.inotify import Inotify
from testrium.record.probe_file import ProbeFile

#: Seconds between looks while inotify watches: rows may be written on another host.
SAFETY_LOOK_S = 1.0
#: So soon after an event a thread stores what was emitted until then: a burst is one transaction.
STORE_AFTER_S = 0.03
#: So long a fork waits for that thread.
FORK_WAITS_S = 1.0
#: The same without inotify, at least.
SHORTEST_PAUSE_S = 0.001


class AloneLog:
    """The events at one Data.db, as one process sees them. Threads may share it."""

    #: In SQL, which events there are.
    shown = "TRUE"

    def __init__(self, database: str) -> None:
        """Make the database if need be. Raises InfraError or OSError."""
        self._database = database
        self._probes = f"{database}-probes"
        self._domain = clock_domain()
        self._emitter = emitter_of(self._probes, self._domain)
        self._emitter.reopen()  # where a database was deleted, its probe file mostly was too
        self._connection: sqlite3.Connection | None = None
        self._file: ProbeFile | None = None
        self._file_id: tuple[int, int] | None = None
        self._stored = 0  # bytes of the probe file that are surely stored
        self._idle: list[Inotify] = []  # kept after a wait: closing takes the kernel milliseconds
        self._will_flush = False
        self._storing_soon: threading.Thread | None = None
        self._begin_process()
        self.flush()  # what a killed process has left

    def is_current(self) -> bool:
        """False once the database was deleted or replaced."""
        return _file_id(self._database) == self._file_id

    def emit(
        self, unit: str, step: str, type_: str, key: str | None, meta: Mapping[str, Any]
    ) -> None:
        if not self._will_flush:
            self._will_flush = True
            atexit.register(self._flush_at_exit)
        self._emitter.emit(step, type_, key, (), meta, unit)
        if self._storing_soon is None:
            self._store_soon()

    def flush(self) -> None:
        """Store what any process has appended. Raises InfraError."""
        with self._lock, self._storing():
            self._store_new(self._open())

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, with all that was emitted until now."""
        with self._lock, self._storing():
            connection = self._open()
            self._store_new(connection)
            yield connection

    def connection(self) -> sqlite3.Connection:
        """A connection for callers that use SQL, with all events emitted until now."""
        self.flush()
        return connected_to(self._database)

    def wait(self, unit: str, step: str, key: str | None, timeout_s: float, poll_s: float) -> bool:
        end = time.monotonic() + timeout_s
        news = self._idle.pop() if self._idle else self._news()
        try:
            while True:
                if news is not None:
                    news.read()
                if self._has_event(unit, step, key):
                    return True
                left_s = end - time.monotonic()
                if left_s <= 0:
                    return False
                if news is not None:
                    news.wait(min(left_s, SAFETY_LOOK_S))
                else:
                    time.sleep(min(left_s, max(poll_s, SHORTEST_PAUSE_S)))
        finally:
            if news is not None:
                self._idle.append(news)

    def drop_events(self) -> None:
        def work() -> None:
            connection.execute("DROP TABLE IF EXISTS Events")
            make_tables(connection)

        with self.reading() as connection:
            in_transaction(connection, work)

    def set_status(self, unit: str, status: str) -> None:
        with self.reading() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO UnitStatus (Unit, Status, UpdatedAt) VALUES (?, ?, ?)",
                (unit, status, time.time()),
            )

    def store_result(self, **result: Any) -> None:
        row = result | {"summary": json.dumps(result["summary"]), "time": time.time()}
        with self.reading() as connection:
            connection.execute(
                "INSERT INTO Results (TestGroup, Passed, Duration, AverageLatency, Summary, Time)"
                " VALUES (:test_group, :passed, :duration, :average_latency, :summary, :time)",
                row,
            )

    def _has_event(self, unit: str, step: str, key: str | None) -> bool:
        def look() -> bool:
            found = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM Events WHERE StepCompleted = ?1"
                " AND (?2 = '*' OR Unit = ?2) AND (?3 IS NULL OR EventKey = ?3))",
                (step, unit, key),
            ).fetchone()
            return bool(found[0])

        with self._lock, self._storing():
            connection = self._open()
            # What is new is mostly what this waits for: one transaction stores it and looks.
            return self._store_and(connection, look) if self._has_new() else look()

    def _store_soon(self) -> None:
        """Store all in a moment, in a thread that ends then: a fork should find none."""
        thread = threading.Thread(target=self._store_later, name="testrium-store", daemon=True)
        self._storing_soon = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or there are too many: who reads next stores
            self._storing_soon = None

    def _store_later(self) -> None:
        self._store_now.wait(STORE_AFTER_S)
        self._storing_soon = None  # what is emitted from now on needs another one
        self._flush_if_current()

    def begin_fork(self) -> None:
        """Before a fork: finish the work that a thread would continue while the child is copied."""
        if (thread := self._storing_soon) is not None:
            self._store_now.set()
            thread.join(FORK_WAITS_S)
            self._store_now.clear()

    def _store_new(self, connection: sqlite3.Connection) -> None:
        if self._has_new():
            self._stored = self._offset(connection)  # another process may have stored it
        if self._has_new():
            self._store_and(connection, lambda: True)

    def _has_new(self) -> bool:
        """Whether the file is longer than what this process knows to be stored."""
        assert self._file is not None
        return self._stored < self._file.size()

    def _store_and(self, connection: sqlite3.Connection, look: Callable[[], bool]) -> bool:
        """Store what is new, and `look` at it, in one transaction."""

        def work() -> tuple[int, bool]:
            return self._store_from(connection), look()

        self._stored, found = in_transaction(connection, work)
        return found

    def _store_from(self, connection: sqlite3.Connection) -> int:
        """Store what follows behind the stored part of the file; where it ends now."""
        file = self._file
        assert file is not None
        stored = self._offset(connection)
        file.go_to(stored)
        more = True
        while more:
            batch = file.read(next_id(connection))
            if batch.readings:
                insert_events(connection, batch.readings)
            if batch.damages:
                connection.executemany(
                    "INSERT INTO Damages (Unit, Reason, Line, Attempt) VALUES (?, ?, ?, ?)",
                    batch.damages,
                )
            more = batch.more
        if file.offset != stored:
            connection.execute(
                "UPDATE Files SET Offset = ? WHERE Path = ?", (file.offset, self._file_name)
            )
        return file.offset

    def _offset(self, connection: sqlite3.Connection) -> int:
        (offset,) = connection.execute(
            "SELECT Offset FROM Files WHERE Path = ?", (self._file_name,)
        ).fetchone()
        return int(offset)

    def _open(self) -> sqlite3.Connection:
        """This process's connection; one that a fork left over must not be used, nor closed."""
        if self._connection is None:
            # What was appended before there was a database belongs to one that was deleted.
            connection = open_database(self._database, "persist")
            self._file = ProbeFile(self._probes, "", domain=self._domain)
            known = connection.execute("SELECT 1 FROM Files WHERE Path = ?", (self._file_name,))
            if not known.fetchone():  # else it would write, and wait for others that do
                connection.execute(
                    "INSERT OR IGNORE INTO Files (Path, Unit, Start, Attempt, Offset)"
                    " VALUES (?, '', 1, 1, ?)",
                    (self._file_name, self._file.size()),
                )
            self._stored = self._offset(connection)
            self._file_id = _file_id(self._database)
            self._connection = connection
        return self._connection

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InfraError(f"cannot use {self._database}: {error}") from error

    @property
    def _file_name(self) -> str:
        return os.path.basename(self._probes)  # noqa: PTH119 - see `classic.events`

    def _news(self) -> Inotify | None:
        """Wakes when a process appends events, or writes rows by itself."""
        news = Inotify.open()
        if news is not None and None in (news.add(self._probes), news.add(self._database)):
            news.close()
            return None
        return news

    def _begin_process(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._storing_soon = None
        self._store_now = threading.Event()

    def begin_child(self) -> None:
        """After a fork. What the parent uses is kept, untouched, to the child's end."""
        _inherited.append((self._connection, self._file, self._idle))
        self._connection = self._file = None
        self._idle = []
        self._will_flush = False
        self._begin_process()

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._flush_if_current()

    def _flush_if_current(self) -> None:
        """Store all; where that cannot be done any more, the next reader does it."""
        if self.is_current():
            with contextlib.suppress(InfraError, OSError):
                self.flush()


class SQLiteConnectionPool:
    """A limited number of connections to one SQLite file, each used by one thread at a time."""

    def __init__(self, max_connections: int, database_path: str) -> None:
        """Raises ValueError for a number below 1."""
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        self.max_connections = max_connections
        self.data_base = database_path
        self._free: list[sqlite3.Connection] = []
        self._taken: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    def get_connection(self) -> sqlite3.Connection:
        """A free connection. Raises RuntimeError where all are in use."""
        with self._guard:
            if not self._free and len(self._taken) == self.max_connections:
                raise RuntimeError("No available connections in the pool")
            connection = self._free.pop() if self._free else connected_to(self.data_base)
            self._taken.append(connection)
            return connection

    def release_connection(self, connection: sqlite3.Connection) -> None:
        """Give one back, for others."""
        with self._guard:
            if connection in self._taken:
                self._taken.remove(connection)
                self._free.append(connection)

    def close_all_connections(self) -> None:
        """Close the free connections."""
        with self._guard:
            while self._free:
                self._free.pop().close()


def connected_to(database: str) -> sqlite3.Connection:
    """A connection for code of others, as `sqlite3.connect` makes it; threads may share it."""
    return sqlite3.connect(database, timeout=BUSY_S, check_same_thread=False)


_logs: dict[str, AloneLog] = {}
_inherited: list[object] = []


def log_at(database: str) -> AloneLog:
    """This process's one log for a database."""
    log = _logs.get(database)
    if log is None or not log.is_current():
        log = _logs[database] = AloneLog(database)
    return log


def _begin_fork() -> None:
    for log in _logs.values():
        log.begin_fork()


def _begin_child() -> None:
    for log in _logs.values():
        log.begin_child()


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return status.st_dev, status.st_ino


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_child=_begin_child)
