"""Copies of what passes tapped links, as frames for the process that reads them: see `tapping`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from typing import Any, Final

from testrium.system.platform import system

#: In the environment of a process beside the units: the address of the runner.
CONTROL: Final = "TESTRIUM_CONTROL"

#: Kind, connection, time (CLOCK_MONOTONIC, ns), bytes that follow.
HEADER: Final = struct.Struct("<cIQI")

#: The kinds of frames: a client has connected, has sent, has got something, the connection is over;
#: bytes of it were left out; all before this is read.
OPENED, SENT, RECEIVED, CLOSED, MISSED, MARK = b"O", b"S", b"R", b"C", b"L", b"M"

#: How many bytes may wait for the process that reads copies; a connection is not copied further
#: than that.
_MOST_COPIED = 64 << 20


#: Frames of so long are sent together: each wake-up of another process costs those that wait here.
#: Where as many come, of longer: their times are known already.
_TOGETHER_S = 0.005
_MANY_TOGETHER_S = 0.02
_MANY = 8


class Copies:
    """Sends copies of what passes to the process that reads it. Nothing here waits for it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # a writer without a reference closes its transport
        self._transport = writer.transport
        self._transport.set_write_buffer_limits(high=2 * _MOST_COPIED)
        self._frames: list[bytes] = []
        self._flushing: asyncio.TimerHandle | None = None
        self._together_s = _TOGETHER_S
        self._count = 0

    def opened(self, tap: int, needs_client: bool, client: socket.socket) -> ConnectionCopy:
        """A client has connected to a tapped link; what copies its connection."""
        self._count += 1
        said: dict[str, Any] = {"tap": tap, "pids": [], "peer": "an address that is gone"}
        with contextlib.suppress(OSError):  # it has hung up already
            peer, own = client.getpeername(), client.getsockname()
            said["peer"] = f"{peer[0]}:{peer[1]}"
            said["pids"] = system.socket_owner(peer, own) if needs_client else []
        self.send(OPENED, self._count, 0, json.dumps(said).encode())
        return ConnectionCopy(self, self._count)

    def mark(self, number: int) -> None:
        """Everything that was sent so far comes before this."""
        self.send(MARK, number, 0, b"")
        self._flush()

    def send(self, kind: bytes, number: int, t_ns: int, data: bytes) -> None:
        """Send a frame soon, with others: what passes comes before what is reported of it."""
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(self._together_s, self._flush)
        self._frames += (HEADER.pack(kind, number, t_ns, len(data)), data)

    @property
    def is_full(self) -> bool:
        return self._transport.get_write_buffer_size() > _MOST_COPIED

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        data = b"".join(self._frames)
        many = len(self._frames) >= 2 * _MANY  # each has a header
        self._together_s = _MANY_TOGETHER_S if many else _TOGETHER_S
        self._frames.clear()
        if not self._transport.is_closing():
            self._transport.write(data)


class ConnectionCopy:
    """Gets what a client sends, and what it receives; never waits, never raises."""

    def __init__(self, copies: Copies, number: int) -> None:
        self._copies = copies
        self._number = number
        self._has_missed = False

    def sent(self, data: bytes, t_ns: int) -> None:
        """The client has sent this (CLOCK_MONOTONIC); b"" says that it sends no more."""
        self._receive(SENT, data, t_ns)

    def received(self, data: bytes, t_ns: int) -> None:
        """The client gets this now; b"" says that it gets no more."""
        self._receive(RECEIVED, data, t_ns)

    def closed(self) -> None:
        """The connection is over."""
        self._copies.send(CLOSED, self._number, 0, b"")

    def _receive(self, kind: bytes, data: bytes, t_ns: int) -> None:
        if self._has_missed:
            return
        if self._copies.is_full:
            self._has_missed = True
            self._copies.send(MISSED, self._number, t_ns, b"")
        else:
            self._copies.send(kind, self._number, t_ns, data)
