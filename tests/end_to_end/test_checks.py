"""`[[checks]]` through the command line: logs, files, values, reference files, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Outcome, Workplace

APP = {"app": 'entrypoint = "test_case:app"'}


def checks_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    [group] = outcome.report["groups"]
    return {check["name"]: check for check in group["checks"]}


def findings_of(outcome: Outcome) -> list[tuple[str, str, str | None]]:
    [group] = outcome.report["groups"]
    return [(one["code"], one["where"], one["explained_by"]) for one in group["findings"]]


def test_each_subject(workplace: Workplace) -> None:
    workplace.group(
        {"app": 'entrypoint = "test_case:app"\nports = ["http"]'},
        tables="""
        [[checks]]
        name = "log"
        log = "app"
        sequence = ["^up at ${unit.app.port.http}$", "bye"]
        [[checks]]
        name = "json"
        json = "${run.dir}/out.json"
        at = "rows[0].id"
        equals = 7
        [[checks]]
        name = "probe"
        value = "${probe.app.done.rows}"
        equals = 3
        [[checks]]
        name = "absent"
        absent = "out.json"
        [[checks]]
        name = "wrong"
        file = "${run.dir}/out.json"
        lacks = "rows"
        """,
        code="""
        import os

        def app():
            print("up at", os.environ["TESTRIUM_PORT_HTTP"])
            with open(os.environ["TESTRIUM_RUN_DIR"] + "/out.json", "w") as file:
                file.write('{"rows": [{"id": 7}]}')
            print("bye")
            testrium.unit().probe("done", rows=3)
        """,
    )
    outcome = workplace.run("--plain")
    assert outcome.exit_code == 1
    verdicts = {name: check["verdict"] for name, check in checks_of(outcome).items()}
    assert verdicts == dict.fromkeys(("log", "json", "probe", "absent"), "pass") | {"wrong": "fail"}
    assert findings_of(outcome) == [("check", "wrong", None)]
    assert '│ 1: {"rows": [{"id": 7}]}' in outcome.stdout

    # Judged again: with the rules as they are now, on what is there now.
    config = workplace.folder / "group" / "config.toml"
    config.write_text(config.read_text().replace('lacks = "rows"', 'contains = "rows"'))
    # That needs no folder of code.
    (workplace.folder / "testrium.toml").write_text('pythonpath = ["gone"]')
    again = workplace.finish(workplace.start("verify", "--json", "report.json"))
    assert (again.exit_code, findings_of(again)) == (0, [])
    [out] = workplace.folder.glob(".testrium/runs/*/group/out.json")
    out.unlink()
    gone = workplace.finish(workplace.start("verify", "--json", "report.json"))
    assert gone.exit_code == 1
    assert checks_of(gone)["wrong"]["message"] == "run folder/out.json does not exist"


def test_reference_files(workplace: Workplace) -> None:
    group = workplace.group(
        {"app": 'command = ["sh", "-c", "echo at 12:00:01; echo two"]'},
        tables='[[checks]]\nname = "g"\nlog = "app"\ngolden = "ref/out.txt"\n'
        'normalize = "datetime"\n',
    )
    missing = workplace.run("--plain")
    assert "ref/out.txt does not exist: testrium run --update-golden writes it" in missing.stdout
    assert workplace.run("--update-golden").exit_code == 0
    reference = group / "ref" / "out.txt"
    assert reference.read_text() == "at 12:00:01\ntwo\n"

    reference.write_text("at 09:09:09\nTWO\n")
    different = workplace.run("--plain")
    assert (different.exit_code, findings_of(different)) == (1, [("check", "g", None)])
    assert checks_of(different)["g"]["details"][-3:] == [" at <datetime>", "-TWO", "+two"]
    assert "│ -TWO" in different.stdout

    updated = workplace.run("--plain", "--update-golden")
    assert updated.exit_code == 0
    assert "golden: ref/out.txt rewritten, the old one is ref/out.txt.old" in updated.stdout
    assert (group / "ref" / "out.txt.old").read_text() == "at 09:09:09\nTWO\n"
    assert workplace.run().exit_code == 0


def test_a_group_that_failed_rewrites_nothing(workplace: Workplace) -> None:
    group = workplace.group(
        {"app": 'command = ["sh", "-c", "echo half; exit 3"]'},
        tables='[[checks]]\nname = "golden"\nlog = "app"\ngolden = "out.txt"',
    )
    (group / "out.txt").write_text("whole\n")
    outcome = workplace.run("--update-golden")
    assert findings_of(outcome) == [("crash", "app", None), ("check", "golden", "crash app")]
    assert (group / "out.txt").read_text() == "whole\n"


def test_a_dead_unit_explains_its_missing_output(workplace: Workplace) -> None:
    workplace.group(
        {
            "app": 'command = ["sh", "-c", "echo ERROR; exit 3"]\nready = {log = "never"}',
            "late": 'command = ["true"]\nunit_dependencies = ["app"]',
        },
        tables="""
        [[checks]]
        name = "owed"
        log = "app"
        contains = "done"
        [[checks]]
        name = "written"
        log = "app"
        lacks = "ERROR"
        [[checks]]
        name = "never started"
        log = "late"
        contains = "x"
        [[checks]]
        name = "no file"
        exists = "nothing.txt"
        """,
    )
    outcome = workplace.run()
    found = {where: because for _, where, because in findings_of(outcome)}
    assert found == {
        "app": None,
        "late": "crash app",
        "owed": "crash app",
        "written": "crash app",  # it is about this unit alone
        "never started": "notrun late",
        "no file": "crash app",
    }
    message = checks_of(outcome)["never started"]["message"]
    assert message == "late has no output: it was not started, or its logs were removed"


def test_checks_come_before_teardown_and_count_for_the_callback(workplace: Workplace) -> None:
    workplace.group(
        APP,
        tables='[[checks]]\nname = "there"\nexists = "made.txt"\n'
        '[[checks]]\nname = "not there"\nexists = "other.txt"',
        code="""
        from pathlib import Path

        def app():
            Path("made.txt").touch()
            testrium.unit().probe("done")

        def tests_results(data):
            assert data["passed"], "a check has failed"
        """,
        teardown='from pathlib import Path\ndef main():\n    Path("made.txt").unlink()\n',
    )
    outcome = workplace.run()
    assert findings_of(outcome) == [("check", "not there", None), ("test", "tests_results", None)]


def test_a_pattern_without_end_holds_up_no_other_group(workplace: Workplace) -> None:
    """The runner's loop goes on: the other group ends while the pattern still searches."""
    evil = '[[checks]]\nname = "evil"\nlog = "app"\nlacks = "(a+)+$"'
    code = 'def app():\n    print("a" * 50 + "!")\n    testrium.unit().probe("x")\n'
    workplace.group(APP, code, tables=evil, name="evil")
    workplace.group({"app": 'command = ["sleep", "1"]'}, name="other")
    outcome = workplace.run("-j", "2")
    verdicts = {group["id"]: group["verdict"] for group in outcome.report["groups"]}
    assert verdicts == {"evil": "fail", "other": "pass"}
    durations = {group["id"]: group["duration_s"] for group in outcome.report["groups"]}
    assert durations["other"] < durations["evil"]
    [found] = next(group["findings"] for group in outcome.report["groups"] if group["id"] == "evil")
    assert found["message"] == "took more than 2 s of CPU time: is there a pattern that backtracks?"


def test_a_large_log_is_checked_beside_the_loop(workplace: Workplace) -> None:
    workplace.group(
        APP,
        tables='[verify]\nstderr = "forbid"\n'
        '[[checks]]\nname = "all"\nlog = "app"\ncontains = "line"\ncount = "== 400000"',
        code="""
        import sys

        def app():
            sys.stdout.write("a line of text\\n" * 200_000)
            sys.stderr.write("a line of text\\n" * 200_000)
            testrium.unit().probe("done")
        """,
    )
    outcome = workplace.run()
    assert (outcome.exit_code, checks_of(outcome)["all"]["passed"]) == (0, True)


@pytest.mark.parametrize("path", ["units", "/dev/zero", "/nowhere/x", "binary"])
def test_files_that_cannot_be_looked_at(workplace: Workplace, path: str) -> None:
    group = workplace.group(
        {"app": 'command = ["true"]'},
        tables=f'[[checks]]\nname = "c"\nfile = "{path}"\ncontains = "nope"',
    )  # fmt: skip
    Path(group / "binary").write_bytes(b"\xff\x00\x1b[2J\n")
    outcome = workplace.run("--plain")
    expected = {
        "units": "is a folder",
        "/dev/zero": "is not a regular file",
        "/nowhere/x": "does not exist",
        "binary": "no line matches 'nope'",
    }
    assert expected[path] in checks_of(outcome)["c"]["message"]
    assert "\x1b[2J" not in outcome.stdout
