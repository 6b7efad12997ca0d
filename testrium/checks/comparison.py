"""Compare two outputs: replace what differs from run to run, then show the rest as a diff."""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from testrium.checks.patterns import NotationError, compiled
from testrium.errors import TestriumError
from testrium.plugins.registry import Plugin, load_plugin
from testrium.tracebacks import error_with_place

if TYPE_CHECKING:
    from testrium.declared.checks import Normalizer  # its dataclass takes units 10 ms to import

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
        unordered: the same lines in another order are equal.
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


class PluginFailedError(TestriumError):
    """A plugin has raised, or is not there."""


@functools.cache
def _loaded(plugin: Plugin) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = load_plugin(plugin)
    return function


def called(fields: Sequence[str], argument: Any) -> Any:
    """What the plugin returns. It is never called in the runner, see `Check.calls_plugin`.

    Raises PluginFailedError for whatever it raises.
    """
    plugin = Plugin(*fields)
    try:
        return _loaded(plugin)(argument)
    except (Exception, SystemExit) as error:
        told = error_with_place(error)
        raise PluginFailedError(f"{plugin.name} of {plugin.origin} raised {told}") from error


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"

_ZONE = r"(?:Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}\b)"

_TIME = rf"\d{{1,2}}:\d{{2}}(?!\d)(?::\d{{2}}(?:[.,]\d+)?)?(?:\s?[AP]M\b)?(?:\s?{_ZONE})?"

_DATE = (
    r"\d{4}[-/.]\d{2}[-/.]\d{2}"  # 2026-11-21
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"  # 21.11.2026, 11/21/2026
    rf"|(?:{_DAY},?\s+)?{_MONTH}\s+\d{{1,2}}(?:,?\s+\d{{4}}\b)?"  # Sat Nov 21, Nov 21 2026
    rf"|(?:{_DAY},?\s+)?\d{{1,2}}[ -]{_MONTH}(?:[ -]\d{{4}}\b)?"  # 21 Nov 2026
)

_PORT = (
    r"(?i)(?P<before>localhost:|\b\d{1,3}(?:\.\d{1,3}){3}:|\[[0-9a-f:.]+\]:|//[\w.-]+:|\*:"
    r"|\bport['\"]?(?:\s*[=:])?\s*)\d{1,5}\b"
)

#: Every normaliser that has a name: what it looks for, and what it puts in its place.
NAMED: Final[Mapping[str, tuple[str, str]]] = {
    "datetime": (
        rf"\b(?:(?:{_DATE})(?:(?:[T ]|,? +){_TIME}(?: \d{{4}}\b)?)?|(?<![.:]){_TIME})",
        "<datetime>",
    ),
    "number": (r"0[xX][0-9a-fA-F]+|[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?", "<number>"),
    "port": (_PORT, r"\g<before><port>"),
    "path": (r"(?<![\w/:<.~])(?:~(?=/)|/+[\w.@%+~=,-]+)(?:/+[\w.@%+~=,-]+)*/*", "<path>"),
}


def check_normalizer(normalizer: Normalizer) -> None:
    """Raise NotationError if a normaliser of the user's own cannot be applied."""
    if not normalizer.name and not normalizer.plugged:
        pattern = compiled(normalizer.sub)
        try:
            pattern.sub(normalizer.by, "")
        except (re.error, IndexError) as error:
            raise NotationError(normalizer.by, 1, f"cannot be put in: {error}") from error


def normalized_by(normalizers: Iterable[Normalizer]) -> Callable[[str], str]:
    """The function that applies `normalizers`, one after the other. Raises NotationError."""
    steps: list[Callable[[str], str]] = []
    for normalizer in normalizers:
        if normalizer.plugged:
            steps.append(partial(called, normalizer.plugged))
            continue
        check_normalizer(normalizer)
        sub, by = NAMED[normalizer.name] if normalizer.name else (normalizer.sub, normalizer.by)
        steps.append(partial(compiled(sub).sub, by))

    def normalize(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return normalize
