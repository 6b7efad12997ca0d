from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.errors import (
    ConfigError,
    ExitCode,
    InfraError,
    NoGroupsError,
    Problem,
    UsageError,
)
from testrium.evidence import Event, UnitState
from testrium.report.writer import Fanout, Writer, WriterFailedError, Writers, refused
from testrium.results import Awaited, GroupResult, RunResult
from testrium.words import Verdict

SCENARIO = Scenario("shop", Group("shop", Path("/shop"), ()), ())
GROUP = GroupResult(SCENARIO, Verdict.PASS)
RUN = RunResult("r-1", Verdict.PASS, ExitCode.SUCCESS, 0.1, groups=(GROUP,))


class Watcher(Writer):
    """Writes down what it is told, and breaks where it shall."""

    def __init__(self, breaks_at: str = "", error: type[Exception] = InfraError) -> None:
        super().__init__(None, Path())
        self.heard: list[str] = []
        self.breaks_at = breaks_at
        self.error = error

    def hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self.breaks_at:
            raise self.error(f"broken at {what}")

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        self.hear(f"run_started {run} {len(scenarios)}")

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        self.hear(f"group_started {scenario.id}")

    def group_placed(self, scenario: Scenario, host: str) -> None:
        self.hear(f"group_placed {host}")

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        self.hear(f"unit_changed {unit} {state}")

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        self.hear("events_stored")

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:
        self.hear("unit_output")

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        self.hear("waiting")

    def notice(self, text: str | Problem) -> None:
        self.hear(f"notice {text}")

    def group_ended(self, result: GroupResult) -> None:
        self.hear(f"group_ended {result.scenario.id}")

    def run_ended(self, result: RunResult) -> None:
        self.hear(f"run_ended {result.verdict}")


def whole_run(console: Watcher, writers: Writers) -> None:
    fanout = Fanout(console, writers)
    fanout.run_started("r-1", (SCENARIO,))
    fanout.group_started(SCENARIO, Path("/run"))
    fanout.unit_changed(SCENARIO, "a", UnitState.READY)
    fanout.events_stored(SCENARIO, ())
    fanout.waiting(SCENARIO, None)
    fanout.unit_output(SCENARIO, "a", "text")
    fanout.notice("careful")
    fanout.group_ended(GROUP)
    writers.finish(RUN)


TOLD = ["run_started r-1 1", "group_started shop", "unit_changed a ready"]
TOLD += ["notice careful", "group_ended shop", "run_ended pass"]


def test_everybody_is_told_everything_in_order() -> None:
    console, first, second = Watcher(), Watcher(), Watcher()
    whole_run(console, Writers((first, second), console.notice))

    assert first.heard == second.heard == TOLD
    assert [told for told in console.heard if told not in TOLD] == [
        "events_stored",
        "waiting",
        "unit_output",
    ]


def test_a_writer_that_fails_is_left_out_and_told_at_the_end() -> None:
    console, healthy = Watcher(), Watcher()
    early, late = Watcher("group_started shop"), Watcher("run_ended pass")
    writers = Writers((early, healthy, late), console.notice)
    with pytest.raises(InfraError, match="broken at group_started shop"):
        whole_run(console, writers)

    assert healthy.heard == TOLD
    assert early.heard[-1] == "group_started shop"
    assert console.heard[-1] == "notice broken at run_ended pass"


def test_a_defect_in_a_writer_costs_no_other_report() -> None:
    console, healthy = Watcher(), Watcher()
    writers = Writers((Watcher("run_ended pass", ValueError), healthy), console.notice)
    with pytest.raises(ValueError, match="broken at run_ended pass"):
        whole_run(console, writers)

    assert healthy.heard == TOLD


def test_a_failing_writer_of_a_plugin_costs_a_notice() -> None:
    console, healthy = Watcher(), Watcher()
    theirs = Watcher("group_started shop", WriterFailedError)
    whole_run(console, Writers((theirs, healthy), console.notice))

    assert healthy.heard == TOLD
    assert theirs.heard[-1] == "group_started shop"
    assert console.heard[2] == "notice broken at group_started shop"


@pytest.mark.parametrize(
    ("error", "code", "problems"),
    [
        (ConfigError((Problem("f", 1, "k", "m"),)), 3, (Problem("f", 1, "k", "m"),)),
        (UsageError("no such path"), 3, (Problem("", None, "", "no such path"),)),
        (NoGroupsError("no group"), 2, (Problem("", None, "", "no group"),)),
        (InfraError("no disk"), 5, (Problem("", None, "", "no disk"),)),
    ],
)
def test_a_run_that_was_not_started_has_a_result(
    error: ConfigError, code: int, problems: tuple[Problem, ...]
) -> None:
    result = refused(error)

    assert (result.verdict, result.exit_code, result.errors) == ("error", code, problems)


def test_refusing_never_hides_the_reason() -> None:
    console = Watcher()
    writers = Writers((Watcher("run_ended error"),), console.notice)
    writers.refuse(UsageError("no such path"))

    assert console.heard == ["notice broken at run_ended error"]


def test_a_run_that_is_over_is_told_again() -> None:
    watcher = Watcher()
    Writers((watcher,), watcher.notice).replay(RUN)

    assert watcher.heard == ["run_started r-1 1", "group_ended shop", "run_ended pass"]
