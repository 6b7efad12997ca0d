"""The line from a process of a run to its runner: a Unix socket, or TCP where there is none.

An address is the path of a Unix socket, or `tcp:PORT:TOKEN`: a port of this host, to which the
token is said first, as a line. Any user of the machine may connect to it; who does not know the
token is not heard.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

#: What the address of a line over TCP begins with.
TCP = "tcp:"
HOST = "127.0.0.1"


def connected(address: str) -> socket.socket:
    """A socket that blocks. Raises OSError: nobody listens there."""
    if not address.startswith(TCP):
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            wire.connect(address)
        except OSError:
            wire.close()
            raise
        return wire
    port, greeting = _parts(address)
    wire = socket.create_connection((HOST, port))
    wire.sendall(greeting)
    return wire


async def connected_async(address: str, limit: int) -> tuple[StreamReader, StreamWriter]:
    """The same for asyncio; `limit` is that of a line, in bytes."""
    import asyncio

    if not address.startswith(TCP):
        return await asyncio.open_unix_connection(address, limit=limit)
    port, greeting = _parts(address)
    reader, writer = await asyncio.open_connection(HOST, port, limit=limit)
    writer.write(greeting)
    return reader, writer


def _parts(address: str) -> tuple[int, bytes]:
    port, _, token = address.removeprefix(TCP).partition(":")
    return int(port), f"{token}\n".encode()
