"""Runs come back from the history as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testrium.errors import InfraError
from testrium.history.database import FILE, History
from testrium.history.rows import Revision, machine_class
from testrium.words import Verdict
from tests.record.conftest import MEASURES, checkout_result, stored_run


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    failed = checkout_result(verdict=Verdict.FAIL)
    with History(tmp_path) as opened:
        opened.append(
            stored_run("r1", failed, checkout_result("hello")),
            command_line=("testrium", "run", "a b"),
            revision=Revision("c0ffee", dirty=True),
        )
        recorded = opened.last_run()
        assert recorded is not None
        (of_group,) = opened.results(group="checkout")

        assert [one.group for one in opened.results(run="r1")] == ["hello", "checkout"]
    assert recorded.run == "r1"
    assert (recorded.verdict, recorded.exit_code) == (Verdict.FAIL, 1)
    assert (recorded.started, recorded.duration_s) == (1000.0, 2.5)
    assert (recorded.revision, recorded.dirty) == ("c0ffee", True)
    assert recorded.command_line == "testrium run 'a b'"
    assert recorded.verdicts == {Verdict.FAIL: 1, Verdict.PASS: 1}
    assert (of_group.mode, of_group.params, of_group.repeat) == ("INFO", {"size": "2"}, 1)
    assert (of_group.root_code, of_group.root_where) == ("lost", "host:received")
    assert of_group.average_latency_s == 0.0015
    assert of_group.measures == {one.name: one for one in MEASURES}
    assert (of_group.revision, of_group.dirty, of_group.started) == ("c0ffee", True, 1000.0)
    assert of_group.machine == machine_class()


def test_an_empty_history(tmp_path: Path) -> None:
    with History(tmp_path / "new") as opened:
        assert opened.last_run() is None
        assert opened.list_runs() == ()
        assert opened.results(group="checkout") == ()
        assert opened.durations() == {}
        assert opened.notices == ()
    assert (tmp_path / "new" / FILE).stat().st_mode & 0o777 == 0o600


def test_runs_are_listed_the_latest_first(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        for number in (3, 1, 2):
            opened.append(stored_run(f"r{number}", started=number))
        opened.append(stored_run("r4", started=3))  # in the same instant as r3, but later

        assert [one.run for one in opened.list_runs(3)] == ["r4", "r3", "r2"]


def test_a_run_without_results_is_listed(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        opened.append(stored_run("r1", checkout_result(save_metrics=False)))
        (only,) = opened.list_runs()

        assert (only.run, only.verdicts) == ("r1", {})


def test_folders_are_kept_relative_to_the_project(tmp_path: Path) -> None:
    inside = checkout_result()
    group = replace(inside.scenario.group, folder=tmp_path / "groups" / "checkout")
    inside = inside._replace(scenario=inside.scenario._replace(group=group))
    with History(tmp_path / ".testrium") as opened:
        opened.append(stored_run("r1", inside, checkout_result("far")))

        folders = [one.folder for one in opened.results(run="r1")]
    assert folders == ["/home/ada/shop/groups/far", "groups/checkout"]


def test_durations_are_the_mean_of_the_latest_five_that_ran(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        for number in range(1, 8):
            opened.append(stored_run(f"r{number}", checkout_result(duration_s=number)))
        opened.append(stored_run("r8", checkout_result(verdict=Verdict.SKIP, duration_s=0.0)))

        assert opened.durations() == {"checkout": 5.0}


def test_text_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        opened.append(stored_run("r1", checkout_result("a\udc80b")), command_line=("run", "\udc80"))

        assert opened.results(run="r1")[0].group == r"a\udc80b"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"duration_s ", b"duration_x "),  # a column that is not there
        (b"pass", b"paxx"),  # no verdict
    ],
)
def test_a_damage_that_sqlite_does_not_see_is_told(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    """Found by twenty thousand damaged files."""
    with History(tmp_path) as opened:
        opened.append(stored_run("r1", checkout_result()))
    content = (tmp_path / FILE).read_bytes()
    assert before in content
    (tmp_path / FILE).write_bytes(content.replace(before, after))
    with (
        History(tmp_path) as opened,
        pytest.raises(InfraError, match=r"the history .* cannot be used"),
    ):
        opened.list_runs()
