"""In which order scenarios start."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.groups import Group, Scenario
from testrium.plan import longest_first, rounds, shuffled


def scenario(name: str, order: int = 0) -> Scenario:
    return Scenario(name, Group(name, Path(name), (), order=order), (), folder_name=name)


def names(scenarios: tuple[Scenario, ...]) -> str:
    return "".join(each.id for each in scenarios)


def test_the_longest_starts_first_after_those_of_unknown_duration() -> None:
    scenarios = [scenario(name) for name in "abcde"]
    assert names(longest_first(scenarios, {"a": 1.0, "c": 3.0, "e": 3.0})) == "bdcea"


def test_order_comes_before_duration() -> None:
    scenarios = [scenario("a", -1), scenario("b"), scenario("c"), scenario("d", 1)]
    assert names(longest_first(scenarios, {"a": 1, "b": 2, "c": 3, "d": 4})) == "acbd"


def test_nothing_known_changes_nothing() -> None:
    assert names(longest_first([scenario(name) for name in "cab"], {})) == "cab"


@given(st.lists(st.integers(-1, 1), max_size=8), st.integers())
def test_a_shuffle_keeps_order_and_loses_nothing(orders: list[int], seed: int) -> None:
    scenarios = [scenario(str(number), order) for number, order in enumerate(sorted(orders))]
    mixed = shuffled(scenarios, Random(seed).random)
    assert sorted(names(mixed)) == sorted(names(tuple(scenarios)))
    assert [each.group.order for each in mixed] == sorted(orders)
    assert mixed == shuffled(scenarios, Random(seed).random)


def test_a_shuffle_shuffles() -> None:
    scenarios = [scenario(name) for name in "abcdef"]
    assert len({names(shuffled(scenarios, Random(seed).random)) for seed in range(20)}) > 10


def test_rounds_are_repeats() -> None:
    planned = (scenario("a"), scenario("b")._replace(folder_name="x/b"))
    assert [[each.folder_name for each in some] for some in rounds(planned, 3)] == [
        ["a", "x/b"],
        ["a+1", "x/b+1"],
        ["a+2", "x/b+2"],
    ]
    endless = rounds(planned, None)
    assert [some[0].repeat for some in itertools.islice(endless, 5)] == [0, 1, 2, 3, 4]
