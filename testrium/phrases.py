"""Numbers, durations, lists and suggestions as sentences have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def duration(seconds: float) -> str:
    """`0.31 s`, `12.4 s`, `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def roughly(seconds: float) -> str:
    """`7 s`, `3 min`: a time that is a guess."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def milliseconds(value: float, largest: float | None = None) -> str:
    """`0.042 ms`, `81.5 ms`, `1234 ms`: as many figures as mean something.

    In a column all values have the decimals that the `largest` one has.
    """
    size = abs(value if largest is None else largest)
    decimals = 3 if size < 10 else 1 if size < 1000 else 0
    return f"{value:.{decimals}f} ms"


def megabytes(size: int) -> str:
    """`12.3 MB`, `312 MB`; a MB is 1 000 000 bytes, as in `max_rss`."""
    return f"{size / 1e6:.1f} MB" if size < 100_000_000 else f"{size / 1e6:.0f} MB"


def plural(count: int, noun: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def figure(value: float, unit: str) -> str:
    """A figure as people say it: `340 ms`, `1.25 s`, `12.3 MB`, `12 %`, `120 1/s`.

    Times, sizes and percentages have three digits at most, in the unit in which that says most;
    others have six.
    """
    match unit:
        case "ms":
            return time_span(value * 1e6)
        case "s":
            return time_span(value * 1e9)
        case "B":
            return _scaled(value, _SIZES)
        case "%":
            return f"{_three_digits(value)} %"
    digits = f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
    return f"{digits} {unit}".rstrip()


def time_span(span_ns: float) -> str:
    """A time span (ns) with three digits at most: `340 ms`, `1.25 s`, `80 us`."""
    return _scaled(span_ns, _TIMES)


_TIMES = (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0))

#: As in `max_rss`: a MB is 1 000 000 bytes.
_SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str:
    for unit, scale in units:
        if abs(value) >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f} {units[-1][0]}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


_EXACT_UNITS = (
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
)


def duration_text(span_ns: int) -> str:
    """A duration as files spell it, exactly: `200ms`."""
    for unit, scale in _EXACT_UNITS:
        if span_ns % scale == 0 and (span_ns or unit == "s"):
            return f"{span_ns // scale}{unit}"
    return f"{span_ns / 1_000}us"


#: A key is text of up to 1 KiB; a sentence shows this much of it.
MOST_CHARACTERS = 60


def shown(text: str) -> str:
    """A key or another text of the code under test, cut to a length that fits a sentence."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def written(value: object) -> str:
    """A value of a file as a message repeats it: `'ten'`, `true`; cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of too many digits"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


#: Of a number in their place, what is missing are the quotes.
_TEXT_WANTED = ("must be a string", "must be a non-empty string")


def with_value(message: str, value: object) -> str:
    """`must be a boolean` with what was found: `must be a boolean, got 'yes'`.

    The value stands before a suggestion. Tables, and what the message quotes already, are left out.
    """
    if value is None or value == "" or isinstance(value, dict | list):
        return message
    shown_value = written(value)
    if shown_value in message:
        return message
    said, advice = message, ""
    for mark in ("; did you mean", ": write "):
        if mark in message:
            said, _, rest = message.partition(mark)
            advice = mark + rest
    if said == "must be a boolean":
        said += ", true or false"
    elif said in _TEXT_WANTED and isinstance(value, int | float) and not isinstance(value, bool):
        advice = f': write "{value}"'
    return f"{said}{';' if 'one of:' in said else ','} got {shown_value}{advice}"


def listed(names: Sequence[str]) -> str:
    """`k1`, `k1 and k2`, `k1 and 7 more`."""
    first = shown(names[0])
    if len(names) == 1:
        return first
    return f"{first} and " + (shown(names[1]) if len(names) == 2 else f"{len(names) - 1} more")


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def close_to(word: str, words: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The one of `words` that `word` may be a misspelling of, if there is one.

    `likeness` is that of `difflib`, from 0 to 1: the more that depends on it, the higher.
    """
    others = [other for other in words if other != word]
    if not others:
        return None
    from difflib import get_close_matches  # 2 ms, which only a mistake is worth

    return next(iter(get_close_matches(word, others, 1, likeness)), None)


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`; did you mean 'x'?` where one of `known` looks like `word`, else nothing."""
    nearest = nearest_word(word, known, likeness)
    return f"; did you mean {nearest!r}?" if nearest else ""


def one_of(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or `; known: x, y` where nothing looks like `word`."""
    known = list(known)
    return did_you_mean(word, known) or f"; known: {', '.join(known) or 'none'}"


def nearest_word(
    word: str,
    known: Iterable[str],
    likeness: float = 0.6,
    synonyms: Mapping[str, str] | None = None,
) -> str | None:
    """The one of `known` that `word` is probably a misspelling of, or another name for.

    Args:
        word: what the user wrote.
        known: what could have been meant.
        likeness: 0 to 1, see difflib.SequenceMatcher.ratio.
        synonyms: what other programs call some of `known`, in small letters with `_`; such a name
            wins over one that is spelled alike.
    """
    known = list(known)
    meant = (synonyms or {}).get(word.casefold().replace("-", "_"))
    if meant in known:
        return meant
    same_letters = {name.casefold().replace("-", "_"): name for name in reversed(known)}
    same = same_letters.get(word.casefold().replace("-", "_"))
    if same is not None and same != word:
        return same
    return close_to(word, known, likeness=likeness)
