"""The mechanics of a Data.db: opening, its schema and version, the order of an event's columns.

Standard library only, and no types of the model: the classic API uses it inside unit processes.
"""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from testrium.errors import InfraError

T = TypeVar("T")

#: Raised with every change of schema.sql that an older Testrium could not read.
VERSION = 1
#: Seconds to wait for another process that writes.
BUSY_S = 30.0

#: The fields of an event that are stored as they are, in the order of `model.Event` (`cause` and
#: `meta`, which are JSON in the file, stand between and behind them).
COLUMNS = (
    *("ID", "Unit", "StepCompleted", "EventType", "EventKey", "Cause", "TimeNs", "TimeLowNs"),
    *("WallNs", "Domain", "Pid", "Seq", "Start", "Attempt", "Owner", "Metadata"),
)
#: Columns that mostly have the same value in all rows of a batch, one that a statement can hold;
#: columns that mostly have no value.
_OFTEN_SAME = frozenset(("Unit", "EventType", "Domain", "Pid", "Start", "Attempt", "Owner"))
_OFTEN_NULL = frozenset(("EventKey", "Cause", "TimeLowNs", "Metadata"))
#: In fewer rows nothing is looked for that they have in common.
_MANY = 32

#: The fields of an event in their order, then `cause` and `meta` as JSON (None when empty).
Reading = tuple[tuple[Any, ...], str | None, str | None]


def make_database(path: str) -> bool:
    """Make the file of a database with all tables and nothing in them, where there is none yet.

    False where there is one, or where SQLite has to make the tables. Raises InfraError.
    """
    try:
        if os.path.exists(path):  # noqa: PTH110 - pathlib is slow to import in a unit
            return False
        content = _empty_database()
        _make_file(path, content)
    except (sqlite3.Error, OSError) as error:
        raise InfraError(f"cannot open {path}: {error}") from error
    return bool(content)


def open_database(path: str, mode: Literal["wal", "persist"]) -> sqlite3.Connection:
    """Open for writing; make the file and its tables where they do not exist yet.

    With "wal", readers never wait for the one writer. "persist" is for several writers: versions of
    SQLite before 3.51.3 can corrupt a WAL that two processes write and checkpoint at once
    (https://sqlite.org/wal.html#walresetbug). It keeps the journal's file between transactions, as
    to make and delete it takes a third of the time of a short one.

    Nothing waits for the disk: after a killed process the file is whole, and after a power failure
    the probe files are the truth.

    Raises InfraError.
    """
    try:
        if not os.path.exists(path):  # noqa: PTH110 - as above
            # With "delete" another process may be about to make the tables, too.
            _make_file(path, _empty_database() if mode == "wal" else b"")
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = OFF")
            if _version(connection, path) < VERSION:
                if mode == "wal":
                    connection.execute("PRAGMA journal_mode = WAL")
                _bring_up_to_date(connection)
            if mode == "persist" and _journal_mode(connection) != "wal":
                connection.execute("PRAGMA journal_mode = PERSIST")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise InfraError(f"cannot open {path}: {_reason(path) or error}") from error
    return connection


def _reason(path: str) -> str:
    """Why a file cannot be opened; "" where it can. SQLite says just that it cannot."""
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        return str(error.strerror)
    return ""


def open_reader(path: str) -> sqlite3.Connection:
    """Open for reading, wherever the file has been moved to. Raises InfraError."""
    options = "mode=ro"
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - as above
    if not os.path.exists(f"{path}-wal") and not os.access(folder, os.W_OK):  # noqa: PTH110
        options = "immutable=1"  # else SQLite makes files beside a WAL database
    try:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?{options}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            version = _version(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise InfraError(f"cannot read {path}: {error}") from error
    if version < VERSION:
        connection.close()
        raise InfraError(f"{path} is not a database of Testrium")
    try:
        refuse_code(connection, path)
    except InfraError:
        connection.close()
        raise
    return connection


def check_objects(path: str) -> None:
    """Raises InfraError for a database that was made to compute something where it is used."""
    open_reader(path).close()


def refuse_code(connection: sqlite3.Connection, path: str) -> None:
    """A view in the place of a table may compute for ever; a trigger runs when a row is added."""
    query = (
        "SELECT type, name FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        " OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1"
    )
    try:
        found = connection.execute(query).fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InfraError(f"cannot read {path}: {error}") from error
    if found is not None:
        kind, name = found
        kind = "virtual table" if kind == "table" else kind
        raise InfraError(f"{path} is not a database of Testrium: it has a {kind} ({name!r})")


def in_transaction(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Do all of `work` or nothing. Raises what `work` raises, and sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")
        raise
    return done


def insert_events(connection: sqlite3.Connection, readings: Sequence[Reading]) -> None:
    """Store events, in the transaction that is open."""
    rows = [(*fields[:5], cause, *fields[6:15], meta) for fields, cause, meta in readings]
    if len(rows) < _MANY:
        connection.executemany(_insert(), rows)
    else:
        _insert_alike(connection, list(zip(*rows, strict=True)))
    domains = {fields[9] for fields, _, _ in readings}
    connection.executemany("INSERT OR IGNORE INTO Domains VALUES (?)", zip(domains, strict=True))


def _insert_alike(connection: sqlite3.Connection, columns: Sequence[tuple[Any, ...]]) -> None:
    """Store rows that have much in common: to bind a value takes longer than all else here."""
    same = {
        name: column[0]
        for name, column in zip(COLUMNS, columns, strict=True)
        if (name in _OFTEN_SAME or (name in _OFTEN_NULL and column[0] is None))
        and column.count(column[0]) == len(column)
    }
    others = (column for name, column in zip(COLUMNS, columns, strict=True) if name not in same)
    connection.executemany(_insert(**same), zip(*others, strict=True))


def _insert(**same: str | int | None) -> str:
    """The statement for rows in which these columns have the same value."""
    number = count(1)
    places = {
        name: _literal(same[name]) if name in same else f"?{next(number)}" for name in COLUMNS
    }
    return (
        f"INSERT INTO Events ({', '.join(COLUMNS)}, Time) "  # noqa: S608 - the names above
        f"VALUES ({', '.join(places.values())}, {places['WallNs']} / 1e9)"
    )


def _literal(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'{}'".format(value.replace("'", "''"))


def insert_metrics(connection: sqlite3.Connection, metrics: Sequence[tuple[Any, ...]]) -> None:
    """Store reports of metrics, in the transaction that is open."""
    connection.executemany(
        "INSERT INTO Metrics VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", metrics
    )


def metric_rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """The fields of `evidence.Reported`, in the order of storing; its details are JSON."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(Metrics)")}
    if not columns:
        return []  # the file is older than metrics
    details = "Details" if "Details" in columns else "NULL"
    return connection.execute(
        f"SELECT Name, Value, Measured, Better, Unit, Attempt, {details} FROM Metrics ORDER BY ID"  # noqa: S608 - a column of ours
    ).fetchall()


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that do not exist (any more), in the transaction that is open."""
    for statement in _statements():
        connection.execute(statement)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Read many rows: hundreds of thousands of objects are made, and none of them is garbage.

    Python's collector would look at all of them again and again, a third of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def next_id(connection: sqlite3.Connection) -> int:
    """The number of the next event."""
    (last,) = connection.execute("SELECT max(ID) FROM Events").fetchone()
    return int(last or 0) + 1


def _version(connection: sqlite3.Connection, path: str) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise InfraError(
            f"{path} was written by a newer Testrium (format {version}, this one knows {VERSION})"
        )
    return int(version)


def _journal_mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    def work() -> None:
        known = _columns(connection)
        if known:  # the file of an ancestor, which had the first seven columns
            with sqlite3.connect(":memory:") as model:
                model.executescript(_schema())
                wanted = _columns(model)
            model.close()
            for name in wanted.keys() - known.keys():
                connection.execute(f"ALTER TABLE Events ADD COLUMN {name} {wanted[name]}")
        make_tables(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")

    in_transaction(connection, work)


def _make_file(path: str, content: bytes) -> None:
    """Write all of it or nothing: half a database is damaged, an empty file is none yet.

    Raises OSError.
    """
    # SQLite would make it readable for everybody.
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    written = 0
    try:
        written = os.write(file, content)
        os.write(file, content[written:])  # a full disk takes a part first, and says why then
        written = os.lseek(file, 0, os.SEEK_CUR)
    finally:
        if written < len(content):
            os.ftruncate(file, 0)
        os.close(file)


@cache
def _empty_database() -> bytes:
    """The file of a database with all tables, made once: that takes as long as a short group.

    b"" where SQLite was built without what gives it; the tables are made in each file then.
    """
    if not hasattr(sqlite3.Connection, "serialize"):
        return b""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _bring_up_to_date(model)
        content = bytearray(model.serialize())
    content[_FORMATS] = b"\x02\x02"
    return bytes(content)


#: The bytes of the header that say how a file is written and read: 2 is WAL
#: (https://sqlite.org/fileformat.html#file_format_version_numbers).
_FORMATS = slice(18, 20)


def _columns(connection: sqlite3.Connection) -> dict[str, str]:
    return {row[1]: row[2] for row in connection.execute("PRAGMA table_info(Events)")}


def _schema() -> str:
    folder = os.path.dirname(__file__)  # noqa: PTH120 - as above
    with open(os.path.join(folder, "schema.sql"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        return file.read()


def _statements() -> list[str]:
    return [part for part in _schema().split(";\n") if "CREATE" in part]
