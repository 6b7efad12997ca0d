"""Which earlier results a figure is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.groups import Scenario
from testrium.history import database
from testrium.history.database import FILE, History, read_baseline
from testrium.results import GroupResult, Measure
from testrium.words import Verdict
from tests.record.conftest import checkout_result, stored_run


def with_value(value: float, verdict: Verdict = Verdict.PASS, **changes: object) -> GroupResult:
    made = checkout_result(verdict=verdict)
    measures = (Measure("rate", value, "1/s", "reported"),)
    judgement = made.judgement._replace(measures=measures)
    scenario = made.scenario._replace(**changes)  # type: ignore[arg-type]
    return made._replace(judgement=judgement, scenario=scenario)


def values(state_folder: Path, run_id: str, scenario: Scenario) -> tuple[float, ...]:
    return read_baseline(state_folder, scenario, run_id).get(("rate", "1/s"), ())


def test_what_an_earlier_run_must_be_to_count(tmp_path: Path) -> None:
    scenario = with_value(0).scenario
    unscored = with_value(7)
    group = replace(unscored.scenario.group, save_scores=False)
    unscored = unscored._replace(scenario=unscored.scenario._replace(group=group))
    with History(tmp_path) as opened:
        opened.append(stored_run("r1", with_value(1), with_value(2, repeat=2)))
        opened.append(stored_run("r2", with_value(3, Verdict.FAIL), with_value(4, mode="DEBUG")))
        opened.append(
            stored_run("r3", with_value(5, params={"size": "3"}), with_value(6, id="other"))
        )
        opened.append(stored_run("r4", unscored))
        opened.append(stored_run("r5", with_value(8)))

    assert values(tmp_path, "new", scenario) == (8, 6, 2, 1)
    assert values(tmp_path, "r5", scenario) == (6, 2, 1)
    assert values(tmp_path, "r1", scenario) == ()
    assert values(tmp_path, "new", unscored.scenario) == (7,)


def test_only_the_latest_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LATEST", 2)
    with History(tmp_path) as opened:
        for number in range(5):
            opened.append(stored_run(f"r{number}", with_value(number)))

    assert values(tmp_path, "new", with_value(0).scenario) == (4, 3)


def test_what_was_accepted_begins_anew(tmp_path: Path) -> None:
    with History(tmp_path) as opened:
        opened.append(stored_run("r1", with_value(1)))
        (stored,) = opened.results()
        opened.accept(stored.folder, 1000.0)
        opened.accept("nobody", 1000.0)
        opened.append(stored_run("r2", with_value(2)))

    assert values(tmp_path, "new", with_value(0).scenario) == (2,)


def test_without_a_history_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert values(tmp_path, "new", with_value(0).scenario) == ()
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).mkdir()
    assert values(tmp_path, "new", with_value(0).scenario) == ()
