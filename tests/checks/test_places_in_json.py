"""Places in a JSON document."""

from __future__ import annotations

import pytest

from testrium.checks.patterns import NotationError
from testrium.checks.values import AbsentError, check_path, parse, value_at

DOCUMENT = {"a": {"b": [{"c": 5}, 7], "x.y": 1}, "n": None, "ok": True}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0].c", 5),
        ("a.b[-1]", 7),
        ('a["x.y"]', 1),
        ("a['x.y']", 1),
        ("n", None),
        ("", DOCUMENT),
    ],
)
def test_value(path: str, value: object) -> None:
    assert value_at(DOCUMENT, path) == value


def test_a_list_at_the_top() -> None:
    assert value_at([[1, 2]], "[0][1]") == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.c", "a has no 'c', only 'b', 'x.y'"),
        ("a.b[5]", "a.b has 2 items, so it has no [5]"),
        ("a.b.c", "a.b is a list, so it has no 'c'"),
        ("a[0]", "a is an object, so it has no [0]"),
        ("n.x", "n is null, so it has no 'x'"),
        ("ok.x", "ok is a boolean, so it has no 'x'"),
        ("z", "the document has no 'z', only 'a', 'n', 'ok'"),
    ],
)
def test_absent(path: str, message: str) -> None:
    with pytest.raises(AbsentError) as caught:
        value_at(DOCUMENT, path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "column"), [("a..b", 2), ("a[x]", 2), (".a", 1), ("a b", 2), ("a[", 2), ("a.", 2)]
)
def test_no_path(path: str, column: int) -> None:
    with pytest.raises(NotationError, match=f"column {column}: expected a path"):
        parse(path)


ORDERS = {"orders": [{"id": 1, "state": "open"}, {"id": 2, "state": "paid"}], "$": {"x": 3}}


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("$.orders[?@.state == 'open'].id", [1]),
        ("$.orders[*].id", [1, 2]),
        ("$.orders[?@.state == 'lost'].id", []),
        ("$..id", [1, 2]),
        ("$.orders[-1].id", 2),
        ("$", ORDERS),
    ],
)
def test_a_query(query: str, value: object) -> None:
    assert value_at(ORDERS, query) == value


def test_a_name_may_begin_with_a_dollar() -> None:
    assert value_at({"$id": 7}, "$id") == 7


def test_a_query_for_one_place_that_is_not_there() -> None:
    with pytest.raises(AbsentError, match=r"nothing in the document matches '\$\.a\.b'"):
        value_at({}, "$.a.b")


@pytest.mark.parametrize(
    "query", ["$.a[", "$.a[?", "$.a[?@.b ==]", "$ .", "$[" * 900, "$" + "[?(" * 600, "$.a | $.b"]
)
def test_no_query(query: str) -> None:
    with pytest.raises(NotationError, match=r"invalid JSONPath query|expected a path"):
        check_path(query)


def test_a_path_has_a_longest_length() -> None:
    for path in ("a" + "[0]" * 1000, "$" + "[0]" * 1000):
        with pytest.raises(NotationError, match="too long"):
            check_path(path)
