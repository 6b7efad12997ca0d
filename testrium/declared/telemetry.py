"""What counts as a probe of what programs tell over OpenTelemetry: the table `[otlp]`."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final, Literal

from testrium.declared.circuits import parse_place
from testrium.declared.keys import Key, Prepared, Written, keyword_table, nothing, table
from testrium.declared.quantities import DURATION, FilledText, Metadata, Named
from testrium.declared.units import EVENT_TYPE
from testrium.words import EventType, Place

#: What a span is to others, in the words of OpenTelemetry.
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]


def _read_place(value: Any) -> Place:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('must be "unit:step", or "step" for the unit whose process sent it')
    text = value.strip()
    place = parse_place(text if ":" in text else f"x:{text}")
    if "*" in place.step:
        raise ValueError(f"{value!r}: names one step, without *")
    return place if ":" in text and place.unit != "*" else Place("", place.step)


def _write_place(place: Place) -> str:
    return str(place) if place.unit else place.step


#: Where an event belongs; the unit is "" where it is the one whose process sent it.
TelemetryPlace = Annotated[
    Place, Written(_read_place, {"type": "string", "minLength": 1}, _write_place)
]


def _flattened(value: Any) -> Any:
    """`order.id = 1` in an inline table is a table in a table: dotted names are meant."""
    if not isinstance(value, dict):
        return value
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            flat |= {f"{name}.{rest}": each for rest, each in _flattened(inner).items()}
        else:
            flat[name] = inner
    return flat


_SCALAR: Final = {"type": ["string", "number", "boolean"]}

#: Attributes that must be there: a text is a pattern for the whole value.
Attributes = Annotated[
    Mapping[str, Annotated[str | bool | int | float, Written(lambda value: value, _SCALAR)]],
    Named(r".+", "name of an attribute"),
    Prepared(
        _flattened,
        {"type": "object", "additionalProperties": {"anyOf": [_SCALAR, {"type": "object"}]}},
    ),
]


@keyword_table
class TelemetryRule:
    """The keys that rules for spans and for log records share; every key given must match."""

    at: Annotated[TelemetryPlace, Key(required=True)] = Place("", "")
    """`"unit:step"`: where the event belongs. `"step"`: the unit whose process sent it"""
    type: Annotated[EventType, EVENT_TYPE] = EventType.DEFAULT
    """`"Default"`, `"Send"`, `"Receive"` or `"Exception"`"""
    key: Annotated[FilledText | None, Key(default="that of `[otlp]`")] = None
    """the key: text with `${attributes.NAME}`, `${trace_id}`, of a log record `${body.NAME}`, and
    [others](otlp.md#references). Send and Receive need one
    """
    service: FilledText | None = None
    """its `service.name`: the name itself, or a regular expression for all of it. By default a
    unit's is the unit's name
    """
    scope: FilledText | None = None
    """the name of its instrumentation scope (the library or logger that made it), read as `service`
    is
    """
    attributes: Attributes = field(default_factory=nothing)
    """attributes that it must have, by name: a text as `service` is read, a number or a truth value
    as it is
    """
    meta: Metadata = field(default_factory=nothing)
    """metadata of the event: texts with references, by name. What is one reference alone keeps its
    type; where it has no value, the field is left out
    """


@table
class SpanRule(TelemetryRule):
    """Spans that become events."""

    span: Annotated[FilledText, Key(required=True)] = ""
    """the name of the span: the name itself, or a regular expression for all of it; a named group
    `(?P<id>...)` is `${id}` in `key` and `meta`
    """
    when: Annotated[
        Literal["start", "end"] | None, Key(default='`"end"`; of Send, Receive `"start"`')
    ] = None
    """whether the event has the time at which the span started or ended"""
    kind: SpanKind | None = None
    """`"internal"`, `"server"`, `"client"`, `"producer"` or `"consumer"`"""


@table
class LogRule(TelemetryRule):
    """Log records that become events."""

    log: Annotated[FilledText, Key(required=True)] = ""
    """a regular expression, searched in the text of the record; a named group `(?P<id>...)` is
    `${id}` in `key` and `meta`
    """
    severity: FilledText | None = None
    """its severity (`"ERROR"`), read as `service` is"""


@table
class Telemetry:
    """The table `[otlp]`: a receiver for the spans and log records of this group."""

    key: FilledText | None = None
    """the key of rules that have none of their own"""
    linger_ns: Annotated[
        int | None, DURATION, Key("linger", default="the delay of the exporters")
    ] = None
    """seconds, or a duration: how long Testrium waits for the last batch of live units once the
    circuit is complete
    """
    spans: Annotated[tuple[SpanRule, ...], Key(items="tables")] = ()
    """[spans that become events](otlp.md#spans)"""
    logs: Annotated[tuple[LogRule, ...], Key(items="tables")] = ()
    """[log records that become events](otlp.md#log-records)"""

    @property
    def rules(self) -> tuple[SpanRule | LogRule, ...]:
        """All of them, as declared."""
        return (*self.spans, *self.logs)

    @property
    def keys_by_trace(self) -> bool:
        """Whether a key uses the id of the trace: then units begin traces of their own."""
        return any("${trace_id}" in (rule.key or self.key or "") for rule in self.rules)
