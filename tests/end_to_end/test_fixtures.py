"""Fixtures: started before the units that need them, shared, blamed, started again, stopped."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

#: Tells its pid and a port; the line in `starts` counts its starts.
SERVICE = """\
import os, signal, testrium

def main():
    with open(os.path.join(os.path.dirname(__file__), "starts"), "a") as file:
        file.write("started\\n")
    print("hello from db", flush=True)
    testrium.unit().probe("ready", owner=os.getpid())
    while True:
        signal.pause()
"""
FIXTURE = '["db"]\nentrypoint = "db:main"\nports = ["sql"]\n'
#: A unit that tells what it was given.
UNIT = 'entrypoint = "test_case:main"\nenv = {OWNER = "${fixture.db.value.owner}"}'
TELLS = """
import os
def main():
    port = os.environ["TESTRIUM_FIXTURE_DB_PORT_SQL"]
    testrium.unit().probe("told", owner=int(os.environ["OWNER"]), port=port)
"""
#: A unit that kills the fixture, and waits for what will not come.
KILLS = """
import os, signal, time
def main():
    testrium.unit().probe("begun")
    os.kill(int(os.environ["OWNER"]), signal.SIGKILL)
    time.sleep(60)
"""


def write_fixture(workplace: Workplace, keys: str = "", code: str = SERVICE) -> None:
    text = FIXTURE + keys
    if "ready" not in keys:
        text += 'ready_event = "ready"\n'
    workplace.write(workplace.folder / "fixtures/db.toml", text)
    workplace.write(workplace.folder / "fixtures/db.py", code)


def write_group(workplace: Workplace, name: str, code: str = TELLS, unit: str = UNIT) -> None:
    configs = 'timeout = 20\nfixtures = ["db"]'
    workplace.group({"asker": unit}, code, configs=configs, name=name)


def starts(workplace: Workplace) -> int:
    return len((workplace.folder / "fixtures/starts").read_text().splitlines())


def told(outcome: Outcome) -> list[tuple[int, str]]:
    """Of each group: the pid and the port of the fixture that its unit was told."""
    found = []
    for group in outcome.report["groups"]:
        with sqlite3.connect(Path(group["run_dir"]) / "Data.db") as store:
            sql = (
                "SELECT json_extract(Metadata, '$.owner'), json_extract(Metadata, '$.port')"
                " FROM Events WHERE StepCompleted = 'told'"
            )
            found += store.execute(sql).fetchall()
    return found


def findings(group: dict[str, object]) -> list[tuple[str, str, object]]:
    listed = group["findings"]
    assert isinstance(listed, list)
    return [(each["code"], each["where"], each["explained_by"]) for each in listed]


def test_groups_share_one_also_side_by_side(workplace: Workplace) -> None:
    write_fixture(workplace)
    for name in ("a", "b", "c"):
        write_group(workplace, name)
    outcome = workplace.run("-j", "2")
    assert outcome.exit_code == 0, outcome.stdout
    assert starts(workplace) == 1
    assert len(set(told(outcome))) == 1
    assert len(told(outcome)) == 3
    states = {
        unit["name"]: unit["state"] for group in outcome.report["groups"] for unit in group["units"]
    }
    assert states == {"fixture.db": "stopped", "asker": "finished"}
    shared = Path(outcome.report["groups"][0]["run_dir"]).parent / "fixtures/db/units/fixture.db"
    assert (shared / "stdout.log").read_text() == "hello from db\n"


def test_each_group_has_its_own_with_scope_group(workplace: Workplace) -> None:
    write_fixture(workplace, 'scope = "group"\n')
    for name in ("a", "b"):
        write_group(workplace, name)
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout
    assert starts(workplace) == 2
    assert len({pid for pid, _ in told(outcome)}) == 2


def test_one_that_is_not_ready_fails_all_groups_that_need_it_and_no_others(
    workplace: Workplace,
) -> None:
    never = SERVICE.replace('testrium.unit().probe("ready", owner=os.getpid())', "pass")
    write_fixture(workplace, 'ready_event = "ready"\nready_timeout = 0.3\n', never)
    for name in ("a", "b"):
        write_group(workplace, name)
    workplace.group({"alone": 'command = ["true"]'}, name="c")
    outcome = workplace.run("-j", "1")
    assert outcome.exit_code == 1
    assert starts(workplace) == 1  # it is not tried again
    verdicts = [group["verdict"] for group in outcome.report["groups"]]
    assert verdicts == ["fail", "fail", "pass"]
    for group in outcome.report["groups"][:2]:
        assert findings(group) == [
            ("unready", "fixture.db", None),
            ("notrun", "asker", "unready fixture.db"),
        ]
    assert outcome.stdout.count("hello from db") == 2


def test_one_that_dies_explains_the_losses_and_the_next_group_gets_a_new_one(
    workplace: Workplace,
) -> None:
    write_fixture(workplace)
    write_group(workplace, "a", KILLS, UNIT + '\nevents = ["done"]')
    write_group(workplace, "b")
    outcome = workplace.run("-j", "1")
    first, second = outcome.report["groups"]
    assert findings(first)[0] == ("crash", "fixture.db", None)
    assert {cause for _, _, cause in findings(first)[1:]} <= {"crash fixture.db"}
    assert second["verdict"] == "pass", outcome.stdout
    assert starts(workplace) == 2
    log = Path(first["run_dir"]) / "units/fixture.db/stdout.log"
    assert log.read_text() == "hello from db\n"


def test_it_is_restarted_at_most_as_often_as_allowed(workplace: Workplace) -> None:
    write_fixture(workplace, 'restarts = 0\nready_event = "ready"\n')
    write_group(workplace, "a", KILLS)
    write_group(workplace, "b")
    outcome = workplace.run("-j", "1")
    assert [findings(group)[0] for group in outcome.report["groups"]] == [
        ("crash", "fixture.db", None),
        ("crash", "fixture.db", None),
    ]
    assert starts(workplace) == 1


def test_test_functions_wait_for_it_too(workplace: Workplace) -> None:
    write_fixture(workplace)
    tests = """
import os, sqlite3
def test_it_runs():
    with sqlite3.connect(os.environ["TESTRIUM_EVENT_DB"]) as store:
        sql = "SELECT StepCompleted FROM Events WHERE Unit = 'fixture.db'"
        assert store.execute(sql).fetchall() == [("ready",)]
"""
    write_group(workplace, "a", tests, "quiet = true")
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout


def test_nothing_of_it_is_kept_with_keep_none(workplace: Workplace) -> None:
    write_fixture(workplace)
    write_group(workplace, "a")
    outcome = workplace.run("--keep", "none")
    assert outcome.exit_code == 0, outcome.stdout
    assert not any(workplace.folder.glob(".testrium/runs/*/fixtures"))


def test_two_of_one_name_in_two_folders_are_two(workplace: Workplace) -> None:
    for folder in ("x", "y"):
        workplace.write(
            workplace.folder / folder / "fixtures/db.toml", FIXTURE + 'ready_event = "ready"\n'
        )
        workplace.write(workplace.folder / folder / "fixtures/db.py", SERVICE)
        write_group(workplace, f"{folder}/g")
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout
    assert len(set(told(outcome))) == 2


def test_a_run_without_fixtures_does_not_import_them(workplace: Workplace) -> None:
    workplace.group({"alone": 'command = ["true"]'})
    workplace.env |= {"PYTHONPROFILEIMPORTTIME": "1"}
    outcome = workplace.run()
    assert outcome.exit_code == 0
    assert "testrium.run.group" in outcome.stderr
    assert "fixtures" not in outcome.stderr.replace(os.fspath(workplace.folder), "")
