"""What is read from the traffic of a link: the tables `[[taps]]`."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final, Literal, get_args

from testrium.declared.circuits import parse_place
from testrium.declared.keys import DECIDED, Key, Written, nothing, table
from testrium.declared.quantities import FilledText, Metadata, Name
from testrium.declared.units import EVENT_TYPE
from testrium.tuples import NamedTuple
from testrium.words import EMPTY, EventType, Place

#: In `at`: the unit whose process has the client's end of the connection.
CLIENT: Final = "${client}"

#: The end of the name of the file that holds the messages of a link.
MESSAGES: Final = ".messages.jsonl"

#: Who sends a message: the client of a connection, or the unit that it is connected to.
Side = Literal["request", "response"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)


class WireProtocol(NamedTuple):
    """A protocol that Testrium reads itself.

    Args:
        fields: of its messages.
        inner: fields with a name or a number behind them, `headers.NAME`; those in `text` may be
            texts that hold JSON.
        packages: what reads it, by the names of modules.
        words: the only values of a field, each with the side that sends such messages, None where
            both do.
        sides: fields that only messages of one side have.
        answers: whether each message of the unit answers one of the client. Without it the field
            that says what a message is tells its side, too.
    """

    fields: tuple[str, ...]
    inner: frozenset[str] = frozenset()
    text: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str, Side | None]] = EMPTY
    sides: Mapping[str, Side] = EMPTY
    answers: bool = True


PROTOCOLS: Final[Mapping[str, WireProtocol]] = {
    "http": WireProtocol(
        ("method", "path", "query", "headers", "body", "status"),
        inner=frozenset({"query", "headers"}),
        text=frozenset({"body"}),
        packages=("h11",),
        sides={"status": "response"},
    ),
    "redis": WireProtocol(
        ("command", "args", "key", "channel", "stream", "fields", "reply"),
        inner=frozenset({"args", "fields"}),
        text=frozenset({"args", "fields", "reply"}),
        packages=("hiredis",),
        sides={"reply": "response"},
    ),
    "amqp": WireProtocol(
        (
            *("method", "exchange", "routing_key", "queue", "headers", "properties", "body"),
            "redelivered",
        ),
        inner=frozenset({"headers", "properties"}),
        text=frozenset({"body", "headers"}),
        packages=("pika",),
        words={
            "method": {
                **dict.fromkeys(("publish", "reject"), "request"),
                **dict.fromkeys(("deliver", "get", "return"), "response"),
                **dict.fromkeys(("ack", "nack")),
            }
        },
        answers=False,
    ),
    "mqtt": WireProtocol(
        ("type", "topic", "qos", "retain", "duplicate", "payload"),
        text=frozenset({"payload"}),
        words={
            "type": {
                **dict.fromkeys(("publish", "connect", "subscribe", "unsubscribe"), "request"),
                **dict.fromkeys(("deliver", "connack", "suback", "unsuback"), "response"),
                **dict.fromkeys(("ack", "disconnect")),
            }
        },
        answers=False,
    ),
    "nats": WireProtocol(
        ("command", "subject", "reply", "headers", "payload"),
        inner=frozenset({"headers"}),
        text=frozenset({"payload"}),
        words={
            "command": {
                **dict.fromkeys(("PUB", "HPUB", "SUB", "UNSUB"), "request"),
                **dict.fromkeys(("MSG", "HMSG", "ERR"), "response"),
            }
        },
        answers=False,
    ),
    "postgresql": WireProtocol(
        ("statement", "params", "channel", "payload", "rows"),
        inner=frozenset({"params"}),
        text=frozenset({"params", "payload", "rows"}),
        sides={"rows": "response"},
    ),
    "websocket": WireProtocol(
        ("path", "text", "body"),
        text=frozenset({"text", "body"}),
        packages=("h11", "wsproto"),
    ),
}


def _read_match(value: Any) -> Mapping[str, str]:
    """`{headers.kind = "a"}` and `{"headers.kind" = "a"}` are the same."""
    if not isinstance(value, Mapping):
        raise ValueError('must be a table such as {command = "RPUSH"}')  # noqa: TRY004 - shown
    found: dict[str, str] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            found |= {f"{name}.{rest}": text for rest, text in _read_match(inner).items()}
        elif isinstance(inner, bool):
            found[name] = str(inner).lower()
        elif isinstance(inner, str | int):
            found[name] = str(inner)
        else:
            raise ValueError(f"{name}: expected a text, a number or a boolean, got {inner!r}")  # noqa: TRY004 - shown
    return found


def _read_place(value: Any) -> Place:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('must be a place such as "shop:queued" or "${client}:queued"')
    text = value.strip()
    if text.startswith(f"{CLIENT}:"):
        return Place(CLIENT, parse_place(f"client{text.removeprefix(CLIENT)}").step)
    return parse_place(text)


_MATCH_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": {"type": ["string", "integer", "boolean", "object"]},
}


@table
class TapProbe:
    """A message of a link that counts as a probe."""

    match: Annotated[Mapping[str, str], Written(_read_match, _MATCH_SCHEMA, dict)] = field(
        default_factory=nothing
    )
    """fields of a message, each with a regular expression that its whole value must match; one
    that begins with `^` or ends with `$` is searched. Without `match`, every message counts
    """
    at: Annotated[Place, Written(_read_place, {"type": "string"}, str), Key(required=True)] = Place(
        "", ""
    )
    """the event, `unit:step`. `${client}` is the unit whose process has the client's end of the
    connection
    """
    type: Annotated[EventType, EVENT_TYPE] = EventType.DEFAULT
    """`"Default"`, `"Send"`, `"Receive"` or `"Exception"`"""
    key: FilledText | None = None
    """the key: text with `${FIELD}`. Send and Receive need one"""
    on: Annotated[Side | None, Key(default='`"request"`')] = None
    """`"request"`: what a client sends; `"response"`: what the unit sends. Where `match` says what
    a message is (`amqp`, `mqtt`, `nats`), that decides
    """
    meta: Metadata = field(default_factory=nothing)
    """metadata: texts with `${FIELD}`, by name"""


@table
class Tap:
    """What is read from the traffic of a link, as it passes.

    `unit` and `port` are what `link` names. With `keeps` all messages are kept, for `testrium
    learn`. `plugged` are the fields of the plugin that reads the
    protocol; () where Testrium does. A protocol `""` is known by the first bytes.
    """

    link: Annotated[FilledText, Key(required=True)] = ""
    """`UNIT.PORT`: the port of a unit, which all others reach through a proxy"""
    protocol: Annotated[Name, Key(required=True)] = ""
    """`"http"`, `"redis"`, `"amqp"`, `"mqtt"`, `"nats"`, `"postgresql"`, `"websocket"`, or a
    [plugin](plugins.md#protocols)
    """
    probes: tuple[TapProbe, ...] = ()
    """tables `[[taps.probes]]`: the messages that count as probes. Without any, Testrium keeps all
    messages for `testrium learn`
    """
    unit: Annotated[str, DECIDED] = ""
    port: Annotated[str, DECIDED] = ""
    plugged: Annotated[tuple[str, ...], DECIDED] = ()
    keeps: Annotated[bool, DECIDED] = False
