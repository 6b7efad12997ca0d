"""MQTT 3.1.1 and 5: what is published, delivered and acknowledged.

Source: https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from testrium.taps import (
    MOST_BYTES,
    REQUEST,
    RESPONSE,
    UndecodableError,
    WireMessage,
    refuse_tls,
    text_of,
)

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = range(1, 8)
_SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK, _PINGREQ, _PINGRESP, _DISCONNECT, _AUTH = range(8, 16)
_NAMES: Final = {
    _CONNECT: "connect",
    _CONNACK: "connack",
    _SUBACK: "suback",
    _UNSUBACK: "unsuback",
    _DISCONNECT: "disconnect",
}
#: A reason from here on is a refusal.
_REFUSED: Final = 0x80
_TOPIC_ALIAS: Final = 0x23
#: Bytes of the values of properties; None for two lengths of bytes, -1 for a number of any length.
_PROPERTY_SIZES: Final = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_PROPERTY_TEXTS: Final = (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)
_PROPERTY_PAIR: Final = 0x26
_PROPERTY_NUMBER: Final = 0x0B


class MqttDecoder:
    """One connection to an MQTT broker."""

    def __init__(self) -> None:
        self._bytes = {REQUEST: bytearray(), RESPONSE: bytearray()}
        self._version = 0
        #: By who has published, and the packet's id.
        self._open: dict[tuple[str, int], dict[str, Any]] = {}
        self._aliases: dict[tuple[str, int], str] = {}

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        if not self._version and side == REQUEST:
            refuse_tls(data)
        buffer = self._bytes[side]
        buffer += data
        while (packet := _taken(buffer)) is not None:
            first, body = packet
            if not self._version and (side != REQUEST or first >> 4 != _CONNECT):
                raise UndecodableError("the first packet is not CONNECT of MQTT")
            try:
                yield from self._packet(first >> 4, first & 15, body, side)
            except (IndexError, KeyError) as error:
                raise UndecodableError("a packet is cut off, or not of MQTT") from error

    def _packet(self, kind: int, flags: int, body: bytes, side: str) -> Iterator[WireMessage]:
        if kind == _CONNECT:
            name, at = _string(body, 0)
            if name not in (b"MQTT", b"MQIsdp"):
                raise UndecodableError("not MQTT")
            self._version = body[at]
        if kind == _PUBLISH:
            yield self._publish(flags, body, side)
        elif kind in (_PUBACK, _PUBREC, _PUBCOMP):
            publisher = RESPONSE if side == REQUEST else REQUEST
            number = int.from_bytes(_part(body, 0, 2))
            refused = len(body) > 2 and body[2] >= _REFUSED
            if kind == _PUBREC and not refused:
                return  # PUBCOMP ends it
            published = self._open.pop((publisher, number), None)
            if published is not None and not refused:
                yield WireMessage(side, {**published, "type": "ack"})
        elif kind in (_SUBSCRIBE, _UNSUBSCRIBE):
            for topic, options in self._filters(kind, body):
                fields: dict[str, Any] = {"type": "unsubscribe", "topic": topic}
                if kind == _SUBSCRIBE:
                    fields |= {"type": "subscribe", "qos": options & 3}
                yield WireMessage(side, fields)
        elif kind in _NAMES:
            yield WireMessage(side, {"type": _NAMES[kind]})
        elif kind == 0:
            raise UndecodableError("a packet has no type of MQTT")

    def _publish(self, flags: int, body: bytes, side: str) -> WireMessage:
        name, at = _string(body, 0)
        topic = text_of(name)
        qos = flags >> 1 & 3
        number = 0
        if qos:
            number, at = int.from_bytes(_part(body, at, 2)), at + 2
        if self._version >= 5:
            alias, at = _alias(body, at)
            if alias and topic:
                self._aliases[side, alias] = topic
            elif alias:
                topic = self._aliases[side, alias]
        fields = {
            "type": "publish" if side == REQUEST else "deliver",
            "topic": topic,
            "qos": qos,
            "retain": bool(flags & 1),
            "duplicate": bool(flags & 8),
            "payload": text_of(body[at:]),
        }
        if qos:
            self._open[side, number] = fields
        return WireMessage(side, fields)

    def _filters(self, kind: int, body: bytes) -> Iterator[tuple[str, int]]:
        at = 2
        if self._version >= 5:
            size, at = _number(body, at)
            at += size
        while at < len(body):
            name, at = _string(body, at)
            options = 0
            if kind == _SUBSCRIBE:
                options, at = body[at], at + 1
            yield text_of(name), options


def _taken(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take the next packet from the buffer: its first byte, and what follows its length."""
    try:
        size, at = _number(buffer, 1)
    except IndexError:
        return None
    if size > MOST_BYTES:
        raise UndecodableError(f"a packet is longer than {MOST_BYTES} bytes")
    if len(buffer) < at + size:
        return None
    packet = buffer[0], bytes(buffer[at : at + size])
    del buffer[: at + size]
    return packet


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number of one to four bytes, and where it ends. Raises IndexError: it is not whole."""
    value = 0
    for shift in range(0, 28, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if not byte & 128:
            return value, at
    raise UndecodableError("a length has more than four bytes")


def _part(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise IndexError
    return data[at : at + size]


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(_part(data, at, 2))
    return _part(data, at + 2, size), at + 2 + size


def _alias(body: bytes, at: int) -> tuple[int, int]:
    """The topic alias among the properties, 0 without, and where these end."""
    size, at = _number(body, at)
    end = at + size
    alias = 0
    while at < end:
        kind, at = body[at], at + 1
        if kind == _TOPIC_ALIAS:
            alias = int.from_bytes(_part(body, at, 2))
        if kind in _PROPERTY_SIZES:
            at += _PROPERTY_SIZES[kind]
        elif kind in _PROPERTY_TEXTS:
            _, at = _string(body, at)
        elif kind == _PROPERTY_PAIR:
            _, at = _string(body, at)
            _, at = _string(body, at)
        elif kind == _PROPERTY_NUMBER:
            _, at = _number(body, at)
        else:
            raise UndecodableError(f"a property {kind:#x} is unknown")
    return alias, end
