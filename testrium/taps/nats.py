"""NATS: what is published and delivered.

Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
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

#: Bytes of a line: INFO of a large cluster is the longest.
_MOST_LINE: Final = 1 << 20
_WITH_PAYLOAD: Final = {REQUEST: ("PUB", "HPUB"), RESPONSE: ("MSG", "HMSG")}
_WITHOUT: Final = {
    REQUEST: ("CONNECT", "SUB", "UNSUB", "PING", "PONG"),
    RESPONSE: ("INFO", "PING", "PONG", "+OK", "-ERR"),
}


class NatsDecoder:
    """One connection to a NATS server."""

    def __init__(self) -> None:
        self._bytes = {REQUEST: bytearray(), RESPONSE: bytearray()}

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        buffer = self._bytes[side]
        if not buffer:
            refuse_tls(data)
        buffer += data
        while (found := self._next(buffer, side)) is not None:
            fields, end = found
            del buffer[:end]
            if fields:
                yield WireMessage(side, fields)

    def _next(self, buffer: bytearray, side: str) -> tuple[dict[str, Any], int] | None:
        """The next message ({} for one without fields) and its size; None: it is not whole."""
        end = buffer.find(b"\r\n", 0, _MOST_LINE)
        if end < 0:
            if len(buffer) >= _MOST_LINE:
                raise UndecodableError(f"a line is longer than {_MOST_LINE} bytes")
            if buffer and not _may_begin(buffer, side):
                raise UndecodableError("not NATS")
            return None
        line = text_of(bytes(buffer[:end]))
        command, *words = line.split()[:7] or [""]
        command = command.upper()
        at = end + 2
        if command in _WITH_PAYLOAD[side]:
            return _payload(command, words, buffer, at)
        if command not in _WITHOUT[side]:
            raise UndecodableError(f"not NATS: a line begins with {command[:20]!r}")
        if command == "SUB" and words:
            return {"command": command, "subject": words[0]}, at
        if command == "UNSUB":
            return {"command": command}, at
        if command == "-ERR":
            return {"command": "ERR", "payload": line[4:].strip().strip("'")}, at
        return {}, at


def _may_begin(buffer: bytearray, side: str) -> bool:
    word = text_of(bytes(buffer[:8])).upper().split(" ")[0]
    known = (*_WITH_PAYLOAD[side], *_WITHOUT[side])
    return any(each.startswith(word) or word.startswith(each) for each in known)


def _payload(
    command: str, words: list[str], buffer: bytearray, at: int
) -> tuple[dict[str, Any], int] | None:
    """A message with a payload, as `MSG <subject> <sid> [reply] <bytes>`."""
    numbers = 2 if command[0] == "H" else 1
    sizes = words[-numbers:]
    names = words[:-numbers]
    least = 1 if command.endswith("PUB") else 2
    if not least <= len(names) <= least + 1 or not all(
        size.isdecimal() and len(size) < 10 for size in sizes
    ):
        raise UndecodableError(f"a line of {command} is not of NATS")
    whole = int(sizes[-1])
    if whole > MOST_BYTES:
        raise UndecodableError(f"a message is longer than {MOST_BYTES} bytes")
    if len(buffer) < at + whole + 2:
        return None
    head = min(int(sizes[0]), whole) if numbers == 2 else 0
    fields: dict[str, Any] = {"command": command, "subject": names[0]}
    if len(names) > least:
        fields["reply"] = names[-1]
    if head:
        fields["headers"] = _headers(text_of(bytes(buffer[at : at + head])))
    fields["payload"] = text_of(bytes(buffer[at + head : at + whole]))
    return fields, at + whole + 2


def _headers(text: str) -> dict[str, str]:
    """By their names as they are written, and in lower case."""
    found: dict[str, str] = {}
    for line in text.split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found[name] = found[name.lower()] = value.strip()
    return found
