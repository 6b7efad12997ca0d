"""`testrium schema`: JSON Schemas of the files that users write, for their editors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from testrium.resources import reference_folder

#: What the command calls each file.
_FILES = {
    "config": "config.toml",
    "unit": "units/*.toml",
    "fixture": "fixtures/*.toml",
    "project": "testrium.toml",
}


@click.command(name="schema")
@click.argument("file", type=click.Choice(list(_FILES)), required=False)
def command(file: str | None) -> int:
    """Print the JSON Schema of FILE; without FILE an object with all four, by file.

    config is a group's config.toml, unit a file in units/, fixture one in fixtures/,
    project is testrium.toml.
    """

    from testrium.load.project import json_schema
    from testrium.load.schema import json_schemas

    schemas = json_schemas() | {"testrium.toml": json_schema()}
    describe(schemas)
    click.echo(json.dumps(schemas[_FILES[file]] if file else schemas, indent=2))
    return 0


#: A table of keys: where its schema is, and under which headings of which page it is explained.
_TABLES = (
    ("config.toml", ("Configs",), "groups.md", ("[Configs]",)),
    ("config.toml", ("verify",), "circuits.md", ("[verify]",)),
    ("config.toml", ("circuits", "items"), "circuits.md", ("Circuits and rules",)),
    ("config.toml", ("checks", "items"), "checks.md", ("What a check looks at", "Conditions")),
    ("config.toml", ("faults", "items"), "faults.md", ("At a probe",)),
    ("units/*.toml", (), "groups.md", ("units/NAME.toml",)),
    ("fixtures/*.toml", (), "groups.md", ("units/NAME.toml",)),
    ("fixtures/*.toml", (), "fixtures.md", ("Keys",)),
    ("testrium.toml", ("Configs",), "groups.md", ("[Configs]",)),
    ("testrium.toml", ("unit",), "groups.md", ("units/NAME.toml",)),
)

_NAME = re.compile(r"`([\w-]+)(?: = [^`]*)?`")

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def describe(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Add a `description` to every key of the schemas that the reference explains."""
    for file, path, page, headings in _TABLES:
        schema = schemas[file]
        keys = schema["properties"] if "properties" in schema else schema["additionalProperties"]
        for part in path:
            keys = keys[part]
        keys = keys.get("properties", keys)
        text = (reference_folder() / page).read_text(encoding="utf-8")
        for name, meaning in meanings(text, headings).items():
            for spelling in {name, name.replace("-", "_"), name.replace("_", "-")} & keys.keys():
                keys[spelling] = {**keys[spelling], "description": meaning}


def meanings(page: str, headings: Iterable[str]) -> dict[str, str]:
    """Key -> what its row says, of all tables of keys right under these headings."""
    wanted = set(headings)
    found: dict[str, str] = {}
    heading, in_table = "", False
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            in_table = False
        elif cells[0] == "key":
            in_table = heading in wanted
        elif in_table and cells[0].startswith("`"):
            default = (
                f" Default: {cells[1]}." if len(cells) > 2 and cells[1].startswith("`") else ""
            )
            for name in _NAME.findall(cells[0]):
                found[name] = _plain(cells[-1]) + default
    return found


def _plain(text: str) -> str:
    """A cell as a sentence without links and marks of emphasis."""
    plain = _LINK.sub(r"\1", text.replace(r"\|", "|")).replace("*", "")
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."
