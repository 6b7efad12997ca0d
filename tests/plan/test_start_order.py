"""The order in which units start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.units import Unit
from testrium.plan import CycleError, start_order


def unit(name: str, init: int, *dependencies: str, enabled: bool = True) -> Unit:
    return Unit(name, init, f"{name}.toml", dependencies=dependencies, enabled=enabled)


def names(*units: Unit) -> list[str]:
    return [each.name for each in start_order(units)]


def test_dependencies_come_before_init() -> None:
    assert names(unit("a", 0, "c"), unit("b", 1), unit("c", 2)) == ["b", "c", "a"]


def test_ties_keep_the_declared_order() -> None:
    assert names(unit("b", 0), unit("a", 0), unit("c", 0)) == ["b", "a", "c"]


def test_units_that_are_not_there_do_not_count() -> None:
    assert names(unit("a", 1, "off", "gone"), unit("off", 0, enabled=False)) == ["a"]


def test_a_cycle_names_who_cannot_start() -> None:
    with pytest.raises(CycleError) as caught:
        start_order([unit("a", 0), unit("b", 1, "c"), unit("c", 2, "b"), unit("d", 3, "c")])
    assert caught.value.members == ("b", "c", "d")
    assert str(caught.value) == "these units wait for each other: b, c, d"


@st.composite
def graphs(draw: st.DrawFn) -> list[Unit]:
    """Units that depend on earlier ones, given in any order, with inits of any order."""
    size = draw(st.integers(0, 8))
    inits = draw(st.permutations(range(size)))
    units = [
        unit(f"u{number}", inits[number], *draw(st.sets(st.sampled_from(earlier))))
        if (earlier := [f"u{i}" for i in range(number)])
        else unit("u0", inits[0])
        for number in range(size)
    ]
    return list(draw(st.permutations(units)))


@given(graphs())
def test_every_unit_is_the_first_by_init_of_those_that_could_start(units: list[Unit]) -> None:
    started: set[str] = set()
    waiting = {each.name: each for each in units}
    for chosen in start_order(units):
        free = [each for each in waiting.values() if started.issuperset(each.dependencies)]
        assert chosen == min(free, key=lambda each: each.init)
        started.add(waiting.pop(chosen.name).name)
    assert not waiting
