"""The small language of `expect`."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.checks.expression import ExpressionError, FoundText, parse
from testrium.checks.patterns import NotationError

VALUES: dict[str, Any] = {
    "total": FoundText("30"),
    "price": FoundText("10"),
    "share": FoundText("0.5"),
    "version": FoundText("1.10"),
    "word": FoundText("Abc"),
    "absent": None,
    "rows": [3, 1, 2],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("total == price * 3", True),
        ("total / price", 3.0),
        ("total // 4 + total % 4", 9),
        ("-price < 0 < price <= 10", True),
        ("version == '1.10'", True),
        ("version == 1.1", True),
        ("price < total", True),  # as numbers: as text "10" < "30" too, but not "9" < "10"
        ("share in [0.5, 1]", True),
        ("word not in ['x']", True),
        ("'b' in word", True),
        ("lower(word) == 'abc' and upper(word) == 'ABC'", True),
        ("word + '!' == 'Abc!'", True),
        ("price + 1", 11),
        ("len(word) == 3 or word == 5", True),
        ("not (total > 30)", True),
        ("max(price, total, 7)", 30),
        ("min(rows)", 1),
        ("sum(rows)", 6),
        ("round(share + 0.2, 1) if_", None),
        ("absent == null", True),
        ("true and not false", True),
        ("abs(0 - price)", 10),
    ],
)
def test_value(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(NotationError):
            parse(text, VALUES)
        return
    assert parse(text, VALUES).value(VALUES) == value


def test_found_numbers_compare_as_numbers() -> None:
    values = {"a": FoundText("9"), "b": FoundText("10")}
    assert parse("a < b").value(values) is True
    assert parse("a < b").value({"a": FoundText("9x"), "b": FoundText("10")}) is False
    every = {"n": [FoundText("1"), FoundText("2")]}
    assert parse("n == [1, 2]").value(every) is True
    assert parse("n == ['1', '2']").value(every) is True
    assert parse("n == [1, 2, 3]").value(every) is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("total.real", "'total.real', column 1: 'total.real' is not allowed in an expression"),
        ("1 + __import__('os')", "column 5: unknown function '__import__'; known:"),
        ("2 ** 9", "column 1: '2 ** 9' is not allowed"),
        ("total ==", "column 9: invalid expression: invalid syntax"),
        ("  amount > 1", "column 3: unknown name 'amount'; known are:"),
        ("(lambda: 1)()", "is not allowed"),
        ("[x for x in rows]", "is not allowed"),
        ("rows[0]", "is not allowed"),
        ("f'{total}'", "is not allowed"),
        ("len(word, end=3)", "is not allowed"),
        ("total if price else 1", "is not allowed"),
        ("(" * 500 + ")" * 500, "invalid expression"),
        ("1+" * 1500 + "1", "is too long"),
        ("", "invalid expression"),
        ("b'x'", "is not allowed"),
        ("...", "is not allowed"),
        ("(x := 3)", "is not allowed"),
        ("\0", "invalid expression"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotationError, match="column") as caught:
        parse(text, VALUES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word > 3", "'word > 3': 'Abc' is not a number"),
        ("total / 0", "division by zero"),
        ("'ab' * 3", "'ab' is not a number"),
        ("rows < 3", "not supported"),
        ("absent > 3", "not supported"),
        ("max([])", "max of nothing"),
        ("3 in 5", "not iterable"),
        ("len(3)", "has no len()"),
    ],
)
def test_what_means_nothing_for_these_values(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, VALUES).value(VALUES)
    assert message in str(caught.value)


def test_names_are_told_in_their_order() -> None:
    assert parse("b < a and b < 3 and len(c) > 0").names == ("b", "a", "c")


@given(st.text(alphabet="ab01.+-*/%()[]<>=!'\"_ ,notrid:", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    values = {name: FoundText("1") for name in ("a", "b")}
    with contextlib.suppress(NotationError, ExpressionError):
        parse(text, values).value(values)


@pytest.mark.parametrize(
    "text",
    [
        *("-" * 1500 + "1", "(" * 1500 + "1" + ")" * 1500, "not " * 490 + "1", "[" * 1500),
        *("+".join("1" * 900), "abs(" * 400 + "1" + ")" * 400, "1 if 1 else " * 160 + "1"),
        *("a" * 3000, "\0", "1 < " * 400, "lambda:" * 280 + "1"),
    ],
    ids=lambda text: f"{text[:8]}…{len(text)}",
)
def test_what_is_too_much_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotationError):
        parse(text)


def test_nothing_computes_for_long() -> None:
    with pytest.raises(ExpressionError, match="round takes at most 300 places"):
        parse("round(1, -999999999) == 0").value({})
    assert parse("+".join("1" * 150)).value({}) == 150
