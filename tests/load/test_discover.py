"""Which folders are groups, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from tests.load.conftest import Workspace


@pytest.fixture
def groups(workspace: Workspace) -> Workspace:
    """Groups at several depths, and folders that are not searched."""
    for folder in (
        "b",
        "a/deep/er",
        "a.b",
        "a/deep/er/inside",
        "b/units/x",
        ".hidden/g",
        "node_modules/g",
        "__pycache__/g",
        "venv/g",
        "a/.git/g",
    ):
        workspace.write(
            {
                f"{folder}/config.toml": "[Configs]\nunits = ['u']",
                f"{folder}/units/u.toml": "[u]\ninit = 0",
            }
        )
    workspace.write(
        {
            "venv/pyvenv.cfg": "",
            "no-units/config.toml": "",
            "no-config/units/readme.md": "",
            "file.toml": "",
        }
    )
    return workspace


def ids(workspace: Workspace, *paths: str) -> list[str]:
    return [group.id for group in workspace.load(*paths)]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((), ["a.b", "a/deep/er", "b"]),
        ((".",), ["a.b", "a/deep/er", "b"]),
        (("a",), ["deep/er"]),
        (("a/deep/er",), ["er"]),
        (("a/deep/er/",), ["er"]),
        (("b", "a"), ["b", "deep/er"]),
        (("b", "b"), ["b"]),
        ((".", "a"), ["a.b", "a/deep/er", "b"]),
        (("a", "."), ["a.b", "b", "deep/er"]),
        ((".hidden",), ["g"]),
        (("no-units",), []),
        (("no-config",), []),
    ],
)
def test_ids(groups: Workspace, paths: tuple[str, ...], expected: list[str]) -> None:
    assert ids(groups, *paths) == expected


def test_the_current_folder_may_be_a_group(groups: Workspace) -> None:
    groups.folder /= "b"
    assert ids(groups) == ["b"]
    assert groups.loaded().folder == groups.folder


def test_files_are_named_relative_to_the_current_folder(groups: Workspace) -> None:
    groups.write({"b/config.toml": "[x]"})
    groups.folder /= "a"
    outside = groups.folder.parent / "b/config.toml"
    assert groups.problems("../b")[0].startswith(f"{outside.as_posix()}: ")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("nowhere",), "nowhere: no such folder"),
        (("file.toml",), "file.toml: is a file; give the group's folder"),
        (("a/deep/er", "other"), "two groups have the id 'er': a/deep/er and other/er"),
    ],
)
def test_paths_that_cannot_be(groups: Workspace, paths: tuple[str, ...], message: str) -> None:
    groups.write(
        {"other/er/config.toml": "[Configs]\nunits = ['u']", "other/er/units/u.toml": "[u]"}
    )
    with pytest.raises(UsageError) as caught:
        groups.load(*paths)
    assert str(caught.value) == message


def test_unit_files_without_a_config_are_an_error(groups: Workspace) -> None:
    groups.write({"c/units/u.toml": "", "c/units/d/config.toml": ""})
    with pytest.raises(ConfigError, match=r"^c/config.toml: is missing beside units/\*.toml$"):
        groups.load()


def test_links_are_followed_once(groups: Workspace) -> None:
    (groups.folder / "a" / "back").symlink_to(groups.folder)
    (groups.folder / "again").symlink_to(groups.folder / "a" / "deep")
    assert ids(groups) == ["a.b", "a/deep/er", "b"]


def test_a_folder_that_cannot_be_listed_is_passed_over(
    groups: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "a":
            raise PermissionError
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert ids(groups) == ["a.b", "b"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a*", ["a.b", "a/deep/er"]),
        ("a/*", ["deep/er"]),
        ("*/deep/[a-e]?", ["a/deep/er"]),
        ("**/er", ["a/deep/er"]),
        ("**", ["a.b", "a/deep/er", "b"]),
    ],
)
def test_a_pattern_stands_for_the_folders_that_match(
    groups: Workspace, pattern: str, found: list[str]
) -> None:
    assert ids(groups, pattern) == found


@pytest.mark.parametrize("pattern", ["x*", "b/*", "*.toml", "__pycach?__"])
def test_a_pattern_that_matches_nothing_is_an_error(groups: Workspace, pattern: str) -> None:
    groups.write({"__pycache__/x/config.toml": "", "__pycache__/x/units/u.toml": ""})
    with pytest.raises(UsageError) as caught:
        groups.load(pattern)
    assert str(caught.value) == f"{pattern}: no folder matches"
