"""The runner's end of the lines that its processes open to it; see `testrium.probe.waiting`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from testrium.probe.waiting import HOST, TCP
from testrium.system import is_portable

_BACKLOG = 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def listen(make: Callable[[], asyncio.Protocol], path: Path) -> tuple[asyncio.Server, str]:
    """Serve each process that connects with a protocol of its own.

    Args:
        make: makes that protocol.
        path: of the Unix socket, at most 107 bytes, in a folder that is private to the user.

    Returns:
        The server and its address, for `connected`.

    Raises:
        OSError: the socket cannot be made.
    """
    loop = asyncio.get_running_loop()
    if hasattr(socket, "AF_UNIX") and not is_portable():
        server = await loop.create_unix_server(make, str(path), backlog=_BACKLOG)
        return server, str(path)
    import secrets  # 7 ms, and no run on Linux needs it

    token = secrets.token_hex(16)
    server = await loop.create_server(lambda: _TokenCheck(token, make), HOST, 0, backlog=_BACKLOG)
    port = server.sockets[0].getsockname()[1]
    return server, f"{TCP}{port}:{token}"


@asynccontextmanager
async def awaiting_connection(
    path: Path, limit: int
) -> AsyncIterator[tuple[str, asyncio.Future[Streams]]]:
    """Serve one process: the address, and its streams once it has connected. Raises OSError.

    `limit` is that of a line, in bytes.
    """
    loop = asyncio.get_running_loop()
    streams: asyncio.Future[Streams] = loop.create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not streams.done():
            streams.set_result((reader, writer))

    def make() -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, connected, loop=loop)

    server, address = await listen(make, path)
    async with server:
        yield address, streams


class _TokenCheck(asyncio.Protocol):
    """Reads the token and hands the connection on; closes connections without the token."""

    def __init__(self, token: str, make: Callable[[], asyncio.Protocol]) -> None:
        self._greeting = f"{token}\n".encode()
        self._make = make
        self._heard = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        from hmac import compare_digest  # as above

        assert self._transport is not None
        self._heard += data
        length = len(self._greeting)
        if len(self._heard) < length:
            return
        if not compare_digest(self._heard[:length], self._greeting):
            self._transport.abort()
            return
        guest = self._make()
        self._transport.set_protocol(guest)
        guest.connection_made(self._transport)
        if len(self._heard) > length:
            guest.data_received(self._heard[length:])
