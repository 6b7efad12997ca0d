"""Bytes of both sides of a connection for each protocol, and the messages in them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from testrium.taps import REQUEST, RESPONSE, WireMessage, decoder_of

Piece = tuple[str, bytes]


def resp(*words: str) -> bytes:
    """A command, as clients of Redis write it."""
    parts = [f"*{len(words)}\r\n"]
    parts += [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return "".join(parts).encode()


def entry(number: str, order: str) -> bytes:
    """An entry of a stream, as Redis answers it."""
    return f"*2\r\n$3\r\n{number}\r\n*2\r\n$5\r\norder\r\n$2\r\n{order}\r\n".encode()


def http(head: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [head, "Host: shop", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def mqtt(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([first, len(body)]) + body


def text16(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def pg(kind: str, body: bytes) -> bytes:
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def amqp_frame(kind: int, channel: int, body: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(body)) + body + b"\xce"


def amqp_method(method: Any, channel: int = 1) -> bytes:
    body = struct.pack("!I", method.INDEX) + b"".join(method.encode())
    return amqp_frame(1, channel, body)


def amqp_content(body: bytes, properties: Any, channel: int = 1) -> bytes:
    head = struct.pack("!HHQ", 60, 0, len(body)) + b"".join(properties.encode())
    return amqp_frame(2, channel, head) + amqp_frame(3, channel, body)


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    assert len(payload) < 126
    head = bytes([0x80 | opcode, len(payload) | (0x80 if masked else 0)])
    if not masked:
        return head + payload
    mask = b"\1\2\3\4"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def redis() -> list[Piece]:
    return [
        (REQUEST, resp("rpush", "orders", '{"id": "k1"}') + resp("HSET", "h", "f", "v")),
        (RESPONSE, b":1\r\n:1\r\n"),
        (REQUEST, resp("MULTI") + resp("LPOP", "orders") + resp("EXEC")),
        (RESPONSE, b'+OK\r\n+QUEUED\r\n*1\r\n$12\r\n{"id": "k1"}\r\n'),
        (REQUEST, resp("XADD", "s", "MAXLEN", "~", "5", "*", "order", "k2")),
        (RESPONSE, b"$3\r\n1-0\r\n"),
        (REQUEST, resp("XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "STREAMS", "s", ">")),
        (
            RESPONSE,
            b"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n" + entry("1-0", "k2") + entry("2-0", "k3"),
        ),
        (REQUEST, resp("SUBSCRIBE", "news") + resp("PUBLISH", "other", "x")),
        (RESPONSE, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n:0\r\n"),
        (RESPONSE, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"),
    ]


def http_messages() -> list[Piece]:
    packed = gzip.compress(b'{"order": {"id": "k2"}}', mtime=0)
    return [
        (
            REQUEST,
            http("GET /orders/k1?full=1 HTTP/1.1", X_Request_Id="r1")
            + http("POST /orders HTTP/1.1", packed, Content_Encoding="gzip"),
        ),
        (
            RESPONSE,
            http("HTTP/1.1 200 OK", b'{"id": "k1"}')
            + b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nk2\r\n0\r\n\r\n",
        ),
    ]


def mqtt_messages() -> list[Piece]:
    connect = text16("MQTT") + b"\5\2\0\x3c" + b"\0" + text16("c")
    publish = text16("orders/1") + b"\0\7" + b"\3\x23\0\1" + b"k1"
    aliased = text16("") + b"\0\x08" + b"\3\x23\0\1" + b"k2"
    return [
        (REQUEST, mqtt(0x10, connect)),
        (RESPONSE, mqtt(0x20, b"\0\0\0")),
        (REQUEST, mqtt(0x82, b"\0\1\0" + text16("orders/#") + b"\1")),
        (REQUEST, mqtt(0x32, publish) + mqtt(0x3C, aliased) + mqtt(0xC0, b"")),
        (RESPONSE, mqtt(0x40, b"\0\7") + mqtt(0x50, b"\0\x08") + mqtt(0xD0, b"")),
        (REQUEST, mqtt(0x62, b"\0\x08")),
        (RESPONSE, mqtt(0x70, b"\0\x08") + mqtt(0x31, text16("orders/1") + b"\0" + b"k1")),
    ]


def nats() -> list[Piece]:
    head = "NATS/1.0\r\nOrder: k2\r\n\r\n"
    size = f"{len(head)} {len(head) + 2}"
    return [
        (RESPONSE, b'INFO {"server_id": "a"}\r\n'),
        (REQUEST, b"CONNECT {}\r\nSUB orders.* 1\r\nPUB orders.new back 2\r\nk1\r\n"),
        (RESPONSE, b"PING\r\nMSG orders.new 1 back 2\r\nk1\r\n"),
        (REQUEST, f"PONG\r\nHPUB orders.new {size}\r\n{head}k2\r\n".encode()),
        (RESPONSE, f"HMSG orders.new 1 {size}\r\n{head}k2\r\n-ERR 'Slow Consumer'\r\n".encode()),
    ]


def postgresql() -> list[Piece]:
    start = struct.pack("!iI", 23, 196608) + b"user\0me\0\0" + b"\0\0\0\0\0\0"
    bind = b"\0a\0" + struct.pack("!HHHH", 2, 0, 1, 2)
    bind += struct.pack("!i", 2) + b"k1" + struct.pack("!ii", 4, 7) + struct.pack("!H", 0)
    parse = b"a\0insert into o values ($1, $2) returning id\0" + struct.pack("!HII", 2, 25, 23)
    column = b"id\0" + struct.pack("!IHIhiH", 0, 0, 25, -1, -1, 0)
    return [
        (REQUEST, struct.pack("!iI", 8, 80877103)),
        (RESPONSE, b"N"),
        (REQUEST, start[:23]),
        (RESPONSE, pg("R", struct.pack("!i", 0)) + pg("Z", b"I")),
        (REQUEST, pg("P", parse) + pg("B", bind) + pg("E", b"\0\0\0\0\0") + pg("S", b"")),
        (RESPONSE, pg("1", b"") + pg("2", b"") + pg("T", struct.pack("!H", 1) + column)),
        (RESPONSE, pg("D", struct.pack("!Hi", 1, 2) + b"k1") + pg("C", b"INSERT 0 1\0")),
        (RESPONSE, pg("Z", b"I")),
        (REQUEST, pg("Q", b"notify orders, 'k1'\0") + pg("Q", b"wrong\0") + pg("Q", b"listen o\0")),
        (RESPONSE, pg("C", b"NOTIFY\0") + pg("Z", b"I") + pg("E", b"S\0\0") + pg("Z", b"I")),
        (RESPONSE, pg("C", b"LISTEN\0") + pg("Z", b"I")),
        (RESPONSE, pg("A", struct.pack("!i", 5) + b"orders\0k1\0")),
    ]


def amqp() -> list[Piece]:
    from pika import spec  # type: ignore[import-untyped]

    kind = spec.BasicProperties(headers={"id": "k1"}, message_id="m1", delivery_mode=2)
    return [
        (REQUEST, b"AMQP\0\0\x09\x01"),
        (REQUEST, amqp_method(spec.Confirm.Select())),
        (REQUEST, amqp_method(spec.Basic.Publish(exchange="ex", routing_key="orders"))),
        (REQUEST, amqp_content(b'{"id": "k1"}', kind)),
        (RESPONSE, amqp_method(spec.Basic.Ack(delivery_tag=1))),
        (REQUEST, amqp_method(spec.Basic.Consume(queue="q", consumer_tag=""))),
        (RESPONSE, amqp_method(spec.Basic.ConsumeOk(consumer_tag="t"))),
        (
            RESPONSE,
            amqp_method(
                spec.Basic.Deliver(
                    consumer_tag="t", delivery_tag=1, exchange="ex", routing_key="orders"
                )
            ),
        ),
        (RESPONSE, amqp_content(b'{"id": "k1"}', kind) + amqp_frame(8, 0, b"")),
        (REQUEST, amqp_method(spec.Basic.Ack(delivery_tag=0, multiple=True))),
    ]


def websocket() -> list[Piece]:
    asked = http("GET /feed HTTP/1.1", Upgrade="websocket", Connection="Upgrade")
    return [
        (REQUEST, asked.replace(b"Content-Length: 0\r\n", b"")),
        (
            RESPONSE,
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
        (REQUEST, frame(1, b'{"id": "k1"}', masked=True) + frame(9, b"", masked=True)),
        (RESPONSE, frame(2, b"k2", masked=False) + frame(8, b"\x03\xe8", masked=False)),
    ]


CONVERSATIONS: Mapping[str, Any] = {
    "http": http_messages,
    "redis": redis,
    "amqp": amqp,
    "mqtt": mqtt_messages,
    "nats": nats,
    "postgresql": postgresql,
    "websocket": websocket,
}


def read(protocol: str, pieces: Iterable[Piece]) -> list[WireMessage]:
    """All messages of a conversation."""
    decoder = decoder_of(protocol)()
    return [message for side, data in pieces for message in decoder.feed(data, side)]
