from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.report.escape import (
    cells,
    csv_cell,
    cut,
    cut_names,
    encodable,
    json_text,
    log_line,
    no_command,
    shell_word,
    visible,
    xml_text,
)

# Surrogates too: what Python makes of bytes that are no UTF-8.
ANY_TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name-1", "plain name-1"),
        ("名前\u3000é", "名前\u3000é"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udc80", r"\udc80"),
        ("\x85\u2028\U000e0041", r"\x85\u2028\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_text_is_harmless_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)

    assert shown.splitlines() in ([], [shown])
    assert all(char.isprintable() or char.isspace() for char in shown)
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::add-mask::x", r"  \x3a:add-mask::x"),
        ("a\n\t::error::x", "a\n\t\\x3a:error::x"),
        ("std::string and tests/a.py::test_b", "std::string and tests/a.py::test_b"),
        ("x ##vso[task.setvariable]y", r"x #\x23vso[task.setvariable]y"),
        ("##[error]x", r"#\x23[error]x"),
        ("###[group]", r"##\x23[group]"),
        ("## Heading ##", "## Heading ##"),
    ],
)
def test_no_text_is_a_command_of_a_build_server(text: str, shown: str) -> None:
    assert no_command(text) == shown
    assert no_command(shown) == shown
    assert xml_text(text) == shown
    assert json.loads(json_text({"text": text})) == {"text": text}
    assert "##" not in json_text({"text": text})


def test_tabs_in_output_are_spaces() -> None:
    assert log_line("a\tb\x1b\r\n") == r"a       b\x1b"


def test_what_the_encoding_lacks_is_escaped() -> None:
    assert encodable("✓ 名", "ascii") == r"\u2713 \u540d"
    assert encodable("✓ 名", "utf-8") == "✓ 名"


@given(ANY_TEXT)
def test_any_text_survives_an_xml_parser(text: str) -> None:
    element = ET.Element("e", a=xml_text(text))
    element.text = xml_text(text)
    parsed = ET.fromstring(ET.tostring(element, encoding="unicode").encode())

    assert (parsed.text or "") == xml_text(text)
    assert parsed.get("a") == xml_text(text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_cell(f"{start}1+1") == f"'{start}1+1"
    assert csv_cell("1\n2") == r"1\n2"


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with space",
        "it's",
        "$HOME;`id`",
        "-rf",
        "new\nline",
        "\x1b[31m",
        "\udc80",
        "\u202e",
    ],
)
def test_a_pasted_path_names_the_same_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("found")
    word = shell_word(name)

    assert visible(word) == word
    command = ["bash", "-c", f"cat {word}"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.stdout == "found", answer.stderr


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("名前", 4), ("e\u0301", 1), ("\x1b", 4)])
def test_width_in_a_terminal(text: str, width: int) -> None:
    assert cells(text) == width


@given(ANY_TEXT, st.integers(1, 30))
def test_cut_text_fits(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width


def test_cut_says_so() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 5) == "abcd…"
    assert cut("名前名前", 6) == "名前…"
    assert cut("abcdef", 5, "...") == "ab..."


@given(st.lists(ANY_TEXT, max_size=6), st.integers(4, 30))
def test_cut_names_fit_and_stay_apart(names: list[str], width: int) -> None:
    short = cut_names(names, width)
    assert all(cells(name) <= width for name in short)
    assert len(set(short)) == len({visible(name) for name in names})


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["shop/orders", "a"], ["shop/orders", "a"]),
        (["shop/tests/orders", "shop/tests/orderly"], ["shop…s/orders", "shop…/orderly"]),
        (["orders-of-a-customer", "orders-by-a-customer"], ["…f-a-customer", "…y-a-customer"]),
        (["middle-1-of-the-name", "middle-2-of-the-name"], ["middle-1…name", "middle-2…name"]),
        ([f"{'-' * 16}{n}{'-' * 16}" for n in (1, 2)], ["------------…", "-----------#2"]),
    ],
)
def test_a_long_name_loses_its_middle(names: list[str], short: list[str]) -> None:
    assert cut_names(names, 13) == short
