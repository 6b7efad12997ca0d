"""The conditions of a check on lines of text; each says what is wrong, and shows the lines."""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from testrium.checks.comparison import shown
from testrium.checks.expression import ExpressionError, FoundText
from testrium.checks.expression import parse as parse_expression
from testrium.checks.patterns import Matcher, compiled, filled, matcher
from testrium.declared.checks import Check

#: Lines that a failure shows.
MOST_SHOWN = 10

OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_COMPARISON = re.compile(rf"({'|'.join(OPERATORS)})?\s*([0-9]{{1,12}})")


def comparison_of(text: str | int) -> tuple[str, int]:
    """An operator and a number: "== 3", ">= 1"; a number alone is the one expected.

    Raises ValueError: it is none.
    """
    match = _COMPARISON.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"no comparison with a number: {text!r}")
    return match[1] or "==", int(match[2])


#: The value of a reference such as `run.dir`; None: texts hold no references.
Lookup = Callable[[str], str] | None


class Failure(NamedTuple):
    """A condition that does not hold. `owed`: because something is missing."""

    message: str
    details: tuple[str, ...] = ()
    owed: bool = True


def told(failures: Iterable[Failure]) -> tuple[str, tuple[str, ...]]:
    """All failures in one message, and all lines that they show, each once."""
    failures = tuple(failures)
    lines = dict.fromkeys(line for failure in failures for line in failure.details)
    return "; ".join(failure.message for failure in failures), tuple(lines)


class Stream(NamedTuple):
    """Lines whose order is known: a file. `lines` can be gone through again and again."""

    name: str
    lines: Iterable[str]


class Text(NamedTuple):
    """What a check looks at: one stream, or the two of a process.

    `name` is what messages call it.
    """

    name: str
    streams: tuple[Stream, ...]

    def prefix(self, stream: Stream) -> str:
        """What stands before the numbers of a stream's lines."""
        return f"{stream.name}:" if len(self.streams) > 1 else ""

    def numbered(self) -> Iterable[tuple[str, str]]:
        """Every line with its place: `12`, or `stderr:12` where there are two streams."""
        for stream in self.streams:
            prefix = self.prefix(stream)
            for number, line in enumerate(stream.lines, 1):
                yield f"{prefix}{number}", line


def text_of(name: str, text: str) -> Text:
    """A text as a subject."""
    return Text(name, (Stream(name, text.splitlines()),))


def text_failures(check: Check, text: Text, lookup: Lookup = None) -> list[Failure]:
    """What is wrong with a text, but for its reference file. Raises NotationError."""

    def match(pattern: str) -> Matcher:
        return matcher(pattern, literal=check.literal, lookup=lookup)

    text = without(text, [match(pattern) for pattern in check.ignore])
    found: list[Failure | None] = []
    if check.counted is None:
        found += [_contains(text, pattern, match(pattern)) for pattern in check.contains]
    else:
        found.append(_count(text, check.contains[0], match(check.contains[0]), check.counted))
    found += [_lacks(text, pattern, match(pattern)) for pattern in check.lacks]
    if check.sequence:
        found.append(_sequence(text, [(pattern, match(pattern)) for pattern in check.sequence]))
    if check.last is not None:
        found.append(_last(text, check.last, match(check.last)))
    if check.extract:
        found += extracted(text, check.extract, check.expect, lookup)
    return [failure for failure in found if failure is not None]


def without(text: Text, ignored: Sequence[Matcher]) -> Text:
    """The text without the lines that one of `ignored` matches."""
    if not ignored:
        return text
    streams = (Stream(stream.name, _Without(stream.lines, ignored)) for stream in text.streams)
    return Text(text.name, tuple(streams))


class _Without:
    def __init__(self, lines: Iterable[str], ignored: Sequence[Matcher]) -> None:
        self._lines = lines
        self._ignored = ignored

    def __iter__(self) -> Any:
        return (line for line in self._lines if not any(ignores(line) for ignores in self._ignored))


def extracted(
    text: Text, patterns: Sequence[str], expectations: Sequence[str], lookup: Lookup = None
) -> list[Failure]:
    """The named groups of the first line that matches each pattern, compared."""
    values, lines, failure = extracted_values(text, patterns, lookup)
    return [failure] if failure else compare(expectations, values, lines)


def extracted_values(
    text: Text, patterns: Sequence[str], lookup: Lookup = None
) -> tuple[dict[str, Any], tuple[str, ...], Failure | None]:
    """Those groups, the lines that they stand in, and why there are none."""
    values: dict[str, Any] = {}
    lines = []
    for pattern in patterns:
        search = compiled(filled(pattern, lookup), pattern).search
        hit = next(((p, line, m) for p, line in text.numbered() if (m := search(line))), None)
        if hit is None:
            message = f"{text.name}: no line matches '{pattern}'"
            return values, (), Failure(message, last_lines(text))
        place, line, match = hit
        lines.append(_at(place, line))
        groups = match.groupdict()
        values |= {
            name: None if value is None else FoundText(value) for name, value in groups.items()
        }
    return values, tuple(lines), None


def compare(
    expectations: Iterable[str], values: Mapping[str, Any], details: tuple[str, ...] = ()
) -> list[Failure]:
    """The expressions that do not hold for these values, with the values they speak of."""
    failures = []
    for text in expectations:
        expression = parse_expression(text, values)
        try:
            if expression.value(values):
                continue
            reason = f"{text} does not hold"
        except ExpressionError as error:
            reason = str(error)
        named = ", ".join(f"{name} = {shown(str(values[name]))}" for name in expression.names)
        failures.append(Failure(f"{reason}: {named}" if named else reason, details, owed=False))
    return failures


def last_lines(text: Text) -> tuple[str, ...]:
    """The end of a text, to be shown where something is not in it."""
    lines = deque(text.numbered(), MOST_SHOWN)
    return tuple(_at(place, line) for place, line in lines)


def _contains(text: Text, pattern: str, matches: Matcher) -> Failure | None:
    if any(matches(line) for _, line in text.numbered()):
        return None
    return Failure(f"{text.name}: no line matches '{pattern}'", last_lines(text))


def _lacks(text: Text, pattern: str, matches: Matcher) -> Failure | None:
    hits, lines = _hits(text, matches)
    if not hits:
        return None
    message = f"{text.name}: {_lines(hits)} '{pattern}', and none may"
    return Failure(message, lines, owed=False)


def _count(text: Text, pattern: str, matches: Matcher, expected: tuple[str, int]) -> Failure | None:
    hits, lines = _hits(text, matches)
    word, number = expected
    if OPERATORS[word](hits, number):
        return None
    message = f"{text.name}: {_lines(hits)} '{pattern}', expected {word} {number}"
    return Failure(message, lines or last_lines(text), owed=hits < number)


def _hits(text: Text, matches: Matcher) -> tuple[int, tuple[str, ...]]:
    hits, lines = 0, []
    for place, line in text.numbered():
        if matches(line):
            hits += 1
            if hits <= MOST_SHOWN:
                lines.append(_at(place, line))
    if hits > MOST_SHOWN:
        lines.append(f"… and {hits - MOST_SHOWN} more")
    return hits, tuple(lines)


def _sequence(text: Text, patterns: Sequence[tuple[str, Matcher]]) -> Failure | None:
    """Each pattern in a line after that of the one before, in one of the streams.

    Between two streams nothing is known of the order.
    """
    best: list[str] = []
    for stream in text.streams:
        prefix = text.prefix(stream)
        hits: list[str] = []
        for number, line in enumerate(stream.lines, 1):
            if patterns[len(hits)][1](line):
                hits.append(_at(f"{prefix}{number}", line))
                if len(hits) == len(patterns):
                    return None
        best = max(best, hits, key=len)
    pattern = patterns[len(best)][0]
    position = f"number {len(best) + 1} of {len(patterns)}"
    if not best:
        return Failure(
            f"{text.name}: no line matches '{pattern}', {position} of the sequence",
            last_lines(text),
        )
    message = f"{text.name}: no line after these matches '{pattern}', {position} of the sequence"
    return Failure(message, tuple(best[-MOST_SHOWN:]))


def _last(text: Text, pattern: str, matches: Matcher) -> Failure | None:
    """In the last line that is not empty; of two streams, in that of one of them."""
    lines = []
    for stream in text.streams:
        final = None
        for number, line in enumerate(stream.lines, 1):
            if line.strip():
                final = number, line
        if final is not None:
            number, line = final
            if matches(line):
                return None
            lines.append(_at(f"{text.prefix(stream)}{number}", line))
    if not lines:
        return Failure(f"{text.name}: it has no line that could match '{pattern}'")
    return Failure(f"{text.name}: the last line does not match '{pattern}'", tuple(lines))


def _lines(count: int) -> str:
    return "1 line matches" if count == 1 else f"{count or 'no'} lines match"


def _at(place: str, line: str) -> str:
    return f"{place}: {shown(line)}"
