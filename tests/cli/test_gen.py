"""`testrium gen` makes groups, and never touches a file that exists."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli import gen
from testrium.errors import ExitCode, UsageError
from testrium.resources import template_folder

EXAMPLE = Path(__file__).resolve().parents[2] / "example_groups" / "hello"
HELLO = ["config.toml", "test_case.py", "units/source.toml", "units/target.toml"]

#: What the configuration that testrium 0.3.0 generates contains: users look for these keys.
KNOWN_KEYS = {
    "units": ["target", "source"],
    "debug-modes": ["DEBUG", "INFO", "WARNING", "EXCEPT"],
    "test-modes": ["DEBUG"],
    "enabled": True,
    "timeout": 10,
    "use-ai": False,
    "diagnostics": True,
    "detect-bad-behavior": True,
    "save-resume": True,
    "repeat": 0,
    "gen-metrics": True,
    "save-metrics": True,
    "save-scores": True,
}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(gen.command, arguments)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_config_template_fills_the_current_folder() -> None:
    result = invoke("config-template")
    assert files(Path()) == HELLO
    assert result.output.splitlines()[0] == "made config.toml"
    assert result.output.endswith("\nNext: testrium run\n")


def test_config_template_makes_the_folder_it_is_given() -> None:
    result = invoke("config-template", "a b/new")
    assert files(Path("a b/new")) == HELLO
    assert result.output.endswith("\nNext: testrium run 'a b/new'\n")


def test_the_old_name_does_the_same() -> None:
    result = CliRunner().invoke(gen.old_command, ["old"])
    assert result.exit_code == 0
    assert files(Path("old")) == HELLO


def test_the_generated_configuration_shows_every_known_key() -> None:
    invoke("config-template")
    document = tomllib.loads(Path("config.toml").read_text())
    assert document["Configs"] == KNOWN_KEYS
    assert document["circuits"]


def test_the_example_is_the_generated_group() -> None:
    generated = template_folder() / "scaffold" / "hello"
    assert {name: (EXAMPLE / name).read_text() for name in HELLO} == {
        name: (generated / name).read_text() for name in HELLO
    }
    others = set(files(EXAMPLE)) - set(HELLO)
    assert {name for name in others if "__pycache__" not in name} == {"README.md"}


@pytest.mark.parametrize("name", gen.template_names())
def test_a_group_is_made_from_each_template(name: str) -> None:
    result = invoke("group", "mine", "--from", name)
    assert result.exit_code == 0
    assert tomllib.loads(Path("mine/config.toml").read_text())["circuits"]


def test_help_names_every_template() -> None:
    text = invoke("group", "--help").output
    assert all(name in text for name in gen.template_names())


def test_nothing_is_overwritten_and_nothing_half_made() -> None:
    Path("units").mkdir()
    Path("units/source.toml").write_text("mine")
    Path("test_case.py").write_text("mine too")
    result = invoke("config-template")
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == ExitCode.CONFIG_ERROR
    assert str(result.exception).splitlines()[1:] == ["  test_case.py", "  units/source.toml"]
    assert files(Path()) == ["test_case.py", "units/source.toml"]
    assert Path("test_case.py").read_text() == "mine too"


def test_a_template_that_does_not_exist_gets_a_suggestion() -> None:
    result = invoke("group", "mine", "--from", "helo")
    assert str(result.exception) == "no template 'helo'; did you mean 'hello'?"
    assert not Path("mine").exists()


def test_a_file_in_the_place_of_the_folder_is_a_usage_error() -> None:
    Path("taken").write_text("")
    result = invoke("group", "taken")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("cannot write taken")
