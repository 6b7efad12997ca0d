"""The conditions of a check on lines of text; each says what is wrong, and shows the lines."""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from testrium.checks.comparison import shown
from testrium.checks.expression import ExpressionError, FoundText, told_value
from testrium.checks.expression import parse as parse_expression
from testrium.checks.patterns import Matcher, compiled, filled, matcher
from testrium.declared.checks import Check

#: Lines that a failure shows.
MOST_SHOWN = 10
#: Lines of a joined line that it shows behind the first.
_MOST_OF_JOINED = 40

OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


#: The value of a reference such as `run.dir`; None: texts hold no references.
Lookup = Callable[[str], str] | None


class Failure(NamedTuple):
    """A condition that does not hold. `owed` tells that something is missing."""

    message: str
    details: tuple[str, ...] = ()
    owed: bool = True


def told(failures: Iterable[Failure]) -> tuple[str, tuple[str, ...]]:
    """The failures in one message, and the lines that they show, each once.

    A plugin may return a hundred thousand: those after the first `MOST_FAILURES` are counted.
    """
    failures = tuple(failures)
    shown = failures[:MOST_FAILURES]
    lines = dict.fromkeys(line for failure in shown for line in failure.details)
    texts = [_bounded(failure.message) for failure in shown]
    if more := len(failures) - len(shown):
        texts.append(f"and {more} more")
    return "; ".join(texts), tuple(lines)


#: Of one check, in its message.
MOST_FAILURES = 100

#: Characters of one failure.
_LONGEST_TEXT = 10_000


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


#: Whether a line continues the one before it; it may remember what came before. `None` is the
#: beginning of a file.
Join = Callable[[], Callable[[str], bool]]


#: What is read in the place of a line; None: the line is left out.
LineMap = Callable[[str], str | None]


class JoinedLine(str):
    """Several lines as one, in which patterns search; `lines` are what a failure shows."""

    __slots__ = ("lines",)
    lines: tuple[str, ...]

    @classmethod
    def of(cls, lines: Sequence[str]) -> JoinedLine:
        first, *others = lines
        line = cls(_BETWEEN.join((first.rstrip(), *(other.strip() for other in others))))
        line.lines = tuple(lines)
        return line


#: What stands between the parts of a joined line.
_BETWEEN = " | "
#: Lines that are made one at most: a pattern that every line matches must not fill the memory.
_MOST_JOINED = 1000

_TRACEBACK = re.compile(r"\s*(?P<group>\+ Exception Group )?Traceback \(most recent call last\):")
_CHAINED = re.compile(
    r"(?:During handling of the above exception|The above exception was the direct cause)"
)
#: Frames of Java, JavaScript and .NET, and what Java says between them.
_FRAME = re.compile(r"\s+at \S|Caused by: |\s+\.\.\. \d+ more|\s+--- End of ")


class _Traceback:
    """Whether a line belongs to the traceback that began before it, in the order of the lines.

    Python's begins with its head and ends with the first line that is not indented; a chained one
    continues behind a blank line and a sentence. That of an exception group has no such last line.
    """

    def __init__(self) -> None:
        self._state: Literal["outside", "frames", "group", "ended", "chained"] = "outside"

    def __call__(self, line: str) -> bool:
        indented = not line or line[0].isspace()
        if self._state in ("frames", "group") and indented:
            return True
        if self._state == "frames":
            self._state = "ended"
            return True
        if self._state in ("ended", "chained"):
            if not line.strip():
                return True
            if _CHAINED.match(line):
                self._state = "chained"
                return True
        if head := _TRACEBACK.match(line):
            continues = self._state == "chained"
            self._state = "group" if head["group"] else "frames"
            return continues
        self._state = "outside"
        return _FRAME.match(line) is not None


def join_of(how: str, lookup: Lookup = None) -> Join:
    """How lines are joined: "traceback", or a pattern for lines that continue the one before.

    Raises NotationError.
    """
    if how == "traceback":
        return _Traceback
    matches = matcher(how, lookup=lookup)
    return lambda: lambda line: matches(line) is not None


def joined(numbered: Iterable[tuple[int, str]], join: Join) -> Iterator[tuple[int, str]]:
    """The lines, each with those that continue it; the number is that of the first."""
    continues = join()
    first = 0
    parts: list[str] = []
    for number, line in numbered:
        if parts and continues(line) and len(parts) < _MOST_JOINED:
            parts.append(line)
            continue
        if not parts:
            continues(line)
        else:
            yield first, _one_line(parts)
        first, parts = number, [line]
    if parts:
        yield first, _one_line(parts)


def _one_line(parts: list[str]) -> str:
    while len(parts) > 1 and not parts[-1].strip():  # blank lines behind a traceback
        parts.pop()
    return parts[0] if len(parts) == 1 else JoinedLine.of(parts)


class Stream(NamedTuple):
    """Lines whose order is known: a file. `lines` can be gone through again and again.

    `read` gives what stands in the place of each line, or None. Then `join` makes one line of
    several, then lines that one of `ignored` matches are left out.
    """

    name: str
    lines: Iterable[str]
    join: Join | None = None
    ignored: tuple[Matcher, ...] = ()
    read: LineMap | None = None

    def numbered(self) -> Iterator[tuple[int, str]]:
        """The lines, each with its number in the file; a joined one with that of its first."""
        numbered: Iterator[tuple[int, str]] = enumerate(self.lines, 1)
        if (mapped := self.read) is not None:
            numbered = ((n, new) for n, line in numbered if (new := mapped(line)) is not None)
        if self.join is not None:
            numbered = joined(numbered, self.join)
        if self.ignored:
            return (one for one in numbered if not any(ignores(one[1]) for ignores in self.ignored))
        return numbered


class Text(NamedTuple):
    """What a check looks at: one stream, or the two of a process.

    `name` is what messages call it.
    """

    name: str
    streams: tuple[Stream, ...]

    def prefix(self, stream: Stream) -> str:
        """The text in front of the numbers of a stream's lines."""
        return f"{stream.name}:" if len(self.streams) > 1 else ""

    def numbered(self) -> Iterable[tuple[str, str]]:
        """Every line with its place: `12`, or `stderr:12` where there are two streams."""
        for stream in self.streams:
            prefix = self.prefix(stream)
            for number, line in stream.numbered():
                yield f"{prefix}{number}", line

    def read_as(
        self, join: Join | None, ignored: tuple[Matcher, ...], read: LineMap | None = None
    ) -> Text:
        """The text with lines mapped and joined, and without those that one of `ignored`
        matches."""
        if join is None and not ignored and read is None:
            return self
        streams = (
            stream._replace(join=join, ignored=ignored, read=read) for stream in self.streams
        )
        return Text(self.name, tuple(streams))


def text_of(name: str, text: str) -> Text:
    """A text as a subject."""
    return Text(name, (Stream(name, text.splitlines()),))


def text_failures(
    check: Check, text: Text, lookup: Lookup = None, read: LineMap | None = None
) -> list[Failure]:
    """What is wrong with a text, but for its reference file. Raises NotationError."""

    def match(pattern: str) -> Matcher:
        return matcher(pattern, literal=check.literal, lookup=lookup)

    text = text.read_as(
        join_of(check.join, lookup) if check.join else None,
        tuple(match(pattern) for pattern in check.ignore),
        read,
    )
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
        found += extracted(text, check.extract, check.expect, lookup, every=check.every)
    return [failure for failure in found if failure is not None]


def extracted(
    text: Text,
    patterns: Sequence[str],
    expectations: Sequence[str],
    lookup: Lookup = None,
    *,
    every: bool = False,
) -> list[Failure]:
    """The named groups of the first line that matches each pattern, compared; of every line as
    lists."""
    if every:
        found, lines, failure = every_match(text, patterns, lookup)
        names = dict.fromkeys(name for one in found for name in one)
        values = {name: [one[name] for one in found if name in one] for name in names}
    else:
        values, lines, failure = extracted_values(text, patterns, lookup)
    return [failure] if failure else compare(expectations, values, lines)


def every_match(
    text: Text, patterns: Sequence[str], lookup: Lookup = None
) -> tuple[list[dict[str, Any]], tuple[str, ...], Failure | None]:
    """The named groups of each match in each line, pattern by pattern; the first of these lines,
    and why there are none."""
    found: list[dict[str, Any]] = []
    lines: list[str] = []
    for pattern in patterns:
        compiled_pattern = compiled(filled(pattern, lookup), pattern)
        before = len(found)
        for place, line in text.numbered():
            matches = [_groups(match) for match in compiled_pattern.finditer(line)]
            found += matches
            if matches and len(lines) < MOST_SHOWN:
                lines += _at(place, line)
        if len(found) == before:
            return [], (), _no_match(text, pattern)
    return found, tuple(lines), None


def _groups(match: re.Match[str]) -> dict[str, FoundText | None]:
    groups = match.groupdict()
    return {name: None if value is None else FoundText(value) for name, value in groups.items()}


def extracted_values(
    text: Text, patterns: Sequence[str], lookup: Lookup = None
) -> tuple[dict[str, Any], tuple[str, ...], Failure | None]:
    """Those groups, the lines that they stand in, and why there are none."""
    values: dict[str, Any] = {}
    lines: list[str] = []
    for pattern in patterns:
        search = compiled(filled(pattern, lookup), pattern).search
        hit = next(((p, line, m) for p, line in text.numbered() if (m := search(line))), None)
        if hit is None:
            return values, (), _no_match(text, pattern)
        place, line, match = hit
        lines += _at(place, line)
        values |= _groups(match)
    return values, tuple(lines), None


def compare(
    expectations: Iterable[str],
    values: Mapping[str, Any],
    details: tuple[str, ...] = (),
    *,
    own_code: bool = False,
) -> list[Failure]:
    """The expressions that do not hold for these values, with the values they speak of.

    With `own_code` they are the user's, in the user's process: methods may be called, and a failure
    shows all values.
    """
    failures = []
    for text in expectations:
        expression = parse_expression(text, values, with_methods=own_code)
        try:
            if expression.value(values):
                continue
            reason = f"{text} does not hold"
        except ExpressionError as error:
            reason = str(error)
        names = dict.fromkeys((*expression.names, *(values if own_code else ())))
        failures.append(failed_with(reason, {name: values[name] for name in names}, details))
    return failures


def failed_with(reason: str, values: Mapping[str, Any], details: tuple[str, ...] = ()) -> Failure:
    """A failure for this reason that shows the values."""
    named = ", ".join(f"{name} = {_said(value)}" for name, value in values.items())
    return Failure(f"{reason}: {named}" if named else reason, details, owed=False)


def _said(value: Any) -> str:
    """A value beside its name: a text as it is, anything else as JSON writes it."""
    return shown(value if isinstance(value, str) else told_value(value))


def last_lines(text: Text) -> tuple[str, ...]:
    """The end of a text, to be shown where something is not in it."""
    lines = deque(text.numbered(), MOST_SHOWN)
    return tuple(shown_line for place, line in lines for shown_line in _at(place, line))


def _contains(text: Text, pattern: str, matches: Matcher) -> Failure | None:
    if any(matches(line) for _, line in text.numbered()):
        return None
    return _no_match(text, pattern)


def _no_match(text: Text, pattern: str, where: str = "") -> Failure:
    return Failure(f"{text.name}: no line matches '{pattern}'{where}", last_lines(text))


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
    hits = 0
    lines: list[str] = []
    for place, line in text.numbered():
        if matches(line):
            hits += 1
            if hits <= MOST_SHOWN:
                lines += _at(place, line)
    if hits > MOST_SHOWN:
        lines.append(f"… and {hits - MOST_SHOWN} more")
    return hits, tuple(lines)


def _sequence(text: Text, patterns: Sequence[tuple[str, Matcher]]) -> Failure | None:
    """Each pattern in a line after that of the one before, in one of the streams.

    Between two streams nothing is known of the order.
    """
    best: list[tuple[str, ...]] = []
    for stream in text.streams:
        prefix = text.prefix(stream)
        hits: list[tuple[str, ...]] = []
        for number, line in stream.numbered():
            if patterns[len(hits)][1](line):
                hits.append(_at(f"{prefix}{number}", line))
                if len(hits) == len(patterns):
                    return None
        best = max(best, hits, key=len)
    pattern = patterns[len(best)][0]
    position = f"number {len(best) + 1} of {len(patterns)}"
    if not best:
        return _no_match(text, pattern, f", {position} of the sequence")
    message = f"{text.name}: no line after these matches '{pattern}', {position} of the sequence"
    return Failure(message, tuple(line for hit in best[-MOST_SHOWN:] for line in hit))


def _last(text: Text, pattern: str, matches: Matcher) -> Failure | None:
    """In the last line that is not empty; of two streams, in that of one of them."""
    lines: list[str] = []
    for stream in text.streams:
        final = None
        for number, line in stream.numbered():
            if line.strip():
                final = number, line
        if final is not None:
            number, line = final
            if matches(line):
                return None
            lines += _at(f"{text.prefix(stream)}{number}", line)
    if not lines:
        return Failure(f"{text.name}: it has no line that could match '{pattern}'")
    return Failure(f"{text.name}: the last line does not match '{pattern}'", tuple(lines))


def _lines(count: int) -> str:
    return "1 line matches" if count == 1 else f"{count or 'no'} lines match"


def _at(place: str, line: str) -> tuple[str, ...]:
    """A line with its place; of a joined one every line, but for the middle of a long one."""
    first, *others = line.lines if isinstance(line, JoinedLine) else (line,)
    if len(others) > _MOST_OF_JOINED:
        half = _MOST_OF_JOINED // 2
        others = [*others[:half], f"… {len(others) - 2 * half} more lines …", *others[-half:]]
    margin = " " * (len(place) + 2)
    return (f"{place}: {shown(first)}", *(f"{margin}{shown(other)}" for other in others))
