"""From the evidence of a group to its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.judging import group
from testrium.record.store import Store
from testrium.report.json_report import group_json
from testrium.results import GroupResult
from testrium.words import Place


@pytest.fixture
def lossy(tmp_path: Path) -> GroupResult:
    """Eleven thousand keys, each of which is lost after its first hop."""
    sender = Unit("a", 0, "units/a.toml", command=("a",))
    taker = Unit("b", 0, "units/b.toml", command=("b",))
    hops = tuple((Hop(f"{unit}:x", (Place(unit, "x"),)),) for unit in ("a", "b"))
    declared = Group("g", tmp_path, (sender, taker), circuits=(Circuit("way", hops),))
    database = tmp_path / "runs" / "r" / "g" / "Data.db"
    database.parent.mkdir(parents=True)
    store = Store(database)
    store._execute(
        "INSERT INTO Events (Unit, StepCompleted, EventType, EventKey, TimeNs, Pid, Attempt, Owner)"
        " VALUES ('a', 'x', 'Send', ?, ?, 1, 1, 'a')",
        [(f"order-{number}", number) for number in range(11_000)],
    )
    store.store_meta({"attempt": 1, "started_ns": 0, "ended_ns": 10**9})
    store.close()
    scenario = Scenario("g", declared, (sender, taker))
    return group.judged(scenario, database, tmp_path / "runs" / "r")


def test_of_very_many_keys_the_first_are_kept_and_all_are_counted(lossy: GroupResult) -> None:
    finding = next(one for one in lossy.judgement.findings if one.code == "lost")
    assert len(finding.keys) == group.MOST_KEYS
    assert finding.number_of_keys == 11_000
    told = next(one for one in group_json(lossy)["findings"] if one["code"] == "lost")
    assert (len(told["keys"]), told["key_count"]) == (group.MOST_KEYS, 11_000)


def test_long_keys_are_bounded_by_their_text(lossy: GroupResult) -> None:
    finding = lossy.judgement.findings[0]._replace(keys=("k" * 100_001,) * 5)
    assert len(group._bounded(finding).keys) == 1
    assert group._bounded(finding).number_of_keys == 5


def test_a_group_without_much_evidence_is_judged_quickly_and_a_big_one_is_not(
    lossy: GroupResult, tmp_path: Path
) -> None:
    judge = group.GroupJudge(update_golden=False, notice=lambda _: None)
    empty = tmp_path / "Data.db"
    Store(empty).close()
    assert judge.is_quick(lossy.scenario, empty)
    assert not judge.is_quick(lossy.scenario, tmp_path / "runs" / "r" / "g" / "Data.db")
