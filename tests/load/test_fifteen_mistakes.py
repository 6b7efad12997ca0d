"""Every mistake of a group is told at once, at its file, line and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

FILES = {
    "g/config.toml": """
        [Configs]
        units = ["host", "client"]
        tiemout = 3
        repeat = 11
        test_modes = "INFOO"

        [verify]
        settle = "3 hours"

        [[circuits]]
        name = "command"
        route = ["client:sent", "hots:received"]
        keys = "many"
        """,
    "g/units/host.toml": """
        [host]
        entrypoint = "test_case.py:main"
        in-except = "Relaod"
        grace = -1
        """,
    "g/units/client.toml": """
        [client]
        command = []
        unit_dependencies = ["hsot"]
        exit = [256]
        ready = {tpc = "80"}
        """,
    "testrium.toml": """
        [unit]
        ready_timeout = true
        max_rss = "200"
        """,
}


def test_fifteen_mistakes_in_four_files_are_told_with_their_lines(workspace: Workspace) -> None:
    project = FILES["testrium.toml"]
    workspace.write({name: text for name, text in FILES.items() if name != "testrium.toml"})
    group = [problem.split(": ")[:2] for problem in workspace.problems()]
    workspace.write({"testrium.toml": project})
    told = [*group, *(problem.split(": ")[:2] for problem in workspace.problems())]
    expected = [
        ["g/config.toml:3", "tiemout"],
        ["g/config.toml:4", "repeat"],
        ["g/config.toml:5", "test_modes"],
        ["g/config.toml:8", "verify.settle"],
        ["g/config.toml:12", "circuits[1].route"],
        ["g/config.toml:13", "circuits[1].keys"],
        ["g/units/client.toml:2", "command"],
        ["g/units/client.toml:3", "unit_dependencies"],
        ["g/units/client.toml:4", "exit"],
        ["g/units/client.toml:5", "ready.tpc"],
        ["g/units/host.toml:2", "entrypoint"],
        ["g/units/host.toml:3", "in-except"],
        ["g/units/host.toml:4", "grace"],
        ["testrium.toml:2", "unit.ready_timeout"],
        ["testrium.toml:3", "unit.max_rss"],
    ]
    assert told == expected
