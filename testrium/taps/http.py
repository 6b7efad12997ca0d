"""HTTP/1.1: requests and their responses, also where several requests are sent ahead.

Source: RFC 9112; h11 reads it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from testrium.taps import (
    MOST_BYTES,
    REQUEST,
    RESPONSE,
    UndecodableError,
    WireMessage,
    refuse_tls,
    text_of,
)

#: Bytes of a head; servers allow as much.
_MOST_HEAD: Final = 1 << 17


class HttpDecoder:
    """One connection to an HTTP server."""

    def __init__(self) -> None:
        self._requests = _Stream(h11.SERVER)
        self._responses = _Stream(h11.CLIENT)
        self._pending: deque[tuple[dict[str, Any], h11.Request]] = deque()
        self._switched = False  # what follows is another protocol, by agreement

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        if self._switched:
            return
        if side == REQUEST:
            yield from self._read_requests(data)
        else:
            yield from self._read_responses(data)

    def _read_requests(self, data: bytes) -> Iterator[WireMessage]:
        if self._requests.is_new:
            refuse_tls(data)
            if data.startswith(b"PRI * HTTP/2"):
                raise UndecodableError("HTTP/2")
        self._requests.add(data)
        while (found := self._requests.take()) is not None:
            head, body = found
            assert isinstance(head, h11.Request)
            fields = request_fields(head)
            self._pending.append((fields, head))
            yield WireMessage(REQUEST, fields | _content(head.headers, body))
            if head.method == b"CONNECT":
                return

    def _read_responses(self, data: bytes) -> Iterator[WireMessage]:
        self._responses.add(data)
        while self._pending:
            fields, request = self._pending[0]
            if self._responses.needs_request:
                self._responses.expect(request)
            if (found := self._responses.take()) is None:
                return
            head, body = found
            self._pending.popleft()
            assert isinstance(head, h11.Response | h11.InformationalResponse)
            yield WireMessage(
                RESPONSE,
                {
                    **{name: fields[name] for name in ("method", "path", "query")},
                    "status": head.status_code,
                    **_content(head.headers, body),
                },
            )
            self._switched = head.status_code == 101 or request.method == b"CONNECT"
            if self._switched:
                return
        if data and self._responses.has_data:
            raise UndecodableError("a response came without a request")


class _Stream:
    """The messages that one side sends: each is read by an `h11.Connection` of its own."""

    def __init__(self, role: type[h11.CLIENT | h11.SERVER]) -> None:
        self._role = role
        self._bytes = b""  # behind the message that is being read
        self._end = False
        self.is_new = True
        self._begin()

    def _begin(self) -> None:
        self._connection = h11.Connection(self._role, max_incomplete_event_size=_MOST_HEAD)
        self.needs_request = self._role is h11.CLIENT
        self._head: h11.Request | h11.Response | None = None
        self._body: list[bytes] = []
        self._size = 0

    @property
    def has_data(self) -> bool:
        return bool(self._bytes.strip())

    def add(self, data: bytes) -> None:
        self.is_new = False
        if self._end and data:
            raise UndecodableError("bytes came after the end")
        self._end = self._end or not data
        if self.needs_request or self._bytes:
            self._bytes += data
            if len(self._bytes) > MOST_BYTES:
                raise UndecodableError(f"more than {MOST_BYTES} bytes wait to be read")
        else:
            self._receive(data)

    def expect(self, request: h11.Request) -> None:
        """The next response answers this request."""
        headers = [(b"host", b"-")]
        if upgrade := [value for name, value in request.headers if name == b"upgrade"]:
            headers += [(b"connection", b"upgrade"), (b"upgrade", upgrade[0])]
        self._connection.send(h11.Request(method=request.method, target=b"-", headers=headers))
        self._connection.send(h11.EndOfMessage())
        self.needs_request = False
        if self._bytes or self._end:
            data, self._bytes = self._bytes, b""
            self._receive(data)

    def take(self) -> tuple[Any, bytes] | None:
        """The next message that is whole: its head, and its body."""
        try:
            return self._next()
        except h11.ProtocolError as error:
            raise UndecodableError(f"not HTTP: {error}") from error

    def _receive(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
            if self._end and data:
                self._connection.receive_data(b"")
        except h11.ProtocolError as error:
            raise UndecodableError(f"not HTTP: {error}") from error

    def _next(self) -> tuple[Any, bytes] | None:
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Request | h11.Response):
                self._head = event
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return event, b""
            elif isinstance(event, h11.Data):
                self._size += len(event.data)
                if self._size <= MOST_BYTES:
                    self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return self._finish()
            else:
                return None

    def _finish(self) -> tuple[Any, bytes]:
        head, body = self._head, b"".join(self._body)
        rest, _ = self._connection.trailing_data
        self._begin()
        if self.needs_request:
            self._bytes = rest
        elif rest:
            self._receive(rest)
        return head, body


def request_fields(head: h11.Request) -> dict[str, Any]:
    """Method, path and query of a request."""
    target = urlsplit(text_of(head.target))
    return {
        "method": text_of(head.method),
        "path": unquote(target.path),
        "query": dict(parse_qsl(target.query, keep_blank_values=True)),
    }


def headers_of(headers: Any) -> dict[str, str]:
    """By their names in lower case; several of one name as one, as the RFC says."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, said = text_of(name), text_of(value)
        found[key] = f"{found[key]}, {said}" if key in found else said
    return found


def _content(headers: Any, body: bytes) -> dict[str, Any]:
    found = headers_of(headers)
    if body and found.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        with contextlib.suppress(zlib.error):  # else it stays what was sent
            body = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MOST_BYTES)
    return {"headers": found, "body": text_of(body)}
