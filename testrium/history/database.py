"""The history: one small database per project that keeps the results of every run.

Several runs may append at once. A run never fails because of its history: see `append_run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.history.rows import (
    ResultRecord,
    Revision,
    RunRecord,
    folder_in,
    machine_class,
    measure,
    measure_rows,
    params_text,
    result_record,
    result_row,
    run_record,
    text,
)
from testrium.results import GroupResult, Measure, RunResult
from testrium.system.files import locked_folder
from testrium.words import DURATION, Verdict


def from_1(database: sqlite3.Connection) -> None:
    """Version 1 had percentiles as JSON in the results, and no other figures."""
    rows = database.execute(
        "SELECT id, duration_s, percentiles FROM results WHERE verdict <> 'skip'"
    ).fetchall()
    database.executemany(
        "INSERT OR IGNORE INTO measures (result, name, value, unit, source, better, n)"
        " VALUES (?, ?, ?, ?, ?, 'smaller', 1)",
        [measure for row in rows for measure in _measures(*row)],
    )
    database.execute("ALTER TABLE results DROP COLUMN percentiles")
    database.execute("ALTER TABLE results ADD COLUMN machine TEXT")


def from_2(database: sqlite3.Connection) -> None:
    """Version 2 knew neither tags nor tries."""
    database.execute("ALTER TABLE results ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'")
    database.execute("ALTER TABLE results ADD COLUMN tries INTEGER NOT NULL DEFAULT 1")


def from_3(database: sqlite3.Connection) -> None:
    """Version 3 kept no details of figures. Version 1 had no table of figures: it is new here."""
    columns = {row["name"] for row in database.execute("PRAGMA table_info(measures)")}
    if "details" not in columns:
        database.execute("ALTER TABLE measures ADD COLUMN details TEXT")


def _measures(
    result: int, duration_s: float, percentiles: str
) -> Iterator[tuple[int, str, float, str, str]]:
    yield result, DURATION, duration_s, "s", "group"
    for circuit, values in json.loads(percentiles).items():
        for name, value_ms in values.items():
            if value_ms is not None:
                measure = f"{circuit}.{name.removesuffix('_ms')}"
                yield result, measure, value_ms, "ms", "circuit"


#: Version -> what makes the next one of it, once all new tables are there.
STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: from_1, 2: from_2, 3: from_3}


VERSION = 4

#: "TstH": tells a history from any other SQLite file.
_APPLICATION_ID = 0x54737448

_BUSY_TIMEOUT_S = 5.0

_SCHEMA = Path(__file__).with_name("schema.sql")

#: What reading a database may raise; the second where a text in a damaged file is not UTF-8, be it
#: a value or a word of SQLite's own message.
ERRORS = (sqlite3.Error, UnicodeDecodeError)


class UnusableFileError(sqlite3.DatabaseError):
    """This version cannot use the file as a history; `label` goes into its new name."""

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(reason)
        self.label = label


def connect(path: Path, wait_s: float | None = None) -> sqlite3.Connection:
    """Open or create the history; wait up to `wait_s` seconds for a lock.

    Raises UnusableFileError where the file is damaged, newer or not ours, and other errors of
    sqlite3 or the system where it cannot be opened at all.
    """
    if path.is_symlink() and not path.exists():  # SQLite would make what it names
        raise UnusableFileError("link", "it is a link to a file that does not exist")
    is_new = False
    with contextlib.suppress(FileExistsError):  # 0600, whatever the umask is
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        is_new = True
    timeout_s = _BUSY_TIMEOUT_S if wait_s is None else wait_s
    database = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = ON")
        # What is committed reaches the disk when the file is closed, at once and not one by one.
        # A new file holds no runs yet that a power failure could take: nothing waits for the disk.
        database.execute(f"PRAGMA synchronous = {'OFF' if is_new else 'NORMAL'}")
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
    """All or nothing. Takes the write lock first, as a lock that is upgraded cannot wait."""
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
    """The statements of a script: `executescript` would commit the open transaction."""
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


FILE = "history.db"

#: How many earlier results say how long a group is going to take.
_RECENT = 5

#: So long a run waits for a history that is locked, where it only would like to know (seconds).
GLANCE_S = 0.5


class History:
    """The history below a state folder, opened. A context manager.

    A file that is damaged, foreign or of a newer version is renamed, and a new one is begun:
    `notices` says so. Raises InfraError where the database cannot be opened or made, and from
    every method where it cannot be read or written, or others hold it for longer than `wait_s`.
    """

    def __init__(self, state_folder: Path, *, wait_s: float | None = None) -> None:
        self.path = state_folder / FILE
        self.notices: tuple[str, ...] = ()
        self._project = state_folder.parent
        try:
            state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._database = connect(self.path, wait_s)
            except UnusableFileError:
                self._begin_anew()
        except (OSError, *ERRORS) as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def append(
        self,
        result: RunResult,
        *,
        command_line: Sequence[str] = (),
        revision: Revision | None = None,
    ) -> None:
        """Add a run, and those of its groups that have `save-metrics`, in one transaction."""
        try:
            try:
                self._append(result, command_line, revision)
            except ERRORS as error:
                if not is_damage(error):
                    raise
                self._database.close()
                self._begin_anew()
                self._append(result, command_line, revision)
        except (OSError, *ERRORS) as error:
            raise self._failed(error) from error

    def list_runs(self, limit: int | None = 20) -> tuple[RunRecord, ...]:
        """The latest runs, the latest first; `limit` None: all."""
        rows = self._rows(
            "SELECT runs.*, results.verdict AS of_group, COUNT(results.id) AS number"
            " FROM (SELECT rowid AS place, * FROM runs ORDER BY started DESC, place DESC LIMIT ?)"
            " AS runs LEFT JOIN results USING (run)"
            " GROUP BY run, of_group ORDER BY started DESC, place DESC",
            -1 if limit is None else limit,
        )
        counts: dict[str, dict[Verdict, int]] = {}
        first: dict[str, sqlite3.Row] = {}
        with self._understanding():
            for row in rows:
                first.setdefault(row["run"], row)
                verdicts = counts.setdefault(row["run"], {})
                if row["of_group"] is not None:
                    verdicts[Verdict(row["of_group"])] = row["number"]
            return tuple(run_record(row, counts[run]) for run, row in first.items())

    def last_run(self) -> RunRecord | None:
        """The latest run, or None in an empty history."""
        return next(iter(self.list_runs(1)), None)

    def results(
        self,
        *,
        group: str | None = None,
        run: str | None = None,
        figure: str | None = None,
        limit: int | None = None,
        figures: bool = True,
    ) -> tuple[ResultRecord, ...]:
        """Results with their figures, the latest first.

        Args:
            group: only of this group: its id (with parameters), or its folder.
            run: only of this run.
            figure: only those that have this figure, and with no other one.
            limit: at most this many; None for all.
            figures: whether figures are wanted.
        """
        chosen = (
            "SELECT results.*, started, revision, dirty FROM results JOIN runs USING (run)"
            " WHERE (?1 IS NULL OR group_id = ?1 OR folder = ?1) AND (?2 IS NULL OR run = ?2)"
            " AND (?3 IS NULL OR results.id IN (SELECT result FROM measures WHERE name = ?3))"
            " ORDER BY results.id DESC LIMIT ?4"
        )
        asked = (group, run, figure, -1 if limit is None else limit)
        rows = self._rows(chosen, *asked)
        by_result: dict[int, dict[str, Measure]] = {}
        if figures:
            query = (
                f"SELECT * FROM measures WHERE result IN (SELECT id FROM ({chosen}))"  # noqa: S608 - our own text
                " AND (?3 IS NULL OR name = ?3)"
            )
            found = self._rows(query, *asked)
            with self._understanding():
                for row in found:
                    by_result.setdefault(row["result"], {})[row["name"]] = measure(row)
        with self._understanding():
            return tuple(result_record(row, by_result.get(row["id"], {})) for row in rows)

    def figure_names(self) -> tuple[str, ...]:
        """The names of all figures, sorted."""
        rows = self._rows("SELECT DISTINCT name FROM measures ORDER BY name")
        return tuple(row["name"] for row in rows)

    def figures_before(
        self,
        run: str,
        *,
        folder: Path,
        mode: str,
        params: Mapping[str, str],
        machine: str | None,
        latest: int,
    ) -> list[tuple[str, str, float]]:
        """Name, unit and value of all figures of the `latest` comparable results before a run.

        Comparable is what passed, in the same circumstances, since `accept`.
        """
        place = folder_in(self._project, folder)
        rows = self._rows(
            "SELECT name, unit, value FROM measures JOIN ("
            " SELECT id FROM results WHERE folder = ?2 AND mode = ?3 AND params = ?4"
            " AND machine IS ?5 AND verdict = 'pass'"
            " AND id < (SELECT coalesce(min(id), 9e18) FROM results WHERE run = ?1)"
            " AND id > (SELECT coalesce(max(result), 0) FROM accepted WHERE folder = ?2)"
            " ORDER BY id DESC LIMIT ?6) ON id = result ORDER BY result DESC",
            *(run, place, mode, params_text(params), machine, latest),
        )
        return [(row["name"], row["unit"], row["value"]) for row in rows]

    def accept(self, folder: str, at: float) -> None:
        """From now on, results of the group in a folder (as results name it) up to here do not
        count for regressions."""
        try:
            with transaction(self._database) as database:
                database.execute(
                    "INSERT OR REPLACE INTO accepted SELECT ?1, coalesce(max(id), 0), ?2"
                    " FROM results WHERE folder = ?1",
                    (folder, at),
                )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def latest_results(self) -> tuple[ResultRecord, ...]:
        """The last result of each folder, mode and parameter set, repeats included.

        Without their figures.
        """
        rows = self._rows(
            "SELECT results.*, started, revision, dirty FROM results JOIN ("
            " SELECT folder, mode, params, MAX(id) AS last FROM results"
            " GROUP BY folder, mode, params) AS latest USING (folder, mode, params)"
            " JOIN results AS newest ON newest.id = latest.last"
            " JOIN runs ON runs.run = results.run"
            " WHERE results.run = newest.run ORDER BY results.id"
        )
        with self._understanding():
            return tuple(result_record(row, {}) for row in rows)

    def durations(self, *, of_shards: bool = True) -> dict[str, float]:
        """Group id -> mean duration in seconds of its latest results that were run.

        Without `of_shards` only of runs that were complete.
        """
        rows = self._rows(
            "SELECT group_id, AVG(duration_s) AS mean FROM ("
            " SELECT group_id, duration_s,"
            " ROW_NUMBER() OVER (PARTITION BY group_id ORDER BY id DESC) AS age"
            " FROM results WHERE verdict <> 'skip' AND (? OR run NOT IN"
            " (SELECT run FROM runs WHERE command_line LIKE '%--shard%'))"
            ") WHERE age <= ? GROUP BY group_id",
            of_shards,
            _RECENT,
        )
        return {row["group_id"]: row["mean"] for row in rows}

    def _begin_anew(self) -> None:
        self._database, notice = begin_anew(self.path)
        if notice:
            self.notices += (notice,)

    def _append(
        self, result: RunResult, command_line: Sequence[str], revision: Revision | None
    ) -> None:
        with transaction(self._database) as database:
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    result.run,
                    result.started_wall,
                    result.duration_s,
                    str(result.verdict),
                    int(result.exit_code),
                    revision and revision.commit,
                    revision and int(revision.dirty),
                    text(shlex.join(command_line)),
                ),
            )
            for group in result.groups:
                if group.scenario.group.save_metrics:
                    self._append_result(database, result.run, group)

    def _append_result(self, database: sqlite3.Connection, run: str, result: GroupResult) -> None:
        marks = ", ".join("?" * 14)
        row = result_row(run, result, self._project)
        number = database.execute(f"INSERT INTO results VALUES (NULL, {marks})", row).lastrowid  # noqa: S608 - only marks
        assert number is not None
        database.executemany(
            "INSERT OR IGNORE INTO measures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            measure_rows(number, result),
        )

    def _rows(self, query: str, *values: str | int | None) -> list[sqlite3.Row]:
        try:
            return self._database.execute(query, values).fetchall()
        except ERRORS as error:
            raise self._failed(error) from error

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Rows are turned into records: of a damaged file they may lack columns, or hold nonsense.

        Raises InfraError.
        """
        try:
            yield
        except (IndexError, TypeError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> InfraError:
        return InfraError(f"the history {self.path} cannot be used: {error}")


def append_run(
    state_folder: Path,
    result: RunResult,
    *,
    command_line: Sequence[str] = (),
    revision: Revision | None = None,
) -> tuple[str, ...]:
    """Append a run to the project's history; returns notices instead of raising.

    The run was judged already: what happens to its history must not change that.
    """
    try:
        with History(state_folder) as history:
            history.append(result, command_line=command_line, revision=revision)
            return history.notices
    except InfraError as error:
        return (f"{error}; this run is not in it",)


def expected_durations(
    state_folder: Path, *, of_shards: bool = True
) -> tuple[dict[str, float], tuple[str, ...]]:
    """`History.durations` and notices; {} where the history is missing or cannot be read.

    A run never fails because of its history.
    """
    if not (state_folder / FILE).exists():
        return {}, ()
    try:
        with History(state_folder, wait_s=GLANCE_S) as history:
            return history.durations(of_shards=of_shards), history.notices
    except InfraError:  # told when the run is appended
        return {}, ()


#: How many earlier results are looked at: enough for the noise, and few enough to forget old times.
LATEST = 30

#: Name and unit of a figure -> its earlier values, the latest first.
Baseline = Mapping[tuple[str, str], tuple[float, ...]]


def read_baseline(state_folder: Path, scenario: Scenario, run: str) -> Baseline:
    """Figures of the latest comparable results before `run`.

    Comparable is what passed, of the same group, mode, parameters and class of machine, and later
    than what `testrium history accept` said. {} where the history is missing, or cannot be read:
    that is reported when the run is appended.
    """
    if not (state_folder / FILE).exists():
        return {}
    machine = machine_class() if scenario.group.save_scores else None
    try:
        with History(state_folder, wait_s=GLANCE_S) as history:
            rows = history.figures_before(
                run,
                folder=scenario.group.folder,
                mode=scenario.mode,
                params=scenario.params,
                machine=machine,
                latest=LATEST,
            )
    except InfraError:
        return {}
    found: dict[tuple[str, str], list[float]] = {}
    for name, unit, value in rows:
        found.setdefault((name, unit), []).append(value)
    return {figure: tuple(values) for figure, values in found.items()}
