"""Connections through a host's pipe: bytes, ends and breaks arrive as they were sent. No pipe."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from testrium.run.hosts.frames import HEADER, ROOM, Connections, JoinedStreams, Sink

Work = Callable[["Ends"], Awaitable[None]]


class Ends:
    """Both ends of a pipe in one process, and a program at each end of a connection through it."""

    def __init__(self) -> None:
        self.on_the_way = self.most_on_the_way = 0
        self.there = Connections(lambda data: self._carry(self.home, data), 1)
        self.home = Connections(lambda data: self._carry(self.there, data), 2)

    async def connect(self, *, halves: bool) -> None:
        """`client` is what has connected there, `server` what is reached at home."""
        self.client, there = await streams(halves)
        self.server, home = await streams(halves)
        asking = asyncio.ensure_future(self.there.ask(there, to="a.b"))
        await asyncio.sleep(0)
        self.home.accept(1, home)
        await asking

    def _carry(self, to: Connections, data: bytes) -> None:
        kind, number, size = HEADER.unpack_from(data)
        content = data[HEADER.size :]
        if kind in (b"D", b"W"):
            self.on_the_way += size if kind == b"D" else -int.from_bytes(content)
            self.most_on_the_way = max(self.most_on_the_way, self.on_the_way)
        if kind != b"O":
            to.take(kind, number, content)


async def streams(halves: bool) -> tuple[socket.socket, JoinedStreams]:
    """A program's end of a TCP connection, and what the pipe is joined with."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    program.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours)
    return program, JoinedStreams(reader, Sink(writer), halves=halves)


def with_ends(work: Work, *, halves: bool) -> None:
    async def run() -> None:
        ends = Ends()
        await ends.connect(halves=halves)
        with ends.client, ends.server:
            async with asyncio.timeout(10):
                await work(ends)
            ends.there.close()
            ends.home.close()

    asyncio.run(run())


async def received(program: socket.socket, size: int = 1 << 16) -> bytes:
    return await asyncio.get_running_loop().sock_recv(program, size)


def test_answer_arrives_after_the_client_has_said_all() -> None:
    async def work(ends: Ends) -> None:
        ends.client.send(b"all")
        ends.client.shutdown(socket.SHUT_WR)
        assert [await received(ends.server), await received(ends.server)] == [b"all", b""]
        ends.server.send(b"answer")
        assert await received(ends.client) == b"answer"
        ends.server.close()
        assert await received(ends.client) == b""

    with_ends(work, halves=True)


def test_connection_without_halves_ends_with_either_program() -> None:
    async def work(ends: Ends) -> None:
        ends.client.send(b"last")
        ends.client.close()
        assert [await received(ends.server), await received(ends.server)] == [b"last", b""]
        assert not ends.there._channels
        assert not ends.home._channels

    with_ends(work, halves=False)


def test_break_at_one_end_is_a_break_at_the_other() -> None:
    async def work(ends: Ends) -> None:
        linger_0 = b"\1\0\0\0\0\0\0\0"
        ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0)
        ends.server.close()
        with pytest.raises(ConnectionResetError):
            await received(ends.client)

    with_ends(work, halves=True)


def test_no_more_is_on_the_way_than_the_receiver_has_room_for() -> None:
    async def work(ends: Ends) -> None:
        size = 4 * ROOM
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(loop.sock_sendall(ends.client, b"x" * size))
        count = 0
        while count < size:
            count += len(await received(ends.server))
        await sending
        assert 0 < ends.most_on_the_way <= ROOM

    with_ends(work, halves=True)
