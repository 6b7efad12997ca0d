from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testrium.report.escape import cells
from testrium.report.lines import Line, Span, line, table, wrapped


def test_every_text_is_escaped_as_it_becomes_a_span() -> None:
    assert line("a\x1b", Span("\u202e", "bad")).text == r"a\x1b\u202e"


def test_colour_adds_to_the_text_only() -> None:
    made = line("a ", Span("b", "bad"), Span("", "good"))

    assert made.text == "a b"
    assert made.painted() == "a \x1b[1;31mb\x1b[0m"


def test_long_lines_break_between_words_and_hang() -> None:
    made = line("  one two three four five six seven", hanging=4)

    assert [part.text for part in wrapped([made], 24)] == [
        "  one two three four",
        "    five six seven",
    ]


def test_a_style_continues_after_the_break() -> None:
    parts = wrapped([line(Span("aaaaaaaaaaaa bbbbbbbbbbbbbbbbb", "bad"))], 22)

    assert [part.painted() for part in parts][1].strip() == "\x1b[1;31mbbbbbbbbbbbbbbbbb\x1b[0m"


def test_a_whole_line_is_left_to_the_terminal() -> None:
    assert wrapped([line("x" * 100, whole=True)], 40) == [line("x" * 100, whole=True)]


def test_blank_lines_stay() -> None:
    assert [part.text for part in wrapped([line(), line("a")], 40)] == ["", "a"]


@given(st.lists(st.text(st.characters())), st.integers(40, 120), st.integers(0, 60))
def test_wrapped_lines_fit_and_lose_nothing(texts: list[str], width: int, hanging: int) -> None:
    made = line(*texts, hanging=hanging)
    parts = wrapped([made], width)

    assert all(cells(part.text) <= width for part in parts)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(made.text.split())


def rows(*texts: tuple[str, ...]) -> list[list[Span]]:
    return [[Span(text) for text in row] for row in texts]


def shown(lines: list[Line]) -> list[str]:
    return [one.text for one in lines]


def test_columns_are_aligned() -> None:
    made = table(rows(("1", "名", "x"), ("100", "abc", "y")), width=None, right=(0,))

    assert shown(made) == ["  1  名   x", "100  abc  y"]


def test_the_last_columns_go_first_where_it_is_narrow() -> None:
    wide = rows(("aaaa", "bbbb", "cccc", "dddd", "eeee"))

    assert shown(table(wide, width=28)) == ["aaaa  bbbb  cccc  dddd  eeee"]
    assert shown(table(wide, width=27)) == ["aaaa  bbbb  cccc  dddd"]
    assert shown(table(wide, width=5)) == ["aaaa  bbbb  cccc"]
