"""The checks of a group, made on a run's folder; without a runner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from testrium.checks.patterns import TookTooLongError
from testrium.declared.checks import Check
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import CheckResult
from testrium.judging.checks import make_checks, weight
from testrium.record.store import Store

API = Unit("api", 0, "units/api.toml", command=("api",), ports=("http",))
EVIL = Check("evil", value="a" * 60 + "!", lacks=("(a+)+$",))


class Run:
    """A run's folder with a store, and a group's folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.group = folder / "group"
        self.folder = folder / "run"
        self.logs = self.folder / "units" / "api"
        self.group.mkdir()
        self.logs.mkdir(parents=True)
        self.database = self.folder / "Data.db"
        store = Store(self.database)
        store.store_meta({"ports": {"api": {"http": 8080}}, "attempt": 2})
        for attempt, port in ((1, 1), (2, 2), (2, 3)):
            store._execute(
                "INSERT INTO Events (Unit, StepCompleted, EventType, Metadata, Attempt)"
                " VALUES ('api', 'up', 'Default', ?, ?)",
                [(f'{{"port": {port}, "ok": true}}', attempt)],
            )
        store.close()

    def scenario(self, *checks: Check) -> Scenario:
        group = Group("g", self.group, (API,), checks=checks, env={"MINE": "yes"})
        return Scenario("g", group, (API,), values={"param.size": "7"})

    def made(self, *checks: Check, **options: Any) -> tuple[CheckResult, ...]:
        return make_checks(self.scenario(*checks), self.database, **options).results

    def value(self, text: str) -> CheckResult:
        [result] = self.made(Check("c", value=text, equals=("?",)))
        return result


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${unit.api.port.http}", "8080"),
        ("${param.size}/${mode}", "7/DEBUG"),
        ("${env.MINE}", "yes"),
        ("$$HOME", "$HOME"),
        # The first one of the last attempt; what is no text as JSON writes it.
        ("${probe.api.up.port}", "2"),
        ("${probe.api.up.ok}", "true"),
    ],
)
def test_references(run: Run, text: str, value: str) -> None:
    assert run.value(text).message == f'the value is "{value}", expected "?"'


@pytest.mark.parametrize(
    ("text", "message", "owed"),
    [
        ("${probe.api.down.x}", "${probe.api.down.x}: no probe api:down was emitted", "probe"),
        ("${probe.api.up.x}", "${probe.api.up.x}: the probe api:up has no field 'x'", "probe"),
        ("${unit.db.port.x}", "${unit.db.port.x}: the run has not stored it", "output"),
    ],
)
def test_references_without_a_value(run: Run, text: str, message: str, owed: str) -> None:
    result = run.value(text)
    assert (result.message, result.owed) == (message, owed)
    assert result.unit == ("api" if owed == "probe" else None)


def test_paths_are_below_the_groups_folder(run: Run) -> None:
    (run.group / "a.txt").write_text("in the group")
    (run.folder / "a.txt").write_text("in the run")
    results = run.made(
        Check("group", file="a.txt", contains=("in the group",)),
        Check("run", file="${run.dir}/a.txt", contains=("x",)),
        Check("absolute", exists=str(run.folder)),
    )
    assert [result.passed for result in results] == [True, False, True]
    assert results[1].message == "run folder/a.txt: no line matches 'x'"


def test_the_output_of_a_unit(run: Run) -> None:
    check = Check("c", log="api", lacks=("a",))
    [nothing] = run.made(check)
    assert (nothing.unit, nothing.owed) == ("api", "output")
    (run.logs / "stdout.log").touch()
    (run.logs / "stderr.log").write_text("warn\n")
    [result] = run.made(check)
    assert (result.details, result.owed) == (("1: warn",), "")
    (run.logs / "stdout.log").write_text("say\n")
    [both] = run.made(check)
    assert both.details == ("stdout:1: say", "stderr:1: warn")


def test_an_unreadable_file_does_not_crash_the_check(run: Run) -> None:
    os.mkfifo(run.group / "pipe")
    (run.group / "loop").symlink_to("loop")
    (run.group / "bad.json").write_bytes(b"\xff{")
    results = run.made(
        Check("pipe", file="pipe", lacks=("x",)),
        Check("loop", file="loop", lacks=("x",)),
        Check("exists", exists="loop"),
        Check("json", json="bad.json"),
        Check("name", file="a" * 5000, lacks=("x",)),
    )
    assert [result.passed for result in results] == [False, False, True, False, False]
    assert all(result.message for result in results if not result.passed)


# The error may come while a callback of the garbage collector runs (Hypothesis has one).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_check_without_end(run: Run) -> None:
    good = Check("good", value="x", equals=("x",))
    evil, after = run.made(EVIL, good, limit_s=0.05)
    assert evil.message == "took more than 0.05 s of CPU time: is there a pattern that backtracks?"
    assert after.passed
    with pytest.raises(TookTooLongError):
        run.made(EVIL, limit_s=0.05, hurried=True)


def test_weight(run: Run) -> None:
    (run.logs / "stdout.log").write_bytes(b"x" * 1000)
    (run.group / "f").write_bytes(b"x" * 200)
    checks = (
        Check("a", log="api", lacks=("y",)),
        Check("b", file="f", lacks=("y",)),
        Check("c", file="none", lacks=("y",)),
        Check("d", file="${probe.api.down.x}", lacks=("y",)),
        Check("e", value="f", lacks=("y",)),
    )
    assert weight(run.scenario(*checks), run.database) == 1200


def test_json_references_do_not_care_for_order(run: Run) -> None:
    (run.group / "out.json").write_text('{"b": 1, "a": {"t": "12:00"}}')
    (run.group / "ref.json").write_text('{"a": {"t": "13:00"},\n"b": 1}')
    check = Check("c", json="out.json", golden="ref.json")
    [different] = run.made(check)
    assert different.details[-7:] == (
        " {",
        '   "a": {',
        '-    "t": "13:00"',
        '+    "t": "12:00"',
        "   },",
        '   "b": 1',
        " }",
    )
    made = make_checks(run.scenario(check), run.database, update_golden=True)
    assert made.notices == ("golden: ref.json rewritten, the old one is ref.json.old",)
    assert run.made(check)[0].passed


def test_no_old_reference_is_lost(run: Run) -> None:
    (run.group / "ref").write_text("0\n")
    for number in "123":
        check = Check("c", value=number, golden="ref")
        assert make_checks(run.scenario(check), run.database, update_golden=True).results[0].passed
    kept = {path.name: path.read_text() for path in run.group.iterdir()}
    assert kept == {"ref": "3\n", "ref.old": "0\n", "ref.old2": "1\n", "ref.old3": "2\n"}


def test_a_store_of_an_older_testrium(run: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "run" / "Old.db")
    store.close()
    check = Check("c", value="${unit.api.port.http}", equals=("x",))
    [result] = make_checks(run.scenario(check), tmp_path / "run" / "Old.db").results
    assert result.message == "${unit.api.port.http}: the run has not stored it"
