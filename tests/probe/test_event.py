from __future__ import annotations

import pytest

from testrium.probe.event import check_key, check_step, check_type, check_unit


@pytest.mark.parametrize("name", ["a", "A1", "9", "api.v2", "a_b-c", "x" * 64])
def test_names_of_units(name: str) -> None:
    check_unit(name)


@pytest.mark.parametrize(
    "name", ["", "*", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", "x" * 65, "a:b", "²"]
)
def test_no_names_of_units(name: str) -> None:
    with pytest.raises(ValueError, match="valid name of a unit"):
        check_unit(name)


@pytest.mark.parametrize(
    "step", ["a", "two words", "größe", "日本", "x" * 200, "a:b", "\u202e", " "]
)
def test_steps(step: str) -> None:
    check_step(step)


@pytest.mark.parametrize(
    "step", ["", "x" * 201, "a\n", "a\x00", "\x1b[0m", "\x7f", "\x85", "\ud800"]
)
def test_no_steps(step: str) -> None:
    with pytest.raises(ValueError, match="a step"):
        check_step(step)


@pytest.mark.parametrize("key", ["k", "line\nbreak", "\x00", "k" * 1024, "é" * 512])
def test_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "k" * 1025, "é" * 513, "\udc80"])
def test_no_keys(key: str) -> None:
    with pytest.raises(ValueError, match="a key"):
        check_key(key)


@pytest.mark.parametrize("check", [check_unit, check_step, check_key])
@pytest.mark.parametrize("value", [None, 1, b"bytes", ["list"]])
def test_only_text(check: object, value: object) -> None:
    assert callable(check)
    with pytest.raises(TypeError):
        check(value)


def test_types() -> None:
    check_type("Default", None)
    check_type("Exception", "k")
    check_type("Send", "k")
    with pytest.raises(ValueError, match="Receive needs a key"):
        check_type("Receive", None)
    for unknown in ("send", "", None, ["Send"]):
        with pytest.raises(ValueError, match="not a type of probe"):
            check_type(unknown, "k")
