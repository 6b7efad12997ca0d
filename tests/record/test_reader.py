"""Evidence that only some rules look at."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.circuits import Rules
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.errors import InfraError
from testrium.evidence import Sample
from testrium.record.reader import gather_evidence, load_evidence, load_samples, stderr_files
from testrium.record.store import Store, recover

A = Unit("a", 0, "units/a.toml", command=("a",))
SAMPLES = [
    Sample("a", 1, 20, 0.5, 12.5, 1000, 2, 7, 1),
    Sample("b", 1, 15, 0.1, None, 900, 1, 5, 0),
    Sample("a", 1, 10, 0.1, None, 500, 1, 5, 0),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "Data.db"
    with closing(Store(path)) as store:
        store.add_samples(SAMPLES)
    return path


def scenario(unit: Unit, rules: Rules | None = None) -> Scenario:
    return Scenario("g", Group("g", Path("g"), (unit,), rules=rules or Rules()), (unit,))


def test_samples_come_back_in_the_order_of_time(database: Path) -> None:
    assert load_samples(database, ["a"]) == (SAMPLES[2], SAMPLES[0])


def test_samples_are_read_for_units_with_limits_only(database: Path) -> None:
    assert gather_evidence(scenario(A), database).samples == ()
    limited = gather_evidence(scenario(replace(A, max_rss=1)), database)
    assert {sample.unit for sample in limited.samples} == {"a"}


def test_stderr_is_read_where_it_is_judged(database: Path) -> None:
    for name in ("a", "tests", "setup"):
        log = database.parent / "units" / name / "stderr.log"
        log.parent.mkdir(parents=True)
        log.write_bytes(b"said by \xff" + name.encode())
    assert gather_evidence(scenario(A), database).stderr == {}
    strict = gather_evidence(scenario(A, Rules(stderr="forbid")), database)
    assert strict.stderr == {"a": "said by \\xffa", "setup": "said by \\xffsetup"}


def test_units_without_a_log_said_nothing(tmp_path: Path) -> None:
    scenario = Scenario("g", Group("g", tmp_path, (A,)), (A,))
    assert stderr_files(scenario, tmp_path) == {}


def test_a_database_without_samples_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="cannot read"):
        load_samples(tmp_path / "none.db", ["a"])


@pytest.mark.parametrize(
    "code",
    [
        (
            "ALTER TABLE Events RENAME TO Hidden; CREATE VIEW Events AS WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS ID, 'u' AS Unit FROM n"
        ),
        "CREATE TRIGGER t AFTER INSERT ON Events BEGIN DELETE FROM Damages; END",
    ],
)
def test_a_database_that_computes_something_is_refused(tmp_path: Path, code: str) -> None:
    database = tmp_path / "Data.db"
    Store(database).close()
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(code)
    for read in (lambda: load_evidence(database), lambda: recover(tmp_path)):
        with pytest.raises(InfraError, match="is not a database of Testrium: it has a"):
            read()
