"""Two texts compared: what differs is shown as `diff -u` shows it."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from testrium.checks.comparison import MOST_LINES, diff

NAMES = ("expected.txt", "the output")
LINES = st.lists(st.sampled_from("abc"), max_size=12)


def plain(text: str) -> str:
    return text


@given(LINES, LINES)
def test_as_the_standard_library_shows_it(left: list[str], right: list[str]) -> None:
    expected = [line.rstrip("\n") for line in difflib.unified_diff(left, right, *NAMES)]
    shown = diff(left, right, plain, names=NAMES)
    assert bool(shown) == bool(expected)
    assert sorted(shown)[:2] == sorted(expected)[:2] or len(shown) > 2
    if shown:
        assert shown[:2] == ("--- expected.txt", "+++ the output")
        assert _applied(left, shown) == right


def _applied(left: list[str], shown: tuple[str, ...]) -> list[str]:
    """What a patch makes of `left`."""
    result: list[str] = []
    position = 0
    for line in shown[2:]:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (1 if length != "0" else 0)
            result += left[position:begin]
            position = begin
        elif line[0] in " -":
            assert left[position] == line[1:]
            position += 1
        if line[0] in " +" and not line.startswith("@@"):
            result.append(line[1:])
    return result + left[position:]


def test_both_sides_are_normalised() -> None:
    assert diff(["A"], ["a"], str.lower, names=NAMES) == ()


def test_unordered() -> None:
    assert diff(["a", "b", "b"], ["b", "a", "b"], plain, names=NAMES, unordered=True) == ()
    shown = diff(["a", "b", "b"], ["b", "c"], plain, names=NAMES, unordered=True)
    assert shown[2:] == ("-a", "-b", "+c")


def test_a_large_difference_is_cut() -> None:
    left, right = [f"l{n}" for n in range(100_000)], [f"r{n}" for n in range(100_000)]
    shown = diff(left, right, plain, names=NAMES)
    assert len(shown) == MOST_LINES + 1
    assert "more lines" in shown[-1]


def test_a_difference_far_inside_is_found_at_its_place() -> None:
    left = [str(n) for n in range(50_000)]
    right = [*left[:40_000], "x", *left[40_001:]]
    shown = diff(left, right, plain, names=NAMES)
    assert shown[2] == "@@ -39998,7 +39998,7 @@"
    assert "-40000" in shown
    assert "+x" in shown
