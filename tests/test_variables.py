"""References in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.variables import (
    Counted,
    VariableError,
    escape,
    getter_of,
    references,
    substitute,
    value_at,
)

VALUES = {"port.http": "8080", "mode": "DEBUG", "odd": "${mode}$$"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("127.0.0.1:${port.http}", "127.0.0.1:8080"),
        ("${mode}${mode}", "DEBUGDEBUG"),
        ("$$", "$"),
        ("$${mode}", "${mode}"),
        ("$$${mode}", "$DEBUG"),
        (r"^ready (\w+)$", r"^ready (\w+)$"),
        ("$HOME costs 5$", "$HOME costs 5$"),
        ("${odd}", "${mode}$$"),
    ],
)
def test_substitute(text: str, expected: str) -> None:
    assert substitute(text, VALUES.__getitem__) == expected


def test_references_come_in_order_and_as_often_as_they_occur() -> None:
    assert references("${b} $${no} ${a.b} ${b}") == ("b", "a.b", "b")


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a ${port", 3, "'${' without '}'"),
        ("${a${b}}", 1, "'${' without '}'"),
        ("ab ${}", 4, "'${}' names nothing"),
        ("${mode} ${nope}", 9, "unknown variable 'nope'"),
    ],
)
def test_errors_tell_the_place(text: str, column: int, reason: str) -> None:
    with pytest.raises(VariableError) as caught:
        substitute(text, VALUES.__getitem__)
    assert (caught.value.column, caught.value.reason) == (column, reason)
    assert str(caught.value) == f"{text!r}, column {column}: {reason}"


@given(st.text("a${}", max_size=12))
def test_an_escaped_text_comes_back(text: str) -> None:
    assert references(escape(text)) == ()
    assert substitute(escape(text), VALUES.__getitem__) == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("word", "k1"),
        ("list.2.0", 7),
        ("map.a.b", 1.5),
        ("map.point.in.it", "yes"),
        ("json.order.id", "k2"),
        ("json.lines.0", "one"),
        ("null.x.y", None),
        ("rows", 2),
        ("rows.0.id", "k3"),
    ],
)
def test_values_in_messages_have_a_path(path: str, value: object) -> None:
    fields = {
        "word": "k1",
        "list": ["a", True, [7]],
        "map": {"a": {"b": 1.5}, "point.in.it": "yes"},
        "json": ' {"order": {"id": "k2"}, "lines": ["one"]}',
        "null": None,
        "rows": Counted(2, [{"id": "k3"}]),
    }
    assert value_at(fields, path) == value
    assert getter_of(path)(fields) == value


NOWHERE = {"a": ["b"], "j": "{", "w": "word", "deep": "[" * 100_000}


@pytest.mark.parametrize("path", ["b", "a.5", "a.x", "a.0.b", "j.x", "w.x", "deep.x"])
def test_a_value_that_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(KeyError):
        value_at(NOWHERE, path)
    with pytest.raises(KeyError):
        getter_of(path)(NOWHERE)


@given(
    st.dictionaries(
        st.sampled_from(("a", "a.0", "a.b", "0", "")),
        st.none()
        | st.text()
        | st.lists(st.text(), max_size=2)
        | st.dictionaries(st.text(), st.text()),
    ),
    st.text(alphabet="ab.01", max_size=4),
)
def test_what_is_found_for_many_values_is_what_is_found_for_one(
    fields: dict[str, object], path: str
) -> None:
    try:
        expected = value_at(fields, path)
    except KeyError:
        expected = "nothing"
    try:
        found = getter_of(path)(fields)
    except KeyError:
        found = "nothing"
    assert found == expected
