"""Which folders are groups, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.errors import ConfigError, NoGroupsError, UsageError
from testrium.load import load_groups
from testrium.plan.selection import Selection, select

if TYPE_CHECKING:
    from tests.load.conftest import Workspace


@pytest.fixture
def groups(workspace: Workspace) -> Workspace:
    """Groups at several depths, and folders that are not searched."""
    for folder in (
        "b",
        "a/deep/er",
        "a.b",
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
        (("a",), ["a/deep/er"]),
        (("a/deep/er",), ["a/deep/er"]),
        (("a/deep/er/",), ["a/deep/er"]),
        (("b", "a"), ["a/deep/er", "b"]),
        (("b", "b"), ["b"]),
        ((".", "a"), ["a.b", "a/deep/er", "b"]),
        (("a", "."), ["a.b", "a/deep/er", "b"]),
        ((".hidden",), [".hidden/g"]),
    ],
)
def test_ids(groups: Workspace, paths: tuple[str, ...], expected: list[str]) -> None:
    assert ids(groups, *paths) == expected


def test_ids_count_from_the_folder_of_the_project_file(groups: Workspace) -> None:
    one = {"sub/one/config.toml": "[Configs]\nunits = ['u']", "sub/one/units/u.toml": "[u]"}
    groups.write({"testrium.toml": "", **one})
    groups.folder /= "sub"
    assert ids(groups) == ["sub/one"]
    assert ids(groups, "one") == ["sub/one"]
    assert ids(groups, "sub/one", "b") == ["b", "sub/one"]


def test_a_group_inside_a_group_is_an_error_that_names_both(groups: Workspace) -> None:
    inner = {"b/x/y/config.toml": "[Configs]\nunits = ['u']", "b/x/y/units/u.toml": "[u]"}
    groups.write(inner)
    assert groups.problems() == [
        (
            "b/x/y/config.toml: is a group inside the group b: set subgroups = true in"
            " b/config.toml, or move one of them"
        )
    ]
    groups.write({"b/config.toml": "[Configs]\nunits = ['u']\nsubgroups = true"})
    assert ids(groups) == ["a.b", "a/deep/er", "b", "b/x/y"]


def test_a_group_that_is_the_current_folder_has_its_name_in_the_message(groups: Workspace) -> None:
    groups.write({"b/x/config.toml": "[Configs]\nunits = ['u']", "b/x/units/u.toml": "[u]"})
    with pytest.raises(
        ConfigError, match=r"inside the group b: set subgroups = true in config\.toml, or move one"
    ):
        load_groups((".",), cwd=groups.folder / "b")


@pytest.mark.parametrize(
    ("defaults", "own", "expected"),
    [
        ({"testrium.toml": "true"}, "", True),
        ({"testrium.toml": "true"}, "subgroups = false", False),
        ({"testrium.toml": "false"}, "subgroups = true", True),
        ({"testrium.toml": "false", "b/testrium.toml": "true"}, "", True),
        ({"b/testrium.toml": "false"}, "", False),
    ],
)
def test_subgroups_may_be_a_default(
    groups: Workspace, defaults: dict[str, str], own: str, expected: bool
) -> None:
    text = "[Configs]\nsubgroups = "
    groups.write({name: f"{text}{value}" for name, value in defaults.items()})
    groups.write(
        {
            "b/config.toml": f"[Configs]\nunits = ['u']\n{own}",
            "b/x/config.toml": "[Configs]\nunits = ['u']",
            "b/x/units/u.toml": "[u]",
        }
    )
    if expected:
        assert ids(groups, "b") == ["b", "b/x"]
    else:
        assert len(groups.problems("b")) == 1


def test_a_group_behind_a_link_has_one_name(
    groups: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "elsewhere"
    (groups.folder / "b").rename(outside)
    (groups.folder / "b").symlink_to(outside)
    (groups.folder / "0").symlink_to(groups.folder / "a.b")
    assert ids(groups) == ["a.b", "a/deep/er", "b"]
    assert ids(groups, "0", "b") == ["a.b", "b"]


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
    ],
)
def test_paths_that_cannot_be(groups: Workspace, paths: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        groups.load(*paths)
    assert str(caught.value) == message


def test_unit_files_without_a_config_are_an_error(groups: Workspace) -> None:
    groups.write({"c/units/u.toml": "", "c/units/d/config.toml": ""})
    with pytest.raises(ConfigError, match=r"^c/config.toml: is missing beside units/\*.toml"):
        groups.load()


def test_mistakes_in_what_is_left_out_do_not_count(groups: Workspace) -> None:
    groups.write(
        {
            "b/config.toml": "[Configs",
            "c/units/u.toml": "",
            "a.b/x/config.toml": "[Configs]\nunits = ['u']",
            "a.b/x/units/u.toml": "[u]",
        }
    )
    selection = Selection(less=("b", "c/", "*/x"))
    loaded = load_groups((), cwd=groups.folder, left_out=selection.leaves_out)
    assert [group.id for group in loaded] == ["a.b", "a.b/x", "a/deep/er", "b", "c"]
    assert [group.id for group in select(loaded, selection)] == ["a.b", "a/deep/er"]
    assert len(groups.problems()) == 3


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
        ("a/*", ["a/deep/er"]),
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


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (("a.b..b",), ["a.b", "a/deep/er", "b"]),
        (("a.b..a/deep/er",), ["a.b", "a/deep/er"]),
        (("a/deep/er..",), ["a/deep/er", "b"]),
        (("..a.b",), ["a.b"]),
        (("b..b",), ["b"]),
        (("b..", "a"), ["a/deep/er", "b"]),
    ],
)
def test_a_range_of_ids(groups: Workspace, paths: tuple[str, ...], found: list[str]) -> None:
    assert ids(groups, *paths) == found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("b..a.b", "b..a.b: 'b' comes after 'a.b' in the order of ids"),
        ("a.b..c", "a.b..c: no such folder, and no range: no group 'c'"),
        ("er..", "er..: no such folder, and no range: no group 'er'; did you mean 'a/deep/er'?"),
        ("er", "er: no such folder; did you mean 'a/deep/er'?"),
        ("bb", "bb: no such folder; did you mean 'b'?"),
        ("aa", "aa: no such folder; did you mean 'a'?"),
        ("a/../c", "a/../c: no such folder"),
        ("../c", "../c: no such folder"),
        ("x" * 300, f"{'x' * 300}: no such folder: File name too long"),
    ],
)
def test_an_invalid_range_is_refused(groups: Workspace, path: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        groups.load(path)
    assert str(caught.value) == message


def test_a_folder_is_never_taken_for_a_range(groups: Workspace) -> None:
    (groups.folder / "a.b..b").mkdir()
    with pytest.raises(NoGroupsError):
        ids(groups, "a.b..b")
    assert ids(groups, "a/..") == ["a.b", "a/deep/er", "b"]


@pytest.fixture
def matrix(groups: Workspace) -> Workspace:
    """The group `b` has a matrix."""
    groups.write(
        {
            "b/config.toml": """
                [Configs]
                units = ["u"]
                [matrix]
                x = ["1", "2"]
                primary = [{x = "1"}]
                """
        }
    )
    return groups


@pytest.mark.parametrize(
    ("paths", "suffixes"),
    [
        (("b[x=2]",), {"[x=2]"}),
        (("b[x=2]", "b[x=1]"), {"[x=1]", "[x=2]"}),
        (("b[x=2]", "b"), {"[x=1]", "[x=2]"}),
    ],
)
def test_one_combination_by_its_id(
    matrix: Workspace, paths: tuple[str, ...], suffixes: set[str]
) -> None:
    (group,) = matrix.load(*paths)
    assert {each.suffix for each in group.matrix} == suffixes
    primary = {each.suffix for each in group.matrix if each.primary}
    assert primary == (suffixes if len(paths) < 2 or "b" not in paths else {"[x=1]"})


def test_a_combination_that_does_not_exist(matrix: Workspace) -> None:
    with pytest.raises(UsageError) as caught:
        matrix.load("b[x=3]")
    assert str(caught.value).startswith("b[x=3]: no combination of the group's matrix; did you")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"": "a.b"}, ["a/deep/er", "b"]),
        ({"": "er\n!a/deep/er"}, ["a.b", "a/deep/er", "b"]),
        ({"": "deep/"}, ["a.b", "b"]),
        ({"": "/er"}, ["a.b", "a/deep/er", "b"]),
        ({"": "*\n!b"}, ["b"]),
        ({"": "er", "a": "!er"}, ["a.b", "a/deep/er", "b"]),
        ({"a": "deep\n# b"}, ["a.b", "b"]),
        ({"a/deep": "er  "}, ["a.b", "b"]),
    ],
)
def test_folders_can_be_left_out_of_the_search(
    groups: Workspace, files: dict[str, str], expected: list[str]
) -> None:
    groups.write({f"{folder}/.testriumignore".lstrip("/"): text for folder, text in files.items()})
    assert ids(groups) == expected


def test_what_is_named_is_searched_and_what_is_below_it_may_be_ignored(groups: Workspace) -> None:
    groups.write({".testriumignore": "a\n**/er"})
    assert ids(groups) == ["a.b", "b"]
    with pytest.raises(NoGroupsError, match=r"no group found: 1 group was left out by \.testrium"):
        groups.load("a")
    assert ids(groups, "a/deep/er") == ["a/deep/er"]
    with pytest.raises(UsageError, match="no folder matches"):
        groups.load("a/de*/er")


def test_an_ignore_file_that_cannot_be_read(groups: Workspace) -> None:
    (groups.folder / "a" / ".testriumignore").write_bytes(b"\xff")
    assert groups.problems() == ["a/.testriumignore: cannot be read: is not UTF-8"]
    (groups.folder / "a" / ".testriumignore").unlink()
    (groups.folder / "a" / ".testriumignore").mkdir()
    assert groups.problems() == ["a/.testriumignore: cannot be read: Is a directory"]


def test_a_config_that_is_a_folder(groups: Workspace) -> None:
    groups.write({"c/units/u.toml": "", "c/config.toml/x": ""})
    assert groups.problems() == ["c/config.toml: is not a file, which units/*.toml beside it needs"]


@pytest.mark.parametrize("path", ["closed", "closed/inner"])
def test_a_named_folder_that_cannot_be_read_is_a_usage_error(
    groups: Workspace, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (groups.folder / "closed/inner").mkdir(parents=True)
    is_file = Path.is_file

    def refuse(file: Path) -> bool:
        if "closed" in file.parts:
            raise PermissionError(13, "Permission denied")
        return is_file(file)

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UsageError, match=r"cannot be read: Permission denied$"):
        groups.load(path)
    assert ids(groups) == ["a.b", "a/deep/er", "b"]
