"""Each fault of a link, proven by what it does to real connections. Times are lower bounds only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from testrium.run.faults.links.connection import Condition, Impairment, Link
from testrium.run.ports import PortAllocator

MS = 1_000_000


class Unit:
    """A server that sends back what it gets, and knows what came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got = bytearray()
        self.ends: list[str] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._change = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self.until(lambda: not self._open)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._change:
            await self._change.wait_for(holds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        await self._changed()
        end = "closed"
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                await self._changed()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            end = "reset"
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._open.discard(writer)
        self.ends.append(end)
        await self._changed()

    async def _changed(self) -> None:
        async with self._change:
            self._change.notify_all()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes) -> bytes:
        await self.send(data)
        return await self.reader.readexactly(len(data))


class Place:
    """A unit, the link in front of it, and clients."""

    def __init__(self, link: Link, unit: Unit, port: int) -> None:
        self.link = link
        self.unit = unit
        self.port = port
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for client in self.clients:
            client.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


Story = Callable[[Place], Awaitable[None]]


@contextlib.asynccontextmanager
async def place(*, listening: bool = True) -> AsyncIterator[Place]:
    with PortAllocator().allocate(2) as lease:
        port, unit_port = lease.ports
        unit = Unit(unit_port)
        link = Link(port, unit_port, Condition(lambda: 0.0))
        link.listen()
        if listening:
            await unit.listen()
        made = Place(link, unit, port)
        try:
            yield made
        finally:
            await made.close()
            link.close()
            await unit.close()


def with_link(*, listening: bool = True) -> Callable[[Story], Callable[[], None]]:
    """Make a test of a story about a link, whose unit listens from the beginning, or not yet."""

    def tested(story: Story) -> Callable[[], None]:
        async def told() -> None:
            async with asyncio.timeout(20), place(listening=listening) as here:
                await story(here)

        def test() -> None:
            asyncio.run(told())

        return test

    return tested


def elapsed_ms(since: float) -> float:
    return (time.monotonic() - since) * 1000


@with_link()
async def test_without_a_fault_everything_passes(here: Place) -> None:
    client = await here.connect()
    data = bytes(range(256)) * 4000  # more than fits on the way
    assert await client.ask(data) == data
    client.writer.write_eof()
    assert await client.reader.read() == b""
    await here.unit.until(lambda: here.unit.ends == ["closed"])
    assert here.link.seen == (1, 0, 2 * len(data))


@with_link()
async def test_an_end_of_one_direction_leaves_the_other_open(here: Place) -> None:
    client = await here.connect()
    await client.send(b"all")
    client.writer.write_eof()
    assert await client.reader.read() == b"all"


@with_link()
async def test_ipv6_is_taken_where_there_is_one(here: Place) -> None:
    try:
        reader, writer = await asyncio.open_connection("::1", here.port)
    except OSError:
        pytest.skip("no IPv6 here")
    here.clients.append(Client(reader, writer))
    assert await here.clients[-1].ask(b"six") == b"six"


@with_link(listening=False)
async def test_a_reset_by_the_unit_comes_behind_what_it_sent(here: Place) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", here.unit.port)) as server:
        server.setblocking(False)
        client = await here.connect()
        taken, _ = await loop.sock_accept(server)
    await loop.sock_sendall(taken, b"last words")
    await client.reader.readexactly(10)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    taken.close()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()


@with_link()
async def test_latency_is_added_in_each_direction(here: Place) -> None:
    client = await here.connect()
    await client.ask(b"warm")
    here.link.begin(0, Impairment("latency", delay_ns=60 * MS))
    started = time.monotonic()
    assert await client.ask(b"x") == b"x"
    assert elapsed_ms(started) >= 120
    here.link.end(0)
    assert await client.ask(b"y") == b"y"


@with_link()
async def test_many_small_messages_are_delayed_side_by_side(
    here: Place,
) -> None:
    client = await here.connect()
    here.link.begin(0, Impairment("latency", delay_ns=100 * MS))
    started = time.monotonic()
    for _ in range(100):
        await client.send(b"x")
        await asyncio.sleep(0)
    assert await client.reader.readexactly(100) == b"x" * 100
    assert 200 <= elapsed_ms(started) < 100 * 100


@with_link()
async def test_throttle_bounds_the_bytes_per_second(here: Place) -> None:
    client = await here.connect()
    here.link.begin(0, Impairment("throttle", rate=50_000))
    started = time.monotonic()
    assert len(await client.ask(b"x" * 10_000)) == 10_000
    assert elapsed_ms(started) >= 200


@with_link()
async def test_connections_share_the_rate(here: Place) -> None:
    clients = [await here.connect() for _ in range(4)]
    here.link.begin(0, Impairment("throttle", rate=40_000))
    started = time.monotonic()
    await asyncio.gather(*(client.ask(b"x" * 2_000) for client in clients))
    assert elapsed_ms(started) >= 200


@with_link()
async def test_reset_breaks_connections_old_and_new(here: Place) -> None:
    client = await here.connect()
    await client.ask(b"fine")
    here.link.begin(0, Impairment("reset"))
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    await here.unit.until(lambda: here.unit.ends == ["reset"])
    another = await here.connect()
    with pytest.raises(ConnectionResetError):
        await another.ask(b"x")
    here.link.end(0)
    assert await (await here.connect()).ask(b"again") == b"again"
    assert here.link.seen.broken == 2


@with_link()
async def test_reset_after_the_first_bytes(here: Place) -> None:
    here.link.begin(0, Impairment("reset", first=4))
    client = await here.connect()
    await client.send(b"123456")
    await here.unit.until(lambda: bool(here.unit.ends))
    assert bytes(here.unit.got) == b"1234"
    assert here.unit.ends == ["reset"]


@with_link()
async def test_a_cut_refuses_connections_until_it_heals(here: Place) -> None:
    client = await here.connect()
    await client.ask(b"fine")
    here.link.begin(0, Impairment("cut"))
    assert await client.reader.read() == b""
    await here.unit.until(lambda: here.unit.ends == ["closed"])
    with pytest.raises(ConnectionRefusedError):
        await here.connect()
    here.link.end(0)
    assert await (await here.connect()).ask(b"healed") == b"healed"


@with_link()
async def test_a_blackhole_says_nothing_and_lets_nothing_through(here: Place) -> None:
    old = await here.connect()
    await old.ask(b"fine")
    here.link.begin(0, Impairment("blackhole"))
    new = await here.connect()
    for client in (old, new):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ask(b"lost?")
    assert here.unit.connections == 1
    assert bytes(here.unit.got) == b"fine"
    here.link.end(0)
    for client in (old, new):  # as TCP repeats what was not acknowledged
        assert await client.reader.readexactly(5) == b"lost?"


@with_link()
async def test_who_hung_up_in_a_blackhole_is_not_heard_after_it(here: Place) -> None:
    old = await here.connect()
    await old.ask(b"fine")
    here.link.begin(0, Impairment("blackhole"))
    new = await here.connect()
    for client in (old, new):
        await client.send(b"given up")
        client.writer.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):  # until the link has seen it
            await here.unit.until(lambda: False)
    here.link.end(0)
    await here.unit.until(lambda: here.unit.ends == ["closed"])
    assert await (await here.connect()).ask(b"again") == b"again"
    assert bytes(here.unit.got) == b"fineagain"


@with_link()
async def test_the_first_bytes_pass_into_a_blackhole(here: Place) -> None:
    here.link.begin(0, Impairment("blackhole", first=4))
    client = await here.connect()
    await client.send(b"123456")
    assert await client.reader.readexactly(4) == b"1234"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.reader.readexactly(1)
    here.link.end(0)
    assert await client.reader.readexactly(2) == b"56"


@with_link()
async def test_half_open_drops_the_units_end_silently(here: Place) -> None:
    client = await here.connect()
    await client.ask(b"fine")
    here.link.begin(0, Impairment("half-open"))
    await here.unit.until(lambda: here.unit.ends == ["reset"])
    new = await here.connect()
    for waiting in (client, new):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await waiting.ask(b"anybody?")
    here.link.end(0)  # what knows nothing of a connection resets it
    for waiting in (client, new):
        with pytest.raises(ConnectionResetError):
            await waiting.reader.read()
    assert bytes(here.unit.got) == b"fine"
    assert here.unit.connections == 1
    assert await (await here.connect()).ask(b"again") == b"again"


@with_link()
async def test_faults_that_begin_and_end_at_once_leave_nothing_behind(here: Place) -> None:
    client = await here.connect()
    await client.ask(b"fine")
    here.link.begin(0, Impairment("half-open"))
    here.link.end(0)
    here.link.begin(1, Impairment("cut"))
    here.link.end(1)
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    assert await (await here.connect()).ask(b"again") == b"again"


@with_link(listening=False)
async def test_a_connection_waits_until_the_unit_listens(here: Place) -> None:
    client = await here.connect()
    await client.send(b"early")
    await here.unit.listen()
    assert await client.reader.readexactly(5) == b"early"


@with_link(listening=False)
async def test_without_a_process_of_the_unit_connections_are_refused(here: Place) -> None:
    waiting = await here.connect()
    here.link.set_unit_up(False)
    with pytest.raises(ConnectionResetError):
        await waiting.reader.read()
    with pytest.raises(ConnectionRefusedError):
        await here.connect()
    here.link.set_unit_up(True)
    await here.unit.listen()
    assert await (await here.connect()).ask(b"back") == b"back"


@with_link()
async def test_a_cut_outlives_a_restart_of_the_unit(here: Place) -> None:
    here.link.begin(0, Impairment("cut"))
    here.link.set_unit_up(False)
    here.link.set_unit_up(True)
    with pytest.raises(ConnectionRefusedError):
        await here.connect()
    here.link.end(0)
    assert await (await here.connect()).ask(b"x") == b"x"


def test_a_port_that_is_taken_is_an_error() -> None:
    async def story() -> None:
        with PortAllocator().allocate(2) as lease:
            port, unit_port = lease.ports
            with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
                Link(port, unit_port, Condition(lambda: 0.0)).listen()

    asyncio.run(story())
