"""The tables of keys: complete, spelled as in the contract, and fit for the model."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from testrium.declared.checks import Check, Metric, OperationHistory
from testrium.declared.circuits import Circuit, Rules
from testrium.declared.faults import Chaos, Fault
from testrium.declared.groups import Configs, Monitored
from testrium.declared.keys import keys_of
from testrium.declared.project import ProjectTable
from testrium.declared.quantities import (
    Entrypoint,
    Variables,
    duration_ns,
    key_range,
    size_in_bytes,
)
from testrium.declared.telemetry import LogRule, SpanRule
from testrium.declared.units import Fixture, Unit
from testrium.load.matrix import Value
from testrium.load.schema import adapter, descriptions, json_schemas
from testrium.load.validate import core_schema

#: What is read from files.
KINDS = (
    *(Configs, Unit, Fixture, ProjectTable, Rules, Circuit, Fault, Chaos, Check, Metric),
    *(Monitored, OperationHistory, Value, Entrypoint, Variables),
)
#: What decides nothing about a dictionary: for other input, for descriptions, or the default.
NOT_ASKED = {
    *("metadata", "ref", "title", "init", "kw_only", "collect_init_only", "computed_fields"),
    *("post_init", "slots", "frozen", "default_factory_takes_data"),
}


def asked(schema: Any) -> Any:
    """What a core schema asks, so that two can be compared."""
    if isinstance(schema, dict):
        return {name: asked(each) for name, each in schema.items() if name not in NOT_ASKED}
    if isinstance(schema, partial):
        return schema.func, schema.args, schema.keywords
    return [asked(each) for each in schema] if type(schema) in (list, tuple) else schema


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: getattr(kind, "__name__", "value"))
def test_files_are_asked_what_pydantic_makes_of_the_declaration(kind: Any) -> None:
    assert asked(core_schema(kind)) == asked(adapter(kind).core_schema)


def test_a_type_that_the_declaration_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="has no such types"):
        core_schema(set[int])


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1us", 1_000),
        ("200ms", 200_000_000),
        ("1.5s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("0s", 0),
        ("0.001us", 1),
        ("1h", 3_600_000_000_000),
        ("2d", 172_800_000_000_000),
        (3, 3_000_000_000),
        (0.25, 250_000_000),
    ],
)
def test_durations(text: str | float, ns: int) -> None:
    assert duration_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "200", "ms", "-1s", "1e3s", "1 y", "3 h", "\u0661s", "nans", -1, True, None, float("nan")],
)
def test_an_invalid_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration_ns(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("10B", 10),
        ("1kB", 1_000),
        ("1KB", 1_000),
        ("200MB", 200_000_000),
        ("1.5 GB", 1_500_000_000),
        ("2KiB", 2_048),
        ("1TiB", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "200", "MB", "1mb", "-1MB", "1PB"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"invalid size: {text!r}")):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [("100", (100, 100)), (3, (3, 3)), ("1..", (1, None)), ("0..5", (0, 5)), ("0", (0, 0))],
)
def test_ranges_of_keys(value: str | int, bounds: tuple[int, int | None]) -> None:
    assert key_range(value) == bounds


@pytest.mark.parametrize("value", ["", "..", "..5", "5..2", "-1", -1, True, "1...2", "a"])
def test_an_invalid_range_is_refused(value: str | int) -> None:
    with pytest.raises(ValueError, match=r"invalid range|is less than"):
        key_range(value)


def test_json_schemas_know_every_key() -> None:
    schemas = json_schemas()
    configs = schemas["config.toml"]["properties"]["Configs"]
    assert configs["required"] == ["units"]
    assert {key for _, key in keys_of(Configs)} <= set(configs["properties"])
    unit = schemas["units/*.toml"]["additionalProperties"]
    assert {"in-except", "in_except"} <= set(unit["properties"])
    circuit = schemas["config.toml"]["properties"]["circuits"]["items"]
    assert circuit["required"] == ["name", "route"]
    assert {key for _, key in keys_of(Circuit)} <= set(circuit["properties"])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("3 hours", "use 3h, 180m or seconds"),
        ("5 sec", "use 5s, 5000ms or seconds"),
        ("80 millis", "use 80ms or seconds"),
        ("ten", 'use a number of seconds or a text such as "80ms"'),
    ],
)
def test_an_invalid_duration_is_repeated_with_what_would_be_right(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"invalid duration {text!r}: {hint}")):
        duration_ns(text)


def test_every_key_of_a_unit_and_a_group_has_a_meaning() -> None:
    for kind in (Configs, Unit, Circuit, Rules):
        assert {field.name for field, _ in keys_of(kind)} == set(descriptions(kind))


def test_keys_that_tables_share_are_declared_once() -> None:
    own = {name for name in Unit.__annotations__ if name in Fixture.__annotations__}
    assert own - {"EXCLUSIVE", "SYNONYMS"} == {"scope", "stop", "restarts"}, (
        "their defaults and meanings differ"
    )
    assert not set(SpanRule.__annotations__) & set(LogRule.__annotations__)
