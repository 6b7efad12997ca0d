"""Values that are compared: from JSON, from probes, from the user's file."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.checks.expression import FoundText
from testrium.checks.values import equal, read_json, unequal


def plain(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (FoundText("8080"), 8080, True),
        (FoundText("8080"), "8080", True),
        (FoundText("true"), True, True),
        (FoundText("NaN"), 1, False),
        ("8080", 8080, False),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, True], [1, 1], False),
        (None, "", False),
    ],
)
def test_equal(actual: Any, expected: Any, same: bool) -> None:
    assert equal(actual, expected, plain) is same


def test_texts_inside_are_normalised() -> None:
    assert equal({"a": ["X"]}, {"a": ["x"]}, str.lower)


def test_a_difference_of_documents_is_a_diff() -> None:
    failure = unequal("out.json", {"a": 1, "b": 2}, {"a": 1, "b": 3}, plain)
    assert failure is not None
    assert failure.message == 'out.json is {"a": 1, "b": 2}, expected {"a": 1, "b": 3}'
    assert failure.details[-3:] == ('-  "b": 3', '+  "b": 2', " }")


def test_invalid_json_shows_its_line() -> None:
    _, failure = read_json('{\n "a": nope\n}', "out.json")
    assert failure is not None
    assert failure.message.startswith("out.json is not valid JSON: Expecting value: line 2")
    assert failure.details == ('2:  "a": nope',)
    assert read_json("[" * 100_000, "x")[1] is not None
