"""The project file: where it is looked for, and what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.errors import ConfigError
from testrium.load import find_project

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

DEFAULTS = """
    state = "kept/here"
    [Configs]
    timeout = 7
    save_scores = false
    tags = ["all"]
    [unit]
    in-except = "Resume"
    grace = 1
    command = ["serve"]
    [ai]
    command = ["explain", "--short"]
"""


def test_without_a_file_the_state_is_in_the_current_folder(tmp_path: Path) -> None:
    project = find_project(tmp_path)
    assert project.file is None
    assert project.state_folder == tmp_path / ".testrium"
    assert (dict(project.configs), dict(project.unit), project.ai_command) == ({}, {}, ())


def test_the_nearest_file_above_counts(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": "[Configs]\ntimeout = 1",
            "a/pyproject.toml": "[tool.testrium.Configs]\ntimeout = 2",
            "a/b/pyproject.toml": "[project]\nname = 'x'",
            "a/b/c/d.txt": "",
            "both/testrium.toml": "[Configs]\ntimeout = 3",
            "both/pyproject.toml": "[tool.testrium.Configs]\ntimeout = 4",
        }
    )
    root = workspace.folder
    for folder, timeout, state in (
        (root, 1, root),
        (root / "a", 2, root / "a"),
        (root / "a/b/c", 2, root / "a"),
        (root / "both", 3, root / "both"),
    ):
        project = find_project(folder)
        assert project.configs["timeout_s"] == timeout
        assert project.state_folder == state / ".testrium"


def test_defaults_of_all_groups(workspace: Workspace) -> None:
    workspace.write({"testrium.toml": DEFAULTS, "g/test_case.py": "def f(): pass"})
    workspace.group(
        "tags = ['mine']",
        a="",
        b="entrypoint = 'test_case:f'\ngrace = 3\nin-except = 'Stop'",
    )
    group = workspace.loaded()
    assert (group.timeout_s, group.save_scores, group.tags) == (7, False, ("mine",))
    a, b = group.units
    assert (a.command, a.in_except, a.grace_s) == (("serve",), "Resume", 1)
    assert (b.command, b.in_except, b.grace_s) == (None, "Stop", 3)
    project = find_project(workspace.folder / "g")
    assert project.state_folder == workspace.folder / "kept/here"
    assert project.ai_command == ("explain", "--short")


def test_all_mistakes_are_reported(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": """
                stat = "x"
                state = 3
                [Configs]
                tiemout = 3
                timeout = 0
                [unit]
                grace = "1"
                [units]
                [ai]
                command = []
                """
        }
    )
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).splitlines() == [
        "testrium.toml:1: stat: unknown key; did you mean 'state'?",
        "testrium.toml:2: state: must be a non-empty string",
        "testrium.toml:4: Configs.tiemout: unknown key; did you mean 'timeout'?",
        "testrium.toml:5: Configs.timeout: must be a positive number",
        "testrium.toml:7: unit.grace: must be a number of seconds, 0 or more",
        "testrium.toml:8: units: unknown key; did you mean 'unit'?",
        "testrium.toml:10: ai.command: must not be empty",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.testrium]\nConfigs = 3", "2: tool.testrium.Configs: must be a table"),
        ("[tool.testrium", "1: no TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_wrong_pyproject(workspace: Workspace, text: str, problem: str) -> None:
    workspace.write({"pyproject.toml": text})
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).startswith(f"pyproject.toml:{problem}")


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\ntestrium = 3", "[tool.black]"])
def test_a_pyproject_of_others(workspace: Workspace, text: str) -> None:
    workspace.write({"pyproject.toml": text})
    assert find_project(workspace.folder).file is None
