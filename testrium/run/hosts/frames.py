"""What the two ends of a host's pipe say to each other; standard library only.

A frame is a kind (one letter), a number and a length, then so many bytes:

    M  a message, JSON. From home: {"op": "open"}, {"op": "put", "path": "group"},
       {"op": "ask", "id": N, "what": "ports", ...}, {"op": "clock", "t1": T}, {"op": "close"};
       from there: {"op": "opened", ...}, {"op": "answer", "id": N, ...},
       {"op": "clock", "t1": T, "t2": T, "t3": T}, {"op": "feed", "feed": N, "path": "units/..."},
       {"op": "cut" or "gone" or "replaced", "feed": N, "to": N}, {"op": "failed", "reason": "..."},
       {"op": "closed"}
    S  a line between runner and supervisor, see `supervisor.protocol`
    P  a part of an archive that is sent there; an empty one ends it
    F  bytes of a file there: the number is that of its feed
    A  so many bytes of files have arrived: the number is how many
    O  a connection is asked for, JSON; odd numbers are given there, even ones at home
    R  how that went: {} or {"error": "...", "errno": N}
    D  bytes of a connection
    E  nothing more comes on it

Before the first frame the far end writes a line that begins with `GREETING`. It may stand behind
whatever a login shell prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable
from typing import Any, Protocol

from testrium.loaded_by_name import AGENT, import_of

GREETING = b"TESTRIUM-AGENT "

HEADER = struct.Struct(">cII")

#: The longest content of a frame.
LONGEST = 1 << 24

#: So many bytes of files may be on their way at once; more would hold up what is said of units.
WINDOW = 1 << 20

#: Bytes of one frame with a part of a file or of a connection.
PART = 1 << 16

#: The clock of the far end is asked so often: it is the sign of life of both ends too.
BEAT_S = 0.25

#: After so many beats without a sign the far end kills everything: within 2 s.
MOST_MISSED = 6

#: What the far end runs, with any Python: says who it is, takes what it is sent, and serves.
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


class Sink(Protocol):
    """Takes what comes on a connection."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connections:
    """The connections that go through the pipe, of one end; `send` takes frames.

    `first` is 1 there and 2 at home: both give numbers of their own.
    """

    def __init__(self, send: Callable[[bytes], None], first: int) -> None:
        self._send = send
        self._next = first
        self._writers: dict[int, Sink] = {}
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **to: Any
    ) -> None:
        """Join these streams with what the other end connects to.

        Raises OSError: it cannot connect, with its reason.
        """
        number, self._next = self._next, self._next + 2
        answered = self._asked[number] = asyncio.get_running_loop().create_future()
        self._writers[number] = writer
        self._send(frame(b"O", number, json.dumps(to).encode()))
        try:
            answer = await answered
        finally:
            del self._asked[number]
        if "error" in answer:
            self._writers.pop(number, None)
            raise OSError(answer.get("errno") or 0, answer["error"])
        self._begin(self._pump(number, reader))

    def accept(self, number: int, reader: asyncio.StreamReader, writer: Sink) -> None:
        """The other end has asked for the connection `number`: this is what it is joined with."""
        self._writers[number] = writer
        self._send(frame(b"R", number, b"{}"))
        self._begin(self._pump(number, reader))

    def refuse(self, number: int, error: OSError) -> None:
        """The other end has asked for a connection that cannot be made."""
        said = {"error": error.strerror or str(error), "errno": error.errno}
        self._send(frame(b"R", number, json.dumps(said).encode()))

    def take(self, kind: bytes, number: int, content: bytes) -> None:
        """A frame of a connection has come."""
        if kind == b"R":
            if (asked := self._asked.get(number)) is not None and not asked.done():
                asked.set_result(json.loads(content))
        elif (writer := self._writers.get(number)) is None:
            return
        elif kind == b"D":
            writer.write(content)
        else:
            del self._writers[number]
            writer.close()

    def close(self) -> None:
        """Hang up everywhere."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers.values():
            writer.close()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result({"error": "the pipe is closed", "errno": 0})
        self._writers.clear()

    async def _pump(self, number: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PART):
                await self._before(number)
                self._send(frame(b"D", number, data))
        self._send(frame(b"E", number))
        if (writer := self._writers.pop(number, None)) is not None:
            writer.close()

    async def _before(self, number: int) -> None:
        """Overridden where something has to be sent before what is said."""

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
