from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testrium.errors import UsageError
from testrium.plugins.registry import Plugin, find_plugin, installed_plugins, load_plugin

OWN = Plugin("writers", "mine", "tools:Mine", "testrium.toml", "/project")

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make packages that offer entry points, as pip leaves them behind."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, **points: str) -> None:
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points.items())
        (info / "entry_points.txt").write_text(f"[testrium.writers]\n{lines}")

    return make


def test_installed_plugins_are_found_without_being_imported(install: Install) -> None:
    install("chat", talk="no_such_module:Talk")

    assert Plugin("writers", "talk", "no_such_module:Talk", "chat 1.2") in installed_plugins(
        "writers"
    )
    assert find_plugin("writers", "talk").reference == "no_such_module:Talk"


def test_those_of_the_project_come_first(install: Install) -> None:
    install("chat", mine="chat:Theirs")

    assert find_plugin("writers", "mine", (OWN,)) is OWN


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tlak", r"writers: unknown name 'tlak'; did you mean 'talk'\?"),
        ("xyz", r"writers: unknown name 'xyz'; known: json, mine, talk, twice"),
        ("twice", r"both chat 1\.2 and phone 1\.2 have one that is called 'twice'"),
    ],
)
def test_a_wrong_name_is_refused(install: Install, name: str, message: str) -> None:
    install("chat", talk="chat:Talk", twice="chat:Twice")
    install("phone", twice="phone:Twice")
    with pytest.raises(UsageError, match=message):
        find_plugin("writers", name, (OWN,), builtin=("json",))


def test_a_plugin_of_the_project_is_imported_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_tools.py").write_text("class Outer:\n    class Inner: pass\n")
    plugin = Plugin("writers", "x", "own_tools:Outer.Inner", "testrium.toml", str(tmp_path))

    assert load_plugin(plugin).__qualname__ == "Outer.Inner"
    assert sys.path[0] == str(tmp_path)
    sys.modules.pop("own_tools")
