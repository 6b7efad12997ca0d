"""The median of each hop, from tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from testrium.verify import circuits
from testrium.verify.circuits import HopTimes, Unclaimed, examine
from testrium.verify.index import EventIndex

if TYPE_CHECKING:
    from tests.verify.conftest import Table

Make = Callable[[str], "Table"]


def times(case: Table) -> dict[str, HopTimes]:
    """Of the one circuit of a case."""
    index = EventIndex(case.evidence())
    (circuit,) = case.scenario().group.circuits
    return dict(examine(circuit, index, Unclaimed((), index), (), with_hops=True).hops)


def medians(case: Table) -> dict[str, float]:
    """In ms."""
    return {hop: found.p50 for hop, found in times(case).items()}


CASES = {
    "each hop begins where the one before was reached": (
        """
        circuit a:sent b:got c:done
        a sent> k1 @0
        a sent> k2 @10
        b got< k1 @3
        b got< k2 @15
        c done k1 @10
        c done k2 @24
        """,
        {"b:got": 3.0, "c:done": 7.0},
    ),
    "a stage of several hops is reached with its last one": (
        """
        circuit a:sent b:got&c:got d:done
        a sent> k1 @0
        b got< k1 @3
        c got< k1 @5
        d done k1 @9
        """,
        {"b:got": 3.0, "c:got": 5.0, "d:done": 4.0},
    ),
    "a hop that was not passed is stepped over": (
        """
        circuit a:sent b:got? c:done
        a sent> k1 @0
        c done k1 @9
        """,
        {"c:done": 9.0},
    ),
    "of several events of a hop the first counts": (
        """
        circuit a:sent{1,3} b:got+
        a sent> k1 @0
        b got< k1 @2
        a sent> k1 @5
        b got< k1 @8
        """,
        {"b:got": 2.0},
    ),
    "clocks that cannot be compared and times of reading are left out": (
        """
        circuit a:sent b:got
        a sent> k1 @0
        b got< k1 @2 domain=far
        a sent> k2 @10
        b got< k2 @14 low=11
        a sent> k3 @20
        b got< k3 @29
        """,
        {"b:got": 9.0},
    ),
    "nothing": ("circuit a:sent b:got", {}),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_medians(table: Make, text: str, expected: dict[str, float]) -> None:
    assert medians(table(text)) == expected


def test_many_instances_are_looked_at_evenly(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "MOST_INSTANCES", 10)
    lines = [f"a sent> k{n} @{100 * n}\nb got< k{n} @{100 * n + n}" for n in range(100)]
    found = times(table("\n".join(("circuit a:sent b:got", *lines))))
    assert found == {"b:got": HopTimes(0.0, 40.0)}  # of every tenth: 0, 10, ... 90


def test_hops_are_computed_only_when_asked_for(table: Make) -> None:
    case = table("circuit a:sent b:got\na sent> k1\nb got< k1")
    (circuit,) = case.scenario().group.circuits
    index = EventIndex(case.evidence())
    assert examine(circuit, index, Unclaimed((), index), (), with_hops=False).hops == {}
