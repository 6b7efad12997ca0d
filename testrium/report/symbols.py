"""Symbols and colours of verdicts, as far as a stream can show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from testrium.report.lines import Style
from testrium.words import Verdict

STYLES: Mapping[Verdict, Style] = {
    Verdict.PASS: "good",
    Verdict.FAIL: "bad",
    Verdict.ERROR: "bad",
    Verdict.UNKNOWN: "warn",
    Verdict.XFAIL: "good",
    Verdict.SKIP: "dim",
}


class Symbols(NamedTuple):
    """The signs that a stream's encoding can show."""

    verdicts: Mapping[Verdict, str]
    bar: str
    dot: str
    ellipsis: str
    arrow: str


_UNICODE = Symbols(
    verdicts={
        Verdict.PASS: "✓",
        Verdict.FAIL: "✗",
        Verdict.ERROR: "!",
        Verdict.UNKNOWN: "?",
        Verdict.XFAIL: "✓",
        Verdict.SKIP: "-",
    },
    bar="│",
    dot="·",
    ellipsis="…",
    arrow="→",
)

ASCII = Symbols(
    verdicts={**_UNICODE.verdicts, Verdict.PASS: "+", Verdict.FAIL: "x", Verdict.XFAIL: "+"},
    bar="|",
    dot="-",
    ellipsis="...",
    arrow="->",
)


def symbols_for(encoding: str) -> Symbols:
    """The nicest signs that can be written in an encoding."""
    signs = "".join((*_UNICODE.verdicts.values(), _UNICODE.bar, _UNICODE.dot, *_UNICODE[3:]))
    try:
        signs.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return _UNICODE
