"""Which events a hop speaks of, and to which hop of several an event belongs."""

from __future__ import annotations

import pytest

from testrium.declared.circuits import (
    Hop,
    any_matches,
    claim_of,
    first_open,
    first_with_room,
)
from testrium.words import Place


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place("a", "s"), True),
        (Place("*", "s"), True),
        (Place("a", "*"), True),
        (Place("*", "*"), True),
        (Place("b", "s"), False),
        (Place("a", "t"), False),
        (Place("*", "t"), False),
    ],
)
def test_matches(place: Place, expected: bool) -> None:
    assert place.matches("a", "s") is expected
    assert any_matches([Place("x", "y"), place], "a", "s") is expected


def hop(*places: tuple[str, str], most: int | None = 1) -> Hop:
    return Hop("hop", tuple(Place(*place) for place in places), 0, most)


def test_a_hop_that_names_the_place_goes_before_those_with_a_star() -> None:
    hops = [hop(("*", "*")), hop(("*", "s")), hop(("b", "s")), hop(("x", "y"), ("a", "s"))]
    assert claim_of(hops, "a", "s") == ((3,), False)
    assert claim_of(hops, "c", "s") == ((0, 1), True)
    assert claim_of(hops, "c", "t") == ((0,), True)
    assert claim_of(hops[2:], "c", "t") == ((), False)


def test_of_several_hops_the_first_one_with_room() -> None:
    hops = [hop(("a", "s")), hop(("a", "s"), most=2)]
    counts = ([0, 0], [1, 0], [1, 1])
    assert [first_with_room((0, 1), have, hops) for have in counts] == [0, 1, 1]
    assert first_with_room((0, 1), [1, 2], hops) == 0, "with no room left, the first"
    assert first_with_room((1,), [0, 9], [hops[0], hop(("a", "s"), most=None)]) == 1


def test_of_several_hops_the_first_one_that_needs_an_event() -> None:
    optional = Hop("hop", (Place("a", "s"),), 1, 2)
    assert first_open((0, 1), [1, 0], [optional, optional]) == 1
    assert first_open((0, 1), [1, 1], [optional, optional]) == 0
