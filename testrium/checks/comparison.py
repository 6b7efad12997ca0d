"""Two texts compared line by line; what differs is shown as a diff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

#: Lines of a diff that are kept, and how much of a line.
MOST_LINES = 60
LONGEST_LINE = 300
#: Lines around the first difference that are compared with care: that takes time by their square.
_WINDOW = 1500
_CONTEXT = 3


def shown(line: str) -> str:
    """A line as it is shown: not longer than anybody reads."""
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def diff(
    expected: Sequence[str],
    actual: Sequence[str],
    normalize: Callable[[str], str],
    *,
    names: tuple[str, str],
    unordered: bool = False,
) -> tuple[str, ...]:
    """How two texts differ; () where they do not.

    Args:
        expected: the lines of the reference.
        actual: the lines that came out.
        normalize: applied to every line of both.
        names: what the two sides are called.
        unordered: the same lines in another order are no difference.
    """
    if unordered:
        return _unordered(list(map(normalize, expected)), list(map(normalize, actual)), names)

    def same(one: str, other: str) -> bool:
        return one == other or normalize(one) == normalize(other)

    # Most lines are never normalised, only those around the first difference and equal ends.
    shorter = min(len(expected), len(actual))
    start = next((n for n in range(shorter) if not same(expected[n], actual[n])), shorter)
    if start == len(expected) == len(actual):
        return ()
    end = 0
    while end < shorter - start and same(expected[-1 - end], actual[-1 - end]):
        end += 1
    begin, end = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    left, right = (
        list(map(normalize, side[begin : min(len(side) - end, begin + _WINDOW)]))
        for side in (expected, actual)
    )
    return _cut(_unified(left, right, begin, names))


def _unified(left: list[str], right: list[str], begin: int, names: tuple[str, str]) -> list[str]:
    """As `diff -u` writes it. Source: the unified format of GNU diffutils."""
    import difflib

    lines = [f"--- {names[0]}", f"+++ {names[1]}"]
    for group in difflib.SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(
        _CONTEXT
    ):
        first, last = group[0], group[-1]
        lines.append(
            f"@@ -{_range(first[1], last[2], begin)} +{_range(first[3], last[4], begin)} @@"
        )
        for tag, left_from, left_to, right_from, right_to in group:
            if tag == "equal":
                lines += [f" {line}" for line in left[left_from:left_to]]
            else:
                lines += [f"-{line}" for line in left[left_from:left_to]]
                lines += [f"+{line}" for line in right[right_from:right_to]]
    return lines


def _range(start: int, stop: int, begin: int) -> str:
    length = stop - start
    first = begin + start + (1 if length else 0)
    return str(first) if length == 1 else f"{first},{length}"


def _unordered(
    left: Sequence[str], right: Sequence[str], names: tuple[str, str]
) -> tuple[str, ...]:
    missing, surplus = Counter(left), Counter(right)
    missing.subtract(right)
    surplus.subtract(left)
    lines = [f"-{line}" for line, count in missing.items() for _ in range(count)]
    lines += [f"+{line}" for line, count in surplus.items() for _ in range(count)]
    return _cut([f"--- {names[0]}", f"+++ {names[1]}", *lines]) if lines else ()


def _cut(lines: list[str]) -> tuple[str, ...]:
    kept = [shown(line) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        kept.append(f"… and {len(lines) - MOST_LINES} more lines")
    return tuple(kept)
