"""PostgreSQL: statements with their parameters, their results, and notifications.

Source: https://www.postgresql.org/docs/current/protocol-message-formats.html (version 3)
"""

from __future__ import annotations

import re
import struct
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
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
from testrium.variables import Counted

_VERSION_3: Final = 3
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
#: Rows of one statement whose values are kept.
_MOST_ROWS: Final = 1000

_NOTIFY: Final = re.compile(
    r"""\s*notify\s+(?:"(?P<quoted>[^"]+)"|(?P<plain>\w+))(?:\s*,\s*'(?P<text>(?:[^']|'')*)')?""",
    re.IGNORECASE,
)
_PG_NOTIFY: Final = re.compile(
    r"\bpg_notify\s*\(\s*(?P<channel>'(?:[^']|'')*'|\$\d+)(?:::\w+)?\s*,"
    r"\s*(?P<text>'(?:[^']|'')*'|\$\d+)",
    re.IGNORECASE,
)

#: What values in the binary format are, by the number of their type.
_BINARY: Final[Mapping[int, Callable[[bytes], Any]]] = {
    16: lambda data: data != b"\0",
    **dict.fromkeys((20, 21, 23, 26), lambda data: int.from_bytes(data, signed=True)),
    700: lambda data: struct.unpack("!f", data)[0],
    701: lambda data: struct.unpack("!d", data)[0],
    2950: lambda data: str(uuid.UUID(bytes=data)),
    3802: lambda data: text_of(data[1:]),
    **dict.fromkeys((18, 19, 25, 114, 1042, 1043), text_of),
}


class PostgresqlDecoder:
    """One connection to a PostgreSQL server."""

    def __init__(self) -> None:
        self._bytes = {REQUEST: bytearray(), RESPONSE: bytearray()}
        self._started = False
        self._asked_for_encryption = 0  # answers of one byte that are still to come
        self._statements: dict[bytes, tuple[str, tuple[int, ...]]] = {}
        self._portals: dict[bytes, dict[str, Any]] = {}
        self._pending: deque[tuple[str, dict[str, Any]]] = deque()
        self._columns: list[tuple[str, int, int]] = []  # name, type, format
        self._rows: list[dict[str, Any]] = []
        self._row_count = 0

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        buffer = self._bytes[side]
        buffer += data
        try:
            while (taken := self._take(buffer, side)) is not None:
                kind, body = taken
                read = self._ask if side == REQUEST else self._answer
                yield from read(kind, body)
        except (struct.error, IndexError) as error:
            raise UndecodableError("a message is cut off, or not of PostgreSQL") from error

    # Framing ----------------------------------------------------------------------------------

    def _take(self, buffer: bytearray, side: str) -> tuple[bytes, bytes] | None:
        if side == REQUEST and not self._started:
            return self._take_start(buffer)
        if side == RESPONSE and self._asked_for_encryption and buffer:
            answer = bytes(buffer[:1])
            if answer in (b"S", b"G"):
                raise UndecodableError("encrypted (TLS)")
            self._asked_for_encryption -= 1
            del buffer[:1]
        if len(buffer) < 5:
            return None
        size = int.from_bytes(buffer[1:5])
        if not 4 <= size <= MOST_BYTES or not 49 <= buffer[0] <= 122:
            kind = "an answer" if side == RESPONSE else "a message"
            raise UndecodableError(f"{kind} is not of PostgreSQL")
        if len(buffer) < 1 + size:
            return None
        taken = bytes(buffer[:1]), bytes(buffer[5 : 1 + size])
        del buffer[: 1 + size]
        return taken

    def _take_start(self, buffer: bytearray) -> tuple[bytes, bytes] | None:
        """What comes before the first message with a letter."""
        while len(buffer) >= 8:
            refuse_tls(buffer)
            size, code = struct.unpack("!iI", buffer[:8])
            if code in (_SSL, _GSS) and size == 8:
                self._asked_for_encryption += 1
                del buffer[:8]
                continue
            if code == _CANCEL and size >= 8:
                buffer.clear()
                return None
            if code >> 16 != _VERSION_3 or not 8 <= size <= 1 << 16:
                raise UndecodableError("the first bytes are not of PostgreSQL")
            if len(buffer) < size:
                return None
            del buffer[:size]
            self._started = True
            return self._take(buffer, REQUEST)
        return None

    # The client -------------------------------------------------------------------------------

    def _ask(self, kind: bytes, body: bytes) -> Iterator[WireMessage]:
        match kind:
            case b"Q":
                fields = _statement(text_of(body.rstrip(b"\0")), [])
                self._pending.append(("Q", fields))
                yield WireMessage(REQUEST, fields)
            case b"P":
                name, at = _cstring(body, 0)
                query, at = _cstring(body, at)
                (count,) = struct.unpack_from("!H", body, at)
                kinds = struct.unpack_from(f"!{count}I", body, at + 2)
                self._statements[name] = text_of(query), kinds
            case b"B":
                self._bind(body)
            case b"E":
                portal, _ = _cstring(body, 0)
                fields = self._portals.get(portal, {})
                self._pending.append(("E", fields))
                if fields:
                    yield WireMessage(REQUEST, fields)
            case b"S":
                self._pending.append(("S", {}))

    def _bind(self, body: bytes) -> None:
        portal, at = _cstring(body, 0)
        name, at = _cstring(body, at)
        (count,) = struct.unpack_from("!H", body, at)
        formats = struct.unpack_from(f"!{count}H", body, at + 2)
        at += 2 + 2 * count
        (count,) = struct.unpack_from("!H", body, at)
        at += 2
        query, kinds = self._statements.get(name, ("", ()))
        params: list[Any] = []
        for number in range(count):
            (size,) = struct.unpack_from("!i", body, at)
            at += 4
            if size < 0:
                params.append(None)
                continue
            form = formats[number] if len(formats) > 1 else (formats or (0,))[0]
            kind = kinds[number] if number < len(kinds) else 0
            params.append(_value(_part(body, at, size), form, kind))
            at += size
        self._portals[portal] = _statement(query, params)

    # The server -------------------------------------------------------------------------------

    def _answer(self, kind: bytes, body: bytes) -> Iterator[WireMessage]:
        match kind:
            case b"T":
                self._describe(body)
            case b"D":
                self._add_row(body)
            case b"C" | b"s" | b"I":
                yield from self._complete(kind, body)
            case b"E":
                self._forget_rows()
                while self._pending and self._pending[0][0] == "E":
                    self._pending.popleft()
            case b"Z":
                self._forget_rows()
                while self._pending and self._pending.popleft()[0] == "E":
                    pass
            case b"A":
                channel, at = _cstring(body, 4)
                payload, _ = _cstring(body, at)
                fields = {"channel": text_of(channel), "payload": text_of(payload)}
                yield WireMessage(RESPONSE, fields)

    def _describe(self, body: bytes) -> None:
        (count,) = struct.unpack_from("!H", body)
        at = 2
        self._columns = []
        for _ in range(count):
            name, at = _cstring(body, at)
            _, _, kind, _, _, form = struct.unpack_from("!IHIhiH", body, at)
            at += 18
            self._columns.append((text_of(name), kind, form))

    def _add_row(self, body: bytes) -> None:
        self._row_count += 1
        if len(self._rows) >= _MOST_ROWS:
            return
        (count,) = struct.unpack_from("!H", body)
        at = 2
        row: dict[str, Any] = {}
        for number in range(count):
            (size,) = struct.unpack_from("!i", body, at)
            at += 4
            name, kind, form = str(number), 0, 0
            if number < len(self._columns):
                name, kind, form = self._columns[number]
            row[name] = None if size < 0 else _value(_part(body, at, size), form, kind)
            at += max(size, 0)
        self._rows.append(row)

    def _complete(self, kind: bytes, body: bytes) -> Iterator[WireMessage]:
        """A statement is done: `INSERT 0 3`; `s`: it has returned the requested number of rows."""
        words = text_of(body.rstrip(b"\0")).split()
        count = int(words[-1]) if kind == b"C" and words and words[-1].isdecimal() else None
        rows = Counted(self._row_count if count is None else count, self._rows)
        self._forget_rows()
        while self._pending and self._pending[0][0] == "S":
            self._pending.popleft()
        if self._pending:
            asked, fields = self._pending[0]
            if asked == "E":
                self._pending.popleft()
            if fields:
                yield WireMessage(RESPONSE, {**fields, "rows": rows})

    def _forget_rows(self) -> None:
        self._rows, self._row_count = [], 0


def _statement(query: str, params: list[Any]) -> dict[str, Any]:
    """The fields of a statement, with what it notifies of."""
    fields: dict[str, Any] = {"statement": query, "params": params}
    if found := _NOTIFY.match(query):
        fields["channel"] = found["quoted"] or found["plain"].lower()
        fields["payload"] = (found["text"] or "").replace("''", "'")
    elif found := _PG_NOTIFY.search(query):
        for name, text in (("channel", found["channel"]), ("payload", found["text"])):
            if text[0] == "'":
                fields[name] = text[1:-1].replace("''", "'")
            elif len(text) < 6 and 0 < int(text[1:]) <= len(params):
                fields[name] = params[int(text[1:]) - 1]
    return fields


def _value(data: bytes, form: int, kind: int) -> Any:
    """A value as text, or what its binary format says."""
    if form and kind in _BINARY:
        return _BINARY[kind](data)
    return data.hex() if form else text_of(data)


def _part(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise IndexError
    return data[at : at + size]


def _cstring(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise IndexError
    return data[at:end], end + 1
