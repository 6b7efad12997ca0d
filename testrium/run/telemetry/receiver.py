"""The process that receives OTLP over HTTP and writes what rules make of it into probe files.

It answers as the specification says: 200 (with what was rejected), 400, 404, 405, 413, 415, and 429
or 503 for what may be sent again. Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import h11

from testrium.checks.patterns import TookTooLongError, at_most
from testrium.probe.waiting import connected_async
from testrium.run.telemetry import CONTROL
from testrium.run.telemetry.otlp import BadBodyError, FindSender, decoded, response
from testrium.run.telemetry.spans import Collector, EventLine, Rule, WallClock
from testrium.system.files import write_all

#: The largest body, as it comes and unpacked (bytes).
MOST_BODY: Final = 16 << 20
MOST_UNPACKED: Final = 64 << 20
#: All bodies that are being read at once (bytes).
MOST_WAITING: Final = 64 << 20
#: Records per second that are taken for long, and at once.
MOST_RECORDS_PER_S: Final = 50_000
MOST_RECORDS_AT_ONCE: Final = 200_000

#: How many bytes are unpacked at a time, and how many gzip files in a row a body may be.
_PACKED: Final = 1 << 14
_MOST_MEMBERS: Final = 1000

_SIGNALS: Final = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_TYPES: Final = ("application/x-protobuf", "application/json")
_LINE_LIMIT: Final = 1 << 22
_CHUNK: Final = 1 << 16
#: How often the receiver checks whether events have waited too long (seconds).
_TICK_S: Final = 0.1
#: CPU time that one body may take, with the patterns of rules (seconds).
_BODY_S: Final = 5.0

#: Status, headers and body.
HttpAnswer = tuple[int, dict[str, str], bytes]


class Refused(Exception):  # noqa: N818 - an answer, no defect
    """A request that is answered with an error; `again_s` tells when it may be repeated."""

    def __init__(self, status: int, message: str, again_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.again_s = again_s


class ReceiverLimits(NamedTuple):
    """How much is taken."""

    body: int = MOST_BODY
    unpacked: int = MOST_UNPACKED
    waiting: int = MOST_WAITING
    per_s: int = MOST_RECORDS_PER_S
    at_once: int = MOST_RECORDS_AT_ONCE


class RateLimit:
    """A limit on the rate per second, with a burst."""

    def __init__(self, per_s: int, at_once: int) -> None:
        self._per_s, self._most = per_s, at_once
        self._left, self._then_ns = float(at_once), time.monotonic_ns()

    def take(self, count: int) -> bool:
        """Whether `count` more are within the limit."""
        now_ns = time.monotonic_ns()
        gained = (now_ns - self._then_ns) / 1e9 * self._per_s
        self._left, self._then_ns = min(self._most, self._left + gained), now_ns
        if self._left < min(count, self._most):
            return False
        self._left -= count
        return True


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body as it was before it was packed. Raises Refused."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Refused(415, f"unsupported Content-Encoding {encoding!r}: use gzip")
    whole, members = bytearray(), 0
    unpacker = None
    try:
        for start in range(0, len(body), _PACKED):
            part = body[start : start + _PACKED]
            while part:
                if unpacker is None:
                    members += 1
                    unpacker = zlib.decompressobj(47)  # gzip or zlib, as the data say
                if members > _MOST_MEMBERS:
                    raise Refused(400, f"the packed body has more than {_MOST_MEMBERS} parts")
                whole += unpacker.decompress(part, limit + 1 - len(whole))
                if len(whole) > limit:
                    raise Refused(413, f"the body unpacks to more than {limit} bytes")
                part = unpacker.unused_data
                if unpacker.eof:
                    unpacker = None
    except zlib.error as error:
        raise Refused(400, f"the body is not {encoding}: {error}") from error
    if unpacker is not None:
        raise Refused(400, "the packed body is cut off")
    return bytes(whole)


class Receiver:
    """Answers requests: without sockets, so tests can ask it. `write` gets events."""

    def __init__(
        self,
        collector: Collector,
        find_sender: FindSender,
        write: Callable[[Iterable[EventLine]], None],
        limits: ReceiverLimits,
    ) -> None:
        self._collector = collector
        self._find_sender = find_sender
        self._write = write
        self.limits = limits
        self._bucket = RateLimit(limits.per_s, limits.at_once)
        #: Units and how many of their batches were taken.
        self.batches: Counter[str] = Counter()
        #: Why batches were refused, and how often.
        self.refused: Counter[str] = Counter()
        #: Units whose spans say that not all were sent.
        self.sampled: set[str] = set()

    def answer(
        self,
        method: str,
        path: str,
        kind: str,
        encoding: str,
        body: bytes,
        clock: WallClock | None = None,
    ) -> HttpAnswer:
        """Status, headers and body of the answer; `clock` is that of another host."""
        kind = kind.partition(";")[0].strip().lower()
        try:
            signal = check_head(method, path, kind)
            return 200, {"Content-Type": kind}, self._taken(signal, kind, encoding, body, clock)
        except Refused as refused:
            return self.refusal(refused, kind)

    def refusal(self, refused: Refused, kind: str) -> HttpAnswer:
        """The answer to what is not taken: a Status, as text or as a message."""
        self.refused[f"HTTP {refused.status}: {refused.message}"] += 1
        headers = {}
        if refused.again_s is not None:
            headers["Retry-After"] = str(refused.again_s)
        if refused.status == 405:
            headers["Allow"] = "POST"
        text = refused.message.encode()[:1000]
        if kind == "application/x-protobuf":  # google.rpc.Status: the message is field 2
            size = bytes([len(text) & 127 | 128, len(text) >> 7]) if len(text) > 127 else None
            told = b"\x12" + (size or bytes([len(text)])) + text
        else:
            kind = "application/json"
            told = json.dumps({"message": text.decode(errors="replace")}).encode()
        return refused.status, headers | {"Content-Type": kind}, told

    def _taken(
        self, signal: str, kind: str, encoding: str, body: bytes, clock: WallClock | None
    ) -> bytes:
        body = unpacked(body, encoding.strip().lower(), self.limits.unpacked)
        try:
            found = decoded(signal, kind, body, self._find_sender)
        except BadBodyError as error:
            raise Refused(400, f"the body is not OTLP {signal}: {error}") from error
        if not self._bucket.take(len(found.records)):
            raise Refused(429, f"more than {self.limits.per_s} records per second", again_s=1)
        self.batches.update(found.units)
        self.sampled |= found.sampled
        self._write(self._collector.add(found.records, time.monotonic_ns(), clock))
        return response(signal, kind, found)


def check_head(method: str, path: str, kind: str) -> str:
    """What a request is about. Raises Refused."""
    signal = _SIGNALS.get(path.partition("?")[0])
    if signal is None:
        raise Refused(404, f"nothing at this path: use {', '.join(_SIGNALS)}")
    if method != "POST":
        raise Refused(405, f"method {method} at {path}: use POST")
    if kind not in _TYPES:
        raise Refused(415, f"unsupported Content-Type {kind!r}: use {' or '.join(_TYPES)}")
    return signal


# The process ------------------------------------------------------------------------------------


def serve() -> None:
    """The entrypoint: serve until the runner hangs up."""
    asyncio.run(_serve(os.environ[CONTROL]))


async def _serve(address: str) -> None:
    reader, writer = await connected_async(address, _LINE_LIMIT)
    process: _Process | None = None
    while line := await reader.readline():
        message = json.loads(line)
        if message["op"] == "open":
            process = _Process(message, writer)
            await process.open(message["id"])
        elif process is not None:
            process.obey(message)


class _Process:
    """The receiver with its sockets, files and clock, for one group."""

    def __init__(self, opened: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._files: dict[tuple[str, int], int] = {}
        self._paths = {unit: str(folder) for unit, folder in opened["folders"].items()}
        self._starts = {(unit, 1) for unit in self._paths}
        self._clock = WallClock()
        self._clocks = {domain: WallClock(domain) for domain in opened["clocks"]}
        self._outer: set[tuple[str, str]] = set()
        rules = [Rule(**rule) for rule in opened["rules"]]
        self._collector = Collector(rules, self._clock, self._outer)
        self._receiver = Receiver(self._collector, self._sender, self._write, ReceiverLimits())
        self._waiting = 0  # bytes of bodies that are being read
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None

    async def open(self, number: int) -> None:
        """Listen; the answer of this number tells where."""
        self._measure()
        ports = {}
        for domain, clock in {"": None, **self._clocks}.items():
            connected = partial(self._connected, clock)
            server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_CHUNK)
            self._servers.append(server)
            ports[domain] = server.sockets[0].getsockname()[1]
        self._tick()
        self.tell("done", id=number, ports=ports)

    def obey(self, message: dict[str, Any]) -> None:
        """Do what the runner says, and answer what has an id."""
        seen = {}
        match message["op"]:
            case "start":
                self._starts.add((message["unit"], message["start"]))
                self._outer.add((message["trace"], message["span"]))
            case "wall":
                self._clocks[message["domain"]].measured(*message["read"])
            case "flush" | "finish" as op:
                if op == "finish":
                    for server in self._servers:
                        server.close()
                    for connection in self._connections:
                        connection.cancel()
                self._flush()
                seen = self._seen()
        if "id" in message:
            self.tell("done", id=message["id"], **seen)

    def tell(self, event: str, **fields: object) -> None:
        self._writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    def _seen(self) -> dict[str, Any]:
        """What the runner judges the evidence by."""
        receiver, collector = self._receiver, self._collector
        return {
            "batches": dict(receiver.batches),
            "refused": dict(receiver.refused.most_common(20)),
            "sampled": sorted(receiver.sampled),
            "senders": {str(rule): sorted(units) for rule, units in collector.senders.items()},
            "strangers": sorted(collector.strangers)[:20],
            "unwanted": list(collector.unwanted),
        }

    def _flush(self) -> None:
        self._measure()
        self._write(self._collector.rest())

    def _measure(self) -> None:
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        self._clock.measured(before_ns, wall_ns, time.monotonic_ns())

    def _tick(self) -> None:
        """Let go of what has waited too long."""
        self._write(self._collector.overdue(time.monotonic_ns()))
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _sender(self, resource: dict[str, Any]) -> tuple[str, int]:
        """The unit and its start that a resource tells; "" where it tells none."""
        for name in ("testrium.unit", "service.name"):
            unit = resource.get(name)
            if isinstance(unit, str) and unit in self._paths:
                break
        else:
            return "", 1
        try:
            start = int(resource.get("testrium.start", 1))
        except (TypeError, ValueError):
            start = 1
        return unit, start if (unit, start) in self._starts else 1

    def _write(self, lines: Iterable[EventLine]) -> None:
        """Append events to the files of their units."""
        texts: dict[tuple[str, int], list[str]] = {}
        for line in lines:
            text = json.dumps(line.fields, ensure_ascii=False, default=str)
            texts.setdefault((line.unit, line.start), []).append(text)
        for (unit, start), several in texts.items():
            path = os.path.join(self._paths[unit], f"otlp-{start}.jsonl")  # noqa: PTH118
            fd = self._files.get((unit, start))
            if fd is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                fd = self._files[unit, start] = os.open(path, flags, 0o600)
            data = "".join(f"{text}\n" for text in several).encode(errors="backslashreplace")
            write_all(fd, data)

    # Connections --------------------------------------------------------------------------------

    async def _connected(
        self, clock: WallClock | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._converse(_Exporter(reader, writer), clock)
        except OSError as error:
            self.tell("failed", reason=f"cannot write events: {error}")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, exporter: _Exporter, clock: WallClock | None) -> None:
        """Answer the requests of one connection."""
        while True:
            try:
                request = await exporter.event()
                if not isinstance(request, h11.Request):
                    return
                head = {name.decode(): value.decode("latin-1") for name, value in request.headers}
                kind = head.get("content-type", "")
                method, path = request.method.decode(), request.target.decode("latin-1")
                try:
                    body = await self._body(exporter, head)
                except Refused as refused:
                    answer = self._receiver.refusal(refused, kind.partition(";")[0].strip())
                else:
                    encoding = head.get("content-encoding", "")
                    asked = partial(
                        self._receiver.answer, method, path, kind, encoding, body, clock
                    )
                    answer = self._in_time(asked, kind)
            except h11.RemoteProtocolError as error:
                invalid = Refused(error.error_status_hint, f"invalid HTTP: {error}")
                answer = self._receiver.refusal(invalid, "")
            if not await exporter.answer(*answer):
                return

    def _in_time(self, answer: Callable[[], HttpAnswer], kind: str) -> HttpAnswer:
        """What the receiver answers, in a limited time: what a client sends must not end it."""
        self._measure()
        try:
            with at_most(_BODY_S):
                return answer()
        except TookTooLongError as error:
            refused = Refused(413, f"the body {error}, with the patterns of [otlp]")
            return self._receiver.refusal(refused, kind.partition(";")[0].strip())

    async def _body(self, exporter: _Exporter, head: dict[str, str]) -> bytes:
        """All of a request's body. Raises Refused: it is too long, or too many come at once."""
        limits, size = self._receiver.limits, 0
        said = head.get("content-length", "0")
        if len(said) > 18 or int(said) > limits.body:
            raise Refused(413, f"the body is longer than {limits.body} bytes")
        parts: list[bytes] = []
        try:
            while isinstance(event := await exporter.event(), h11.Data):
                size += len(event.data)
                self._waiting += len(event.data)
                if size > limits.body:
                    raise Refused(413, f"the body is longer than {limits.body} bytes")
                if self._waiting > limits.waiting:
                    raise Refused(503, "too much is being sent at once", again_s=1)
                parts.append(bytes(event.data))
            if not isinstance(event, h11.EndOfMessage):
                raise ConnectionResetError("the client closed the connection")
        finally:
            self._waiting -= size
        return b"".join(parts)


class _Exporter:
    """The connection of an exporter, as h11 reads and writes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_CHUNK)

    async def event(self) -> Any:
        """What comes next of a request. Raises h11.RemoteProtocolError."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                goes_on = h11.InformationalResponse(status_code=100, headers=[])
                self._writer.write(self._http.send(goes_on) or b"")
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    async def answer(self, status: int, headers: dict[str, str], content: bytes) -> bool:
        """Send the answer to a request; whether another one may come."""
        http = self._http
        if http.our_state in (h11.ERROR, h11.MUST_CLOSE, h11.CLOSED):
            return False
        if http.their_state is not h11.DONE:
            headers["Connection"] = "close"
        headers["Content-Length"] = str(len(content))
        head = h11.Response(status_code=status, headers=list(headers.items()))
        for part in (head, h11.Data(data=content), h11.EndOfMessage()):
            self._writer.write(http.send(part) or b"")
        await self._writer.drain()
        if http.their_state is not h11.DONE or http.our_state is not h11.DONE:
            return False
        http.start_next_cycle()
        return True
