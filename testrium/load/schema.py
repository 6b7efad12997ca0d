"""JSON Schemas of the files that users write, from the declaration, for their editors."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, fields
from typing import Any, Final, get_origin

from pydantic import TypeAdapter

from testrium.declared.groups import Configs, Group
from testrium.declared.keys import DIALECT, as_written, default_of, key_of, keys_of, unwrapped
from testrium.declared.project import CONFIGS_TABLE, UNIT_TABLE, ProjectTable
from testrium.declared.units import Fixture, Unit
from testrium.load.group import TABLES
from testrium.load.matrix import SCHEMA as MATRIX
from testrium.load.validate import is_mapping, table_kind

_DISABLE: Final = "PYDANTIC_DISABLE_PLUGINS"
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of each file: config.toml, a unit's, a fixture's, the project's."""
    tables = {"Configs": table_schema(Configs)}
    tables |= {key: _table_of(field) for field, key in keys_of(Group) if key in TABLES}
    config = {
        "title": "A group's config.toml",
        "type": "object",
        "properties": tables,
        "required": ["Configs"],
        "additionalProperties": False,
    }
    unit = {
        "title": "A unit's file: one table with the name of the file",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": table_schema(Unit),
    }
    fixture = unit | {
        "title": "A fixture's file: one table with the name of the file",
        "additionalProperties": table_schema(Fixture),
    }
    project = {"title": "A project's testrium.toml"} | table_schema(ProjectTable)
    project["properties"] = project["properties"] | {
        CONFIGS_TABLE: table_schema(Configs, partial=True),
        UNIT_TABLE: table_schema(Unit, partial=True),
    }
    schemas = {
        "config.toml": config,
        "units/*.toml": unit,
        "fixtures/*.toml": fixture,
        "testrium.toml": project,
    }
    return {file: {"$schema": DIALECT} | schema for file, schema in schemas.items()}


def _table_of(field: Field[Any]) -> dict[str, Any]:
    """What config.toml says of a field of a group: a table, a list of them, or tables by name."""
    kind = table_kind(field.type)
    if field.name == "matrix":
        return MATRIX
    if kind is None:
        return adapter(field.type).json_schema()
    schema = table_schema(kind)
    if field.name == "metrics":  # a name without its quotes is a table within a table
        values = schema | {"additionalProperties": {"type": "object"}}
        return {"type": "object", "additionalProperties": values}
    if is_mapping(field.type):
        return {"type": "object", "additionalProperties": schema}
    is_list = get_origin(unwrapped(field.type)[0]) is tuple
    return {"type": "array", "items": schema} if is_list else schema


def table_schema(kind: type[Any], *, partial: bool = False) -> dict[str, Any]:
    """A table as a JSON Schema, with every spelling of every key.

    It may be `partial`: keys that are required may be missing, as in defaults.
    """
    whole = adapter(kind).json_schema()
    definitions = whole.get("$defs", {})
    meanings = descriptions(kind)
    properties: dict[str, Any] = {}
    for field, key in keys_of(kind):
        schema = _resolved(whole["properties"][field.name], definitions, table_kind(field.type))
        if meaning := meanings.get(field.name):
            schema["description"] = _sentence(meaning) + _default(field)
        for name in (key, *key_of(field).also):
            for spelling in _spellings(name):
                properties[spelling] = schema
        for spelling in _spellings(key_of(field).old):
            properties[spelling] = schema | {"deprecated": True}
    required = [] if partial else [key for field, key in keys_of(kind) if key_of(field).required]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def adapter(kind: Any) -> TypeAdapter[Any]:
    """pydantic's view of a kind of value, for its JSON Schema."""
    with _without_plugins():
        return TypeAdapter(kind)


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Have pydantic look for no plugins of other packages.

    They would run in the runner, and reading what every installed package offers takes time.
    """
    before = os.environ.get(_DISABLE)
    os.environ[_DISABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_DISABLE]
        else:
            os.environ[_DISABLE] = before


def _default(field: Field[Any]) -> str:
    """` Default: 30.` where that says something."""
    value = as_written(default_of(field), field.type)
    if key_of(field).required or value in ("", [], {}):
        return ""
    return f" Default: {key_of(field).default or f'`{json.dumps(value)}`'}."


def _resolved(schema: Any, definitions: Mapping[str, Any], inner: Any) -> Any:
    """The schema with the tables that it refers to put in, and without what pydantic adds."""
    if isinstance(schema, list):
        return [_resolved(each, definitions, inner) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return table_schema(inner)
    found = {
        name: _resolved(each, definitions, inner)
        for name, each in schema.items()
        if name not in ("default", "title")
    }
    arms = found.get("anyOf", [])
    if {"type": "null"} in arms:  # TOML has no null: what is not given is left out
        found["anyOf"] = [arm for arm in arms if arm != {"type": "null"}]
        if len(found["anyOf"]) == 1:
            found |= found.pop("anyOf")[0]
    return found


def _spellings(key: str) -> tuple[str, ...]:
    """How a key may be written, as it is declared first."""
    written = (key, key.replace("-", "_"), key.replace("_", "-"))
    return tuple(dict.fromkeys(written)) if key else ()


def _sentence(text: str) -> str:
    """A description without links and marks of emphasis."""
    plain = _LINK.sub(r"\1", text).replace("*", "")
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."


def descriptions(kind: type[Any]) -> dict[str, str]:
    """The docstring below each field of a declaration, by field."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        found |= dict(_docstrings(each))
    return {field.name: found[field.name] for field in fields(kind) if field.name in found}


def _docstrings(kind: type[Any]) -> Iterator[tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for before, after in itertools.pairwise(body):
        match (before, after):
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())
