"""The process that carries the links of a group; see `control` for the runner's side.

It is started like a unit, below the supervisor, and connects back to the runner. One JSON line
each:

    {"op": "open", "links": {"api.http": [port, port of the unit, address of its host or ""]}}
                                                                     -> {"event": "open"}
    {"op": "unit", "links": [...], "up": true, "id": 7}              -> {"event": "done", "id": 7}
    {"op": "begin", "fault": 0, "link": "api.http", "impairment": {...}, "for_ns": N or null}
                                               -> {"event": "began", "fault": 0, "t_ns": T}
                                               later {"event": "ended", "fault": 0, "t_ns": T,
                                                      "seen": {...}}
    {"op": "tap", "address": A, "links": {"api.http": [0, true]}}  -> {"event": "tapped"}
                                               copies go to the process at A, see `tapping`
    {"op": "mark", "id": 7}                    all that has passed is told there before the mark
    {"op": "hold", "links": [...]}: what passes them is asked for from now on
                                               -> {"event": "held", "id": 3, "link": "api.http",
                                                   "connection": 1, "way": "in"}
    {"op": "pass", "id": 3}: it may pass
    {"op": "finish"}                           -> "ended" of what still acts, {"event": "finished"}
    what cannot be done                        -> {"event": "failed", "reason": "..."}

Times are kept here: a runner that is stopped cannot stop them.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from testrium.probe.waiting import connected_async
from testrium.run.change import ChangeSignal
from testrium.run.faults.links.connection import (
    Condition,
    Connection,
    Fate,
    Impairment,
    Listener,
    ThrottleQueue,
)
from testrium.run.faults.links.copies import CONTROL, Copies

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
        self.listen_to: Callable[[socket.socket], Listener] | None = None
        self.hold: Callable[[int, str], Awaitable[None]] | None = None
        self.unit_is_up = True
        self.paces = (ThrottleQueue(), ThrottleQueue())
        self.seen = Seen()
        self._port = port
        self._unit_port = unit_port
        self._host = host  # another one, where the unit is
        self._change = ChangeSignal()
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
            connection.heed()
        self._change.notify()

    def end(self, fault: int) -> None:
        """Let it act no more. Raises OSError, see `listen`."""
        if self.condition.end(fault).do == "half-open":
            # As a machine that was restarted answers to connections that it knows nothing of.
            for connection in self._connections:
                if connection.is_half_open:
                    connection.meet(Fate.RESET)
        self._change.notify()
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
                if (server := _listener(family, address, self._port)) is not None:
                    self._listening.append((server, asyncio.create_task(self._accept(server))))

    def close(self) -> None:
        """Take no more connections, and reset those that there are."""
        self._hang_up()
        for connection in self._connections:
            connection.meet(Fate.RESET)

    # What a connection needs --------------------------------------------------------------------

    async def wait_change(self) -> None:
        await self._change.wait()

    async def connect(self) -> socket.socket:
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
            listener = None if self.listen_to is None else self.listen_to(client)
            self.seen = self.seen._replace(connections=self.seen.connections + 1)
            connection = Connection(self, client, listener, self.seen.connections)
            connection.heed()
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


def _listener(family: int, address: str, port: int) -> socket.socket | None:
    """A socket that listens; None where the machine has no such family of addresses."""
    try:
        server = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return None
        raise
    try:
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(_BACKLOG)
    except OSError as error:
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


_LINE_LIMIT = 1 << 16


def serve() -> None:
    """The entrypoint: serve until the runner hangs up."""
    asyncio.run(_serve(os.environ[CONTROL]))


async def _serve(address: str) -> None:
    reader, writer = await connected_async(address, _LINE_LIMIT)
    links = _Links(writer)
    while line := await reader.readline():
        message = json.loads(line)
        try:
            if message["op"] == "tap":
                await links.tap(message)
            else:
                links.obey(message)
        except OSError as error:
            links.tell("failed", reason=str(error))


class _Links:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._links: dict[str, Link] = {}
        self._active: dict[int, tuple[Link, Seen]] = {}
        self._copies: Copies | None = None
        self._held: dict[int, asyncio.Future[None]] = {}
        self._last = 0  # number of a question

    async def tap(self, message: dict[str, Any]) -> None:
        """Send copies of what passes some links to the process at an address."""
        _, writer = await connected_async(message["address"], _LINE_LIMIT)
        copies = self._copies = Copies(writer)
        for name, (number, needs_client) in message["links"].items():
            self._links[name].listen_to = partial(copies.opened, number, needs_client)
        self.tell("tapped")

    def obey(self, message: dict[str, Any]) -> None:
        """Do what the runner says. Raises OSError: a port is in use."""
        match message["op"]:
            case "open":
                for name, (port, unit_port, host) in message["links"].items():
                    link = Link(port, unit_port, Condition(random.random), host)
                    self._links[name] = link
                    link.listen()
                self.tell("open")
            case "hold":
                for name in message["links"]:
                    self._links[name].hold = partial(self._hold, name)
            case "pass":
                self._held.pop(message["id"]).set_result(None)
            case "unit":
                for name in message["links"]:
                    self._links[name].set_unit_up(message["up"])
                self.tell("done", id=message["id"])
            case "begin":
                self._begin(message)
            case "mark":
                if self._copies is not None:
                    self._copies.mark(message["id"])
            case "finish":
                for fault in tuple(self._active):
                    self._end(fault)
                for link in self._links.values():
                    link.close()
                self.tell("finished")

    async def _hold(self, link: str, connection: int, way: str) -> None:
        """Ask the runner whether what was sent may pass, and wait until it says so."""
        self._last += 1
        held = self._held[self._last] = asyncio.get_running_loop().create_future()
        self.tell("held", id=self._last, link=link, connection=connection, way=way)
        await held

    def tell(self, event: str, **fields: object) -> None:
        self._writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    def _begin(self, message: dict[str, Any]) -> None:
        fault, link = message["fault"], self._links[message["link"]]
        self._active[fault] = link, link.seen
        link.begin(fault, Impairment.from_message(message["impairment"]))
        self.tell("began", fault=fault, t_ns=time.monotonic_ns())
        if message["for_ns"] is not None:
            asyncio.get_running_loop().call_later(message["for_ns"] / 1e9, self._end_in_time, fault)

    def _end_in_time(self, fault: int) -> None:
        if fault in self._active:
            try:
                self._end(fault)
            except OSError as error:
                self.tell("failed", reason=str(error))

    def _end(self, fault: int) -> None:
        link, before = self._active.pop(fault)
        seen = link.seen.since(before)
        link.end(fault)
        told = {**seen._asdict(), "used": link.seen.connections > 0}
        self.tell("ended", fault=fault, t_ns=time.monotonic_ns(), seen=told)
