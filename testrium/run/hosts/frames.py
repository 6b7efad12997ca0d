"""What the two ends of a host's pipe say to each other; standard library only.

A frame is a kind (one letter), a number and a length, then as many bytes:

    M  a message, JSON. From home: {"op": "open"}, {"op": "put", "path": "group"},
       {"op": "ask", "id": N, "what": "ports", ...}, {"op": "clock", "t1": T}, {"op": "close"};
       from there: {"op": "opened", ...}, {"op": "answer", "id": N, ...},
       {"op": "clock", "t1": T, "t2": T, "t3": T},
       {"op": "feed", "feed": N, "path": "units/...", "root": "run" or "group"},
       {"op": "end", "feed": N},
       {"op": "wall", "read": [T, W, T]}: the wall clock there said W between two times,
       {"op": "cut" or "gone" or "replaced", "feed": N, "to": N}, {"op": "failed", "reason": "..."},
       {"op": "closed"}
    S  a line between runner and supervisor, see `supervisor.protocol`
    P  a part of an archive that is sent there; an empty one ends it
    F  bytes of a file there: the number is that of its feed
    A  bytes of files have arrived: the number is how many
    O  a connection is asked for, JSON: {"to": "waits"}, {"to": "otlp"}, {"to": "api.http",
       "unit": "shop" or null} from there, {"host": "...", "port": N} from home; odd numbers are
       given there, even ones at home
    R  how that went: {} or {"error": "...", "errno": N}
    D  bytes of a connection
    W  how many bytes of it were handed on (4 bytes): as many more may be sent
    E  nothing more comes on it; "close": both ways are over, "reset": they have broken

Before the first frame the far end writes a line that begins with `GREETING`. It may stand behind
whatever a login shell prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from testrium.loaded_by_name import AGENT, import_of

GREETING = b"TESTRIUM-AGENT "

HEADER = struct.Struct(">cII")

#: The longest content of a frame.
LONGEST = 1 << 24

#: How many bytes of files may be on their way at once; more would hold up what is said of units.
WINDOW = 1 << 20

#: Bytes of one frame with a part of a file or of a connection.
PART = 1 << 16

#: How many bytes of one connection may be on their way at once: it waits for its receiver alone.
ROOM = 1 << 18

#: Where connections of exporters lead; all others but `waits` lead to a link, UNIT.PORT.
TELEMETRY = "otlp"

#: How often the clock of the far end is asked: that shows each end that the other is there.
BEAT_S = 0.25

#: After how many beats without an answer the far end kills everything: within 2 s.
MOST_MISSED = 6

#: What the far end runs, with any Python: says what it is, takes what it is sent, and serves.
BOOT = """
import json, os, sys
sys.path[:] = [path for path in sys.path if path]
def take(count):
    data = b""
    while len(data) < count:
        part = os.read(0, min(count - len(data), 1 << 16))
        if not part:
            sys.exit(1)
        data += part
    return data
def line():
    data = b""
    while not data.endswith(b"\\n"):
        data += take(1)
    return data
version = None
try:
    import testrium
    version = testrium.__version__
except ImportError:
    pass
said = {"testrium": version, "python": list(sys.version_info[:3]), "executable": sys.executable}
os.write(1, b"\\nTESTRIUM-AGENT " + json.dumps(said).encode() + b"\\n")
size, folder = int(line()), None
if size:
    import io, tempfile, zipfile
    folder = tempfile.mkdtemp(prefix="testrium-agent-")
    zipfile.ZipFile(io.BytesIO(take(size))).extractall(folder)
    sys.path.insert(0, folder)
IMPORT
serve(folder)
""".replace("IMPORT", import_of(AGENT))


def frame(kind: bytes, number: int, content: bytes = b"") -> bytes:
    """One frame."""
    return HEADER.pack(kind, number, len(content)) + content


def message(op: str, **fields: Any) -> bytes:
    """A frame with a message."""
    return frame(b"M", 0, json.dumps({"op": op, **fields}, separators=(",", ":")).encode())


class Sink:
    """Takes what comes on a connection, for the program at this end."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Hand on; returns when there is room for more. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Nothing more comes."""
        with contextlib.suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    def reset(self) -> None:
        """Break the connection: its program gets an error, where the kernel can tell it."""
        if (end := self._writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()


# SO_LINGER on, for 0 seconds: to close is to reset. Source: socket(7).
_LINGER_0 = struct.pack("ii", 1, 0)


class JoinedStreams(NamedTuple):
    """What a connection is joined with at this end.

    `before` is awaited before what was read is sent. With `halves`, one way may end before the
    other; else both end together.
    """

    reader: asyncio.StreamReader
    sink: Sink
    before: Callable[[], Awaitable[None]] | None = None
    halves: bool = False


class _OpenConnection:
    """One connection: what has come and is to be handed on, and how much may be sent."""

    def __init__(self, streams: JoinedStreams) -> None:
        self.streams = streams
        self.came: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.room = ROOM
        self.has_room = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.open_ways = 2


class Connections:
    """The connections that go through the pipe, of one end; `send` takes frames.

    `first` is 1 there and 2 at home: both give numbers of their own.
    """

    def __init__(self, send: Callable[[bytes], None], first: int) -> None:
        self._send = send
        self._next = first
        self._channels: dict[int, _OpenConnection] = {}
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def ask(self, streams: JoinedStreams, **to: Any) -> None:
        """Join these streams with what the other end connects to.

        Raises OSError: it cannot connect, with its reason.
        """
        number, self._next = self._next, self._next + 2
        answered = self._asked[number] = asyncio.get_running_loop().create_future()
        channel = self._channels[number] = _OpenConnection(streams)
        self._send(frame(b"O", number, json.dumps(to).encode()))
        answer: dict[str, Any] = {"error": "the wait for it is over"}
        try:
            answer = await answered
        finally:
            del self._asked[number]
            if "error" in answer:
                self._channels.pop(number, None)
        if "error" in answer:
            raise OSError(answer.get("errno") or 0, answer["error"])
        self._begin(number, channel)

    def accept(self, number: int, streams: JoinedStreams) -> None:
        """The other end has asked for the connection `number`: this is what it is joined with."""
        channel = self._channels[number] = _OpenConnection(streams)
        self._send(frame(b"R", number, b"{}"))
        self._begin(number, channel)

    def refuse(self, number: int, error: OSError) -> None:
        """The other end has asked for a connection that cannot be made."""
        said = {"error": error.strerror or str(error), "errno": error.errno}
        self._send(frame(b"R", number, json.dumps(said).encode()))

    def take(self, kind: bytes, number: int, content: bytes) -> None:
        """A frame of a connection has come."""
        if kind == b"R":
            if (asked := self._asked.get(number)) is not None and not asked.done():
                asked.set_result(json.loads(content))
        elif (channel := self._channels.get(number)) is None:
            return
        elif kind == b"W":
            channel.room += int.from_bytes(content)
            channel.has_room.set()
        else:
            channel.came.put_nowait((kind, content))

    def close(self) -> None:
        """Hang up everywhere."""
        for channel in self._channels.values():
            for task in channel.tasks:
                task.cancel()
            channel.streams.sink.close()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result({"error": "the pipe is closed", "errno": 0})
        self._channels.clear()

    def _begin(self, number: int, channel: _OpenConnection) -> None:
        works = (self._pump(number, channel), self._hand_on(number, channel))
        channel.tasks += map(asyncio.ensure_future, works)

    async def _pump(self, number: int, channel: _OpenConnection) -> None:
        """Send what is read here, as far as the other end has room for it."""
        streams = channel.streams
        how = b"" if streams.halves else b"close"
        try:
            while data := await streams.reader.read(min(PART, channel.room)):
                if streams.before is not None:
                    await streams.before()
                channel.room -= len(data)
                self._send(frame(b"D", number, data))
                while channel.room <= 0:
                    channel.has_room.clear()
                    await channel.has_room.wait()
        except OSError:
            how = b"reset"
        self._send(frame(b"E", number, how))
        self._over(number, channel, both=bool(how))

    async def _hand_on(self, number: int, channel: _OpenConnection) -> None:
        """Write what has come, until its end."""
        sink = channel.streams.sink
        while True:
            kind, content = await channel.came.get()
            if kind == b"E":
                break
            with contextlib.suppress(OSError):  # a peer that is gone ends what is read too
                await sink.send(content)
            self._send(frame(b"W", number, len(content).to_bytes(4)))
        if content == b"reset":
            sink.reset()
        elif not content:
            sink.end()
        self._over(number, channel, both=bool(content))

    def _over(self, number: int, channel: _OpenConnection, *, both: bool) -> None:
        """One way of a connection is over, or both."""
        channel.open_ways -= 2 if both else 1
        if channel.open_ways <= 0 and self._channels.get(number) is channel:
            del self._channels[number]
            channel.streams.sink.close()
            for task in channel.tasks:
                if task is not asyncio.current_task():
                    task.cancel()
