"""The history's database file: opened, made, checked, and set aside when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from testrium.record.locking import locked_folder

VERSION = 2

#: "TstH": tells a history from any other SQLite file.
_APPLICATION_ID = 0x54737448
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = Path(__file__).with_name("history.sql")


#: What reading a database may raise; the second where a text in a damaged file is not UTF-8, be it
#: a value or a word of SQLite's own message.
ERRORS = (sqlite3.Error, UnicodeDecodeError)


class UnusableFileError(sqlite3.DatabaseError):
    """The file is no history that this version can use; `label` goes into its new name."""

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(reason)
        self.label = label


def connect(path: Path, wait_s: float | None = None) -> sqlite3.Connection:
    """Open the history, or make it; wait so long for others who hold it.

    Raises UnusableFileError where the file is damaged, newer or not ours, and other errors of
    sqlite3 or the system where it cannot be opened at all.
    """
    with contextlib.suppress(FileExistsError):  # 0600, whatever the umask is
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    timeout_s = _BUSY_TIMEOUT_S if wait_s is None else wait_s
    database = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = ON")
        # What is committed reaches the disk when the file is closed, at once and not one by one.
        database.execute("PRAGMA synchronous = NORMAL")
        _check(database)
    except ERRORS as error:
        database.close()
        if is_damage(error):
            raise UnusableFileError("damaged", str(error)) from error
        raise
    return database


def begin_anew(path: Path) -> tuple[sqlite3.Connection, str]:
    """Set an unusable file aside and begin a new one; returns it, and a notice.

    Of several runs that meet the damage one does so; the others get its new file, and no notice.
    """
    with locked_folder(path.parent):
        try:
            database = connect(path)
            _check_pages(database)
        except UnusableFileError as reason:
            aside = _set_aside(path, reason.label)
            notice = f"the history {path} was set aside as {aside.name} ({reason})"
            return connect(path), f"{notice}; a new one is begun"
        return database, ""


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether the file itself is bad: not locked, not full, no mistake of ours."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where it was noticed
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing. Waits for other writers: one that begins with reading could not."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
    except BaseException:
        database.rollback()
        raise
    database.execute("COMMIT")


def _check(database: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that is not ours or newer than we are."""
    if _identity(database) == (_APPLICATION_ID, VERSION):
        return
    if _is_new(database):
        # It cannot be switched inside a transaction, and is refused while another run makes the
        # tables: that one has switched it already.
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL")
    with transaction(database):
        application, version = _identity(database)
        if _is_new(database):
            _make_tables(database)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        elif application != _APPLICATION_ID:
            raise UnusableFileError("foreign", "it is not a history")
        elif 0 < version < VERSION:
            from testrium.record.history_migration import STEPS

            _make_tables(database)
            for older in range(version, VERSION):
                STEPS[older](database)
        elif version != VERSION:
            reason = f"it has version {version}, this Testrium knows {VERSION}"
            raise UnusableFileError(f"version-{version}", reason)


def _make_tables(database: sqlite3.Connection) -> None:
    """Make those that are not there yet."""
    for statement in _statements(_SCHEMA.read_text(encoding="utf-8")):
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {VERSION}")


def _identity(database: sqlite3.Connection) -> tuple[int, int]:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    return application, version


def _is_new(database: sqlite3.Connection) -> bool:
    tables = database.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    return tables == 0 and _identity(database) == (0, 0)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would commit the transaction it stands in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_pages(database: sqlite3.Connection) -> None:
    """Close the database and raise UnusableFileError where any page of it is damaged."""
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except ERRORS as error:
        found = str(error)
    if found != "ok":
        database.close()
        raise UnusableFileError("damaged", found)


def _set_aside(path: Path, label: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.{label}-{stamp}-{os.getpid()}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside
