"""Which events a hop speaks of, and to which hop of several an event belongs."""

from __future__ import annotations

import pytest

from testrium.declared.circuits import Hop
from testrium.verify.matching import any_matches, choose_hop, matches, matching_hops
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
    assert matches(place, "a", "s") is expected
    assert any_matches([Place("x", "y"), place], "a", "s") is expected


def hop(*places: tuple[str, str], most: int | None = 1) -> Hop:
    return Hop("hop", tuple(Place(*place) for place in places), 0, most)


def test_the_hop_that_names_the_place_comes_first() -> None:
    hops = [hop(("*", "*")), hop(("*", "s")), hop(("b", "s")), hop(("x", "y"), ("a", "s"))]
    assert matching_hops(hops, "a", "s") == (3, 1, 0)
    assert matching_hops(hops, "c", "t") == (0,)


def test_of_equal_hops_the_first_one_with_room() -> None:
    hops = [hop(("a", "s")), hop(("a", "s"), most=2)]
    candidates = matching_hops(hops, "a", "s")
    assert candidates == (0, 1)
    assert [choose_hop(candidates, counts, hops) for counts in ([0, 0], [1, 0], [1, 1])] == [
        0,
        1,
        1,
    ]
    assert choose_hop(candidates, [1, 2], hops) == 0, "with no room left, the first"
    assert choose_hop((1,), [0, 9], [hops[0], hop(("a", "s"), most=None)]) == 1
