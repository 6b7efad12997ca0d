"""The kinds of values that keys have: names, texts, numbers, durations, sizes, ranges, signals.

A kind never coerces: `1` is not `true`, `"5"` is not a number, and NaN is refused.
"""

from __future__ import annotations

import codecs
import math
import re
import signal
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from testrium.declared.keys import Checked, Limit, Prepared, Says, Written
from testrium.phrases import did_you_mean, duration_text, written

#: Names of units, ports and circuits' parts (the contract's pattern).
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
STEP_LENGTH: Final = 200
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# Patterns are texts here and elsewhere in what every command imports: `re` compiles and keeps the
# ones that are used.

#: TOML's integers have 64 bits; Python would read any number of digits.
_MOST: Final = (1 << 63) - 1
#: 31 years. The kernel's timers hold 292.
MOST_SECONDS: Final = 1_000_000_000

_DURATION: Final = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(us|ms|s|m|h|d)"
_NEARLY_DURATION: Final = r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([A-Za-z\u00b5\u03bc]+)\.?\s*"
_SHIFT: Final = r"([+-][0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)"
NANOSECONDS: Final[Mapping[str, int]] = {
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_SIZE: Final = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([kKMGT]i?)?B"
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_PERCENTAGE: Final = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*%"
_RANGE: Final = r"([0-9]{1,12})(?:(\.\.)([0-9]{1,12})?)?"
_COMPARISON: Final = r"(==|!=|>=|<=|>|<)?\s*([0-9]{1,12})"


# --- numbers ---


def is_number(value: Any) -> bool:
    """Whether it is a finite number; a boolean does not count."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


Whole = Annotated[int, Says("must be an integer"), Limit("ge", -_MOST), Limit("le", _MOST)]
Count = Annotated[int, Limit("ge", 0), Says("must be a non-negative integer"), Limit("le", _MOST)]
PositiveCount = Annotated[
    int, Limit("gt", 0), Says("must be a positive integer"), Limit("le", _MOST)
]
Positive = Annotated[
    float, Limit("gt", 0), Says("must be a positive number"), Limit("le", MOST_SECONDS)
]


def between(low: int, high: int) -> tuple[Any, ...]:
    """Annotations of an integer from `low` to `high`, both included."""
    return (
        Limit("ge", low),
        Limit("le", high),
        Says(f"must be an integer between {low} and {high}"),
    )


# --- texts ---


def _accepted(accept: Callable[[Any], bool], message: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not accept(value):
            raise ValueError(message)
        return value

    return read


def text(accept: Callable[[str], bool], message: str, **schema: Any) -> Written:
    """A text that `accept` takes."""
    return Written(
        _accepted(lambda value: isinstance(value, str) and accept(value), message),
        {"type": "string", **schema},
    )


Text = Annotated[str, text(lambda value: "\0" not in value, "must be a string")]
FilledText = Annotated[
    str,
    text(
        lambda value: "\0" not in value and bool(value.strip()),
        "must be a non-empty string",
        minLength=1,
    ),
]
Label = Annotated[
    str,
    text(
        lambda value: bool(value.strip()) and not CONTROL.search(value),
        "must be a non-empty string without control characters",
        minLength=1,
    ),
]
Name = Annotated[
    str,
    text(
        lambda value: NAME.fullmatch(value) is not None,
        "must be a name: up to 64 letters, digits, '_', '.' and '-', with a letter or digit first",
        pattern=f"^{NAME.pattern}$",
    ),
]
Step = Annotated[
    str,
    text(
        lambda value: 0 < len(value) <= STEP_LENGTH and not CONTROL.search(value),
        f"must be a non-empty string of up to {STEP_LENGTH} characters without control characters",
        minLength=1,
        maxLength=STEP_LENGTH,
    ),
]

_PATH_OF_FUNCTION: Final = r"(?P<path>[\w./\\-]+)\.py:(?P<function>\w+)"


def is_entrypoint(value: Any) -> bool:
    """Whether it has the form "module:function"."""
    if not isinstance(value, str):
        return False
    module, colon, function = value.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), function))


def _entrypoint(value: Any) -> str:
    if is_entrypoint(value):
        return str(value)
    hint = ""
    if isinstance(value, str) and (found := re.fullmatch(_PATH_OF_FUNCTION, value)):
        module = re.sub(r"[/\\]+", ".", found["path"].removeprefix("./"))
        if is_entrypoint(guess := f"{module}:{found['function']}"):
            hint = f": write {guess!r}"
    elif (
        isinstance(value, str)
        and value.count(".") == 1
        and is_entrypoint(guess := value.replace(".", ":"))
    ):
        hint = f": write {guess!r}"
    raise ValueError(f'must use "module:function" format{hint}')


Entrypoint = Annotated[
    str, Written(_entrypoint, {"type": "string", "pattern": r"^[^:\s]+:[^:.\s]+$"})
]


def _signal(value: Any) -> str:
    name = value.removeprefix("SIG") if isinstance(value, str) else ""
    names = [each.removeprefix("SIG") for each in signal.Signals.__members__]
    if name in names:
        return name
    raise ValueError(f'must be the name of a signal, such as "TERM"{did_you_mean(name, names)}')


Signal = Annotated[str, Written(_signal, {"type": "string"})]


def _encoding(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError('must be the name of an encoding, such as "latin-1"')
    try:
        name = codecs.lookup(value).name
        if b"a\n".decode(name) == "a\n" or "a\n".encode(name).decode(name) == "a\n":
            return name
    except (LookupError, ValueError):
        pass
    guess = did_you_mean(value.lower(), _COMMON_ENCODINGS)
    raise ValueError(
        f"unknown encoding {written(value)}{guess}"
        " (Python's names: utf-8, latin-1, cp1252, shift_jis, ...)"
    )


_COMMON_ENCODINGS: Final = (
    *("utf-8", "utf-16", "utf-32", "ascii", "latin-1", "iso8859-15", "cp1252", "cp850", "cp437"),
    *("shift_jis", "euc_jp", "gbk", "gb18030", "big5", "euc_kr", "koi8-r"),
)
Encoding = Annotated[str, Written(_encoding, {"type": "string"})]


# --- lists and tables of texts ---

#: A list with one item or more.
FILLED: Final = Limit("min_length", 1)


def one_or_more(value: Any) -> Any:
    """A list, as it is, or of one value a list of it."""
    return value if isinstance(value, tuple) else (value,)


def _unique(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if twice := sorted({str(each) for each in items if items.count(each) > 1}):
        raise ValueError(f"contains duplicate values: {', '.join(twice)}")
    return items


#: A list in which no item occurs twice.
UNIQUE: Final = Checked(_unique, {"uniqueItems": True})


def _program_first(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words[0].strip():
        raise ValueError("must begin with the name of a program")
    return words


class Named:
    """A table whose keys match a pattern; `what` is what its message calls a key."""

    def __init__(self, pattern: str, what: str) -> None:
        self.pattern = pattern
        self.what = what

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        schema = dict(handler(source))
        schema["keys_schema"] = {
            "type": "function-plain",
            "function": {"type": "no-info", "function": self._checked},
        }
        schema["metadata"] = {}
        return schema

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string"}}

    def _checked(self, key: str) -> str:
        if not re.fullmatch(self.pattern, key):
            raise ValueError(f"is not a valid {self.what}")
        return key


Names = Annotated[tuple[Name, ...], UNIQUE]
Steps = Annotated[tuple[Step, ...], UNIQUE]
Labels = Annotated[tuple[Label, ...], UNIQUE]
Words = tuple[Text, ...]
#: A program and its arguments.
Program = Annotated[tuple[Text, ...], FILLED, Checked(_program_first)]
OneOrMore = Annotated[tuple[FilledText, ...], FILLED, Prepared(one_or_more, {})]
Variables = Annotated[Mapping[str, Text], Named(r"[^=\0]+", "name of an environment variable")]
#: Of an event, as texts.
Metadata = Annotated[Mapping[str, Text], Named(r".+", "name of a field")]
#: The settings that a plugin gets, as texts.
Settings = Annotated[Mapping[str, Text], Named(r"[A-Za-z][A-Za-z0-9_-]*", "name of a setting")]


# --- quantities ---


def duration_ns(value: Any) -> int:
    """A duration, a number of seconds or a text such as "200ms", in ns.

    Raises:
        ValueError: it is none; says what would be right.
    """
    if is_number(value):
        if abs(value) > MOST_SECONDS:
            raise ValueError(f"must be at most {MOST_SECONDS} seconds")
        if value >= 0:
            return int(value * 1e9 + 0.5)
    elif isinstance(value, str):
        if match := re.fullmatch(_DURATION, value):
            return round(float(match[1]) * NANOSECONDS[match[2]])
        if hint := _nearly(value):
            raise ValueError(f"invalid duration {value!r}: use {hint} or seconds")
    raise ValueError(
        f"invalid duration {written(value)}: use a number of seconds"
        ' or a text such as "80ms" (us, ms, s, m, h, d)'
    )


def _nearly(text: str) -> str:
    """What a text such as "3 hours" probably means, in two ways, or ""."""
    match = re.fullmatch(_NEARLY_DURATION, text)
    if match is None:
        return ""
    number, word = match[1], match[2].casefold()
    if word.startswith(("ms", "mil")):
        unit = "ms"
    elif word.startswith(("us", "mic", "\u00b5", "\u03bc")):
        unit = "us"
    else:
        unit = next((each for each in ("s", "m", "h", "d") if word.startswith(each)), "")
    if not unit:
        return ""
    finer = {"d": ("h", 24), "h": ("m", 60), "m": ("s", 60), "s": ("ms", 1000)}.get(unit)
    if finer is None:
        return f"{number}{unit}"
    return f"{number}{unit}, {float(number) * finer[1]:g}{finer[0]}"


def _more_than_nothing(value: Any) -> int:
    if (found := duration_ns(value)) > 0:
        return found
    raise ValueError("must be longer than 0 s")


def seconds(value: Any) -> float:
    """A duration in seconds. Raises ValueError, as `duration_ns` does."""
    ns = duration_ns(value)
    return float(value) if is_number(value) else ns / 1e9


def _positive_seconds(value: Any) -> float:
    if is_number(value) and value <= 0:
        raise ValueError("must be a positive number")
    if (found := seconds(value)) > 0:
        return found
    raise ValueError("must be longer than 0 s")


def _duration_schema(least: str) -> Mapping[str, Any]:
    return {
        "anyOf": [
            {"type": "number", least: 0, "maximum": MOST_SECONDS},
            {"type": "string", "pattern": f"^{_DURATION}$"},
        ]
    }


_DURATION_SCHEMA: Final = _duration_schema("minimum")
_POSITIVE_SCHEMA: Final = _duration_schema("exclusiveMinimum")


def _plain_number(value: float) -> float | int:
    return int(value) if value == int(value) else value


#: In nanoseconds.
DURATION: Final = Written(duration_ns, _DURATION_SCHEMA, duration_text)
LONGER_THAN_NOTHING: Final = Written(_more_than_nothing, _POSITIVE_SCHEMA, duration_text)
#: In seconds.
SECONDS: Final = Written(seconds, _DURATION_SCHEMA, _plain_number)
POSITIVE_SECONDS: Final = Written(_positive_seconds, _POSITIVE_SCHEMA, _plain_number)


def shift_in_ns(text: str) -> int:
    """What is added to a clock, such as "+1h" or "-30s", in ns; units: ms, s, m, h, d.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(_SHIFT, text)
    if match is None:
        raise ValueError(f"invalid shift of a clock: {text!r}")
    return round(float(match[1]) * NANOSECONDS[match[2]])


def size_in_bytes(text: str) -> int:
    """A size such as "200MB" (1 MB is 1 000 000 bytes, 1 MiB is 1 048 576).

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(_SIZE, text)
    if match is None:
        raise ValueError(f"invalid size: {text!r}")
    prefix = match[2] or ""
    base = 1024 if prefix.endswith("i") else 1000
    factor: int = base ** _POWERS[prefix[:1].upper()]
    return round(float(match[1]) * factor)


def read_as(convert: Callable[[Any], Any], types: tuple[type, ...], message: str) -> Any:
    """Reads values of some types that `convert` takes without raising ValueError."""

    def read(value: Any) -> Any:
        if type(value) in types:
            try:
                return convert(value)
            except ValueError:
                pass
        raise ValueError(message)

    return read


SIZE: Final = Written(
    read_as(
        size_in_bytes, (str,), 'must be a size such as "200MB" (B, kB, MB, GB, KiB, MiB or GiB)'
    ),
    {"type": "string", "pattern": f"^{_SIZE}$"},
    lambda size: f"{size}B",
)


def key_range(value: str | int) -> tuple[int, int | None]:
    """How many instances are expected: "100", "1..", "0..5", or a plain integer.

    Raises:
        ValueError: it is not such a range.
    """
    match = re.fullmatch(_RANGE, str(value))
    if match is None or isinstance(value, bool):
        raise ValueError(f"invalid range: {value!r}")
    low = int(match[1])
    high = low if match[2] is None else int(match[3]) if match[3] else None
    if high is not None and high < low:
        raise ValueError(f"{high} is less than {low}")
    return low, high


def _read_key_range(value: Any) -> tuple[int, int | None]:
    try:
        if type(value) in (str, int):
            return key_range(value)
    except ValueError:
        if re.search(r"[0-9]{13}", value) if isinstance(value, str) else value >= 10**12:
            raise ValueError("must be less than 1 000 000 000 000 instances") from None
    raise ValueError('must be a number or a range: "100", "1..", "0..5"')


def _range_text(bounds: tuple[int, int | None]) -> str:
    low, high = bounds
    return str(low) if high == low else f"{low}..{'' if high is None else high}"


KEY_RANGE: Final = Written(
    _read_key_range,
    {"type": ["string", "integer"], "pattern": f"^{_RANGE}$"},
    _range_text,
)


def percentage(text: str) -> float:
    """A share such as "20%", as a fraction: 0.2.

    Raises:
        ValueError: it is none, or 0.
    """
    match = re.fullmatch(_PERCENTAGE, text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"invalid percentage: {text!r}")
    return float(match[1]) / 100


PERCENTAGE: Final = Written(
    read_as(percentage, (str,), 'must be a percentage such as "20%"'),
    {"type": "string", "pattern": f"^{_PERCENTAGE}$"},
    lambda share: f"{share * 100:.6f}".rstrip("0").rstrip(".") + "%",
)


def comparison_of(text: str | int) -> tuple[str, int]:
    """An operator and a number: "== 3", ">= 1"; a number alone is the one expected.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(_COMPARISON, str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"invalid comparison with a number: {text!r}")
    return match[1] or "==", int(match[2])


COMPARISON: Final = Written(
    read_as(
        comparison_of,
        (str, int),
        'must be a comparison with a number: "== 3", ">= 1", "< 10"',
    ),
    {"type": ["string", "integer"]},
    lambda found: f"{found[0]} {found[1]}",
)


def _is_data(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_data, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_data, value))
    if isinstance(value, str):
        return "\0" not in value
    return isinstance(value, bool) or is_number(value)


def _data(value: Any) -> tuple[Any]:
    if not _is_data(value):
        raise ValueError(
            "must be a value of JSON: a string, a finite number, a boolean, a list or a table"
            " of such"
        )
    return (_lists(value),)  # so False is not mistaken for "not given"


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _lists(inner) for name, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


#: Any value, in a tuple of one.
DATA: Final = Written(_data, {}, lambda found: found[0])
