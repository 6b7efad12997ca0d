"""The paths of keys that reports draw."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from testrium.results import CircuitPaths, MissedHop
from testrium.verify.instances import key_paths

if TYPE_CHECKING:
    from tests.verify.conftest import Table

MS = 1_000_000


def paths(made: Table) -> CircuitPaths:
    (found,) = key_paths(made.scenario().group.circuits, made.evidence())
    return found


def test_every_key_has_its_latency(table: Callable[[str], Table]) -> None:
    found = paths(
        table(
            """
            circuit a:sent b:got
            a sent> k1 k2
            b got< k1 @40
            b got< k2 @50
            """
        )
    )
    assert [path.name for path in found.paths] == ["k1", "k2"]
    assert [(event.unit, event.step) for event in found.paths[0].events] == [
        ("a", "sent"),
        ("b", "got"),
    ]
    first, second = found.paths
    assert first.low_ns == first.high_ns
    assert first.high_ns is not None
    assert second.high_ns == first.high_ns + 9 * MS
    assert not first.lacks


def test_a_lost_key_tells_what_it_lacks_and_how_far_it_came(table: Callable[[str], Table]) -> None:
    (path,) = paths(
        table(
            """
            circuit a:sent b:got c:done
            a sent> k1
            b got< k1
            """
        )
    ).paths
    assert (path.low_ns, path.high_ns) == (inf, inf)
    assert path.lacks == (MissedHop("c:done", path.events[1].id),)


def test_an_effect_without_cause_has_no_latency(table: Callable[[str], Table]) -> None:
    (path,) = paths(
        table(
            """
            circuit a:sent b:got c:done
            b got< k1
            """
        )
    ).paths
    assert (path.low_ns, path.high_ns, path.lacks) == (None, None, ())
