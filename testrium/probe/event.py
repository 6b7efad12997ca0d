"""What an event is: its fields, and what each of them may hold."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class ProbeRecord:
    """The stored record of a probe, as an answer to a wait.

    `t_ns` is CLOCK_MONOTONIC, taken in the emitting process; `wall_ns` is time since 1970.
    `cause` holds the keys that led to it, `meta` its metadata.
    """

    __slots__ = ("cause", "key", "meta", "pid", "seq", "step", "t_ns", "type", "unit", "wall_ns")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.unit: str = fields["unit"]
        self.step: str = fields["step"]
        self.type: str = fields["type"]
        self.key: str | None = fields["key"]
        self.cause: tuple[str, ...] = tuple(fields["cause"])
        self.t_ns: int = fields["t_ns"]
        self.wall_ns: int = fields["wall_ns"]
        self.pid: int = fields["pid"]
        self.seq: int | None = fields["seq"]
        self.meta: dict[str, Any] = fields["meta"]

    def __repr__(self) -> str:
        key = "" if self.key is None else f" key={self.key!r}"
        return f"<{self.type} {self.unit}:{self.step}{key}>"


#: Characters of a step.
MAX_STEP = 200

#: Bytes of a key, in UTF-8.
MAX_KEY = 1024

#: Bytes of a probe's line, its newline included.
MAX_LINE = 1 << 20

#: How deep metadata may be nested: who reads it may have less of the stack left than who wrote it.
MAX_DEPTH = 100

TYPES = ("Default", "Exception", "Send", "Receive")

#: Characters of a metric's unit.
MAX_MEASURE_UNIT = 32

#: Types that mean nothing without a key.
KEYED = ("Send", "Receive")


def check_unit(name: object) -> None:
    """Raises TypeError, or ValueError unless it matches `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`."""
    if not isinstance(name, str):
        raise TypeError(f"a unit's name is text, not {_kind(name)}")
    # Not with `re`: its import costs a unit 7 ms.
    rest = name.replace("_", "").replace(".", "").replace("-", "")
    if not (0 < len(name) <= 64 and name.isascii() and name[0].isalnum() and rest.isalnum()):
        raise ValueError(
            f"{shown(name)} is not a valid name of a unit: "
            "a letter or digit, then up to 63 letters, digits, '_', '.' or '-'"
        )


def check_step(step: object) -> None:
    """Raises TypeError, or ValueError unless it has 1 to 200 characters, none a control one."""
    _check_label(step, "a step", MAX_STEP)


def _check_label(label: object, what: str, most: int) -> None:
    if not isinstance(label, str):
        raise TypeError(f"{what} is text, not {_kind(label)}")
    if not label:
        raise ValueError(f"{what} is empty")
    if len(label) > most:
        raise ValueError(f"{what} has {len(label)} characters, at most {most} are allowed")
    if not label.isprintable() and any(char < " " or "\x7f" <= char < "\xa0" for char in label):
        raise ValueError(f"{what} holds control characters: {shown(label)}")
    if not label.isascii():
        check_text(label, what.removeprefix("a "))


def check_key(key: object) -> None:
    """Raises TypeError, or ValueError unless it has 1 to 1024 bytes in UTF-8."""
    if not isinstance(key, str):
        raise TypeError(f"a key is text, not {_kind(key)}")
    if not key:
        raise ValueError("a key is empty")
    if len(key) > MAX_KEY or (not key.isascii() and len(check_text(key, "key")) > MAX_KEY):
        raise ValueError(f"a key is longer than {MAX_KEY} bytes: {shown(key)}")


def check_type(kind: object, key: object) -> None:
    """Raises ValueError unless `kind` is a type of probe, and has the key that it needs."""
    if kind not in TYPES:
        raise ValueError(f"{shown(kind)} is not a type of probe: use one of {', '.join(TYPES)}")
    if key is None and kind in KEYED:
        raise ValueError(f"{kind} needs a key")


def check_metric(name: object, value: object, unit: object, better: object) -> float:
    """The value as a float. Raises TypeError or ValueError for what can be no metric."""
    from testrium.words import DIRECTIONS, is_measured

    _check_label(name, "a metric's name", MAX_STEP)
    if not isinstance(unit, str):
        raise TypeError(f"a metric's unit is text, not {_kind(unit)}")
    if unit:
        _check_label(unit, "a metric's unit", MAX_MEASURE_UNIT)
    if better not in DIRECTIONS:
        raise ValueError(f"better is 'smaller' or 'larger', not {shown(better)}")
    assert isinstance(name, str)
    if is_measured(name):
        raise ValueError(
            f"{shown(name)} is a name of what Testrium measures itself: choose another one"
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a metric's value is a number, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number - number != 0:  # NaN or infinite; without `math`, which a probe does not need
        raise ValueError(f"a metric's value is a finite number, not {shown(value)}")
    return number


def check_text(text: str, what: str) -> bytes:
    """The text in UTF-8. Raises ValueError for a lone surrogate, which UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a {what} holds a lone surrogate: {shown(text)}") from error


def check_depth(meta: object, text: str) -> None:
    """Raises ValueError where metadata is nested too deeply; `text` is its JSON."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    level = [meta] if isinstance(meta, dict | list | tuple) else []
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [one for each in inner for one in each if isinstance(one, dict | list | tuple)]
        if not level:
            return
    raise ValueError(f"meta is nested too deeply: at most {MAX_DEPTH} levels are allowed")


def check_names(value: object) -> None:
    """Refuse names that are not text: JSON has no other, and would make text of them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the names of metadata must be text, got {name!r}")
            check_names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_names(inner)


def shown(value: object) -> str:
    """The value as a message may show it: escaped, and short."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: object) -> str:
    return type(value).__name__
