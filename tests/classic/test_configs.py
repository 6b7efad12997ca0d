"""The classic validation: dictionaries in and out, ValueError."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from testrium.common.validate_configs import (
    CONFIG_DEFAULTS,
    LEGACY_CONFIG_KEYS,
    LEGACY_UNIT_KEYS,
    UNIT_DEFAULTS,
    VALID_DEBUG_MODES,
    VALID_IN_EXCEPT,
    normalize_config,
    normalize_unit_config,
    validate_config,
    validate_unit,
    validate_unit_collection,
)


def unit(name: str, init: int, *dependencies: str, **more: Any) -> dict[str, Any]:
    table = {"init": init, "unit_dependencies": list(dependencies), **more}
    return normalize_unit_config(table, name)


def test_constants() -> None:
    assert {"DEBUG", "INFO", "WARNING", "EXCEPT"} == VALID_DEBUG_MODES
    assert {"Stop", "Resume", "Reload", "Resume-ALL"} == VALID_IN_EXCEPT
    assert LEGACY_CONFIG_KEYS == {
        "analitics": "gen-metrics",
        "save-analitics": "save-metrics",
        "save-performance": "save-scores",
    }
    assert LEGACY_UNIT_KEYS == {"unity_depencies": "unit_dependencies"}


def test_a_config_gets_its_defaults_and_keeps_what_is_given() -> None:
    given = {"Configs": {"units": ["a"], "timeout": 5, "title": "T"}, "verify": {"settle": "1s"}}
    before = copy.deepcopy(given)
    assert normalize_config(given) == {
        "Configs": CONFIG_DEFAULTS | {"units": ["a"], "timeout": 5, "title": "T"},
        "verify": {"settle": "1s"},
    }
    assert given == before


def test_spellings_become_those_of_the_contract() -> None:
    table = normalize_config(
        {"Configs": {"units": ["a"], "analitics": False, "save_scores": False}}
    )["Configs"]
    assert table["gen-metrics"] is False
    assert table["save-scores"] is False
    assert not {"analitics", "save_scores"} & table.keys()


def test_defaults_are_not_shared() -> None:
    normalize_config({"Configs": {"units": ["a"]}})["Configs"]["test-modes"].append("INFO")
    normalize_unit_config({"init": 0})["events"].append("x")
    assert CONFIG_DEFAULTS["test-modes"] == ["DEBUG"]
    assert UNIT_DEFAULTS["events"] == []


def test_normalising_twice_changes_nothing() -> None:
    config = normalize_config({"Configs": {"units": ["a"], "save-performance": True}})
    assert normalize_config(config) == config
    once = normalize_unit_config({"init": 0, "unity_depencies": ["b"]}, "a")
    assert normalize_unit_config(once) == once
    assert once == UNIT_DEFAULTS | {"init": 0, "name": "a", "unit_dependencies": ["b"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.toml must load into a dictionary"),
        ({"units": ["a"]}, 'config.toml must contain a ["Configs"] table'),
        ({"Configs": {}}, "Configs.units is required"),
        (
            {"Configs": {"units": "a"}},
            "Configs.units must be a list of strings",
        ),
        ({"Configs": {"units": ["a", "a"]}}, "Configs.units contains duplicate values: a"),
        (
            {"Configs": {"units": ["a"], "timeout": 0, "repeat": 11}},
            (
                "Configs.repeat must be an integer between 0 and 10; "
                "Configs.timeout must be a positive number"
            ),
        ),
        (
            {"Configs": {"units": ["a"], "enabled": 1}},
            "Configs.enabled must be a boolean",
        ),
        (
            {"Configs": {"units": ["a"], "tiemout": 1}},
            "Configs.tiemout unknown key; did you mean 'timeout'?",
        ),
    ],
)
def test_wrong_configs(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalize_config(config)
    assert validate_config(config) is False


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "unit config must load into a dictionary"),
        ({}, "unit init is required"),
        ({"init": -1}, "unit init must be a non-negative integer"),
        (
            {"init": 0, "entrypoint": "x"},
            'unit entrypoint must use "module:function" format',
        ),
        ({"init": 0, "ready_timeout": 0}, "unit ready_timeout must be a positive number"),
        ({"init": 0, "events": ["x", "x"]}, "unit events contains duplicate values: x"),
    ],
)
def test_wrong_units(table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalize_unit_config(table, "a")
    assert validate_unit(table) is False


def test_right_ones() -> None:
    assert validate_config({"Configs": {"units": ["a"]}})
    assert validate_unit({"init": 0, "name": "a", "entrypoint": None, "timeout": None})
    validate_unit_collection([unit("a", 0), unit("b", 1, "a")], ["a", "b"])


@pytest.mark.parametrize(
    ("units", "configured", "message"),
    [
        ([unit("a", 0)], ["a", "b"], "unit config mismatch (missing: b)"),
        ([unit("a", 0), unit("b", 1)], ["c"], "unit config mismatch (missing: c, extra: a, b)"),
        (
            [unit("a", 1), unit("b", 1)],
            ["a", "b"],
            "duplicate unit init index 1: a and b",
        ),
        ([unit("a", 0, "z")], ["a"], "unit a depends on unknown unit z"),
        ([unit("a", 0, "a")], ["a"], "unit a depends on itself"),
        (
            [unit("a", 0, "b"), unit("b", 1, enabled=False)],
            ["a", "b"],
            "unit a depends on disabled unit b",
        ),
        ([unit("a", 0, "b"), unit("b", 1, "a")], ["a", "b"], "cycle: a -> b -> a"),
        ([{"name": "a", "init": -1}], ["a"], "unit init must be a non-negative integer"),
    ],
)
def test_wrong_collections(
    units: list[dict[str, Any]], configured: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        validate_unit_collection(units, configured)
