"""Every key that a group's files may hold: the tables of the contract, row by row."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from testrium.declared.faults import CLOCK_ACTS, DRAWN_ACTS, FAILPOINT_ACTS, LINK_ACTS
from testrium.load.document import Spot
from testrium.load.kinds import (
    COUNT,
    DATA,
    ENTRYPOINT,
    EXIT_CODES,
    FILLED_TEXT,
    FLAG,
    INTEGER,
    LABEL,
    NUMBER,
    POSITIVE_COUNT,
    SECONDS,
    SIGNAL,
    STEP,
    TEXT,
    UNIT_NAME,
    VARIABLES,
    WRONG,
    Kind,
    integer_between,
    list_of,
    mapping_of,
    one_of,
    one_or_more,
)
from testrium.load.matrix import SCHEMA as MATRIX
from testrium.load.quantities import COMPARISON, DURATION, KEY_RANGE, PERCENTAGE, SIZE
from testrium.load.shape import Key, Shape

MODES: Final = ("DEBUG", "INFO", "WARNING", "EXCEPT")
IN_EXCEPT: Final = ("Stop", "Resume", "Reload", "Resume-ALL")
#: What `test-modes = "All"` becomes: the debug-modes of the group take its place.
ALL_MODES: Final = ("All",)
READY_KINDS: Final[tuple[Literal["tcp", "http", "log", "file", "command", "plugin"], ...]] = (
    "tcp",
    "http",
    "log",
    "file",
    "command",
    "plugin",
)

_NAMES = list_of(UNIT_NAME, unique=True)
_STEPS = list_of(STEP, unique=True)
_WORDS = list_of(TEXT)
_LABELS = list_of(LABEL, unique=True)
_MODES = list_of(one_of(*MODES), least=1, unique=True)


def _read_test_modes(value: Any, spot: Spot) -> Any:
    if value == "All":
        return ALL_MODES
    if isinstance(value, str):
        mode = one_of(*MODES, "All").read(value, spot)
        return mode if mode is WRONG else (mode,)
    return _MODES.read(value, spot)


_TEST_MODES = Kind(_read_test_modes, {"anyOf": [{"enum": [*MODES, "All"]}, _MODES.schema]})

CONFIGS: Final = Shape(
    Key("units", list_of(UNIT_NAME, least=1, unique=True), (), required=True),
    Key("enabled", FLAG, True),
    Key("timeout", NUMBER, 30.0, field="timeout_s"),
    Key("repeat", integer_between(0, 10), 0),
    Key("debug-modes", _MODES, MODES),
    Key("test-modes", _TEST_MODES),  # ("DEBUG",), where the group supports it
    Key("diagnostics", FLAG, True),
    Key("detect-bad-behavior", FLAG, True),
    Key("save-resume", FLAG, True),
    Key("gen-metrics", FLAG, True, old="analitics"),
    Key("save-metrics", FLAG, True, old="save-analitics"),
    Key("save-scores", FLAG, True, old="save-performance"),
    Key("use-ai", FLAG, False),
    Key("title", TEXT, ""),
    Key("purpose", TEXT, ""),
    Key("tags", _LABELS, ()),
    Key("requirements", _LABELS, ()),
    Key("skip", TEXT, ""),
    Key("requires", _LABELS, ()),
    Key("expect-fail", TEXT, ""),
    Key("order", INTEGER, 0),
    Key("exclusive", FLAG, False),
    Key("fixtures", _NAMES, ()),
    Key("inherit-env", FLAG, True),
)

#: What a plugin is told, as texts.
_SETTINGS = mapping_of(TEXT, re.compile(r"[A-Za-z][A-Za-z0-9_-]*"), "name of a setting")

READY: Final = Shape(
    Key("tcp", FILLED_TEXT),
    Key("http", FILLED_TEXT),
    Key("status", integer_between(100, 599)),
    Key("log", FILLED_TEXT),
    Key("file", FILLED_TEXT),
    Key("command", list_of(TEXT, least=1)),
    Key("plugin", UNIT_NAME),
    Key("settings", _SETTINGS, {}),
    exclusive=(READY_KINDS,),
)

LOG_PROBE: Final = Shape(
    Key("log", FILLED_TEXT, required=True),
    Key("step", STEP, required=True),
    Key("type", one_of("Default", "Exception", "Send", "Receive"), "Default"),
    Key("key", FILLED_TEXT),
    Key("meta", mapping_of(TEXT, re.compile(r".+"), "name of a field"), {}),
)

#: What a unit can be besides a function and a command.
KINDS: Final = ("pytest", "unittest", "doctest", "manual")

MANUAL_STEP: Final = Shape(
    Key("do", FILLED_TEXT, required=True),
    Key("expect", FILLED_TEXT, required=True),
    Key("name", STEP),
)

UNIT: Final = Shape(
    Key("init", COUNT, required=True),
    Key("entrypoint", ENTRYPOINT),
    Key("command", list_of(TEXT, least=1)),
    Key("cwd", FILLED_TEXT),
    Key("env", VARIABLES, {}),
    Key("ports", _NAMES, ()),
    Key("events", _STEPS, ()),
    Key("stop_events", _STEPS, ()),
    Key("ready_event", STEP),
    Key("ready", READY.kind()),
    Key("ready_timeout", NUMBER, 10.0, field="ready_timeout_s"),
    Key("timeout", NUMBER, field="timeout_s"),
    Key("unit_dependencies", _NAMES, (), field="dependencies", old="unity_depencies"),
    Key("use_setup", FLAG, False),
    Key("stop", one_of("self", "runner")),
    Key("stop_signal", SIGNAL, "TERM"),
    Key("grace", SECONDS, 2.0, field="grace_s"),
    Key("stop_to", one_of("process", "session"), "process"),
    Key("graceful", FLAG, False),
    Key("may_leave", list_of(FILLED_TEXT, "programs", unique=True), ()),
    Key("exit", EXIT_CODES, (0,)),
    Key("in-except", one_of(*IN_EXCEPT), "Stop"),
    Key("restarts", COUNT),
    Key("enabled", FLAG, True),
    Key("quiet", FLAG),
    Key("max_rss", SIZE),
    Key("max_cpu", NUMBER),
    Key("probes", list_of(LOG_PROBE.kind(), "tables"), ()),
    Key("kind", UNIT_NAME),  # one of KINDS, or a plugin
    Key("settings", _SETTINGS, {}),
    Key("paths", list_of(FILLED_TEXT, "paths", least=1), ()),
    Key("args", list_of(TEXT), ()),
    Key("steps", list_of(MANUAL_STEP.kind(), "tables", least=1), ()),
    exclusive=(("entrypoint", "command", "kind"), ("ready_event", "ready")),
)

#: The keys of a unit that a fixture has too.
_OF_FIXTURES = frozenset(
    {
        "entrypoint",
        "command",
        "cwd",
        "env",
        "ports",
        "ready_event",
        "ready",
        "ready_timeout",
        "exit",
        "stop_signal",
        "grace",
        "stop_to",
        "may_leave",
        "max_rss",
        "max_cpu",
    }
)

FIXTURE: Final = Shape(
    Key("scope", one_of("run", "group"), "run"),
    *(key for key in UNIT.keys if key.name in _OF_FIXTURES),
    Key("stop", one_of("self", "runner"), "runner"),
    Key("restarts", COUNT, 1),
    exclusive=(("entrypoint", "command"), ("ready_event", "ready")),
)

VERIFY: Final = Shape(
    Key("settle", DURATION, 100_000_000, field="settle_ns"),
    Key("allow", list_of(FILLED_TEXT, "places", unique=True), ()),
    Key("linger", DURATION, field="linger_ns"),
    Key("stderr", one_of("uncaught", "forbid", "allow"), "uncaught"),
    Key("orphans", one_of("forbid", "allow")),
    Key("mask", list_of(FILLED_TEXT, "regular expressions", unique=True), ()),
)

CIRCUIT: Final = Shape(
    Key("name", LABEL, "", required=True),
    Key(
        "route",
        Kind(
            lambda value, _: value,  # routes.py reads it, once the units are known
            {"type": "array", "minItems": 1, "items": {"type": ["string", "array"]}},
        ),
        required=True,
    ),
    Key("keys", KEY_RANGE, (1, None)),
    Key("within", DURATION, field="within_ns"),
    Key("p50", DURATION),
    Key("p95", DURATION),
    Key("p99", DURATION),
    Key("same", list_of(FILLED_TEXT, unique=True), ()),
    Key("never", list_of(FILLED_TEXT, "hops", unique=True), ()),
    Key("fifo", FLAG, False),
    Key("open", FLAG, False),
    Key("per", one_of("key", "run"), "key"),
)

FAULT: Final = Shape(
    Key("at", FILLED_TEXT),
    Key("on", POSITIVE_COUNT, 1),
    Key("key", FILLED_TEXT),
    Key("link", FILLED_TEXT),
    Key("unit", UNIT_NAME),
    Key("do", one_of(*FAILPOINT_ACTS, *LINK_ACTS, *CLOCK_ACTS), required=True),
    Key("after", FILLED_TEXT),
    Key("for", DURATION, field="for_ns"),
    Key("value", FILLED_TEXT),
    Key("jitter", DURATION, 0, field="jitter_ns"),
    Key("signal", SIGNAL),
    Key("to", one_of("process", "session", "emitter")),
    Key("name", STEP),  # it is the step of the event that tells that it happened
    exclusive=(("at", "link"), ("at", "unit"), ("link", "unit")),
)

#: How a limit is written depends on what it limits: metrics.py reads it.
_ANY_LIMIT = Kind(lambda value, _: value, {"type": ["number", "string"]})

METRIC: Final = Shape(
    Key("max", _ANY_LIMIT),
    Key("min", _ANY_LIMIT),
    Key("max-regression", PERCENTAGE),
    Key("unit", LABEL, ""),
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

CHECK_SUBJECTS: Final = ("log", "file", "json", "exists", "absent", "value", "plugin")
NORMALIZERS: Final = ("datetime", "number", "port", "path")

_SUBSTITUTION = Shape(Key("sub", FILLED_TEXT, required=True), Key("by", TEXT, required=True))
_NORMALIZER = UNIT_NAME  # one of NORMALIZERS, or a plugin


def _read_normalizer(value: Any, spot: Spot) -> Any:
    return (_SUBSTITUTION.kind() if isinstance(value, dict) else _NORMALIZER).read(value, spot)


CHECK: Final = Shape(
    Key("name", LABEL, "", required=True),
    Key("log", UNIT_NAME),
    Key("file", FILLED_TEXT),
    Key("json", FILLED_TEXT),
    Key("exists", FILLED_TEXT),
    Key("absent", FILLED_TEXT),
    Key("value", TEXT),
    Key("plugin", UNIT_NAME),
    Key("settings", _SETTINGS, {}),
    Key("contains", one_or_more(FILLED_TEXT), ()),
    Key("lacks", one_or_more(FILLED_TEXT), ()),
    Key("sequence", list_of(FILLED_TEXT, least=1), ()),
    Key("last", FILLED_TEXT),
    Key("count", COMPARISON, field="counted"),
    Key("literal", FLAG, False),
    Key("join", FILLED_TEXT, ""),
    Key("ignore", one_or_more(FILLED_TEXT), ()),
    Key("at", TEXT),
    Key("equals", DATA),
    Key("extract", one_or_more(FILLED_TEXT), ()),
    Key("expect", one_or_more(FILLED_TEXT), ()),
    Key("golden", FILLED_TEXT),
    Key(
        "normalize",
        one_or_more(
            Kind(_read_normalizer, {"anyOf": [_NORMALIZER.schema, _SUBSTITUTION.schema()]})
        ),
        (),
    ),
    Key("unordered", FLAG, False),
    exclusive=(CHECK_SUBJECTS,),
)

CHAOS: Final = Shape(
    Key("units", _NAMES, ()),
    Key("links", list_of(FILLED_TEXT, "links", unique=True), ()),
    Key("budget", integer_between(1, 5), 2),
    Key("do", list_of(one_of(*DRAWN_ACTS, *LINK_ACTS), least=1, unique=True), ()),
    Key("longest", DURATION, 500_000_000, field="longest_ns"),
)

MONITOR: Final = Shape(
    Key("name", UNIT_NAME, "", required=True),
    Key("pid", POSITIVE_COUNT),
    Key("process", FILLED_TEXT),
    exclusive=(("pid", "process"),),
)

#: The tables of config.toml besides [Configs].
TABLES: Final = (
    "verify",
    "circuits",
    "checks",
    "faults",
    "chaos",
    "matrix",
    "env",
    "metrics",
    "monitor",
)


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas for editors: of `config.toml` and of a file in `units/`."""
    dialect = {"$schema": DIALECT}
    tables: dict[str, Any] = {
        "Configs": CONFIGS.schema(),
        "verify": VERIFY.schema(),
        "circuits": {"type": "array", "items": CIRCUIT.schema()},
        "faults": {"type": "array", "items": FAULT.schema()},
        "chaos": CHAOS.schema(),
        "checks": {"type": "array", "items": CHECK.schema()},
        "monitor": {"type": "array", "items": MONITOR.schema()},
        "matrix": MATRIX,
        "env": dict(VARIABLES.schema),
        # A name without its quotes is a table within a table.
        "metrics": {
            "type": "object",
            "additionalProperties": METRIC.schema() | {"additionalProperties": {"type": "object"}},
        },
    }
    config = {
        "title": "A group's config.toml",
        "type": "object",
        "properties": tables,
        "required": ["Configs"],
        "additionalProperties": False,
    }
    unit = {
        "title": "A unit's file: one table with the name of the file",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": UNIT.schema(),
    }
    fixture = unit | {
        "title": "A fixture's file: one table with the name of the file",
        "additionalProperties": FIXTURE.schema(),
    }
    return {
        "config.toml": dialect | config,
        "units/*.toml": dialect | unit,
        "fixtures/*.toml": dialect | fixture,
    }
