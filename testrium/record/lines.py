"""A line of a probe file: what it says, or why it is no probe."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn

from testrium.probe.rules import (
    MAX_LINE,
    check_depth,
    check_key,
    check_metric,
    check_step,
    check_text,
    check_type,
    check_unit,
    shown,
)

FIELDS = frozenset(
    ("step", "type", "key", "cause", "t_ns", "wall_ns", "pid", "seq", "domain", "meta", "unit")
)
METRIC_FIELDS = frozenset(("metric", "value", "unit", "better", "t_ns", "pid"))
#: SQLite's largest integer.
_MAX_NUMBER = (1 << 63) - 1
#: Characters of a damaged line that are kept.
_SHOWN = 200


class Line(NamedTuple):
    """What a line says; None for what it leaves out. `meta_json` is `meta` as it is stored."""

    step: str
    type: str
    key: str | None
    cause: tuple[str, ...]
    t_ns: int | None
    wall_ns: int | None
    pid: int | None
    seq: int | None
    domain: str | None
    unit: str | None
    meta: dict[str, Any]
    cause_json: str | None
    meta_json: str | None


class MetricLine(NamedTuple):
    """What a line says that reports a figure; None for what it leaves out."""

    name: str
    value: float
    unit: str
    better: str
    t_ns: int | None
    pid: int | None


class BadLineError(ValueError):
    """The line is no probe; the message says why."""


def parse_line(line: bytes) -> Line | MetricLine:
    """Read one line, without its newline. Raises BadLineError."""
    if len(line) >= MAX_LINE:
        raise BadLineError(f"longer than {MAX_LINE} bytes")
    try:
        text = line.decode().strip(" \t\r")
        value, end = _decode(text)
    except BadLineError:
        raise
    except UnicodeDecodeError as error:
        raise BadLineError("not UTF-8") from error
    except RecursionError as error:
        raise BadLineError("nested too deeply") from error
    except ValueError as error:
        raise BadLineError(f"not JSON: {error}") from error
    if end != len(text):
        raise BadLineError(f"not JSON: something follows behind character {end}")
    if not isinstance(value, dict):
        raise BadLineError("not a JSON object")
    return _metric(value) if "metric" in value else check_fields(value)


def _metric(value: dict[str, Any]) -> MetricLine:
    _check_names(value, METRIC_FIELDS)
    given = {field: said for field, said in value.items() if said is not None}
    name, unit = value["metric"], given.get("unit", "")
    better = given.get("better", "smaller")
    try:
        number = check_metric(name, given.get("value"), unit, better)
    except (ValueError, TypeError) as error:
        raise BadLineError(str(error)) from error
    return MetricLine(name, number, unit, better, _number(value, "t_ns"), _number(value, "pid"))


def check_fields(value: dict[str, Any]) -> Line:
    """What an object says as a probe. Raises BadLineError."""
    _check_names(value, FIELDS)
    get = value.get
    type_, key, cause, meta = get("type"), get("key"), get("cause"), get("meta")
    unit, domain = get("unit"), get("domain")
    if type_ is None:
        type_ = "Default"
    try:
        check_step(get("step"))
        check_type(type_, key)
        if key is not None:
            check_key(key)
        if unit is not None:
            check_unit(unit)
        if domain is not None:
            check_step(domain)
        cause_json = _checked_cause(cause) if cause else None
        meta_json = _checked_meta(meta) if meta else None
    except (ValueError, TypeError) as error:
        raise BadLineError(str(error)) from error
    if cause is not None and not isinstance(cause, list):
        raise BadLineError("cause is a list of keys")
    if meta is not None and not isinstance(meta, dict):
        raise BadLineError("meta is an object")
    return Line(
        value["step"],
        type_,
        key,
        tuple(cause) if cause else (),
        _number(value, "t_ns"),
        _number(value, "wall_ns"),
        _number(value, "pid"),
        _number(value, "seq", least=1),
        domain,
        unit,
        meta or {},
        cause_json,
        meta_json,
    )


def shown_line(line: bytes) -> str:
    """The beginning of a line as text."""
    return line[: 4 * _SHOWN].decode(errors="backslashreplace")[:_SHOWN]


def _check_names(value: dict[str, Any], known: frozenset[str]) -> None:
    if not value.keys() <= known:
        unknown = ", ".join(sorted(shown(name) for name in value.keys() - known))
        raise BadLineError(f"unknown field: {unknown}")


def _checked_cause(cause: object) -> str:
    if not isinstance(cause, list):
        raise TypeError("cause is a list of keys")
    for key in cause:
        check_key(key)
    return json.dumps(cause, ensure_ascii=False)


def _checked_meta(meta: object) -> str:
    if not isinstance(meta, dict):
        raise TypeError("meta is an object")
    try:
        text = json.dumps(meta, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("meta is nested too deeply") from error
    check_text(text, "meta")
    check_depth(meta, text)
    return text


def _number(value: dict[str, Any], name: str, least: int = 0) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    if type(number) is not int or not least <= number <= _MAX_NUMBER:  # a bool is no number
        raise BadLineError(f"{name} is no whole number from {least} on: {shown(number)}")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadLineError("the same name twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadLineError(f"not JSON: {name}")


# `decode` would look for white space with a regular expression, which takes a fifth of the time.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).raw_decode
