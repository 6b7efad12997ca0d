"""Drawing plans: the same seed, the same plans, and only what is allowed."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.chaos import Plan, Target, moments, plans, targets
from testrium.declared.faults import DRAWN_ACTS, LINK_ACTS, Chaos
from testrium.declared.units import LogProbe
from testrium.words import Place
from tests.chaos.conftest import CALM, CHAOS, SHELL, UNITS, WORKER

ENDS = ("kill", "exit", "raise")


def drawn(seed: int, count: int = 100, chaos: Chaos = CHAOS) -> list[Plan]:
    found = targets(chaos, UNITS, CALM)
    return list(islice(plans(chaos, UNITS, found, moments(CALM), seed), count))


def test_what_can_be_broken() -> None:
    taken, stored = Place("worker", "taken"), Place("worker", "stored")
    acts = tuple(act for act in DRAWN_ACTS if act != "hang")
    assert targets(CHAOS, UNITS, CALM) == (
        Target("shell", ("pause",), at=Place("shell", "up")),
        Target("worker", acts, at=stored, times=3),
        Target("worker", acts, at=taken, times=5),
        Target("shell", LINK_ACTS, port="tcp"),
    )


def test_what_a_group_asks_for_is_done_even_if_it_cannot_be_survived() -> None:
    chaos = replace(CHAOS, do=("kill", "raise", "cut"))
    assert [target.acts for target in targets(chaos, UNITS, CALM)] == [
        ("kill",),
        ("kill", "raise"),
        ("kill", "raise"),
        ("cut",),
    ]


def test_only_kill_and_pause_where_a_probe_is_read_from_a_log() -> None:
    worker = replace(WORKER, probes=(LogProbe("x", "taken"),))
    found = {target.at: target.acts for target in targets(CHAOS, (worker, SHELL), CALM)}
    assert found[Place("worker", "taken")] == ("kill", "pause")


@pytest.mark.parametrize("do", [("cut",), ("kill",)])
def test_only_what_can_be_broken_is_a_target(do: tuple[Any, ...]) -> None:
    chaos = Chaos(units=("worker",), links=(("shell", "tcp"),), do=do)
    found = targets(chaos, UNITS, CALM)
    assert {target.port is None for target in found} == {do == ("kill",)}


@given(st.integers(0, 2**64))
def test_the_same_seed_gives_the_same_plans(seed: int) -> None:
    assert drawn(seed, 20) == drawn(seed, 20)


def test_other_seeds_give_other_plans() -> None:
    assert len({tuple(drawn(seed, 5)) for seed in range(20)}) == 20


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 3_000_000_000))
def test_every_plan_keeps_to_what_is_allowed(seed: int, budget: int, longest_ns: int) -> None:
    chaos = replace(CHAOS, budget=budget, longest_ns=longest_ns)
    made = drawn(seed, 30, chaos)
    assert len(set(made)) == len(made) == 30
    for plan in made:
        assert 1 <= len(plan) <= budget
        assert len({fault.name for fault in plan}) == len(plan)
        moments = [(fault.at, fault.on) for fault in plan if fault.at is not None]
        assert len(set(moments)) == len(moments)
        assert sum(fault.do in ENDS for fault in plan) <= WORKER.restarts
        for fault in plan:
            assert fault.for_ns is None or fault.for_ns <= longest_ns
            assert (fault.for_ns is None) == (fault.do in ENDS)
            assert fault.on <= (5 if fault.target == "worker:taken" else 3)


def test_every_probe_and_act_is_drawn_sooner_or_later() -> None:
    seen = {(fault.target, fault.do) for plan in drawn(1, 400) for fault in plan}
    assert seen == {
        (str(target.at) if target.at else "shell.tcp", act)
        for target in targets(CHAOS, UNITS, CALM)
        for act in target.acts
    }


def test_plans_come_to_an_end_where_there_are_few() -> None:
    chaos = Chaos(units=("shell",), budget=1, longest_ns=20_000_000)
    found = targets(chaos, UNITS, CALM)
    assert len(list(plans(chaos, UNITS, found, moments(CALM), 1))) == 1
    assert list(plans(chaos, UNITS, (), moments(CALM), 1)) == []


def test_a_link_is_broken_from_the_start_or_at_any_probe() -> None:
    chaos = Chaos(links=(("shell", "tcp"),))
    afters = {fault.after for plan in drawn(1, 200, chaos) for fault in plan}
    assert afters == {None, *moments(CALM)}
    assert {place.unit for place in moments(CALM)} == {"worker", "shell", "other"}
