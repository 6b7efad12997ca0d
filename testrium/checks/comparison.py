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
    left, right = [normalize(line) for line in expected], [normalize(line) for line in actual]
    if unordered:
        return _unordered(left, right, names)
    if left == right:
        return ()
    start = next(
        (number for number, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )
    begin = max(0, start - _CONTEXT)
    left, right = _window(left, right, begin)
    return _cut(_unified(left, right, begin, names))


def _window(left: list[str], right: list[str], begin: int) -> tuple[list[str], list[str]]:
    """The lines from `begin` on, without an equal end, and not too many of them."""
    left, right = left[begin:], right[begin:]
    same = 0
    while same < min(len(left), len(right)) and left[-1 - same] == right[-1 - same]:
        same += 1
    same = max(0, same - _CONTEXT)
    return left[: len(left) - same][:_WINDOW], right[: len(right) - same][:_WINDOW]


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
