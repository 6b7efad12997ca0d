"""`[chaos]`: what a campaign may break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.faults import Chaos

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.conftest import Workspace


def test_defaults(workspace: Workspace) -> None:
    workspace.group("[chaos]\nunits = ['a']", a="")
    assert workspace.loaded().chaos == Chaos(units=("a",))


def test_all_keys(workspace: Workspace) -> None:
    workspace.group(
        "[chaos]\nunits = ['a']\nlinks = ['a.http']\nbudget = 3\ndo = ['kill', 'cut']\n"
        "longest = '1s'",
        a="ports = ['http']",
    )
    assert workspace.loaded().chaos == Chaos(
        ("a",), (("a", "http"),), 3, ("kill", "cut"), 1_000_000_000
    )


def test_a_group_without_it(workspace: Workspace) -> None:
    workspace.group(a="")
    assert workspace.loaded().chaos is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "3: chaos: must name what may be broken: units, links or both"),
        ("units = ['aa']", "4: chaos.units: unknown unit 'aa'; did you mean 'a'?"),
        ("units = ['off']", "4: chaos.units: unit 'off' is not enabled"),
        ("links = ['a.x']", "4: chaos.links: 'a.x' names no port of a unit (UNIT.PORT)"),
        ("units = ['a']\nbudget = 6", "5: chaos.budget: must be an integer between 1 and 5, got 6"),
        (
            "units = ['a']\nlongest = '0s'",
            "5: chaos.longest: must be longer than 0 s, got '0s'",
        ),
        ("units = ['a']\nbuget = 2", "5: chaos.buget: unknown key; did you mean 'budget'?"),
        ("units = ['a']\ndo = []", "5: chaos.do: must not be empty"),
    ],
)
def test_what_is_refused(problems_of: Callable[..., list[str]], text: str, problem: str) -> None:
    problems = problems_of(f"[chaos]\n{text}", a="", off="enabled = false")
    assert f"g/config.toml:{problem}" in problems


def test_it_is_a_table(problems_of: Callable[..., list[str]]) -> None:
    assert problems_of("[[chaos]]\nunits = ['a']") == ["g/config.toml:3: chaos: must be a table"]
