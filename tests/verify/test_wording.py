"""Numbers, times and lists as people say them."""

from __future__ import annotations

import pytest

from testrium.verify.wording import close_to, duration, listed, number_of, shown, times


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 us"),
        (340_000_000, "340 ms"),
        (999_900_000, "1000 ms"),
        (1_234_000_000, "1.23 s"),
        (123_456_000_000, "123 s"),
        (-1_200_000, "-1.2 ms"),
    ],
)
def test_duration(span_ns: float, text: str) -> None:
    assert duration(span_ns) == text


def test_listed() -> None:
    assert listed(["k1"]) == "k1"
    assert listed(["k1", "k2"]) == "k1 and k2"
    assert listed(["k1", "k2", "k3"]) == "k1 and 2 more"


def test_counts() -> None:
    assert [times(n) for n in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert [number_of(n, "key") for n in (0, 1, 2)] == ["0 keys", "1 key", "2 keys"]


def test_long_text_is_cut() -> None:
    assert shown("k" * 60) == "k" * 60
    assert shown("k" * 61) == "k" * 59 + "…"


@pytest.mark.parametrize(
    ("word", "words", "near"),
    [
        ("recieved", ["sent", "received"], "received"),
        ("received", ["received"], None),
        ("received", ["sent", "done"], None),
        ("received", [], None),
    ],
)
def test_close_to(word: str, words: list[str], near: str | None) -> None:
    assert close_to(word, words) == near
