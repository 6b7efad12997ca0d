"""One link: the port that stands in front of a unit's, and the connections through it."""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from typing import NamedTuple

from testrium.run.change import Change
from testrium.run.links.condition import Condition, Fate, Impairment, Pace
from testrium.run.links.connection import Connection

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_BACKLOG = 1024

# How long to wait when a connection cannot be taken because there are no more descriptors.
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

    def __init__(self, port: int, unit_port: int, condition: Condition) -> None:
        self.condition = condition
        self.unit_is_up = True
        self.paces = (Pace(), Pace())
        self.seen = Seen()
        self._port = port
        self._unit_port = unit_port
        self._change = Change()
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
        for family, address in _LOOPBACK:
            try:
                return await _connected(family, address, self._unit_port)
            except OSError as refused:
                error = error or refused
        assert error is not None
        raise error

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
            connection = Connection(self, client)
            self.seen = self.seen._replace(connections=self.seen.connections + 1)
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
