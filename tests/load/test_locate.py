"""Lines of keys, compared with what tomllib says of a text that is cut off."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from testrium.load.document import KeyPath, key_lines, named_line, nearest_line, syntax_error_line

TEXT = '''\
# a comment with [brackets] and "quotes
title = "x"
["Configs"]
units = [
  "a",  # ], not yet
  'b',
  ["c", "d"],
]
a.b . "c d" = 1
inline = {x = 1, y = {z = "}"}}
long = """
fake = 1
[fake]
\\"""
still""""
raw = \'\'\'
fake = 2\'\'\'
date = 1979-05-27T07:32:00Z
[[circuits]]
name = "one"
  [circuits.sub]
  deep = 1
[[circuits]]
name = "two"
[["worker".probes]]
log = "x"
[["worker".probes]]
log = "y"
[under.here]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("Configs",), 3),
        (("Configs", "units"), 4),
        (("Configs", "units", 0), 5),
        (("Configs", "units", 1), 6),
        (("Configs", "units", 2, 1), 7),
        (("Configs", "a", "b", "c d"), 9),
        (("Configs", "inline", "y", "z"), 10),
        (("Configs", "long"), 11),
        (("Configs", "raw"), 16),
        (("Configs", "date"), 18),
        (("circuits",), 19),
        (("circuits", 0, "name"), 20),
        (("circuits", 0, "sub", "deep"), 22),
        (("circuits", 1), 23),
        (("circuits", 1, "name"), 24),
        (("worker", "probes", 0, "log"), 26),
        (("worker", "probes", 1, "log"), 28),
        (("under", "here"), 29),
    ],
)
def test_every_way_to_write_a_key(path: KeyPath, line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_strings_and_comments_hold_no_keys() -> None:
    assert not [path for path in key_lines(TEXT) if "fake" in path]


def test_a_missing_key_has_the_line_of_its_table() -> None:
    assert nearest_line(key_lines(TEXT), ("circuits", 1, "route")) == 23
    assert nearest_line(key_lines(TEXT), ("nowhere",)) is None


def test_what_is_known_before_a_syntax_error_is_kept() -> None:
    assert key_lines("a = 1\nb 2\nc = 3\n") == {("a",): 1, ("b",): 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("a = [1,\n2,\n", 2), ("x", 1), ("", 0)],
)
def test_the_line_of_a_syntax_error(text: str, line: int) -> None:
    if not text:
        assert syntax_error_line("something else", text) is None
        return
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert syntax_error_line(str(caught.value), text) == line


KEYS = st.text("abc-_. \"'#[]=é\\", min_size=1, max_size=4)
SCALARS = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.text("ab\"'\\#[]{}=,\n \t", max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def paths_of(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    """The paths of all keys and items in a parsed document."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    below = [found for key, child in children for found in paths_of(child, (*path, key))]
    return ([path] if path else []) + below


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans())
def test_a_text_that_is_cut_before_the_line_does_not_have_the_key(
    data: dict[str, Any], multiline: bool
) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    text_lines = text.splitlines(keepends=True)
    lines = key_lines(text)
    assert set(lines) == set(paths_of(tomllib.loads(text)))
    for path, line in lines.items():
        try:
            before = tomllib.loads("".join(text_lines[: line - 1]))
        except tomllib.TOMLDecodeError:
            continue  # the line is inside of a list
        assert path not in paths_of(before)
        if isinstance(path[-1], str) and not any(isinstance(part, int) for part in path):
            assert path[-1].strip("\"'")[:1] in text_lines[line - 1] or "\\" in path[-1]


@given(st.text("a\"'[]{}=,.#\n \\", max_size=30))
def test_any_text_ends(text: str) -> None:
    key_lines(text)


def test_the_line_of_a_circuit(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[circuits]]\nname = "a"\n\n[[circuits]]\nname = "b"\n')

    assert [named_line(tmp_path, "circuits", name) for name in ("a", "b", "gone")] == [1, 4, None]
    assert named_line(tmp_path / "gone", "circuits", "a") is None
    config.write_text("circuits = 1")
    assert named_line(tmp_path, "circuits", "a") is None
