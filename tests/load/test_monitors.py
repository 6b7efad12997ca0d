"""`[[monitor]]`: which processes of others are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.groups import Monitored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load.conftest import Workspace

    Problems = Callable[..., list[str]]


def test_a_pid_or_a_pattern(workspace: Workspace) -> None:
    workspace.group(
        "[[monitor]]\nname = 'db'\nprocess = '^postgres'\n[[monitor]]\nname = 'web'\npid = 7",
        a="",
    )
    assert workspace.loaded().monitors == (
        Monitored("db", process="^postgres"),
        Monitored("web", pid=7),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = 'b'", "3: monitor[1]: needs pid or process"),
        ("name = 'a'\npid = 1", "4: monitor[1].name: 'a' is the name of a unit"),
        ("name = 'tests'\npid = 1", "4: monitor[1].name: 'tests' is the name of a unit"),
        ("name = 'b'\npid = 0", "5: monitor[1].pid: must be a positive integer, got 0"),
    ],
)
def test_what_is_wrong(text: str, problem: str, problems_of: Problems) -> None:
    assert f"g/config.toml:{problem}" in problems_of(f"[[monitor]]\n{text}", a="")


def test_it_must_be_a_list(problems_of: Problems) -> None:
    assert problems_of("[monitor]\nname = 'b'", a="") == [
        "g/config.toml:3: monitor: must be a list of tables: [[monitor]]"
    ]
