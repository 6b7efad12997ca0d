"""What holds for a group, and which file says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testrium.declared.groups import Configs
from testrium.declared.keys import keys_of
from testrium.declared.units import Unit
from testrium.load import find_project
from testrium.load.defaults import Setting, settings_of

if TYPE_CHECKING:
    from tests.load.conftest import Workspace


def test_every_key_has_its_value_and_its_origin(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": "[Configs]\ntimeout = 5\norder = 1\n[unit]\ncommand = ['serve']",
            "g/testrium.toml": "[Configs]\norder = 2\n[unit]\nmax_rss = '1GB'",
            "g/test_case.py": "def f(): pass",
        }
    )
    workspace.group("tags = ['x']", a="", b="entrypoint = 'test_case:f'")
    settings = settings_of(workspace.loaded(), workspace.folder, find_project(workspace.folder))
    assert len(settings) == len(list(keys_of(Configs))) + 2 * len(list(keys_of(Unit)))
    told = {(each.unit, each.key): (each.value, each.origin) for each in settings}
    assert told[None, "timeout"] == (5, "testrium.toml:2")
    assert told[None, "order"] == (2, "g/testrium.toml:2")
    assert told[None, "tags"] == (["x"], "g/config.toml:3")
    assert told[None, "repeat"] == (0, "default")
    assert told["a", "command"] == (["serve"], "testrium.toml:5")
    assert told["b", "command"] == (None, "default")  # disputed by its entrypoint
    assert told["b", "max_rss"] == ("1GB", "g/testrium.toml:4")
    assert told["a", "quiet"] == (True, "default")  # as a command is
    assert Setting("b", "init", 1, "g/units/b.toml:2") in settings
