from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from unittest.mock import Mock

import pytest

from testrium.errors import InfraError
from testrium.evidence import Damage, End, EndCause, Event, Evidence, Leak, TestResult, UnitState
from testrium.record.database import Reading, insert_events, make_tables, open_database
from testrium.record.reader import load_evidence
from testrium.record.store import Store


def event(number: int, step: str = "s", **fields: object) -> Event:
    made = Event(
        id=number,
        unit="a",
        step=step,
        type="Send",
        key="k\x00ey",
        cause=("c1", "c2"),
        t_ns=10**15,
        t_low_ns=10**14,
        wall_ns=1_700_000_000_123_456_789,
        domain="clock",
        pid=77,
        seq=3,
        start=2,
        attempt=1,
        owner="b",
        meta={"text": "größe", "list": [1, None]},
    )
    return made._replace(**fields)  # type: ignore[arg-type]


def reading(made: Event) -> Reading:
    meta = '{"text":"größe","list":[1,null]}' if made.meta else None
    return made, '["c1","c2"]' if made.cause else None, meta


def stored(path: Path, *events: Event) -> Store:
    store = Store(path)
    store.append([reading(made) for made in events])
    return store


def test_evidence_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    events = (event(1), event(2, key=None, cause=(), meta={}, seq=None, t_low_ns=None))
    ends = (
        End("a", EndCause.SELF, UnitState.FAILED, 5, None, "SIGSEGV", 2, 1, True, 1, 2, 3, "died"),
        End(
            "b",
            EndCause.NOTRUN,
            UnitState.CREATED,
            blocked_by="a",
            leaks=(Leak(9, "sleep 99"),),
            last_lines=("one", "zwei\udcff"),
            message="lone \udcff",
        ),
    )
    tests = (TestResult("test_x", False, 0.5, "no", "Traceback \udcff"),)
    with closing(stored(tmp_path / "Data.db", *events)) as store:
        store.append((), [("a", "torn", "{", 1)])
        store.store_results([ends[0]], ())
        store.store_results(ends, tests)
        store.store_meta(
            {"attempt": 1, "started_ns": 4, "ended_ns": 5, "infra": "x", "interrupted": True}
        )
    assert load_evidence(tmp_path / "Data.db") == Evidence(
        events=events,
        ends=(
            ends[0],
            End(
                "b",
                EndCause.NOTRUN,
                UnitState.CREATED,
                blocked_by="a",
                leaks=(Leak(9, "sleep 99"),),
                last_lines=("one", "zwei\udcff"),
                message="lone \\udcff",
            ),
        ),
        damages=(Damage("a", "torn", "{", 1),),
        tests=(TestResult("test_x", False, 0.5, "no", "Traceback \\udcff"),),
        attempt=1,
        started_ns=4,
        ended_ns=5,
        infra="x",
        interrupted=True,
    )


def test_equal_names_are_one_object(tmp_path: Path) -> None:
    unit = "a-long-name"
    stored(tmp_path / "Data.db", *(event(i, unit=unit) for i in (1, 2))).close()
    first, second = load_evidence(tmp_path / "Data.db").events
    assert first.unit is second.unit
    assert first.domain is second.domain


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with closing(stored(tmp_path / "Data.db", event(1))) as store:
        assert len(load_evidence(tmp_path / "Data.db").events) == 1
        store.append([reading(event(2))])
        assert len(load_evidence(tmp_path / "Data.db").events) == 2


def test_nothing_lies_beside_it_when_it_is_closed_and_read(tmp_path: Path) -> None:
    stored(tmp_path / "Data.db", event(1)).close()
    assert len(load_evidence(tmp_path / "Data.db").events) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["Data.db"]


def test_it_can_be_read_after_a_killed_writer_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with closing(stored(tmp_path / "run" / "Data.db", event(1))):
        shutil.copytree(tmp_path / "run", tmp_path / "moved")  # with its WAL, as a kill leaves it
    assert (tmp_path / "moved" / "Data.db-wal").stat().st_size > 0
    assert len(load_evidence(tmp_path / "moved" / "Data.db").events) == 1


def test_ids_continue_where_they_were(tmp_path: Path) -> None:
    stored(tmp_path / "Data.db", event(1), event(2)).close()
    with closing(Store(tmp_path / "Data.db")) as store:
        assert store.next_id == 3


def test_nothing_is_stored_of_a_batch_that_fails(tmp_path: Path) -> None:
    with closing(stored(tmp_path / "Data.db", event(1))) as store:
        with pytest.raises(InfraError, match="UNIQUE"):
            store.append([reading(event(2)), reading(event(1))])
        assert [made.id for made in load_evidence(tmp_path / "Data.db").events] == [1]
        store.append([reading(event(2))])
    assert [made.id for made in load_evidence(tmp_path / "Data.db").events] == [1, 2]


def test_rows_of_users_who_know_only_the_classic_columns(tmp_path: Path) -> None:
    stored(tmp_path / "Data.db", event(1)).close()
    with closing(sqlite3.connect(tmp_path / "Data.db")) as connection, connection:
        connection.execute(
            "INSERT INTO Events (Unit, StepCompleted, EventType, EventKey, Time, Metadata)"
            " VALUES ('a', 's', 'Default', '', 1.5, '{}')"
        )
    _, row = load_evidence(tmp_path / "Data.db").events
    assert (row.key, row.cause, dict(row.meta)) == (None, (), {})
    assert (row.t_ns, row.wall_ns, row.domain) == (1_500_000_000, 1_500_000_000, "wall clock")
    assert (row.start, row.attempt, row.owner, row.pid, row.seq) == (1, 1, "a", 0, None)


def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="does not exist"):
        load_evidence(tmp_path / "Data.db")
    (tmp_path / "Data.db").write_bytes(b"no database" * 100)
    with pytest.raises(InfraError, match="cannot read"):
        load_evidence(tmp_path / "Data.db")
    with pytest.raises(InfraError, match="cannot open"):
        Store(tmp_path / "Data.db")
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(InfraError, match="not a database of Testrium"):
        load_evidence(tmp_path / "empty.db")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "Data.db").close()
    with closing(sqlite3.connect(tmp_path / "Data.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InfraError, match="newer Testrium"):
        load_evidence(tmp_path / "Data.db")
    with pytest.raises(InfraError, match="newer Testrium"):
        Store(tmp_path / "Data.db")


def test_an_ancestors_file_gets_the_missing_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "Data.db")
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE Events (ID INTEGER PRIMARY KEY AUTOINCREMENT, Unit TEXT,"
            " StepCompleted TEXT, EventType TEXT, EventKey TEXT, Time NUMBER, Metadata TEXT)"
        )
        old.execute("INSERT INTO Events VALUES (7, 'a', 's', 'Default', '', 1.5, '{}')")
    with closing(open_database(path, "persist")) as connection:
        insert_events(connection, [reading(event(8))])
    assert [made.id for made in load_evidence(tmp_path / "Data.db").events] == [7, 8]


ROW: tuple[Any, ...] = ("u", "s", "Default", None, (), 5, None, 7, "clock", 1, 2, 1, 1, "u", {})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {1: "o'clock", 9: "'; DROP TABLE Events; --", 14: "it's"},
        {4: "k\0'", 5: ("a",), 7: 3},
        {3: "Send", 4: "k", 10: -3, 11: None},
    ],
)
@pytest.mark.parametrize("each", [1, 3])
def test_rows_that_have_much_in_common_are_stored_as_they_are(
    changed: dict[int, Any], each: int
) -> None:
    readings: list[Reading] = []
    for number in range(1, 65):
        fields = [number, *ROW]
        for place, value in changed.items() if number % each == 0 else ():
            fields[place] = value
        cause = '["a"]' if fields[5] else None
        readings.append((tuple(fields), cause, '{"a": "\'"}' if number % 7 == 0 else None))
    stored = []
    for batches in ([readings], [[one] for one in readings]):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            make_tables(connection)
            for batch in batches:
                insert_events(connection, batch)
            stored.append(connection.execute("SELECT * FROM Events").fetchall())
    assert stored[0] == stored[1]
    assert len(stored[0]) == 64


def test_values_that_all_rows_share_are_not_bound_for_each() -> None:
    readings: list[Reading] = [((number, *ROW), None, None) for number in range(1, 65)]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        make_tables(connection)
        bound = Mock(wraps=connection)
        insert_events(bound, readings)
        (count,) = connection.execute("SELECT count(*) FROM Events").fetchone()
    statement, _ = bound.executemany.call_args_list[0].args
    assert (count, statement.count("?")) == (64, 6)  # ID, step, two times, Seq; WallNs twice


def test_every_column_has_its_comment() -> None:
    schema = Path(__file__).parents[2] / "testrium" / "record" / "schema.sql"
    inside = False
    for line in schema.read_text().splitlines():
        if line.startswith("CREATE TABLE"):
            inside = True
        elif line.startswith(")"):
            inside = False
        elif inside:
            name = line.split()[0]
            obvious = name in ("ID", "Name", "Unit", "TestGroup", "StartedNs", "ReadyNs")
            assert "--" in line or obvious or name in ("EndedNs", "Traceback"), line


def test_a_file_from_before_metrics_is_read(tmp_path: Path) -> None:
    database = tmp_path / "Data.db"
    Store(database).close()
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE Metrics")
    connection.close()
    assert load_evidence(database).metrics == ()


def test_a_store_begins_as_a_file_to_which_the_schema_was_applied(tmp_path: Path) -> None:
    def read(name: str, mode: Literal["wal", "persist"]) -> list[object]:
        with closing(open_database(str(tmp_path / name), mode)) as connection:
            return [
                connection.execute(query).fetchall()
                for query in (
                    "SELECT type, name, sql FROM sqlite_schema",
                    "PRAGMA user_version",
                    "PRAGMA integrity_check",
                )
            ]

    assert read("copied", "wal") == read("made", "persist")
    with closing(sqlite3.connect(tmp_path / "copied")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
