"""What decoders read, however the bytes are cut."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.declared.taps import PROTOCOLS
from testrium.taps import (
    REQUEST,
    RESPONSE,
    MessageRule,
    UndecodableError,
    WireMessage,
    decoder_of,
)
from testrium.variables import as_text, value_at
from tests.taps.conversations import CONVERSATIONS, read, resp

#: Protocol -> what each message is known by: its side, and some fields.
EXPECTED: dict[str, list[tuple[str, dict[str, str]]]] = {
    "redis": [
        (REQUEST, {"command": "RPUSH", "key": "orders", "args.1.id": "k1"}),
        (REQUEST, {"command": "HSET", "key": "h", "fields.f": "v"}),
        (RESPONSE, {"command": "RPUSH", "args.0": "orders", "reply": "1"}),
        (RESPONSE, {"command": "HSET", "reply": "1"}),
        (REQUEST, {"command": "MULTI"}),
        (REQUEST, {"command": "LPOP", "key": "orders"}),
        (REQUEST, {"command": "EXEC"}),
        (RESPONSE, {"command": "MULTI", "reply": "OK"}),
        (RESPONSE, {"command": "EXEC", "reply.0.id": "k1"}),
        (RESPONSE, {"command": "LPOP", "reply.id": "k1"}),
        (REQUEST, {"command": "XADD", "stream": "s", "fields.order": "k2"}),
        (RESPONSE, {"command": "XADD", "reply": "1-0", "fields.order": "k2"}),
        (REQUEST, {"command": "XREADGROUP", "stream": "s"}),
        (
            RESPONSE,
            {"command": "XREADGROUP", "fields.order": "k2", "reply.0": "1-0"},
        ),
        (
            RESPONSE,
            {"command": "XREADGROUP", "fields.order": "k3", "reply.0": "2-0"},
        ),
        (REQUEST, {"command": "SUBSCRIBE", "channel": "news"}),
        (REQUEST, {"command": "PUBLISH", "channel": "other", "args.1": "x"}),
        (RESPONSE, {"command": "PUBLISH", "reply": "0"}),
        (RESPONSE, {"command": "MESSAGE", "channel": "news", "reply": "hello"}),
    ],
    "http": [
        (REQUEST, {"method": "GET", "path": "/orders/k1", "query.full": "1"}),
        (REQUEST, {"method": "POST", "path": "/orders", "body.order.id": "k2"}),
        (RESPONSE, {"method": "GET", "path": "/orders/k1", "status": "200", "body.id": "k1"}),
        (RESPONSE, {"method": "POST", "status": "201", "body": "k2"}),
    ],
    "mqtt": [
        (REQUEST, {"type": "connect"}),
        (RESPONSE, {"type": "connack"}),
        (REQUEST, {"type": "subscribe", "topic": "orders/#", "qos": "1"}),
        (REQUEST, {"type": "publish", "topic": "orders/1", "qos": "1", "payload": "k1"}),
        (REQUEST, {"type": "publish", "topic": "orders/1", "duplicate": "true", "payload": "k2"}),
        (RESPONSE, {"type": "ack", "topic": "orders/1", "payload": "k1"}),
        (RESPONSE, {"type": "ack", "topic": "orders/1", "payload": "k2"}),
        (RESPONSE, {"type": "deliver", "retain": "true", "qos": "0", "payload": "k1"}),
    ],
    "nats": [
        (REQUEST, {"command": "SUB", "subject": "orders.*"}),
        (REQUEST, {"command": "PUB", "subject": "orders.new", "reply": "back", "payload": "k1"}),
        (RESPONSE, {"command": "MSG", "subject": "orders.new", "reply": "back", "payload": "k1"}),
        (REQUEST, {"command": "HPUB", "headers.Order": "k2", "headers.order": "k2"}),
        (RESPONSE, {"command": "HMSG", "subject": "orders.new", "payload": "k2"}),
        (RESPONSE, {"command": "ERR", "payload": "Slow Consumer"}),
    ],
    "postgresql": [
        (REQUEST, {"statement": "insert into o values ($1, $2) returning id", "params.1": "7"}),
        (RESPONSE, {"params.0": "k1", "rows": "1", "rows.0.id": "k1"}),
        (REQUEST, {"statement": "notify orders, 'k1'", "channel": "orders", "payload": "k1"}),
        (REQUEST, {"statement": "wrong"}),
        (REQUEST, {"statement": "listen o"}),
        (RESPONSE, {"channel": "orders", "rows": "0"}),
        (RESPONSE, {"statement": "listen o"}),
        (RESPONSE, {"channel": "orders", "payload": "k1"}),
    ],
    "amqp": [
        (
            REQUEST,
            {
                "method": "publish",
                "exchange": "ex",
                "routing_key": "orders",
                "headers.id": "k1",
                "properties.message_id": "m1",
                "body.id": "k1",
            },
        ),
        (RESPONSE, {"method": "ack", "exchange": "ex", "body.id": "k1"}),
        (RESPONSE, {"method": "deliver", "queue": "q", "redelivered": "false", "body.id": "k1"}),
        (REQUEST, {"method": "ack", "queue": "q", "headers.id": "k1"}),
    ],
    "websocket": [
        (REQUEST, {"path": "/feed", "text": '{"id": "k1"}', "body.id": "k1"}),
        (RESPONSE, {"path": "/feed", "body": "k2"}),
    ],
}


def shown(messages: list[WireMessage], like: list[tuple[str, dict[str, str]]]) -> list[Any]:
    """The messages, with the fields that are asked for."""
    found: list[Any] = []
    for number, message in enumerate(messages):
        names = like[number][1] if number < len(like) else {}
        found.append((message.side, {n: as_text(value_at(message.fields, n)) for n in names}))
    return found


@pytest.mark.parametrize("protocol", EXPECTED)
def test_messages_have_their_fields(protocol: str) -> None:
    expected = EXPECTED[protocol]
    assert shown(read(protocol, CONVERSATIONS[protocol]()), expected) == expected


@pytest.mark.parametrize("protocol", EXPECTED)
def test_messages_do_not_depend_on_where_the_bytes_are_cut(protocol: str) -> None:
    pieces = CONVERSATIONS[protocol]()
    whole = read(protocol, pieces)
    for number, (side, data) in enumerate(pieces):
        for at in range(1, len(data)):
            halves = [(side, data[:at]), (side, data[at:])]
            assert read(protocol, [*pieces[:number], *halves, *pieces[number + 1 :]]) == whole
    bytewise = [(side, data[at : at + 1]) for side, data in pieces for at in range(len(data))]
    assert read(protocol, bytewise) == whole


@pytest.mark.parametrize("protocol", EXPECTED)
def test_messages_have_no_fields_that_are_not_declared(protocol: str) -> None:
    declared = set(PROTOCOLS[protocol].fields)
    for message in read(protocol, CONVERSATIONS[protocol]()):
        assert set(message.fields) <= declared


@pytest.mark.parametrize("protocol", EXPECTED)
def test_the_first_bytes_tell_the_protocol(protocol: str) -> None:
    pieces = CONVERSATIONS[protocol]()
    assert read("", pieces) == read(protocol, pieces)


@pytest.mark.parametrize(
    ("protocol", "side", "data", "why"),
    [
        ("http", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("redis", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("redis", REQUEST, b"GET / HTTP/1.1\r\nHost: a\r\n", "not a Redis command"),
        ("amqp", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("mqtt", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("nats", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("postgresql", REQUEST, b"\x16\x03\x01\0\xa5\0\0\0", "encrypted"),
        ("websocket", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("", REQUEST, b"\x16\x03\x01\0\xa5", "encrypted"),
        ("http", REQUEST, b"PRI * HTTP/2.0\r\n\r\n", "HTTP/2"),
        ("http", REQUEST, b"what\r\n\r\n", "not HTTP"),
        ("redis", RESPONSE, b"+OK\r\n", "without a command"),
        ("redis", REQUEST, resp("CLIENT", "REPLY", "OFF"), "CLIENT REPLY"),
        ("redis", REQUEST, resp("MONITOR"), "MONITOR"),
        ("amqp", REQUEST, b"GET / HTTP/1.1\r\n", "AMQP 0-9-1"),
        ("mqtt", REQUEST, b"\x30\x02ab", "CONNECT"),
        ("nats", RESPONSE, b"HTTP/1.1 400\r\n", "not NATS"),
        ("postgresql", REQUEST, b"GET / HTTP/1.1\r\n", "PostgreSQL"),
        ("websocket", REQUEST, b"a" * 200_000, "head of HTTP"),
    ],
)
def test_what_cannot_be_read_says_why(protocol: str, side: str, data: bytes, why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        read(protocol, [(side, data)])


@pytest.mark.parametrize(
    "pieces",
    [
        [(REQUEST, b"RPUSH orders o1\r\n"), (RESPONSE, b":1\r\n"), (REQUEST, b"")],
        [(REQUEST, b"hello"), *[(RESPONSE, bytes(1 << 13))] * 2],
        [(REQUEST, b"GET / HTTP/1.1\r\n"), (RESPONSE, bytes(1 << 14)), (REQUEST, b"")],
    ],
)
def test_connection_that_no_first_bytes_tell_is_not_waited_for_in_vain(
    pieces: list[tuple[str, bytes]],
) -> None:
    with pytest.raises(UndecodableError):
        read("", pieces)


def test_connection_that_says_nothing_is_no_riddle() -> None:
    assert read("", [(REQUEST, b""), (RESPONSE, b"")]) == []


def test_a_decoder_that_gives_no_answers_follows_them_all_the_same() -> None:
    pieces = CONVERSATIONS["redis"]()
    whole = read("redis", pieces)
    decoder = decoder_of("redis", answers=False)()
    found = [message for side, data in pieces for message in decoder.feed(data, side)]
    asked, told = ([one for one in each if one.side == REQUEST] for each in (whole, found))
    assert told == asked
    assert len(found) - len(told) == 2  # while it is subscribed
    with pytest.raises(UndecodableError, match="a reply came without a command"):
        list(decoder.feed(b"+OK\r\n", RESPONSE))


@pytest.mark.parametrize(
    ("name", "pattern", "value", "fits"),
    [
        ("command", "RPUSH", "RPUSH", True),
        ("command", "rpush", "RPUSH", True),
        ("command", "RPUSH", "LPUSH", False),
        ("command", "RPUSH", "RPUSHX", False),
        ("command", "sort", "\u017fort", True),  # as a pattern that ignores case has it
        ("command", "[RL]push", "LPUSH", True),
        ("key", "orders", "orders", True),
        ("key", "orders", "Orders", False),
        ("key", "größe", "größe", True),
        ("key", "orders.*", "orders:1", True),
        ("key", "^ord", "orders", True),
        ("args.1", "k", "k", True),
        ("args.9", "k", "k", False),
    ],
)
def test_a_rule_speaks_for_what_its_patterns_fit(
    name: str, pattern: str, value: str, fits: bool
) -> None:
    given = {} if "." in name else {name: value}
    message = WireMessage(REQUEST, {"args": ["o", "k"], **given})
    assert MessageRule({name: pattern}, REQUEST).matches(message) is fits
    assert not MessageRule({name: pattern}, RESPONSE).matches(message)
