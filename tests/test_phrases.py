"""Numbers and lists as people say them."""

from __future__ import annotations

import pytest

from testrium.phrases import close_to, listed, plural, shown, times


def test_listed() -> None:
    assert listed(["k1"]) == "k1"
    assert listed(["k1", "k2"]) == "k1 and k2"
    assert listed(["k1", "k2", "k3"]) == "k1 and 2 more"


def test_counts() -> None:
    assert [times(n) for n in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert [plural(n, "key") for n in (0, 1, 2)] == ["0 keys", "1 key", "2 keys"]


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
