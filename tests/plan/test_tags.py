"""Expressions over tags, compared with Python's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.errors import UsageError
from testrium.plan.selection import parse_tags

TAGS = ("smoke", "slow", "net-work", "Not")


@pytest.mark.parametrize(
    ("expression", "tags", "expected"),
    [
        ("smoke", ["smoke"], True),
        ("smoke", ["smoker"], False),
        ("not slow", [], True),
        ("smoke and not (slow or net-work)", ["smoke"], True),
        ("smoke and not(slow or net-work)", ["smoke", "slow"], False),
        ("a or b and c", ["a"], True),
        ("(a or b) and c", ["a"], False),
        ("not not a", ["a"], True),
        ("issue:12", ["issue:12"], True),
    ],
)
def test_expressions(expression: str, tags: list[str], expected: bool) -> None:
    assert parse_tags(expression)(tags) is expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "column 1: a tag expected"),
        ("a and", "column 6: a tag expected"),
        ("a b", "column 3: 'and' or 'or' expected"),
        ("(a or b", "column 8: ')' expected"),
        ("a)", "column 2: 'and' or 'or' expected"),
        ("or a", "column 1: a tag expected"),
    ],
)
def test_errors_point_into_the_expression(expression: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tags(expression)
    assert str(caught.value) == f"--tag {expression!r}, {message}"


EXPRESSIONS = st.recursive(
    st.sampled_from(("a", "b", "c")),
    lambda inner: st.one_of(
        inner.map(lambda e: f"not {e}"),
        inner.map(lambda e: f"({e})"),
        st.tuples(inner, st.sampled_from(("and", "or")), inner).map(" ".join),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.sets(st.sampled_from(("a", "b", "c"))))
def test_precedence_is_that_of_python(expression: str, tags: set[str]) -> None:
    values = {name: name in tags for name in "abc"}
    assert parse_tags(expression)(tags) is eval(expression, {}, values)
