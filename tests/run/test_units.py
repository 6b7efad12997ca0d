from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.units import Unit
from testrium.evidence import UnitState
from testrium.run.change import ChangeSignal
from testrium.run.units import Dependencies


class Counting(ChangeSignal):
    """Counts how often those who wait are woken."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def notify(self) -> None:
        super().notify()
        self.count += 1


@dataclass
class Somebody:
    unit: Unit
    state: UnitState = UnitState.CREATED
    gone: bool = False
    alive: bool = False
    passed_ready: bool = False
    change: Counting = field(default_factory=Counting)


def unit(
    name: str,
    *needed: str,
    process: bool = True,
    stop: Literal["self", "runner"] = "self",
    scope: Literal["", "group"] = "",
) -> Unit:
    command = ("true",) if process else None
    return Unit(
        name, 0, f"{name}.toml", command=command, dependencies=needed, stop=stop, scope=scope
    )


def players(*units: Unit) -> dict[str, Somebody]:
    return {one.name: Somebody(one) for one in units}


def test_a_unit_may_start_once_all_that_it_needs_is_ready() -> None:
    everybody = players(unit("a"), unit("b"), unit("c", "a", "b"))
    cast = Dependencies(everybody)
    before = everybody["c"].change.count
    assert cast.may_start("a")
    assert (cast.may_start("c"), cast.missing("c")) == (False, "a")
    everybody["a"].passed_ready = True
    cast.update(everybody["a"])
    assert (cast.may_start("c"), cast.missing("c")) == (False, "b")
    assert everybody["c"].change.count == before
    everybody["b"].passed_ready = True
    cast.update(everybody["b"])
    assert (cast.may_start("c"), cast.in_the_way("c")) == (True, None)
    assert everybody["c"].change.count == before + 1


def test_who_ends_without_becoming_ready_is_in_the_way() -> None:
    everybody = players(unit("a"), unit("b"), unit("c", "a", "b"))
    cast = Dependencies(everybody)
    before = everybody["c"].change.count
    everybody["b"].gone = True
    cast.update(everybody["b"])
    assert cast.in_the_way("c") == "b"
    assert everybody["c"].change.count == before + 1
    everybody["b"].gone = False  # a new attempt
    cast.update(everybody["b"])
    assert cast.in_the_way("c") is None


def test_a_unit_without_a_process_is_waited_for_as_soon_as_it_may_begin() -> None:
    everybody = players(unit("a", process=False), unit("b", "a", process=False))
    cast = Dependencies(everybody)
    for name in "ab":
        assert (cast.all_gone, cast.played) == (False, False)
        one = everybody[name]
        one.state, one.gone, one.passed_ready = UnitState.FINISHED, True, True
        cast.update(one)
    assert (cast.all_gone, cast.played) == (True, True)


def test_one_that_waits_for_a_probe_holds_nothing_up() -> None:
    everybody = players(unit("a", process=False), unit("b", "a", process=False))
    cast = Dependencies(everybody)
    everybody["a"].state = UnitState.STARTING
    cast.update(everybody["a"])
    assert cast.all_gone


STATES = st.sampled_from(list(UnitState))


@given(
    st.lists(
        st.tuples(st.integers(0, 4), STATES, st.booleans(), st.booleans(), st.booleans()),
        max_size=20,
    )
)
def test_what_is_known_is_what_one_would_see(
    changes: list[tuple[int, UnitState, bool, bool, bool]],
) -> None:
    everybody = players(
        unit("a", stop="runner"),
        unit("b", "a"),
        unit("c", "a", "b", stop="runner"),
        unit("d", scope="group"),
        unit("e", "d"),
    )
    cast = Dependencies(everybody)
    for number, state, gone, alive, ready in changes:
        one = everybody["abcde"[number]]
        one.state, one.gone, one.alive, one.passed_ready = state, gone, alive, ready
        cast.update(one)
        processes = [each for each in everybody.values() if not each.unit.scope]
        opening = not (everybody["d"].gone or everybody["d"].passed_ready)
        assert cast.alive == any(each.alive for each in processes)
        assert cast.all_gone == (not opening and all(each.gone for each in processes))
        assert cast.played == (
            not opening
            and not any(
                each.state in (UnitState.CREATED, UnitState.STARTING)
                or (each.unit.stop == "self" and not each.gone)
                for each in processes
            )
        )
        for each in everybody.values():
            needed = [everybody[name] for name in each.unit.dependencies]
            assert cast.may_start(each.unit.name) == all(n.passed_ready for n in needed)
            lost = [n.unit.name for n in needed if n.gone and not n.passed_ready]
            assert cast.in_the_way(each.unit.name) == next(iter(lost), None)


def test_thousands_are_woken_a_few_times_each() -> None:
    names = [f"u{number}" for number in range(2000)]
    chain = [unit(name, before) for before, name in pairwise(names)]
    everybody = players(unit(names[0]), *chain, unit("last", *names))
    cast = Dependencies(everybody)
    for one in everybody.values():
        one.passed_ready = True
        cast.update(one)
    assert sum(one.change.count for one in everybody.values()) <= 3 * len(everybody)
