"""Decoders of what passes a link: pure, without I/O, one file for each protocol.

A decoder is made for each connection. It is fed with copies of the bytes of both sides, in pieces
of any size, and gives the messages that became whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from testrium.errors import TestriumError
from testrium.variables import as_text, getter_of

REQUEST: Final = "request"
RESPONSE: Final = "response"

#: Bytes of one message that are kept; a longer one cannot be read.
MOST_BYTES: Final = 16 << 20


class WireMessage(NamedTuple):
    """One message: its sender (`REQUEST`: the client), and its fields by name."""

    side: str
    fields: Mapping[str, Any]


class UndecodableError(TestriumError):
    """The bytes are none of the protocol, or cannot be followed; the message says why."""


class Decoder(Protocol):
    """What reads one connection."""

    def feed(self, data: bytes, side: str) -> Iterable[WireMessage]:
        """The next bytes that one side has sent.

        Args:
            data: some bytes; b"" says that this side sends no more.
            side: `REQUEST` for the client, `RESPONSE` for the unit.

        Raises:
            Exception: what follows on this connection cannot be read.
        """


_UNKNOWN: Final = "the first bytes are of a protocol that Testrium does not know"


class GuessingDecoder:
    """One connection of a protocol that its first bytes tell; `protocol` is "" until then."""

    def __init__(self) -> None:
        self.protocol = ""
        self._first: list[tuple[bytes, str]] = []
        self._decoder: Decoder | None = None

    def feed(self, data: bytes, side: str) -> Iterable[WireMessage]:
        if self._decoder is not None:
            return self._decoder.feed(data, side)
        self._first.append((data, side))
        client, unit = (
            b"".join(data for data, sender in self._first if sender == each)
            for each in (REQUEST, RESPONSE)
        )
        protocol = protocol_of(client, unit)
        if protocol is None:
            if not data and (client or unit):  # no more comes that could tell it
                raise UndecodableError(_UNKNOWN)
            return ()
        self.protocol = protocol
        self._decoder = decoder_of(protocol)()
        first, self._first = self._first, []
        return [message for each in first for message in self._decoder.feed(*each)]


def decoder_of(protocol: str, answers: bool = True) -> Callable[[], Decoder]:
    """What makes the decoders of a protocol that Testrium knows; "" is the one that is spoken.

    Without `answers` they need not give messages that the unit sends, where that is less work.

    Raises ImportError.
    """
    # Only what is read is imported: each is a library of the extra.
    match protocol:
        case "":
            return GuessingDecoder
        case "http":
            from testrium.taps.http import HttpDecoder

            return HttpDecoder
        case "redis":
            from testrium.taps.redis import RedisDecoder

            return partial(RedisDecoder, answers)
        case "amqp":
            from testrium.taps.amqp import AmqpDecoder

            return AmqpDecoder
        case "mqtt":
            from testrium.taps.mqtt import MqttDecoder

            return MqttDecoder
        case "nats":
            from testrium.taps.nats import NatsDecoder

            return NatsDecoder
        case "postgresql":
            from testrium.taps.postgresql import PostgresqlDecoder

            return PostgresqlDecoder
        case _:
            from testrium.taps.websocket import WebSocketDecoder

            return WebSocketDecoder


def text_of(data: bytes) -> str:
    """Bytes as text; those that are none are shown as `\\xNN`."""
    return data.decode("utf-8", "backslashreplace")


def refuse_tls(data: bytes | bytearray) -> None:
    """Raise UndecodableError for a connection that begins with a TLS record: a handshake."""
    if data[:2] == b"\x16\x03":
        raise UndecodableError("encrypted (TLS)")


_HTTP_METHOD: Final = re.compile(rb"[A-Z]{3,20} [^\r\n ]* HTTP/1\.[01]\r?\n")


def protocol_of(client: bytes, unit: bytes) -> str | None:
    """The protocol of a connection by the first bytes of both sides; None: not known yet.

    Raises UndecodableError: it is none of those that Testrium knows.
    """
    if unit.startswith(b"INFO {"):
        return "nats"
    if client.startswith(b"AMQP"):
        return "amqp"
    if client[:1] == b"*" and re.match(rb"\*\d+\r\n\$", client):
        return "redis"
    if client[:1] == b"\x10" and b"MQTT" in client[:12]:
        return "mqtt"
    if len(client) >= 8 and client[:1] == b"\0" and client[4:8] in _POSTGRESQL:
        return "postgresql"
    if _HTTP_METHOD.match(client):
        head, end, _ = client.partition(b"\r\n\r\n")
        if not end and max(len(client), len(unit)) < _HEAD:
            return None
        return "websocket" if re.search(rb"(?i)\nupgrade:[ \t]*websocket", head) else "http"
    refuse_tls(client)
    if max(len(client), len(unit)) < _HEAD:
        return None
    raise UndecodableError(_UNKNOWN)


_HEAD: Final = 1 << 14
_POSTGRESQL: Final = (b"\0\x03\0\0", b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")


class MessageRule:
    """What makes probes of messages: a `[[taps.probes]]` table, ready to be used."""

    def __init__(self, match: Mapping[str, str], side: str | None) -> None:
        self.side = side
        self._tests = [
            (name, getter_of(name) if "." in name else None, _matcher(name, text))
            for name, text in match.items()
        ]

    def matches(self, message: WireMessage) -> bool:
        """Whether it speaks for this message."""
        side, fields = message
        if self.side is not None and side != self.side:
            return False
        for name, deep, test in self._tests:
            value = fields.get(name)
            if value is None and deep is not None:
                try:
                    value = deep(fields)
                except KeyError:
                    return False
            if value is None or not test(value if type(value) is str else as_text(value)):
                return False
        return True


#: What a message is, by protocol: written in capitals by some, and not by others.
_KINDS: Final = ("command", "method", "type")

_PLAIN: Final = re.compile(r"[A-Za-z0-9 /:@_-]*")


def _matcher(name: str, pattern: str) -> Callable[[str], object]:
    """Whether a value fits: all of it, unless the pattern says where it begins or ends."""
    compiled = re.compile(pattern, re.DOTALL | (re.IGNORECASE if name in _KINDS else 0))
    if pattern.startswith("^") or re.search(r"(?<!\\)(\\\\)*\$\Z", pattern):
        return compiled.search
    if _PLAIN.fullmatch(pattern):
        if name not in _KINDS:
            return pattern.__eq__
        lower = pattern.lower()  # of other letters than ASCII's several are one
        return lambda value: (
            value.lower() == lower if value.isascii() else compiled.fullmatch(value)
        )
    return lambda value: value == pattern or compiled.fullmatch(value)
