"""WebSocket: the messages of both sides, after the handshake over HTTP.

Source: RFC 6455, RFC 7692; wsproto reads the frames, h11 the handshake.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import h11
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
)

from testrium.taps import (
    MOST_BYTES,
    REQUEST,
    RESPONSE,
    UndecodableError,
    WireMessage,
    refuse_tls,
    text_of,
)
from testrium.taps.http import headers_of, request_fields

_MOST_HEAD: Final = 1 << 17
_END_OF_HEAD: Final = b"\r\n\r\n"


class WebSocketDecoder:
    """One connection to a WebSocket server; what is plain HTTP on it has no messages."""

    def __init__(self) -> None:
        self._path = ""
        self._heads = {REQUEST: b"", RESPONSE: b""}
        self._waiting: list[tuple[bytes, str]] = []
        self._sides: dict[str, _Side] | None = None
        self._is_plain = False

    def feed(self, data: bytes, side: str) -> Iterator[WireMessage]:
        if self._is_plain or not data:
            return
        if self._sides is None:
            if not self._shake_hands(data, side):
                return
        else:
            self._waiting.append((data, side))
        waiting, self._waiting = self._waiting, []
        for rest, sender in waiting:
            yield from self._messages(rest, sender)

    def _shake_hands(self, data: bytes, side: str) -> bool:
        """Read both heads; whether frames follow."""
        if _END_OF_HEAD in self._heads[side]:
            self._waiting.append((data, side))
        else:
            if side == REQUEST and not self._heads[side]:
                refuse_tls(data)
            whole = self._heads[side] + data
            if len(whole) > _MOST_HEAD and _END_OF_HEAD not in whole[:_MOST_HEAD]:
                raise UndecodableError("the first bytes are not a head of HTTP")
            head, end, rest = whole.partition(_END_OF_HEAD)
            self._heads[side] = head + end
            if rest:
                self._waiting.append((rest, side))
        asked, answered = self._heads[REQUEST], self._heads[RESPONSE]
        if not asked.endswith(_END_OF_HEAD):
            return False
        try:
            self._is_plain = not self._asks(asked)
            if not self._is_plain and answered.endswith(_END_OF_HEAD):
                self._agree(answered)
        except h11.ProtocolError as error:
            raise UndecodableError(f"not HTTP: {error}") from error
        return self._sides is not None

    def _asks(self, head: bytes) -> bool:
        """Whether the client asks for the protocol."""
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head)
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            raise UndecodableError("not HTTP")
        self._path = request_fields(request)["path"]
        return headers_of(request.headers).get("upgrade", "").lower() == "websocket"

    def _agree(self, head: bytes) -> None:
        """Read what the unit answers."""
        connection = h11.Connection(h11.CLIENT)
        upgrade = [("host", "-"), ("connection", "upgrade"), ("upgrade", "websocket")]
        connection.send(h11.Request(method="GET", target="/", headers=upgrade))
        connection.send(h11.EndOfMessage())
        connection.receive_data(head)
        response = connection.next_event()
        if not isinstance(response, h11.InformationalResponse) or response.status_code != 101:
            self._is_plain = True  # it refused
            return
        agreed = headers_of(response.headers).get("sec-websocket-extensions", "")
        self._sides = {REQUEST: _Side(agreed, False), RESPONSE: _Side(agreed, True)}

    def _messages(self, data: bytes, side: str) -> Iterator[WireMessage]:
        assert self._sides is not None
        for payload in self._sides[side].read(data):
            fields: dict[str, str] = {"path": self._path}
            if isinstance(payload, str):
                fields |= {"text": payload, "body": payload}
            else:
                fields["body"] = text_of(payload)
            yield WireMessage(side, fields)


class _Side:
    """What one side sends: frames, and the messages that they make."""

    def __init__(self, agreed: str, from_unit: bool) -> None:
        extensions: list[Extension] = []
        if "permessage-deflate" in agreed:
            deflate = _BoundedDeflate()
            deflate.finalize(agreed)
            extensions.append(deflate)
        self._frames = FrameProtocol(from_unit, extensions)
        self._parts: list[str | bytes] = []
        self._size = 0
        self._closed = False

    def read(self, data: bytes) -> Iterator[str | bytes]:
        """The messages that become whole."""
        if self._closed:
            return
        self._frames.receive_bytes(data)
        try:
            for frame in self._frames.received_frames():
                if frame.opcode is Opcode.CLOSE:
                    self._closed = True
                    return
                if frame.opcode not in (Opcode.TEXT, Opcode.BINARY):
                    continue
                part = frame.payload
                assert not isinstance(part, tuple)
                self._size += len(part)
                if self._size > MOST_BYTES:
                    raise UndecodableError(f"a message is longer than {MOST_BYTES} bytes")
                self._parts.append(part if isinstance(part, str) else bytes(part))
                if frame.message_finished:
                    parts, self._parts, self._size = self._parts, [], 0
                    if frame.opcode is Opcode.TEXT:
                        yield "".join(each for each in parts if isinstance(each, str))
                    else:
                        yield b"".join(each for each in parts if isinstance(each, bytes))
        except ParseFailed as error:
            raise UndecodableError(f"not a WebSocket frame: {error}") from error


class _BoundedDeflate(PerMessageDeflate):
    """The extension, which unpacks no more than can be kept."""

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's signature
        data: bytes,
    ) -> bytes | CloseReason:
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        assert self._decompressor is not None
        unpacked = self._decompressor.decompress(bytes(data), MOST_BYTES)
        if self._decompressor.unconsumed_tail:
            raise UndecodableError(f"a message is longer than {MOST_BYTES} bytes")
        return unpacked
