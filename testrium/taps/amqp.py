"""AMQP 0-9-1, as RabbitMQ speaks it: what is published, delivered and acknowledged.

Source: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf; pika reads the frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from pika import frame as frames  # type: ignore[import-untyped]
from pika import spec
from pika.exceptions import AMQPError  # type: ignore[import-untyped]

from testrium.taps import (
    MOST_BYTES,
    REQUEST,
    RESPONSE,
    UndecodableError,
    WireMessage,
    refuse_tls,
    text_of,
)

_HEAD: Final = 7
_WITH_CONTENT: Final = {
    spec.Basic.Publish: "publish",
    spec.Basic.Deliver: "deliver",
    spec.Basic.GetOk: "get",
    spec.Basic.Return: "return",
}
_ACKS: Final = {spec.Basic.Ack: "ack", spec.Basic.Nack: "nack", spec.Basic.Reject: "reject"}
_PROPERTIES: Final = (
    *("content_type", "content_encoding", "delivery_mode", "priority", "correlation_id"),
    *("reply_to", "expiration", "message_id", "timestamp", "type", "user_id", "app_id"),
    "cluster_id",
)


class AmqpDecoder:
    """One connection to an AMQP broker."""

    def __init__(self) -> None:
        self._bytes = {REQUEST: bytearray(), RESPONSE: bytearray()}
        self._begun = {REQUEST: False, RESPONSE: False}
        self._contents: dict[tuple[str, int], _Content] = {}
        self._channels: dict[int, _Channel] = {}

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        buffer = self._bytes[side]
        buffer += data
        if side == REQUEST and not self._begun[side]:
            refuse_tls(buffer)
            if not b"AMQP\0\0\x09\x01".startswith(bytes(buffer[:8])):
                raise UndecodableError("the first bytes are not of AMQP 0-9-1")
            if len(buffer) < 8:
                return
            del buffer[:8]
            self._begun[side] = True
        while (taken := _taken(buffer)) is not None:
            try:
                _, frame = frames.decode_frame(taken)
            except (AMQPError, LookupError, ValueError, TypeError, struct.error) as error:
                raise UndecodableError(f"not a frame of AMQP: {error!r}") from error
            yield from self._frame(frame, side)

    def _frame(self, frame: Any, side: str) -> Iterator[WireMessage]:
        if isinstance(frame, frames.ProtocolHeader):
            raise UndecodableError("the broker wants another version of AMQP")
        channel = self._channels.setdefault(frame.channel_number, _Channel())
        place = side, frame.channel_number
        if isinstance(frame, frames.Method):
            method = frame.method
            if type(method) in _WITH_CONTENT:
                self._contents[place] = _Content(channel.begin(method, _WITH_CONTENT[type(method)]))
            elif type(method) in _ACKS:
                yield from channel.acked(method, _ACKS[type(method)], side)
            elif isinstance(method, spec.Channel.Close):
                self._channels.pop(frame.channel_number, None)
            else:
                channel.see(method)
            return
        content = self._contents.get(place)
        if content is None:
            if isinstance(frame, frames.Header | frames.Body):
                raise UndecodableError("content came without a method before it")
            return
        if isinstance(frame, frames.Header):
            if frame.body_size > MOST_BYTES:
                raise UndecodableError(f"a message is longer than {MOST_BYTES} bytes")
            content.take_head(frame.body_size, frame.properties)
        elif isinstance(frame, frames.Body):
            content.take_body(frame.fragment)
        if content.is_whole:
            del self._contents[place]
            yield WireMessage(side, channel.finished(content))


class _Content:
    """A message while its parts come."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self._size: int | None = None
        self._got = 0
        self._parts: list[bytes] = []

    @property
    def is_whole(self) -> bool:
        return self._size is not None and self._got >= self._size

    def take_head(self, size: int, properties: Any) -> None:
        self._size = size
        given = ((name, getattr(properties, name, None)) for name in _PROPERTIES)
        self.fields["properties"] = {
            name: _plain(value) for name, value in given if value is not None
        }
        self.fields["headers"] = _plain(getattr(properties, "headers", None) or {})

    def take_body(self, fragment: bytes) -> None:
        self._parts.append(fragment)
        self._got += len(fragment)

    def whole(self) -> dict[str, Any]:
        return self.fields | {"body": text_of(b"".join(self._parts))}


class _Channel:
    """What the acknowledgements of one channel refer to."""

    def __init__(self) -> None:
        self._confirms = False
        self._published = 0
        self._delivered: dict[int, dict[str, Any]] = {}
        self._unconfirmed: dict[int, dict[str, Any]] = {}
        self._consumed: list[tuple[str, str]] = []  # asked for: queue and tag
        self._queues: dict[str, str] = {}  # by consumer tag
        self._got_from: list[str] = []

    def see(self, method: Any) -> None:
        """A method without content that says something about later ones."""
        match method:
            case spec.Confirm.Select():
                self._confirms = True
            case spec.Basic.Consume():
                self._consumed.append((method.queue, method.consumer_tag))
                if method.consumer_tag:
                    self._queues[method.consumer_tag] = method.queue
            case spec.Basic.ConsumeOk():
                if self._consumed:
                    queue, _ = self._consumed.pop(0)
                    self._queues[method.consumer_tag] = queue
            case spec.Basic.Get():
                self._got_from.append(method.queue)
            case spec.Basic.GetEmpty():
                del self._got_from[:1]

    def begin(self, method: Any, name: str) -> dict[str, Any]:
        """The fields of a method whose content follows."""
        fields: dict[str, Any] = {
            "method": name,
            "exchange": method.exchange,
            "routing_key": method.routing_key,
        }
        if name == "deliver":
            if (queue := self._queues.get(method.consumer_tag)) is not None:
                fields["queue"] = queue
        elif name == "get" and self._got_from:
            fields["queue"] = self._got_from.pop(0)
        if name in ("deliver", "get"):
            fields["redelivered"] = bool(method.redelivered)
            self._delivered[method.delivery_tag] = fields
        elif name == "publish" and self._confirms:
            self._published += 1
            self._unconfirmed[self._published] = fields
        return fields

    def finished(self, content: _Content) -> dict[str, Any]:
        """The message is complete; acknowledgements refer to all of it."""
        content.fields.update(content.whole())
        return content.fields

    def acked(self, method: Any, name: str, side: str) -> Iterator[WireMessage]:
        """The messages that an acknowledgement is for, each with its fields."""
        open_ones = self._delivered if side == REQUEST else self._unconfirmed
        tag = method.delivery_tag
        tags = [tag]
        if getattr(method, "multiple", False):
            tags = sorted(each for each in open_ones if each <= tag or not tag)
        for each in tags:
            if (fields := open_ones.pop(each, None)) is not None:
                yield WireMessage(side, {**fields, "method": name})


def _taken(buffer: bytearray) -> bytes | None:
    """Take the next frame from the buffer."""
    if len(buffer) < _HEAD:
        return None
    size = int.from_bytes(buffer[3:_HEAD])
    if size > MOST_BYTES or buffer[0] not in (1, 2, 3, 8):
        raise UndecodableError("not a frame of AMQP")
    end = _HEAD + size + 1
    if len(buffer) < end:
        return None
    taken = bytes(buffer[:end])
    del buffer[:end]
    return taken


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return text_of(bytes(value))
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
