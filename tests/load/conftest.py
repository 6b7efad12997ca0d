"""A group on disk, made of texts, and what loading says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from testrium.declared.groups import Group
from testrium.errors import ConfigError
from testrium.load import load_groups

#: Gives what is wrong with a group; see `problems_of`.
Problems = Callable[..., list[str]]


@dataclass
class Workspace:
    """A folder with groups; the current folder of everything that is loaded."""

    folder: Path

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, by their path below the folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")

    def group(self, config: str = "", **units: str) -> None:
        """Write the group `g`, whose `Configs.units` lists `units`; `config` follows it.

        A unit's text is what follows its header and `init`.
        """
        names = ", ".join(f'"{name}"' for name in units)
        self.write({"g/config.toml": f"[Configs]\nunits = [{names}]\n{dedent(config)}"})
        for init, (name, text) in enumerate(units.items()):
            self.write({f"g/units/{name}.toml": f'["{name}"]\ninit = {init}\n{dedent(text)}'})

    def load(self, *paths: str) -> tuple[Group, ...]:
        """The groups, loaded."""
        return load_groups(paths, cwd=self.folder)

    def loaded(self) -> Group:
        """The only group."""
        (group,) = self.load()
        return group

    def problems(self, *paths: str) -> list[str]:
        """What is wrong, as it is shown."""
        with pytest.raises(ConfigError) as caught:
            self.load(*paths)
        return str(caught.value).splitlines()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def problems_of(workspace: Workspace) -> Callable[..., list[str]]:
    """The problems of a group `g` made of `config` and `units`."""

    def problems(config: str = "", **units: str) -> list[str]:
        workspace.group(config, **(units or {"a": ""}))
        return workspace.problems()

    return problems
