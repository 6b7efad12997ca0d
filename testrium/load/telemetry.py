"""Which spans and log records count as probes: the table `[otlp]`."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

from testrium.declared.telemetry import LogRule, SpanRule, Telemetry
from testrium.load.circuits import KnownPlaces, check_expression, check_step, check_unit
from testrium.load.document import Spot
from testrium.load.validate import Table, read, read_list
from testrium.phrases import did_you_mean, nearest_word
from testrium.variables import VariableError, references

#: What a rule may refer to, and before the names of what each record has of its own.
_SPAN_NAMES: Final = (
    *("name", "trace_id", "span_id", "parent_id", "service", "kind", "scope", "status"),
    *("attributes.NAME", "resource.NAME"),
)
_LOG_NAMES: Final = (
    *("trace_id", "span_id", "service", "scope", "severity", "event", "body"),
    *("attributes.NAME", "resource.NAME", "body.NAME"),
)

#: The packages of the extra, each with a module of it.
_RECEIVED_WITH: Final = {"h11": "h11", "opentelemetry-proto": "opentelemetry.proto"}


def read_telemetry(spot: Spot, places: KnownPlaces) -> Telemetry:
    """The table `[otlp]`, whose rules name `places`; what is wrong is noted."""
    own = value = spot.raw
    if isinstance(value, dict):
        own = {name: each for name, each in value.items() if name not in ("spans", "logs")}
    reading = read(Telemetry, own, spot)
    spans = read_list(SpanRule, spot.at("spans"), "otlp.spans")
    logs = read_list(LogRule, spot.at("logs"), "otlp.logs")
    telemetry = replace(
        reading.value,
        spans=tuple(rule.value for rule in spans),
        logs=tuple(rule.value for rule in logs),
    )
    several: list[Table[Any]] = [*spans, *logs]
    for rule in several:
        _check_rule(rule, telemetry, places)
    if telemetry.key is not None:
        known = {*(_SPAN_NAMES if spans else ()), *(_LOG_NAMES if logs else ())}
        groups = {name for rule in several for name in _groups_of(rule)}
        names = tuple(sorted(known or _SPAN_NAMES))
        _check_text(telemetry.key, reading.at("key"), names, groups)
    if isinstance(value, dict) and not value.get("spans") and not value.get("logs"):
        spot.wrong("has no rules: add [[otlp.spans]] or [[otlp.logs]]")
    if missing := [package for package, module in _RECEIVED_WITH.items() if not _is_there(module)]:
        is_or_are = "is" if len(missing) == 1 else "are"
        spot.wrong(
            f"spans are received with {' and '.join(missing)}, which {is_or_are} not installed:"
            " pip install 'testrium[otlp]'"
        )
    return telemetry


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package above it is there
        return False


def _check_rule(reading: Table[Any], telemetry: Telemetry, places: KnownPlaces) -> None:
    rule: SpanRule | LogRule = reading.value
    names = _SPAN_NAMES if isinstance(rule, SpanRule) else _LOG_NAMES
    groups = _groups_of(reading)
    for name in ("span", "log", "service", "scope", "severity"):
        text = getattr(rule, name, None)
        if name in reading.spots and text is not None:
            check_expression(text, reading.at(name))
    for name, wanted in rule.attributes.items():
        if isinstance(wanted, str):
            check_expression(wanted, reading.at("attributes").at(*name.split(".")))
    if rule.at.unit and check_unit(rule.at, reading.at("at"), places):
        check_step(rule.at, reading.at("at"), places)
    for spot, text in (*reading.texts("key"), *reading.texts("meta")):
        _check_text(text, spot, names, groups)
    if rule.type in ("Send", "Receive") and not (rule.key or telemetry.key):
        reading.at("type").wrong(f"a {rule.type} needs a key: here, or in [otlp] for all rules")
    if rule.service is not None and rule.service not in places.units:
        guess = did_you_mean(rule.service, places.units)
        if guess:
            reading.at("service").notice(f"{rule.service!r} is not the name of a unit{guess}")


def _groups_of(reading: Table[Any]) -> set[str]:
    """The named groups of a rule's pattern."""
    text = getattr(reading.value, "span", None) or getattr(reading.value, "log", None) or ""
    try:
        return set(re.compile(text).groupindex)
    except (re.error, OverflowError, RecursionError):
        return set()


def _check_text(text: str, spot: Spot, names: tuple[str, ...], groups: set[str]) -> None:
    """Note each reference of a text that no record has."""
    try:
        used = references(text)
    except VariableError as error:
        spot.wrong(str(error))
        return
    prefixes = tuple(name.removesuffix("NAME") for name in names if name.endswith(".NAME"))
    plain = [name for name in names if not name.endswith(".NAME")]
    for name in used:
        if name in groups or name in plain:
            continue
        if name.startswith(prefixes) and name not in prefixes:
            continue
        first, _, rest = name.partition(".")
        near = nearest_word(first, [prefix.removesuffix(".") for prefix in prefixes])
        guess = f"; did you mean ${{{near}.{rest}}}?" if near and rest else ""
        guess = guess or did_you_mean(name, [*plain, *groups])
        known = ", ".join(f"${{{each}}}" for each in (*plain, *sorted(groups)))
        dotted = ", ".join(f"${{{each}NAME}}" for each in prefixes)
        spot.wrong(f"unknown variable ${{{name}}}{guess or f': use {dotted}, {known}'}")
