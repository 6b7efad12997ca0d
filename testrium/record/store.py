"""What a run folder's Data.db holds: events and all other evidence, stored and read back."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from testrium.errors import InfraError
from testrium.evidence import End, Event, Sample, TestResult
from testrium.record.database import (
    COLUMNS,
    Reading,
    check_objects,
    in_transaction,
    insert_events,
    insert_metrics,
    make_database,
    next_id,
    open_database,
    open_reader,
)
from testrium.record.probe_file import DamageFields, MetricFields, ProbeFile
from testrium.system.files import locked_folder
from testrium.words import EMPTY

#: Rows that user code put into the table by hand may lack the columns of ours.
_DEFAULTS = {
    "TimeNs": "coalesce(TimeNs, CAST(Time * 1e9 AS INTEGER), 0)",
    "WallNs": "coalesce(WallNs, CAST(Time * 1e9 AS INTEGER), 0)",
    "Domain": "coalesce(Domain, 'wall clock')",
    "Pid": "coalesce(Pid, 0)",
    "Start": "coalesce(Start, 1)",
    "Attempt": "coalesce(Attempt, 1)",
    "Owner": "coalesce(Owner, Unit)",
    "EventKey": "nullif(EventKey, '')",
    "Metadata": "nullif(Metadata, '{}')",
}

_SELECT = f"SELECT {', '.join(_DEFAULTS.get(name, name) for name in COLUMNS)} FROM Events"  # noqa: S608 - names of ours

_INSERT_FILE = (
    "INSERT OR REPLACE INTO Files (Path, Unit, Start, Attempt, Offset, LowNs)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_META = "INSERT OR REPLACE INTO Meta (Name, Value) VALUES (?, ?)"

#: The fields of a test's result that have one column together.
_MORE_OF_TESTS = (
    "aborted", "remarks", "file", "line", "output", "attachments", "verification",
)  # fmt: skip
_new_tuple = tuple.__new__


class Store:
    """The one writer of a Data.db. Every method is one transaction, unless it says otherwise.

    Each transaction is some thirty system calls. What may wait is pending: it becomes a part of the
    next one, or of `settle`.

    Raises:
        InfraError: from any method: the file cannot be written, or is no longer there.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        is_empty = make_database(str(database))
        self._file_id = _file_id(database)
        self._names: dict[str, str] = {}  # of probe files, relative to the database's folder
        self._owed: list[tuple[str, tuple[Any, ...]]] = []  # statements, and a row for each
        self.next_id = 1 if is_empty else next_id(self._connection)

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        """Opened when it is used first: until then a group can start its first units."""
        self._check_file()
        return open_database(str(self.database), "wal")

    def close(self) -> None:
        """Fold the WAL into the file, so the file alone can be copied.

        Without a WAL from now on: who only reads one leaves two empty files beside it.
        """
        try:
            self.settle()
        finally:
            self._close()

    def _close(self) -> None:
        try:
            with contextlib.suppress(sqlite3.Error):  # someone reads: who closes last folds it
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()
        except sqlite3.Error as error:
            raise InfraError(f"cannot close {self.database}: {error}") from error

    def add_file(self, file: ProbeFile) -> None:
        """Remember that this probe file belongs to the run, with the next transaction."""
        row = (
            os.path.relpath(file.path, self.database.parent),
            *(file.unit, file.start, file.attempt, file.offset, file.low_ns),
        )
        self._owed.append((_INSERT_FILE, row))
        self._names[file.path] = row[0]

    def forget_file(self, path: str) -> None:
        """There is nothing more to read of this probe file."""
        self._execute("DELETE FROM Files WHERE Path = ?", [(self._names[path],)])

    def append(
        self,
        readings: Sequence[Reading],
        damages: Sequence[DamageFields] = (),
        files: Iterable[ProbeFile] = (),
        metrics: Sequence[MetricFields] = (),
    ) -> tuple[Event, ...]:
        """Store what was read from `files`, and how far; nothing is stored twice."""

        def work() -> None:
            insert_events(self._connection, readings)
            self._connection.executemany(
                "INSERT INTO Damages (Unit, Reason, Line, Attempt) VALUES (?, ?, ?, ?)", damages
            )
            if metrics:
                insert_metrics(self._connection, metrics)
            self._connection.executemany(
                "UPDATE Files SET Offset = ?, LowNs = ? WHERE Path = ?",
                [(file.offset, file.low_ns, self._names[file.path]) for file in files],
            )

        self._write(work)
        self.next_id += len(readings)
        return tuple([_new_tuple(Event, fields) for fields, _, _ in readings])

    def find(
        self, unit: str, step: str, key: str | None, start: int | None, attempt: int
    ) -> Event | None:
        """The first stored event that an open wait asks for; see `pending.Wait`."""
        conditions = {
            "Unit": None if unit == "*" else unit,
            "StepCompleted": None if step == "*" else step,
            "EventKey": key,
            "Start": start,
            "Attempt": attempt,
        }
        asked = {name: value for name, value in conditions.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in asked)
        try:
            row = self._connection.execute(
                f"{_SELECT} WHERE {where} ORDER BY ID LIMIT 1", tuple(asked.values())
            ).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return None if row is None else next(_events([row]))

    def set_status(self, unit: str, status: str) -> None:
        """Keep it pending; its time is now."""
        self._owed += (
            (
                "INSERT OR REPLACE INTO UnitStatus (Unit, Status, UpdatedAt) VALUES (?, ?, ?)",
                (unit, status, time.time()),
            ),
            (
                "INSERT INTO UnitStates (Unit, State, TimeNs) VALUES (?, ?, ?)",
                (unit, status, time.monotonic_ns()),
            ),
        )

    def settle(self) -> None:
        """Store what is pending."""
        if self._owed:
            self._write(lambda: None)

    def add_result(self, row: tuple[Any, ...]) -> None:
        """A row of Results_Manager: group, passed, duration, average latency, summary as JSON."""
        self._execute(
            "INSERT INTO Results (TestGroup, Passed, Duration, AverageLatency, Summary, Time)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(*row, time.time())],
        )

    def store_results(
        self,
        ends: Iterable[End],
        tests: Iterable[TestResult],
        values: Mapping[str, Any] = EMPTY,
    ) -> None:
        """Keep these ends and results, in the place of earlier ones, and these values."""
        self.owe_results(ends, tests, values)
        self.settle()

    def owe_results(
        self,
        ends: Iterable[End],
        tests: Iterable[TestResult],
        values: Mapping[str, Any] = EMPTY,
    ) -> None:
        """Queue the same; `settle` writes it."""
        tables = {"Ends": [_end_row(end) for end in ends], "Tests": list(map(_test_row, tests))}
        for table, rows in tables.items():
            self._owed.append((f"DELETE FROM {table}", ()))  # noqa: S608 - a table of ours
            for row in rows:
                marks = ", ".join("?" * len(row))
                self._owed.append((f"INSERT INTO {table} VALUES (NULL, {marks})", row))  # noqa: S608
        self.owe_meta(values)

    def add_samples(self, samples: Iterable[Sample]) -> None:
        self._execute(
            "INSERT INTO Samples"
            " (Unit, Start, TimeNs, CpuS, CpuPercent, Rss, Threads, Fds, Children)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            list(samples),
        )

    def store_meta(self, values: Mapping[str, Any]) -> None:
        self._execute(_INSERT_META, _meta_rows(values))

    def owe_meta(self, values: Mapping[str, Any]) -> None:
        """The same, pending."""
        self._owed += ((_INSERT_META, row) for row in _meta_rows(values))

    def meta(self, name: str) -> Any:
        """What `store_meta` stored, or None."""
        row = self._connection.execute("SELECT Value FROM Meta WHERE Name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def files(self) -> list[tuple[str, str, int, int, int, int]]:
        """path, unit, start, attempt, offset, low_ns of every probe file of the run."""
        folder = self.database.parent
        rows = self._connection.execute(
            "SELECT Path, Unit, Start, Attempt, Offset, LowNs FROM Files ORDER BY rowid"
        )
        found = []
        for name, *rest in rows:
            path = str(folder / name)
            self._names[path] = name
            found.append((path, *rest))
        return found

    def _execute(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._write(lambda: self._connection.executemany(statement, rows))

    def _write(self, work: Callable[[], object]) -> None:
        owed, self._owed = self._owed, []

        def work_and_owed() -> None:
            for statement, row in owed:
                self._connection.execute(statement, row)
            work()

        try:
            in_transaction(self._connection, work_and_owed)
        except sqlite3.Error as error:
            raise self._broken(error) from error
        self._check_file()  # SQLite continues to write to a deleted file, without an error

    def _check_file(self) -> None:
        if _file_id(self.database) != self._file_id:
            raise InfraError(f"{self.database} was deleted or replaced while the group ran")

    def _broken(self, error: sqlite3.Error) -> InfraError:
        return InfraError(f"cannot write {self.database}: {error}")


def _events(
    rows: Iterable[tuple[Any, ...]],
    loads: Callable[[str], Any] = json.loads,
    clocks: Mapping[str, str] = EMPTY,
) -> Iterator[Event]:
    """Events from rows in the order of `COLUMNS`; equal names are one object, to save memory.

    `clocks` replaces clocks that are more than a name.
    """
    known: dict[Any, Any] = dict(clocks)
    same = known.setdefault
    new = _new_tuple
    for (
        number, unit, step, type_, key, cause, t_ns, low_ns,
        wall_ns, domain, pid, seq, start, attempt, owner, meta,
    ) in rows:  # fmt: skip
        yield new(
            Event,
            (
                number,
                same(unit, unit),
                same(step, step),
                same(type_, type_),
                key,
                () if cause is None else tuple(loads(cause)),
                t_ns,
                low_ns,
                wall_ns,
                same(domain, domain),
                same(pid, pid),
                seq,
                start,
                attempt,
                same(owner, owner),
                EMPTY if meta is None else loads(meta),
            ),
        )


def _file_id(database: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(database)  # noqa: PTH116 - after every write; half the time of pathlib's
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _text(text: str) -> str:
    """Text from user code as SQLite can hold it: without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _meta_rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, json.dumps(value)) for name, value in values.items()]


def _test_row(test: TestResult) -> tuple[Any, ...]:
    return (
        test.name,
        int(test.passed),
        test.duration_s,
        _text(test.message),
        _text(test.traceback),
        int(test.skipped),
        _text(json.dumps({name: getattr(test, name) for name in _MORE_OF_TESTS})),
    )


def _end_row(end: End) -> tuple[Any, ...]:
    return (
        end.unit,
        end.cause.value,
        end.state.value,
        end.pid,
        end.exit_code,
        end.signal,
        end.starts,
        end.attempt,
        int(end.was_ready),
        end.started_ns,
        end.ready_ns,
        end.ended_ns,
        _text(end.message),
        end.blocked_by,
        json.dumps([[leak.pid, leak.command_line] for leak in end.leaks]),
        json.dumps(end.last_lines),
        json.dumps(end.threads),
        json.dumps(end.use._asdict()),
        int(end.concluded),
    )


def recover(run_folder: Path) -> int:
    """Store all that the probe files of one group's run hold beyond what was stored.

    Nothing is stored twice, so it may be called at any time after the runner is gone. A probe file
    that has been deleted since is evidence that is missing, and noted as a damage.

    Returns:
        How many events were added.

    Raises:
        InfraError: Data.db is missing, or cannot be written.
    """
    database = run_folder / "Data.db"
    if not database.is_file():
        raise InfraError(f"{database} does not exist: there is nothing to recover")
    check_objects(str(database))
    # Of several commands that look at the run at once, the others find nothing more to read.
    with locked_folder(run_folder), closing(Store(database)) as store:
        first_id = store.next_id
        try:
            domain = store.meta("domain") or ""
            opened = store.meta("opened") or [0, 0]
            for path, unit, start, attempt, offset, low_ns in store.files():
                if not Path(path).is_file():
                    reason = f"the probe file {Path(path).name} is gone"
                    store.append((), [(unit, reason, "", attempt)])
                    store.forget_file(path)
                    continue
                file = ProbeFile(
                    path,
                    unit,
                    domain=domain,
                    start=start,
                    attempt=attempt,
                    offset=offset,
                    low_ns=low_ns,
                    quick=True,
                )
                with closing(file):
                    _read_all(store, file, _written_ns(file, opened))
        except (OSError, sqlite3.Error) as error:
            raise InfraError(f"cannot recover {run_folder}: {error}") from error
        return store.next_id - first_id


def recover_unread(run_folder: Path) -> None:
    """Store what a run that was interrupted had no time to store. Raises InfraError."""
    database = run_folder / "Data.db"
    if not database.is_file():
        return
    with closing(open_reader(str(database))) as reader:
        found = reader.execute("SELECT Value FROM Meta WHERE Name = 'unread'").fetchone()
    if found is not None and json.loads(found[0]):
        recover(run_folder)
        with closing(Store(database)) as store:
            store.store_meta({"unread": False})


def _read_all(store: Store, file: ProbeFile, read_ns: int) -> None:
    more = file.has_grown()  # or was cut
    while more:
        batch = file.read(store.next_id, read_ns)
        store.append(batch.readings, batch.damages, [file], batch.metrics)
        more = batch.more
    batch = file.read_rest(store.next_id, read_ns)
    store.append(batch.readings, batch.damages, [file], batch.metrics)


def _written_ns(file: ProbeFile, opened: list[int]) -> int:
    """An upper bound for lines without a time: when the file was written last.

    `opened` is one moment on the runner's monotonic clock and on the wall clock; this process may
    run on another host or after another boot.
    """
    monotonic_ns, wall_ns = opened
    return monotonic_ns + Path(file.path).stat().st_mtime_ns - wall_ns
