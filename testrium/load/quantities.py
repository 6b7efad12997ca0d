"""Kinds of values that are quantities written as text: durations, sizes, shares, ranges."""

from __future__ import annotations

import re
from typing import Any

from testrium.load.document import Spot
from testrium.load.kinds import WRONG, Kind, converted

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(us|ms|s|m)")
_SHIFT = re.compile(r"([+-][0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)")
_NANOSECONDS = {
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([kKMGT]i?)?B")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_PERCENTAGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*%")
_RANGE = re.compile(r"([0-9]{1,12})(?:(\.\.)([0-9]{1,12})?)?")


def nanoseconds(text: str) -> int:
    """A duration such as "200ms", in ns; units: us, ms, s, m.

    Raises:
        ValueError: it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"no duration: {text!r}")
    return round(float(match[1]) * _NANOSECONDS[match[2]])


def shift_in_ns(text: str) -> int:
    """What is added to a clock, such as "+1h" or "-30s", in ns; units: ms, s, m, h, d.

    Raises:
        ValueError: it is none.
    """
    match = _SHIFT.fullmatch(text)
    if match is None:
        raise ValueError(f"no shift of a clock: {text!r}")
    return round(float(match[1]) * _NANOSECONDS[match[2]])


def size_in_bytes(text: str) -> int:
    """A size such as "200MB" (1 MB is 1 000 000 bytes, 1 MiB is 1 048 576).

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"no size: {text!r}")
    prefix = match[2] or ""
    base = 1024 if prefix.endswith("i") else 1000
    factor: int = base ** _POWERS[prefix[:1].upper()]
    return round(float(match[1]) * factor)


def key_range(value: str | int) -> tuple[int, int | None]:
    """How many instances are expected: "100", "1..", "0..5", or a plain integer.

    Raises:
        ValueError: it is no such range.
    """
    match = _RANGE.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        raise ValueError(f"no range: {value!r}")
    low = int(match[1])
    high = low if match[2] is None else int(match[3]) if match[3] else None
    if high is not None and high < low:
        raise ValueError(f"{high} is less than {low}")
    return low, high


DURATION = converted(
    nanoseconds,
    (str,),
    'must be a duration such as "200ms" (us, ms, s or m)',
    {"type": "string", "pattern": f"^{_DURATION.pattern}$"},
)
SIZE = converted(
    size_in_bytes,
    (str,),
    'must be a size such as "200MB" (B, kB, MB, GB, KiB, MiB or GiB)',
    {"type": "string", "pattern": f"^{_SIZE.pattern}$"},
)


def _read_key_range(value: Any, spot: Spot) -> Any:
    try:
        if type(value) in (str, int):
            return key_range(value)
    except ValueError:
        if re.search(r"[0-9]{13}", value) if isinstance(value, str) else value >= 10**12:
            spot.wrong("must be less than 1 000 000 000 000 instances")
            return WRONG
    spot.wrong('must be a number or a range: "100", "1..", "0..5"')
    return WRONG


KEY_RANGE = Kind(_read_key_range, {"type": ["string", "integer"], "pattern": f"^{_RANGE.pattern}$"})


def percentage(text: str) -> float:
    """A share such as "20%", as a fraction: 0.2.

    Raises:
        ValueError: it is none, or 0.
    """
    match = _PERCENTAGE.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"no percentage: {text!r}")
    return float(match[1]) / 100


PERCENTAGE = converted(
    percentage,
    (str,),
    'must be a percentage such as "20%"',
    {"type": "string", "pattern": f"^{_PERCENTAGE.pattern}$"},
)


def _comparison(value: str | int) -> tuple[str, int]:
    from testrium.checks.conditions import comparison_of  # only groups with checks pay for it

    return comparison_of(value)


COMPARISON = converted(
    _comparison,
    (str, int),
    'must be a comparison with a number: "== 3", ">= 1", "< 10"',
    {"type": ["string", "integer"]},
)
