"""`testrium schema`: what it prints accepts what Testrium accepts, and refuses typos."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from testrium.cli.reference import schema_command
from testrium.load.group import TABLES
from testrium.record.runs import is_state_folder

ROOT = Path(__file__).resolve().parents[2]
GROUPS = sorted(
    config.parent
    for place in ("example_groups", "failing_groups", "templates/scaffold")
    for config in ROOT.glob(f"{place}/*/config.toml")
)


@cache
def schema(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(schema_command, arguments)
    assert result.exit_code == 0
    parsed = json.loads(result.output)
    assert isinstance(parsed, dict)
    return parsed


@cache
def validator(name: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(schema(name))


def problems(name: str, document: object) -> list[str]:
    return [error.message for error in validator(name).iter_errors(document)]


def test_all_schemas_are_one_document() -> None:
    assert schema() == {
        "config.toml": schema("config"),
        "units/*.toml": schema("unit"),
        "fixtures/*.toml": schema("fixture"),
        "testrium.toml": schema("project"),
    }


@pytest.mark.parametrize("name", ["config", "unit", "fixture", "project", "report"])
def test_each_is_a_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_every_table_is_in_the_schema() -> None:
    assert {*TABLES, "Configs"} <= set(schema("config")["properties"])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_groups_that_pass_are_accepted(group: Path) -> None:
    assert problems("config", tomllib.loads((group / "config.toml").read_text())) == []
    for unit in (group / "units").glob("*.toml"):
        assert problems("unit", tomllib.loads(unit.read_text())) == []


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("config", "[Configs]\nunits = ['a']\ntiemout = 3", "tiemout"),
        ("config", "[Configs]\ntimeout = 3", "units"),
        ("config", "[Configs]\nunits = 3", "3"),
        ("unit", "[a]\ninit = -1", "-1"),
        ("unit", "[a]\ninit = 0\nmax_rss = '200'", "200"),
        ("project", "[Configs]\ntimeout = 0", "0"),
        ("project", "[units]", "units"),
    ],
)
def test_mistakes_are_refused(name: str, text: str, word: str) -> None:
    (problem,) = problems(name, tomllib.loads(text))
    assert word in problem


def test_old_spellings_are_known_and_told() -> None:
    document = tomllib.loads("[Configs]\nunits = ['a']\nsave-analitics = true")
    assert problems("config", document) == []
    keys = schema("config")["properties"]["Configs"]["properties"]
    assert keys["save_analitics"]["deprecated"] is True


def test_defaults_of_a_project_need_no_key() -> None:
    document = tomllib.loads("state = 'x'\ntemplates = 't'\n[Configs]\ntimeout = 3\n[unit]\n")
    assert problems("project", document) == []


def test_every_key_says_what_it_means() -> None:
    tables = schema("config")["properties"]
    for name in ("Configs", "verify", "circuits", "checks", "faults"):
        keys = tables[name].get("items", tables[name])["properties"]
        told = {key: each.get("description", "") for key, each in keys.items()}
        lacking = [key for key, text in told.items() if not text and "deprecated" not in keys[key]]
        assert lacking == []
    keys = schema("unit")["additionalProperties"]["properties"]
    assert keys["in-except"]["description"] == keys["in_except"]["description"]
    assert keys["grace"]["description"].startswith("seconds, or a duration, from the")
    assert schema("project")["properties"]["unit"]["properties"]["grace"]["description"]
    configs = tables["Configs"]["properties"]
    assert configs["timeout"]["description"] == (
        'seconds, or a duration such as `"2m"`, for the whole circuit, from the start of the first'
        " unit. Default: `30`."
    )


def test_schemas_are_written_where_templates_look_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(schema_command, ["--write"]).exit_code == 0
    folder = tmp_path / ".testrium" / "schemas"
    assert json.loads((folder / "config.json").read_text()) == schema("config")
    assert sorted(path.stem for path in folder.iterdir()) == [
        "config",
        "fixture",
        "project",
        "unit",
    ]
    assert is_state_folder(tmp_path / ".testrium")
