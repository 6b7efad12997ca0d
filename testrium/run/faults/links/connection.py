"""A link of a group: what its active faults do, its connections, and the port that it holds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from functools import partial
from typing import NamedTuple, NoReturn

from testrium.run.change import ChangeSignal
from testrium.run.faults.links.copies import ConnectionCopy

#: A throttled link passes what it carries in so short a time (seconds), not more at once.
SLICE_S = 0.02


class Impairment(NamedTuple):
    """What one fault does to a link.

    Args:
        do: `latency`, `throttle`, `reset`, `blackhole`, `half-open` or `cut`.
        delay_ns: added in each direction; `jitter_ns` is by how much more or less, at most.
        rate: bytes per second of each direction, all connections together.
        first: how many bytes of each direction of a connection pass before reset or blackhole.
    """

    do: str
    delay_ns: int = 0
    jitter_ns: int = 0
    rate: int = 0
    first: int = 0


class Fate(Enum):
    """The fate of the next byte of a connection."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"  # it is neither delivered nor refused
    CLOSE = "close"  # both ends see the end of the connection
    RESET = "reset"
    HALF_OPEN = "half-open"  # the unit's end is gone, and the other end is not told


class Condition:
    """The faults of one link that are active now, taken together.

    `random` returns numbers from 0 to 1, for jitter.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._active: dict[int, Impairment] = {}
        self._random = random

    def begin(self, fault: int, impairment: Impairment) -> None:
        self._active[fault] = impairment

    def end(self, fault: int) -> Impairment:
        return self._active.pop(fault)

    @property
    def is_cut(self) -> bool:
        """Whether connections are refused."""
        return any(each.do == "cut" for each in self._active.values())

    def delay_ns(self) -> int:
        """By how much what is read now arrives later."""
        spread = sum(each.jitter_ns for each in self._active.values())
        delay = sum(each.delay_ns for each in self._active.values())
        return max(0, delay + round((2 * self._random() - 1) * spread)) if spread else delay

    @property
    def rate(self) -> int | None:
        """Bytes per second of each direction; None without a bound."""
        return min((each.rate for each in self._active.values() if each.rate), default=None)

    def fate(self, passed: int) -> Fate:
        """The fate of the next byte of a direction that has carried `passed` bytes."""
        reached = {each.do for each in self._active.values() if passed >= each.first}
        for do, fate in _FATES.items():
            if do in reached:
                return fate
        return Fate.PASS

    def at_once(self, passed: int, wanted: int) -> int:
        """How many of `wanted` bytes, 1 or more, may pass before the fate is asked for again."""
        bounds = [wanted]
        bounds += [each.first - passed for each in self._active.values() if each.first > passed]
        if self.rate is not None:
            bounds.append(int(self.rate * SLICE_S))
        return max(1, min(bounds))


#: The strongest first.
_FATES = {
    "reset": Fate.RESET,
    "cut": Fate.CLOSE,
    "half-open": Fate.HALF_OPEN,
    "blackhole": Fate.WAIT,
}


class ThrottleQueue:
    """The queue in front of a throttled direction: first come, first served."""

    def __init__(self) -> None:
        self._free_ns = 0

    def reserve(self, size: int, rate: int | None, now_ns: int) -> int:
        """When (CLOCK_MONOTONIC) the last of `size` bytes has passed at `rate` bytes per second."""
        if rate is None:
            return now_ns
        self._free_ns = max(self._free_ns, now_ns) + size * 1_000_000_000 // rate
        return self._free_ns


#: How many bytes may be on their way before the sender has to wait.
LIMIT = 1 << 18

#: What an item costs besides its bytes: those that come one by one take room too.
_ITEM = 64


class SenderEnd(Enum):
    """How a sender ends: it has said all, or it was reset."""

    CLOSED = "closed"
    RESET = "reset"


class Flight:
    """Bytes on their way, with the times at which they arrive (CLOCK_MONOTONIC, ns).

    `passed` counts those that were delivered. `ended_unseen`: the sender has ended while nothing
    passed, and the other end does not know it.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.ended_unseen = False
        self._items: deque[tuple[int, bytes | SenderEnd]] = deque()
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def only_end_is_left(self) -> bool:
        """Whether the sender has ended, and nothing that it sent is on its way."""
        return self._ended and len(self._items) <= 1

    async def put(self, due_ns: int, data: bytes) -> None:
        """Send; waits while the buffer is full."""
        while self._size >= LIMIT:
            self._room.clear()
            await self._room.wait()
        self._size += len(data) + _ITEM
        self._append(due_ns, data)

    def end(self, due_ns: int, how: SenderEnd) -> None:
        """Nothing more comes."""
        self._ended = True
        self._append(due_ns, how)

    async def take(self) -> tuple[int, bytes | SenderEnd]:
        """What comes next, and when it arrives."""
        while not self._items:
            self._news.clear()
            await self._news.wait()
        due_ns, item = self._items.popleft()
        if isinstance(item, bytes):
            self._size -= len(item) + _ITEM
            self._room.set()
        return due_ns, item

    def _append(self, due_ns: int, item: bytes | SenderEnd) -> None:
        if self._items:  # nothing overtakes within a connection, however delays vary
            due_ns = max(due_ns, self._items[-1][0])
        self._items.append((due_ns, item))
        self._news.set()


_CHUNK = 1 << 14

# Nothing wakes us when a server begins to listen.
_FIRST_PAUSE_S = 0.001

_LONGEST_PAUSE_S = 0.02

# SO_LINGER on, for 0 seconds: to close is to reset. Source: socket(7).
_LINGER_0 = struct.pack("ii", 1, 0)


class Connection:
    """A client's connection and, as far as it came, the one to the unit.

    A `copy` gets what passes at the client's end: what a fault of the link delays or swallows
    was sent nevertheless, or was not received.
    """

    def __init__(
        self,
        link: Link,
        client: socket.socket,
        copy: ConnectionCopy | None,
        number: int,
    ) -> None:
        self._link = link
        self._number = number
        self._copy = copy
        self._client = client
        self._unit: socket.socket | None = None
        self._there = Flight()
        self._back = Flight()
        self._fate = Fate.PASS
        self._has_fate = asyncio.Event()
        self._is_broken = False

    @property
    def has_reached_unit(self) -> bool:
        return self._unit is not None

    @property
    def is_half_open(self) -> bool:
        """Whether the unit's end was taken away, and the client not told."""
        return self._fate is Fate.HALF_OPEN

    def meet(self, fate: Fate) -> None:
        """End the connection: closed, reset or half-open."""
        if not self._has_fate.is_set() or self._fate is Fate.HALF_OPEN:
            self._fate = fate
            self._has_fate.set()

    def apply_condition(self) -> None:
        """Faults have begun: let them break the connection if they do."""
        fate = self._link.condition.fate(max(self._there.passed, self._back.passed))
        if fate not in (Fate.PASS, Fate.WAIT):
            self._break(fate)

    async def live(self) -> None:
        """Carry what comes, until both ends have ended or a fault ends it."""
        try:
            fate = await self._until_fate(self._carry())
            if fate is Fate.HALF_OPEN:
                self._close_unit_resetting()
                fate = await self._until_fate(_swallow(self._client))
            if fate is Fate.RESET:
                self._close_unit_resetting()
                _make_resetting(self._client)
        finally:
            self._client.close()
            if self._unit is not None:
                self._unit.close()
            if self._copy is not None:
                self._copy.closed()

    def _break(self, fate: Fate) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._link.count(broken=1)
        self.meet(fate)

    async def _until_fate(self, work: Coroutine[None, None, None]) -> Fate:
        """The fate that interrupts the work; PASS where the work is finished."""
        task = asyncio.create_task(work)
        fated = asyncio.create_task(self._has_fate.wait())
        try:
            await asyncio.wait({task, fated}, return_when=asyncio.FIRST_COMPLETED)
            if not self._has_fate.is_set():
                task.result()
                return Fate.PASS
            self._has_fate.clear()
            return self._fate
        finally:
            task.cancel()
            fated.cancel()
            await asyncio.wait({task, fated})

    async def _carry(self) -> None:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(self._receive(self._client, self._there))
            unit = self._unit = await self._reach_unit()
            to_unit, to_client = self._link.paces
            directions.create_task(self._receive(unit, self._back))
            directions.create_task(self._deliver(self._there, unit, to_unit))
            directions.create_task(self._deliver(self._back, self._client, to_client))

    async def _reach_unit(self) -> socket.socket:
        """Connect to the unit, as soon as it listens."""
        link = self._link
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._wait_passable(self._there)
            try:
                return await link.connect()
            except OSError:
                if not link.unit_is_up or self._there.only_end_is_left:
                    await self._end(Fate.RESET)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _receive(self, sender: socket.socket, flight: Flight) -> None:
        """Read what the sender sends, as soon as it comes."""
        loop = asyncio.get_running_loop()
        condition = self._link.condition
        copy = self._copy if flight is self._there else None
        while True:
            end = SenderEnd.CLOSED
            try:
                data = await loop.sock_recv(sender, _CHUNK)
            except OSError:
                data, end = b"", SenderEnd.RESET
            now_ns = time.monotonic_ns()
            if copy is not None:
                copy.sent(data, now_ns)
            due_ns = now_ns + condition.delay_ns()
            if not data:
                flight.ended_unseen = condition.fate(flight.passed) is Fate.WAIT
                flight.end(due_ns, end)
                return
            await flight.put(due_ns, data)

    async def _deliver(self, flight: Flight, receiver: socket.socket, pace: ThrottleQueue) -> None:
        """Hand on what has arrived, as fast as the link carries it."""
        loop = asyncio.get_running_loop()
        copy = self._copy if flight is self._back else None
        while True:
            due_ns, item = await flight.take()
            await _sleep_until(due_ns)
            if isinstance(item, SenderEnd):
                await self._wait_passable(flight)
                if item is SenderEnd.RESET:
                    await self._end(Fate.RESET)
                if copy is not None:
                    copy.received(b"", time.monotonic_ns())
                with contextlib.suppress(OSError):  # the receiver is gone, and will be heard of
                    receiver.shutdown(socket.SHUT_WR)
                return
            if self._link.hold is not None:
                await self._link.hold(self._number, "in" if flight is self._there else "out")
            rest = memoryview(item)
            while rest:
                size = await self._passage(flight, len(rest), pace)
                if copy is not None:
                    copy.received(bytes(rest[:size]), time.monotonic_ns())
                try:
                    await loop.sock_sendall(receiver, rest[:size])
                except OSError:
                    await self._end(Fate.RESET)
                flight.passed += size
                self._link.count(passed=size)
                rest = rest[size:]
            self.apply_condition()  # these may have been its last bytes

    async def _passage(self, flight: Flight, wanted: int, pace: ThrottleQueue) -> int:
        """Wait until something may pass: how many of `wanted` bytes."""
        condition = self._link.condition
        size = condition.at_once(flight.passed, wanted)
        await _sleep_until(pace.reserve(size, condition.rate, time.monotonic_ns()))
        await self._wait_passable(flight)
        return min(size, condition.at_once(flight.passed, size))

    async def _wait_passable(self, flight: Flight) -> None:
        while (fate := self._link.condition.fate(flight.passed)) is not Fate.PASS:
            if fate is not Fate.WAIT:
                self._break(fate)
                await _forever()
            await self._link.change.wait()
            if self._there.ended_unseen or self._back.ended_unseen:
                # A kernel would go on to repeat what it had not delivered when its program hung
                # up. Who gave up has most likely sent it again: let it not arrive twice.
                await self._end(Fate.CLOSE)

    async def _end(self, fate: Fate) -> NoReturn:
        self.meet(fate)
        await _forever()

    def _close_unit_resetting(self) -> None:
        if self._unit is not None:
            _make_resetting(self._unit)
            self._unit.close()
            self._unit = None


async def _forever() -> NoReturn:
    """Wait to be cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing sets this future")


def _make_resetting(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)


async def _swallow(sender: socket.socket) -> None:
    """Read and drop all data until the sender ends."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while await loop.sock_recv(sender, _CHUNK):
            pass


async def _sleep_until(due_ns: int) -> None:
    left_ns = due_ns - time.monotonic_ns()
    if left_ns > 0:
        await asyncio.sleep(left_ns / 1e9)


_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

_BACKLOG = 1024

# How long to wait when a connection cannot be taken because all descriptors are in use.
_ACCEPT_PAUSE_S = 0.05


class Seen(NamedTuple):
    """What a link has seen so far: connections taken and broken by faults, bytes delivered."""

    connections: int = 0
    broken: int = 0
    bytes: int = 0

    def since(self, earlier: Seen) -> Seen:
        return Seen(*(now - before for now, before in zip(self, earlier, strict=True)))


class Link:
    """Listens at `port` for everybody but the unit, which listens at `unit_port`.

    While the unit has a process, connections are taken, and wait until it listens; while it has
    none they are refused, as they would be without us.
    """

    def __init__(self, port: int, unit_port: int, condition: Condition, host: str = "") -> None:
        self.condition = condition
        #: Makes what copies a client's connection.
        self.copy_of: Callable[[socket.socket], ConnectionCopy] | None = None
        #: Is awaited with a connection's number, and `in` or `out`, before what was sent passes.
        self.hold: Callable[[int, str], Awaitable[None]] | None = None
        self.unit_is_up = True
        #: The queues of both directions: to the unit, and back.
        self.paces = (ThrottleQueue(), ThrottleQueue())
        self.seen = Seen()
        #: A fault has begun or ended.
        self.change = ChangeSignal()
        self._port = port
        self._unit_port = unit_port
        self._host = host  # another one, where the unit is
        self._listening: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._connections: dict[Connection, asyncio.Task[None]] = {}

    def set_unit_up(self, up: bool) -> None:
        """The unit has got a process, or has none any more. Raises OSError, see `listen`."""
        self.unit_is_up = up
        if not up:
            for connection in self._connections:
                if not connection.has_reached_unit:
                    connection.meet(Fate.RESET)
        self.listen()

    def begin(self, fault: int, impairment: Impairment) -> None:
        """Let a fault act."""
        self.condition.begin(fault, impairment)
        if self.condition.is_cut:
            self._hang_up()
        for connection in self._connections:
            connection.apply_condition()
        self.change.notify()

    def end(self, fault: int) -> None:
        """Let it act no more. Raises OSError, see `listen`."""
        if self.condition.end(fault).do == "half-open":
            # As a machine that was restarted answers to connections that it knows nothing of.
            for connection in self._connections:
                if connection.is_half_open:
                    connection.meet(Fate.RESET)
        self.change.notify()
        self.listen()

    def listen(self) -> None:
        """Listen if connections are taken now, else stop it.

        Raises:
            OSError: the port is in use.
        """
        if not self.unit_is_up or self.condition.is_cut:
            self._hang_up()
        elif not self._listening:
            for family, address in _LOOPBACK:
                if (server := _server(family, address, self._port)) is not None:
                    self._listening.append((server, asyncio.create_task(self._accept(server))))

    def close(self) -> None:
        """Take no more connections, and reset those that there are."""
        self._hang_up()
        for connection in self._connections:
            connection.meet(Fate.RESET)

    # What a connection needs --------------------------------------------------------------------

    async def connect(self) -> socket.socket:
        """A connection to the unit's real port. Raises OSError."""
        error: OSError | None = None
        for family, address in await self._places():
            try:
                return await _connected(family, address, self._unit_port)
            except OSError as refused:
                error = error or refused
        assert error is not None
        raise error

    async def _places(self) -> Sequence[tuple[int, str]]:
        """Where the unit may listen."""
        if not self._host:
            return _LOOPBACK
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._unit_port, type=socket.SOCK_STREAM)
        return [(family, str(address[0])) for family, _, _, _, address in found]

    def count(self, *, passed: int = 0, broken: int = 0) -> None:
        """Count delivered bytes and connections broken by a fault."""
        seen = self.seen
        self.seen = seen._replace(bytes=seen.bytes + passed, broken=seen.broken + broken)

    # ------------------------------------------------------------------------------------------

    async def _accept(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(server)
            except OSError:  # no more descriptors
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            copy = None if self.copy_of is None else self.copy_of(client)
            self.seen = self.seen._replace(connections=self.seen.connections + 1)
            connection = Connection(self, client, copy, self.seen.connections)
            connection.apply_condition()
            task = self._connections[connection] = asyncio.create_task(connection.live())
            task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: Connection, _: object) -> None:
        del self._connections[connection]

    def _hang_up(self) -> None:
        loop = asyncio.get_running_loop()
        for server, accepting in self._listening:
            loop.remove_reader(server)  # or the loop does it later, when the number is another's
            accepting.cancel()
            server.close()
        self._listening.clear()


def _server(family: int, address: str, port: int) -> socket.socket | None:
    """A socket that listens; None where the machine has no such family of addresses."""
    server = None
    try:
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(_BACKLOG)
    except OSError as error:
        if server is not None:
            server.close()
        if error.errno in _NO_SUCH_FAMILY:
            return None
        raise
    return server


async def _connected(family: int, address: str, port: int) -> socket.socket:
    end = socket.socket(family, socket.SOCK_STREAM)
    try:
        end.setblocking(False)
        await asyncio.get_running_loop().sock_connect(end, (address, port))
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        end.close()
        raise
    return end
