"""`[explore]`: where units may be held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.faults import Explore
from testrium.declared.groups import Generate
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


def test_the_reset_of_generate_is_a_function_of_the_group(workspace: Workspace) -> None:
    workspace.group("[generate]\nreset = 'code:empty'\n", a="")
    (workspace.folder / "g" / "code.py").write_text("def empty(): pass\n")
    assert workspace.loaded().generate == Generate("code:empty")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("reset = 'nowhere_at_all:f'", "4: generate.reset: module 'nowhere_at_all' is neither"),
        ("reset = 'empty'", "4: generate.reset: "),
        ("rest = 'a:b'", "4: generate.rest: unknown key; did you mean 'reset'?"),
    ],
)
def test_what_generate_refuses(
    problems_of: Callable[..., list[str]], text: str, problem: str
) -> None:
    found = problems_of(f"[generate]\n{text}", a="")
    assert any(each.startswith(f"g/config.toml:{problem}") for each in found), found
