"""`[explore]`: where units may be held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.faults import Explore
from testrium.words import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.conftest import Workspace


def test_defaults(workspace: Workspace) -> None:
    workspace.group("[explore]\n", a="")
    assert workspace.loaded().explore == Explore((Place("*", "*"),), (), 3, 200_000_000)


def test_all_keys(workspace: Workspace) -> None:
    workspace.group(
        "[explore]\npoints = ['a:*', '*:read']\nlinks = ['a.http']\ndepth = 1\nhold = '1s'",
        a="ports = ['http']",
    )
    points = (Place("a", "*"), Place("*", "read"))
    assert workspace.loaded().explore == Explore(points, (("a", "http"),), 1, 1_000_000_000)


def test_a_group_without_it(workspace: Workspace) -> None:
    workspace.group(a="")
    assert workspace.loaded().explore is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("points = ['aa:*']", "4: explore.points: 'aa:*': unknown unit 'aa'; did you mean 'a'?"),
        ("links = ['a.x']", "4: explore.links: 'a.x' names no port of a unit (UNIT.PORT)"),
        ("points = []", "4: explore.points: must not be empty"),
        (
            "points = ['a']",
            '4: explore.points: item 1 must be unit:step, such as "a:*" or "*:read", got \'a\'',
        ),
        ("depth = 11", "4: explore.depth: must be an integer between 0 and 10, got 11"),
        ("hold = '0s'", "4: explore.hold: must be longer than 0 s, got '0s'"),
        ("pionts = ['a:*']", "4: explore.pionts: unknown key; did you mean 'points'?"),
    ],
)
def test_what_is_refused(problems_of: Callable[..., list[str]], text: str, problem: str) -> None:
    assert f"g/config.toml:{problem}" in problems_of(f"[explore]\n{text}", a="")
