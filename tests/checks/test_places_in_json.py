"""Places in a JSON document."""

from __future__ import annotations

import pytest

from testrium.checks.patterns import NotationError
from testrium.checks.values import AbsentError, parse, value_at

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
