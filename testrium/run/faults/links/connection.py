"""What the active faults of a link do to what passes it. Pure: no sockets, no clock."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any, NamedTuple, NoReturn, Protocol, Self

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

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        return cls(**message)


class Fate(Enum):
    """The fate of the next byte of a connection."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"  # it is neither delivered nor refused
    CLOSE = "close"  # both ends are told that the connection is over
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


class Road(Protocol):
    """What a connection needs of its link.

    `unit_is_up`: whether the unit has a process; otherwise nothing listens. `paces` are the
    queues of both directions: to the unit, and back.
    """

    condition: Condition
    unit_is_up: bool
    paces: tuple[ThrottleQueue, ThrottleQueue]
    #: Is awaited before what was sent passes: by the connection with this number, `in` or `out`.
    hold: Callable[[int, str], Awaitable[None]] | None

    async def wait_change(self) -> None:
        """Wait until a fault begins or ends."""

    async def connect(self) -> socket.socket:
        """A connection to the unit's real port. Raises OSError."""

    def count(self, *, passed: int = 0, broken: int = 0) -> None:
        """Count delivered bytes and connections broken by a fault."""


class Listener(Protocol):
    """Gets a copy of what a client sends, and of what it receives; never waits, never raises."""

    def sent(self, data: bytes, t_ns: int) -> None:
        """The client has sent this (CLOCK_MONOTONIC); b"" says that it sends no more."""

    def received(self, data: bytes, t_ns: int) -> None:
        """The client gets this now; b"" says that it gets no more."""

    def closed(self) -> None:
        """The connection is over."""


class Connection:
    """A client's connection and, as far as it came, the one to the unit.

    A `listener` hears what passes at the client's end: what a fault of the link delays or swallows
    was sent nevertheless, or was not received.
    """

    def __init__(
        self,
        road: Road,
        client: socket.socket,
        listener: Listener | None = None,
        number: int = 0,
    ) -> None:
        self._road = road
        self._number = number
        self._listener = listener
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

    def heed(self) -> None:
        """Faults have begun: let them break the connection if they do."""
        fate = self._road.condition.fate(max(self._there.passed, self._back.passed))
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
            if self._listener is not None:
                self._listener.closed()

    def _break(self, fate: Fate) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._road.count(broken=1)
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
            to_unit, to_client = self._road.paces
            directions.create_task(self._receive(unit, self._back))
            directions.create_task(self._deliver(self._there, unit, to_unit))
            directions.create_task(self._deliver(self._back, self._client, to_client))

    async def _reach_unit(self) -> socket.socket:
        """Connect to the unit, as soon as it listens."""
        road = self._road
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._wait_passable(self._there)
            try:
                return await road.connect()
            except OSError:
                if not road.unit_is_up or self._there.only_end_is_left:
                    await self._end(Fate.RESET)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _receive(self, sender: socket.socket, flight: Flight) -> None:
        """Read what the sender sends, as soon as it comes."""
        loop = asyncio.get_running_loop()
        condition = self._road.condition
        listener = self._listener if flight is self._there else None
        while True:
            end = SenderEnd.CLOSED
            try:
                data = await loop.sock_recv(sender, _CHUNK)
            except OSError:
                data, end = b"", SenderEnd.RESET
            now_ns = time.monotonic_ns()
            if listener is not None:
                listener.sent(data, now_ns)
            due_ns = now_ns + condition.delay_ns()
            if not data:
                flight.ended_unseen = condition.fate(flight.passed) is Fate.WAIT
                flight.end(due_ns, end)
                return
            await flight.put(due_ns, data)

    async def _deliver(self, flight: Flight, receiver: socket.socket, pace: ThrottleQueue) -> None:
        """Hand on what has arrived, as fast as the link carries it."""
        loop = asyncio.get_running_loop()
        listener = self._listener if flight is self._back else None
        while True:
            due_ns, item = await flight.take()
            await _sleep_until(due_ns)
            if isinstance(item, SenderEnd):
                await self._wait_passable(flight)
                if item is SenderEnd.RESET:
                    await self._end(Fate.RESET)
                if listener is not None:
                    listener.received(b"", time.monotonic_ns())
                with contextlib.suppress(OSError):  # the receiver is gone, and will be heard of
                    receiver.shutdown(socket.SHUT_WR)
                return
            if self._road.hold is not None:
                await self._road.hold(self._number, "in" if flight is self._there else "out")
            rest = memoryview(item)
            while rest:
                size = await self._passage(flight, len(rest), pace)
                if listener is not None:
                    listener.received(bytes(rest[:size]), time.monotonic_ns())
                try:
                    await loop.sock_sendall(receiver, rest[:size])
                except OSError:
                    await self._end(Fate.RESET)
                flight.passed += size
                self._road.count(passed=size)
                rest = rest[size:]
            self.heed()  # these may have been its last bytes

    async def _passage(self, flight: Flight, wanted: int, pace: ThrottleQueue) -> int:
        """Wait until something may pass: how many of `wanted` bytes."""
        condition = self._road.condition
        size = condition.at_once(flight.passed, wanted)
        await _sleep_until(pace.reserve(size, condition.rate, time.monotonic_ns()))
        await self._wait_passable(flight)
        return min(size, condition.at_once(flight.passed, size))

    async def _wait_passable(self, flight: Flight) -> None:
        while (fate := self._road.condition.fate(flight.passed)) is not Fate.PASS:
            if fate is not Fate.WAIT:
                self._break(fate)
                await _forever()
            await self._road.wait_change()
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
