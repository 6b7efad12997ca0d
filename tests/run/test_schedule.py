from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.run import schedule
from testrium.run.schedule import Turn, may_start, run_scheduled, usable_cores


def scenario(name: str, *, folder: str | None = None, exclusive: bool = False) -> Scenario:
    group = Group(name, Path("/groups") / (folder or name), (), exclusive=exclusive)
    return Scenario(name, group, ())


class Stopwatch:
    """Runs scenarios that take one turn of the loop each and notes who ran beside whom."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.beside: list[set[str]] = []
        self.started: list[str] = []

    async def run(self, scenario: Scenario, _: Turn) -> str:
        self.started.append(scenario.id)
        self.running.add(scenario.id)
        self.beside.append(set(self.running))
        await asyncio.sleep(0)
        self.running.discard(scenario.id)
        return scenario.id


def schedule_all(*scenarios: Scenario, jobs: int, stop_after: int = 99) -> Stopwatch:
    watch = Stopwatch()
    results = asyncio.run(
        run_scheduled(scenarios, watch.run, jobs=jobs, stop=lambda done: len(done) >= stop_after)
    )
    assert results == [s.id for s in scenarios if s.id in watch.started]
    return watch


def test_groups_run_side_by_side_up_to_the_number_of_jobs() -> None:
    watch = schedule_all(*map(scenario, "abcd"), jobs=2)
    assert max(map(len, watch.beside)) == 2
    assert watch.started == ["a", "b", "c", "d"]


def test_results_of_one_group_never_run_side_by_side() -> None:
    watch = schedule_all(
        scenario("a@DEBUG", folder="a"), scenario("a@INFO", folder="a"), scenario("b"), jobs=3
    )
    assert not any({"a@DEBUG", "a@INFO"} <= beside for beside in watch.beside)
    assert {"a@DEBUG", "b"} in watch.beside


def test_an_exclusive_group_runs_alone_and_is_not_overtaken() -> None:
    watch = schedule_all(scenario("a"), scenario("b", exclusive=True), scenario("c"), jobs=3)
    assert {"b"} in watch.beside
    assert all(len(beside) == 1 for beside in watch.beside if "b" in beside)
    assert watch.started == ["a", "b", "c"]


def test_nothing_begins_once_stop_is_asked() -> None:
    watch = schedule_all(*map(scenario, "abc"), jobs=1, stop_after=1)
    assert watch.started == ["a"]


def test_nothing_starts_beside_an_exclusive_group() -> None:
    assert not may_start(scenario("a"), [scenario("b", exclusive=True)], jobs=4)


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1)]
)
def test_the_limit_of_a_cgroup_counts(
    text: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(text)
    monkeypatch.setattr(schedule, "_CGROUP_CPU_LIMIT", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert usable_cores() == cores


def test_the_sequence_decides_what_starts_first_and_not_where_results_stand() -> None:
    watch = Stopwatch()
    a, b, c = map(scenario, "abc")
    results = asyncio.run(
        run_scheduled((a, b, c), watch.run, jobs=1, stop=lambda _: False, sequence=(c, a, b))
    )
    assert watch.started == ["c", "a", "b"]
    assert results == ["a", "b", "c"]


def test_the_next_group_starts_once_a_turn_is_over_and_takes_its_place() -> None:
    a, b, c = map(scenario, "abc")
    order: list[str] = []
    following: list[Turn | None] = []

    async def run(scenario: Scenario, turn: Turn) -> str:
        order.append(f"{scenario.id} starts")
        turn.end()
        following.append(await turn.next)
        order.append(f"{scenario.id} is judged")
        return scenario.id

    results = asyncio.run(run_scheduled((a, b, c), run, jobs=1, stop=lambda _: False))
    assert results == ["a", "b", "c"]
    assert order.index("b starts") < order.index("a is judged")
    assert order.index("c starts") < order.index("b is judged")
    assert [turn is None for turn in following] == [False, False, True]


def test_a_group_that_must_not_run_beside_others_waits_for_their_turns_only() -> None:
    a, b = scenario("a"), scenario("b", exclusive=True)
    order: list[str] = []

    async def run(scenario: Scenario, turn: Turn) -> str:
        order.append(scenario.id)
        turn.end()
        await turn.next
        return scenario.id

    asyncio.run(run_scheduled((a, b), run, jobs=2, stop=lambda _: False))
    assert order == ["a", "b"]
