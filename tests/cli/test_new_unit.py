"""`testrium gen unit` adds a unit to a group, and leaves alone what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli import templates
from testrium.load import load_groups

GROUP = """\
# what it is for
[Configs]
timeout = 5
units = [{units}]

[env]
A = "]"
"""


@pytest.fixture(autouse=True)
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group of two units in the current folder's folder `g`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "g"
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(GROUP.format(units="'a', 'b'"))
    (folder / "units/a.toml").write_text("[a]\ninit = 0")
    (folder / "units/b.toml").write_text("[b]\ninit = 7")
    return folder


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(templates.command, ["unit", "--group", "g", *arguments])


def everything(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_unit_gets_its_file_its_code_and_its_place(group: Path) -> None:
    before = everything(group)
    result = invoke("c-d", "--after", "a")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "made g/c_d.py",
        "made g/units/c-d.toml",
        "added 'c-d' to the units of g/config.toml",
        "",
        "Next: testrium check g",
    ]
    (loaded,) = load_groups(("g",), cwd=Path.cwd())
    unit = loaded.units[-1]
    assert (unit.name, unit.init, unit.entrypoint) == ("c-d", 8, "c_d:main")
    assert unit.dependencies == ("a",)
    after = everything(group)
    assert after["config.toml"] == GROUP.format(units="'a', 'b', \"c-d\"")
    assert {name: after[name] for name in before if name != "config.toml"} == {
        name: text for name, text in before.items() if name != "config.toml"
    }


def test_a_unit_of_a_program(group: Path) -> None:
    assert invoke("web.1", "--command", "serve 'a b' --port ${port.http}").exit_code == 0
    assert (group / "units/web.1.toml").read_text() == (
        '["web.1"]\ninit = 8\ncommand = ["serve", "a b", "--port", "${port.http}"]\n'
    )


def test_a_unit_of_a_function_that_exists(group: Path) -> None:
    (group / "shop.py").write_text("def main(): pass")
    assert invoke("c", "--entrypoint", "shop:main").exit_code == 0
    assert not (group / "c.py").exists()
    assert load_groups(("g",), cwd=Path.cwd())[0].units[-1].entrypoint == "shop:main"


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ("", '"c"'),
        ("  ", '"c"  '),
        ("\n  'a', # ]\n  'b', # last\n", "\n  'a', # ]\n  'b', \"c\", # last\n"),
        ("\n  # none yet\n", '"c"\n  # none yet\n'),
        ("\r\n  'a',\r\n", "\r\n  'a', \"c\",\r\n"),
    ],
)
def test_the_list_of_units_keeps_its_form(group: Path, units: str, expected: str) -> None:
    config = group / "config.toml"
    config.write_bytes(GROUP.format(units=units).encode())
    config.chmod(0o640)
    assert invoke("c").exit_code == 0
    assert config.read_bytes().decode() == GROUP.format(units=expected)
    assert config.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a",), "the group has a unit 'a' already"),
        (("../x",), "invalid name of a unit '../x': "),
        (("setup",), "invalid name of a unit 'setup': "),
        (("c", "--after", "bb"), "--after bb: no such unit; did you mean 'b'?"),
        (("c", "--entrypoint", "y"), "--entrypoint y: must be MODULE:FUNCTION"),
        (("c", "--command", "'"), '--command "\'": No closing quotation'),
        (("c", "--command", "x", "--entrypoint", "y:z"), "--entrypoint conflicts with --command"),
        (("taken",), "nothing was written, because these files exist:\n  g/taken.py"),
    ],
)
def test_what_cannot_be_changes_nothing(
    group: Path, arguments: tuple[str, ...], message: str
) -> None:
    (group / "taken.py").write_text("mine")
    before = everything(group)
    assert str(invoke(*arguments).exception).startswith(message)
    assert everything(group) == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "g/config.toml: cannot be read: No such file or directory"),
        ("x = ", "g/config.toml: invalid TOML: Invalid value"),
        (
            "[Configs]",
            "g/config.toml: the list Configs.units, to which 'c' would be added, is missing",
        ),
        (
            "Configs = 1",
            "g/config.toml: the list Configs.units, to which 'c' would be added, is missing",
        ),
    ],
)
def test_a_folder_without_a_valid_group_is_refused(
    group: Path, config: str | None, message: str
) -> None:
    (group / "config.toml").unlink()
    if config is not None:
        (group / "config.toml").write_text(config)
    assert str(invoke("c").exception).startswith(message)
    assert not (group / "c.py").exists()
