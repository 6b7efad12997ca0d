"""Normalisers: text that differs from run to run becomes the same text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.checks.comparison import NAMED, normalized_by
from testrium.checks.patterns import NotationError
from testrium.declared.checks import Normalizer


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("datetime", "at 2026-11-21T12:00:01.123Z ok", "at <datetime> ok"),
        ("datetime", "2026-11-21 12:00:01,123 INFO", "<datetime> INFO"),
        ("datetime", "2026-11-21 12:00:01+02:00 x", "<datetime> x"),
        ("datetime", "on 21.11.2026", "on <datetime>"),
        ("datetime", "Sat Nov 21 06:22:43 UTC 2026", "<datetime>"),
        ("datetime", "Sat, 21 Nov 2026 06:22:43 GMT", "<datetime>"),
        ("datetime", "Nov 21 06:22:43 host", "<datetime> host"),
        ("datetime", "06:22 PM and 11:00:00", "<datetime> and <datetime>"),
        ("datetime", "version 1.2.3 of May", "version 1.2.3 of May"),
        ("datetime", "127.0.0.1:8080, [::1]:80", "127.0.0.1:8080, [::1]:80"),
        ("datetime", "10.0.0.1:80 at 1:8080", "10.0.0.1:80 at 1:8080"),
        ("number", "took 12 ms, 0x7fff, r-12", "took <number> ms, <number>, r<number>"),
        ("number", "-3.5e-7", "<number>"),
        ("port", "http://api:8080/x localhost:5", "http://api:<port>/x localhost:<port>"),
        ("port", "127.0.0.1:99", "127.0.0.1:<port>"),
        ("port", "listening on port 8080, [::1]:80", "listening on port <port>, [::1]:<port>"),
        ("port", "file.py:12 at 10:30", "file.py:12 at 10:30"),
        ("path", "open /tmp/a-b/c.txt: no", "open <path>: no"),
        ("path", "see http://host/a/b and either/or", "see http://host/a/b and either/or"),
        ("path", "~/x ~", "<path> ~"),
    ],
)  # fmt: skip
def test_named(name: str, before: str, after: str) -> None:
    assert normalized_by([Normalizer(name)])(before) == after


def test_own_and_in_order() -> None:
    own = Normalizer("", r"id=(\w)\w*", r"id=\1…")
    assert normalized_by([own, Normalizer("number")])("id=abc7 n=3") == "id=a… n=<number>"


@pytest.mark.parametrize(
    ("normalizer", "message"),
    [
        (Normalizer("", "a(", "x"), "'a(', column 2: invalid regular expression: missing )"),
        (Normalizer("", "a", r"\2"), "column 1: cannot be put in: invalid group reference 2"),
    ],
)
def test_refused(normalizer: Normalizer, message: str) -> None:
    with pytest.raises(NotationError) as caught:
        normalized_by([normalizer])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", NAMED)
@given(text=st.text(alphabet="ab 01:-/.TZ<>~Nov", max_size=40))
def test_what_was_normalised_stays(name: str, text: str) -> None:
    """A reference file that holds normalised text compares as well."""
    normalize = normalized_by([Normalizer(name)])
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "text",
    [
        *(
            "port" + " " * 200_000,
            "port=" * 40_000,
            "port " * 40_000,
            "/" * 200_000,
            "/a" * 100_000,
        ),
        *("1" * 200_000, "1.1" * 60_000, "Jan" + "a" * 200_000, "Mon, " * 40_000, "//a" * 60_000),
        *("Sat Nov" + " " * 200_000, "[1" * 100_000, "1:11 " * 40_000, "1.1.1.1:" * 25_000),
    ],
    ids=lambda text: text[:8],
)
def test_a_long_line_takes_no_time(name: str, text: str) -> None:
    apply = normalized_by([Normalizer(name)])
    started = time.process_time()
    apply(text)
    assert (
        time.process_time() - started < 1.0
    )  # 0.1 s at most on a slow machine; quadratic: minutes
