"""`testrium gen` makes groups, and never touches a file that exists."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli import templates
from testrium.cli.templates import known_templates
from testrium.errors import ExitCode, UsageError
from testrium.load import load_groups
from testrium.resources import template_folder

EXAMPLES = Path(__file__).resolve().parents[2] / "example_groups"
#: Templates that are examples too; those are explained by a README.
SHARED = {
    "broker": "redis_stream",
    "fan-out": "fan_out",
    "hello": "hello",
    "polyglot": "polyglot",
    "request-reply": "request_reply",
}
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
    return CliRunner().invoke(templates.command, arguments)


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
    result = CliRunner().invoke(templates.old_command, ["old"])
    assert result.exit_code == 0
    assert files(Path("old")) == HELLO


def test_the_generated_configuration_shows_every_known_key() -> None:
    invoke("config-template")
    document = tomllib.loads(Path("config.toml").read_text())
    assert document["Configs"] == KNOWN_KEYS
    assert document["circuits"]


def contents(folder: Path) -> dict[str, str]:
    return {
        name: (folder / name).read_text()
        for name in files(folder)
        if "__pycache__" not in name and name != "README.md"
    }


@pytest.mark.parametrize(("template", "example"), SHARED.items())
def test_a_template_and_the_example_of_the_same_kind_are_equal(template: str, example: str) -> None:
    assert contents(template_folder() / "scaffold" / template) == contents(EXAMPLES / example)


@pytest.mark.parametrize("name", known_templates())
def test_a_group_is_made_from_each_template(name: str) -> None:
    result = invoke("group", "mine", "--from", name)
    assert result.exit_code == 0
    tables = tomllib.loads(Path("mine/config.toml").read_text())
    assert tables.get("circuits") or tables.get("checks")


def test_the_list_tells_what_each_template_is() -> None:
    lines = invoke("group", "--list").output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(known_templates())
    assert "pipeline       A pipeline of three stages" in lines
    assert all(len(line.split()) > 3 for line in lines)


def write(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def own_template(folder: str) -> None:
    write(f"{folder}/config.toml", "[Configs]\nunits = ['u']\ntitle = 'Ours'")
    write(f"{folder}/units/u.toml", "[u]\ninit = 0\ncommand = ['./run.sh']")
    write(f"{folder}/run.sh", "#!/bin/sh\n")
    write(f"{folder}/__pycache__/x.pyc")
    write(f"{folder}/.testrium/history.db")
    Path(folder, "run.sh").chmod(0o755)


@pytest.mark.parametrize(
    ("project", "folder"), [("", "testrium-templates"), ("templates = 'a/b'", "a/b")]
)
def test_a_project_has_templates_of_its_own(
    project: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("testrium.toml", project)
    own_template(f"{folder}/ours")
    own_template(f"{folder}/hello")
    Path("deep").mkdir()
    monkeypatch.chdir("deep")
    assert "ours           Ours\n" in invoke("group", "--list").output
    for name in ("ours", "hello"):
        assert invoke("group", f"new-{name}", "--from", name).exit_code == 0
        assert files(Path(f"new-{name}")) == ["config.toml", "run.sh", "units/u.toml"]
        assert Path(f"new-{name}/run.sh").stat().st_mode & 0o111


def test_templates_of_a_project_are_not_run_as_groups() -> None:
    own_template("testrium-templates/ours")
    own_template("real")
    assert [group.id for group in load_groups((), cwd=Path.cwd())] == ["real"]
    asked = load_groups(("testrium-templates",), cwd=Path.cwd())
    assert [group.id for group in asked] == ["testrium-templates/ours"]


def test_any_group_can_be_the_template() -> None:
    own_template("shop/cart")
    assert invoke("group", "other", "--from", "shop/cart").exit_code == 0
    assert files(Path("other")) == ["config.toml", "run.sh", "units/u.toml"]


@pytest.mark.parametrize(
    ("template", "target", "message"),
    [
        ("./nowhere", "x", "./nowhere: not a group: config.toml is missing"),
        ("./ours", "ours/inner", "ours/inner: lies in the template itself"),
    ],
)
def test_folders_that_cannot_be_copied(template: str, target: str, message: str) -> None:
    own_template("ours")
    assert str(invoke("group", target, "--from", template).exception) == message


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
    result = invoke("group", "mine", "--from", "zzz")
    assert str(result.exception).startswith("no template 'zzz'; known: broker, celery, cli,")
    assert not Path("mine").exists()


def test_a_file_in_the_place_of_the_folder_is_a_usage_error() -> None:
    Path("taken").write_text("")
    result = invoke("group", "taken")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("cannot write taken")


def test_files_of_a_template_name_their_schema() -> None:
    invoke("group", "a/mine", "--from", "hello")
    first = {
        name: Path("a/mine", name).read_text().splitlines()[0]
        for name in ("config.toml", "units/source.toml")
    }
    assert first == {
        "config.toml": "#:schema ../../.testrium/schemas/config.json",
        "units/source.toml": "#:schema ../../../.testrium/schemas/unit.json",
    }


def test_a_unit_that_is_added_names_its_schema_where_the_group_does() -> None:
    invoke("group", "mine", "--from", "hello")
    invoke("unit", "third", "--group", "mine")
    text = Path("mine/units/third.toml").read_text()
    assert text.startswith("#:schema ../../.testrium/schemas/unit.json\n[third]\n")


@pytest.mark.parametrize("name", known_templates())
def test_a_template_explains_itself(name: str) -> None:
    folder = known_templates()[name].folder
    config = (folder / "config.toml").read_text()
    assert config.startswith("# ")
    assert "# Next: " in config or "Next: " in config
    assert "[[circuits]]" not in config or "\nlinger = " in config
    code = "".join(path.read_text() for path in folder.glob("*.*") if path.suffix != ".toml")
    assert "[[circuits]]" not in config or "first probe" in code
