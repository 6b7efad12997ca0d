"""The tables of keys: complete, spelled as in the contract, and fit for the model."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from testrium.declared.circuits import Rules
from testrium.declared.groups import Group
from testrium.declared.units import Unit
from testrium.load.quantities import key_range, nanoseconds, size_in_bytes
from testrium.load.schema import CIRCUIT, CONFIGS, UNIT, VERIFY, json_schemas
from testrium.load.shape import Shape, field_of


@pytest.mark.parametrize(("shape", "type_"), [(CONFIGS, Group), (UNIT, Unit), (VERIFY, Rules)])
def test_every_key_is_a_field_of_the_model(shape: Shape, type_: type[NamedTuple]) -> None:
    fields = set(type_._fields)
    assert {field_of(key) for key in shape.keys} <= fields


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1us", 1_000),
        ("200ms", 200_000_000),
        ("1.5 s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("0s", 0),
        ("0.001us", 1),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert nanoseconds(text) == ns


@pytest.mark.parametrize("text", ["", "200", "ms", "-1s", "1h", "1e3s", "1 s ", "\u0661s", "nans"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no duration: {text!r}")):
        nanoseconds(text)


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
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no size: {text!r}")):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [("100", (100, 100)), (3, (3, 3)), ("1..", (1, None)), ("0..5", (0, 5)), ("0", (0, 0))],
)
def test_ranges_of_keys(value: str | int, bounds: tuple[int, int | None]) -> None:
    assert key_range(value) == bounds


@pytest.mark.parametrize("value", ["", "..", "..5", "5..2", "-1", -1, True, "1...2", "a"])
def test_what_is_no_range(value: str | int) -> None:
    with pytest.raises(ValueError, match=r"no range|is less than"):
        key_range(value)


def test_json_schemas_know_every_key() -> None:
    schemas = json_schemas()
    configs = schemas["config.toml"]["properties"]["Configs"]
    assert configs["required"] == ["units"]
    assert {key.name for key in CONFIGS.keys} <= set(configs["properties"])
    unit = schemas["units/*.toml"]["additionalProperties"]
    assert {"in-except", "in_except"} <= set(unit["properties"])
    circuit = schemas["config.toml"]["properties"]["circuits"]["items"]
    assert circuit["required"] == ["name", "route"]
    assert {key.name for key in CIRCUIT.keys} <= set(circuit["properties"])
