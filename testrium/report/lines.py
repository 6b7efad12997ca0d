"""Lines of styled text: made once, then written plain, in colour, wrapped or cut.

A line is a list of spans. Every text is escaped as it becomes a span.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal, Self

from testrium.report.escape import cells, visible
from testrium.tuples import NamedTuple
from testrium.words import Verdict

Style = Literal["", "strong", "dim", "good", "bad", "warn"]

_SGR = {"strong": "1", "dim": "2", "good": "32", "bad": "1;31", "warn": "33"}

_WORDS = re.compile(r"\s+|\S+")

#: How many columns a wrapped line keeps at least for its text.
_LEAST_ROOM = 20


class _Piece(NamedTuple):
    text: str
    style: Style


class Span(_Piece):
    """A piece of a line in one style; colour only adds to what the text says."""

    __slots__ = ()

    def __new__(cls, text: str, style: Style = "") -> Self:
        return super().__new__(cls, visible(text), style)


class Line(NamedTuple):
    """A line; where it is wrapped, what follows starts at column `hanging`.

    One that is `whole` is left to the terminal to wrap: so it can be copied.
    """

    spans: tuple[Span, ...] = ()
    hanging: int = 0
    whole: bool = False

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans).rstrip()

    def painted(self) -> str:
        """The line with the terminal's codes for its styles."""
        told = [span for span in self.spans if span.text]
        while told and told[-1].text.isspace():
            told.pop()
        runs = groupby(told, key=lambda span: span.style)
        return "".join(_painted("".join(s.text for s in run), style) for style, run in runs)

    def indented(self, columns: int) -> Line:
        spans = (Span(" " * columns), *self.spans)
        return self._replace(spans=spans, hanging=self.hanging + columns)


def line(*parts: str | Span, hanging: int = 0, whole: bool = False) -> Line:
    """A line of plain texts and spans."""
    spans = tuple(Span(part) if isinstance(part, str) else part for part in parts)
    return Line(spans, hanging, whole)


def wrapped(lines: Iterable[Line], width: int) -> list[Line]:
    """The same text in lines of at most `width` columns, broken between words where possible."""
    return [part for one in lines for part in _wrap(one, width)]


def table(
    rows: Sequence[Sequence[Span]], *, width: int | None, right: Collection[int] = ()
) -> list[Line]:
    """Rows in aligned columns, two blanks apart; the columns `right` are right-aligned.

    Columns that do not fit into `width` are left out, the last ones first, but never the first
    three: put what matters least last.
    """
    widths = [[cells(span.text) for span in row] for row in rows]
    columns = [max(column) for column in zip(*widths, strict=True)]
    shown = len(columns)
    while width is not None and shown > 3 and sum(columns[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    lines = []
    for row in rows:
        spans: list[Span] = []
        for index, span in enumerate(row[:shown]):
            gap = " " * (columns[index] - cells(span.text))
            between = "  " if index else ""
            spans += (
                [Span(between + gap), span] if index in right else [Span(between), span, Span(gap)]
            )
        lines.append(Line(tuple(spans), hanging=2))
    return lines


def _painted(text: str, style: Style) -> str:
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if style else text


def _wrap(one: Line, width: int) -> list[Line]:
    if one.whole or cells(one.text) <= width:
        return [one]
    hanging = max(0, min(one.hanging, width - _LEAST_ROOM))
    rows: list[list[Span]] = [[]]
    used = 0
    for word in _tokens(one, width - hanging):
        size = cells(word.text)
        if used + size > width:
            rows.append([Span(" " * hanging)])
            used = hanging
            if word.text.isspace():
                continue
        rows[-1].append(word)
        used += size
    return [Line(tuple(row), hanging) for row in rows if any(span.text.strip() for span in row)]


def _tokens(one: Line, most: int) -> Iterable[Span]:
    """Words and the spaces between them; a word wider than `most` columns comes in pieces."""
    for span in one.spans:
        for word in _WORDS.findall(span.text):
            piece = ""
            room = most
            for char in word if cells(word) > most else ():
                room -= cells(char)
                if room < 0:
                    yield Span(piece, span.style)
                    piece, room = "", most - cells(char)
                piece += char
            yield Span(piece or word, span.style)


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
