"""Redis: commands and their replies, RESP 2 and 3.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import hiredis

from testrium.taps import (
    MOST_BYTES,
    REQUEST,
    RESPONSE,
    UndecodableError,
    WireMessage,
    refuse_tls,
    text_of,
)

_SUBSCRIBING: Final = frozenset(
    f"{kind}{word}" for kind in ("", "P", "S") for word in ("SUBSCRIBE", "UNSUBSCRIBE")
)
_PUSHED: Final = frozenset(("message", "pmessage", "smessage"))
_CONFIRMED: Final = frozenset(name.lower() for name in _SUBSCRIBING)

#: Commands whose first argument is not a key, and the place of the first key in the others.
_KEY_AT: Final[Mapping[str, int | None]] = {
    **dict.fromkeys(
        (
            *("ACL", "AUTH", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG"),
            *("DISCARD", "ECHO", "EXEC", "FLUSHALL", "FLUSHDB", "FUNCTION", "HELLO", "INFO"),
            *("KEYS", "LATENCY", "MODULE", "MONITOR", "MULTI", "PING", "PSYNC", "PUBLISH"),
            *("PUBSUB", "QUIT", "RANDOMKEY", "REPLCONF", "REPLICAOF", "RESET", "ROLE", "SAVE"),
            *("SCAN", "SCRIPT", "SELECT", "SHUTDOWN", "SLOWLOG", "SPUBLISH", "SWAPDB", "SYNC"),
            *("TIME", "UNWATCH", "WAIT", "WAITAOF", *_SUBSCRIBING),
        )
    ),
    **dict.fromkeys(("XGROUP", "XINFO", "OBJECT", "MEMORY", "BITOP", "LMPOP", "ZMPOP"), 1),
    **dict.fromkeys(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"), 2),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), 2),
}
#: Bytes of a command that is typed, as the server allows.
_MOST_LINE: Final = 1 << 16

#: Of a reader that has no whole message; a reply may be false.
_NOTHING: Final = object()

#: Commands whose replies hold entries of streams: each entry is a message.
_OF_STREAMS: Final = ("XREAD", "XREADGROUP")
_OF_STREAM: Final = ("XRANGE", "XREVRANGE", "XCLAIM")

_PUBLISHING: Final = frozenset(("PUBLISH", "SPUBLISH", *_SUBSCRIBING))
_OF_HASH: Final = ("HSET", "HMSET", "HSETNX")

#: Commands of which more is to be said than their arguments, the first of which is the key.
_APART: Final = frozenset((*_KEY_AT, *_OF_STREAMS, *_PUBLISHING, *_OF_HASH))
#: Commands whose answers come in another way than one for each.
_ANSWERED_APART: Final = frozenset((*_SUBSCRIBING, "CLIENT", "MONITOR", "PSYNC", "SYNC"))

_TEXTS: Final = {str}


class RedisDecoder:
    """One connection to a Redis server."""

    def __init__(self, answers: bool = True) -> None:
        """Without `answers` those are followed, but no messages are made of them."""
        self._gives_answers = answers
        self._commands = _reader()
        self._replies = _reader()
        self._pending: deque[dict[str, Any]] = deque()
        self._queued: list[dict[str, Any]] = []  # between MULTI and EXEC
        self._subscribed = False
        self._is_typed: bool | None = None
        self._line = b""

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        if not data:
            return
        if side == RESPONSE:
            yield from self._read_replies(data)
            return
        if self._is_typed is None:
            refuse_tls(data)
            self._is_typed = data[:1] != b"*"
        if self._is_typed:
            yield from self._read_typed(data)
            return
        reader = self._commands
        reader.feed(data)
        while (words := reader.gets()) is not _NOTHING:
            if type(words) is not list or (words and set(map(type, words)) != _TEXTS):
                raise UndecodableError("not a Redis command")
            if words:
                yield self._request(words)
        _bound(reader)

    def _read_replies(self, data: bytes) -> Iterator[WireMessage]:
        reader, pending = self._replies, self._pending
        reader.feed(data)
        while (reply := reader.gets()) is not _NOTHING:
            if (
                self._gives_answers
                or self._subscribed
                or not pending
                or type(reply) is hiredis.PushNotification
            ):
                yield from self._answers(reply)
            else:
                pending.popleft()
        _bound(reader)

    def _read_typed(self, data: bytes) -> Iterator[WireMessage]:
        """Commands as a person types them: lines."""
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _MOST_LINE:
            raise UndecodableError("not a Redis command")
        for line in filter(None, map(bytes.strip, lines)):
            try:
                words = shlex.split(text_of(line))
            except ValueError as error:
                raise UndecodableError(f"not a Redis command: {error}") from error
            if not words or not words[0].isalnum():
                raise UndecodableError("not a Redis command")
            yield self._request(words)

    def _request(self, words: list[str]) -> WireMessage:
        command = words[0].upper()
        args = words[1:]
        fields = _named(command, args)
        if command not in _ANSWERED_APART:
            self._pending.append(fields)
        elif command in _SUBSCRIBING:
            self._subscribed = True  # it is confirmed by messages of its own
        elif command == "CLIENT" and args[:1] and args[0].upper() == "REPLY":
            raise UndecodableError("CLIENT REPLY hides which answer is whose")
        elif command in ("MONITOR", "PSYNC", "SYNC"):
            raise UndecodableError(f"{command} turns the connection into another kind")
        else:
            self._pending.append(fields)
        return WireMessage(REQUEST, fields)

    def _answers(self, reply: Any) -> Iterator[WireMessage]:
        pushed = isinstance(reply, hiredis.PushNotification)
        if pushed or (self._subscribed and isinstance(reply, list) and reply):
            kind = reply[0]
            if kind in _PUSHED:
                *place, payload = map(_plain, reply[1:])
                fields = {"command": kind.upper(), "args": [*place, payload]}
                yield WireMessage(RESPONSE, fields | {"channel": place[-1], "reply": payload})
                return
            if kind in _CONFIRMED:
                self._subscribed = pushed or reply[-1] != 0
                return
            if pushed:
                return  # of the client's cache
        if not self._pending:
            raise UndecodableError("a reply came without a command")
        fields = self._pending.popleft()
        plain = _plain(reply)
        if plain == "QUEUED":
            self._queued.append(fields)
        elif fields["command"] in ("EXEC", "DISCARD"):
            queued, self._queued = self._queued, []
            yield from _answered(fields, plain)
            if isinstance(plain, list) and len(plain) == len(queued):
                for each, inner in zip(queued, plain, strict=True):
                    yield from _answered(each, inner)
        else:
            yield from _answered(fields, plain)


def _reader() -> hiredis.Reader:
    """It gives texts; bytes that are none are shown as `text_of` does."""
    return hiredis.Reader(
        protocolError=UndecodableError,
        replyError=_Refusal,
        notEnoughData=_NOTHING,
        encoding="utf-8",
        errors="backslashreplace",
    )


def _bound(reader: hiredis.Reader) -> None:
    if reader.len() > MOST_BYTES:
        raise UndecodableError(f"a message is longer than {MOST_BYTES} bytes")


class _Refusal(Exception):  # noqa: N818 - it is an answer
    """An error that the server answers."""


def _plain(reply: Any) -> Any:
    """Lists, mappings and texts, as rules name what they hold."""
    if isinstance(reply, _Refusal):
        return str(reply)
    if isinstance(reply, list | tuple | set):
        return [_plain(each) for each in reply]
    if isinstance(reply, dict):
        return {str(_plain(name)): _plain(each) for name, each in reply.items()}
    return reply


def _named(command: str, args: list[str]) -> dict[str, Any]:
    """The fields of a command, by name where it has such arguments."""
    fields: dict[str, Any] = {"command": command, "args": args}
    if command not in _APART and command[:1] != "X":
        if args:
            fields["key"] = args[0]
        return fields
    position = _KEY_AT.get(command, 0)
    if command in _OF_STREAMS:
        upper = [arg.upper() for arg in args]
        position = upper.index("STREAMS") + 1 if "STREAMS" in upper else None
    if position is not None and position < len(args):
        fields["key"] = args[position]
        if command[0] == "X":
            fields["stream"] = args[position]
    if command in _PUBLISHING and args:
        fields["channel"] = args[0]
    if command in _OF_HASH:
        fields["fields"] = _pairs(args[1:])
    elif command == "XADD":
        fields["fields"] = _pairs(args[_entry_at(args) + 1 :])
    return fields


def _entry_at(args: list[str]) -> int:
    """The position of the entry's id in the arguments of XADD."""
    position = 1
    while position < len(args):
        match args[position].upper():
            case "NOMKSTREAM" | "KEEPREF" | "DELREF" | "ACKED":
                position += 1
            case "MAXLEN" | "MINID":
                position += 1 + (args[position + 1 : position + 2] in (["="], ["~"]))
                position += 1
            case "LIMIT":
                position += 2
            case _:
                break
    return position


def _pairs(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(map(str, values[::2]), values[1::2], strict=False))


def _answered(fields: dict[str, Any], reply: Any) -> Iterator[WireMessage]:
    """The messages of one reply: one, or one for each entry of streams that it holds."""
    command = fields["command"]
    found: list[dict[str, Any]] = []
    if command in _OF_STREAMS and reply:
        streams = list(reply.items()) if isinstance(reply, dict) else reply
        for stream in streams if isinstance(reply, dict | list) else ():
            if isinstance(stream, list | tuple) and len(stream) == 2:
                found += _entries(*stream)
    elif command in _OF_STREAM and isinstance(reply, list):
        found = _entries(fields.get("stream"), reply)
    elif command == "XAUTOCLAIM" and isinstance(reply, list) and len(reply) > 1:
        found = _entries(fields.get("stream"), reply[1])
    if not found:
        none = {"fields": None} if command in (*_OF_STREAMS, *_OF_STREAM, "XAUTOCLAIM") else {}
        yield WireMessage(RESPONSE, {**fields, **none, "reply": reply})
    for entry in found:
        yield WireMessage(RESPONSE, fields | entry)


def _entries(stream: Any, entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        return []
    return [
        {"stream": stream, "key": stream, "fields": values, "reply": [entry[0], values]}
        for entry in entries
        if isinstance(entry, list)
        and len(entry) > 1
        and (entry[1] is None or isinstance(entry[1], list))
        for values in [_pairs(entry[1] or ())]
    ]
