"""`testrium schema`: JSON Schemas of the files that users write, for their editors."""

from __future__ import annotations

import json

import click

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

    from testrium.load.schema import json_schemas

    schemas = json_schemas()
    click.echo(json.dumps(schemas[_FILES[file]] if file else schemas, indent=2))
    return 0
