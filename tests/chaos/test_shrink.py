"""The smallest plan that breaks something, against oracles that are known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testrium.chaos import (
    LENGTHS_NS,
    Plan,
    contains,
    have_different_moments,
    planned,
    simpler_faults,
    smallest,
)
from testrium.declared.faults import Fault
from testrium.words import Place
from tests.chaos.conftest import faults, plans_of

PLENTY = 10_000


def kinds(plan: Plan) -> set[tuple[str, str]]:
    return {(fault.do, fault.target) for fault in plan}


@given(plans_of(), st.data())
def test_only_the_faults_that_matter_are_left(plan: Plan, data: st.DataObject) -> None:
    culprits = data.draw(st.sets(st.sampled_from(sorted(kinds(plan))), min_size=1))
    found = smallest(plan, lambda tried: culprits <= kinds(tried), tries=PLENTY)
    assert kinds(found) == culprits
    for number, fault in enumerate(found):  # and each as simple as can be beside the others
        for simpler in simpler_faults(fault):
            others = (*found[:number], *found[number + 1 :])
            assert not have_different_moments(planned((*others, simpler)))


@given(plans_of(), st.data())
def test_of_several_causes_the_smallest(plan: Plan, data: st.DataObject) -> None:
    subsets = st.sets(st.sampled_from(sorted(kinds(plan))), min_size=1)
    causes = data.draw(st.lists(subsets, min_size=1, max_size=3))
    found = smallest(
        plan, lambda tried: any(cause <= kinds(tried) for cause in causes), tries=PLENTY
    )
    assert len(found) == min(map(len, causes))
    assert kinds(found) in causes


@given(st.integers(1, 60), st.data())
def test_the_first_time_at_which_it_breaks(threshold: int, data: st.DataObject) -> None:
    on = data.draw(st.integers(threshold, 80))
    plan = planned([Fault("", "kill", "worker", at=Place("worker", "taken"), on=on)])
    (fault,) = smallest(plan, lambda tried: tried[0].on >= threshold, tries=PLENTY)
    assert fault.on == threshold


@given(st.integers(2, 60))
def test_just_that_time(on: int) -> None:
    plan = planned([Fault("", "kill", "worker", at=Place("worker", "taken"), on=on)])
    assert smallest(plan, lambda tried: tried[0].on == on, tries=PLENTY) == plan


@given(st.sampled_from(LENGTHS_NS), st.data())
def test_the_shortest_time(least_ns: int, data: st.DataObject) -> None:
    longer = [length for length in LENGTHS_NS if length >= least_ns]
    for_ns = data.draw(st.sampled_from(longer))
    place = Place("worker", "taken")
    plan = planned([Fault("", "delay", "worker", at=place, for_ns=for_ns)])
    (fault,) = smallest(plan, lambda tried: (tried[0].for_ns or 0) >= least_ns, tries=PLENTY)
    assert fault.for_ns == least_ns


@given(plans_of(), st.integers(0, 5))
def test_tries_are_limited_and_none_is_made_twice(plan: Plan, tries: int) -> None:
    asked: list[Plan] = []

    def breaks(tried: Plan) -> bool:
        asked.append(tried)
        return len(tried) > 1

    found = smallest(plan, breaks, tries=tries)
    assert len(asked) <= tries
    assert len(set(asked)) == len(asked)
    assert plan not in asked
    assert found == plan or breaks(found)


@given(faults())
def test_what_is_simpler_is_simpler(fault: Fault) -> None:
    for simpler in simpler_faults(fault):
        assert simpler != fault
        assert fault not in simpler_faults(simpler)


@given(plans_of(2), st.data())
def test_a_plan_contains_its_parts(plan: Plan, data: st.DataObject) -> None:
    part = planned(data.draw(st.lists(st.sampled_from(plan), unique=True)))
    assert contains(plan, part)
    assert contains(part, plan) == (len(part) == len(plan))
