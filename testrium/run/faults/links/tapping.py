"""The process that reads what passes tapped links; see `control` for the runner's side.

It gets copies of the bytes from the process that carries the links, and writes what its rules make
of them to one probe file for each link. Traffic never waits for it. It is started like a unit and
connects back to the runner. One JSON line each:

    {"op": "open", "id": 7, "path": P, "taps": [...]} -> {"event": "done", "id": 7, "address": A}
    {"op": "process", "unit": "shop", "pids": [...]}    a unit has got a process
    {"op": "client", "peer": "127.0.0.1:P", "unit": "shop" or null}    one on another host connects
    {"op": "files", "id": 7, "paths": [...]}    probes go there from now on
    {"op": "close", "id": 7}
    a mark 7 among the copies: all before it is read   -> {"event": "done", "id": 7}
                                                -> {"event": "gap", "tap": 0, "reason": "..."}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from testrium.declared.taps import CLIENT
from testrium.plugins.registry import Plugin, load_plugin
from testrium.probe.emitter import quoted
from testrium.probe.event import check_key
from testrium.probe.waiting import connected_async
from testrium.record.listening import listen
from testrium.run.faults.links.copies import (
    CLOSED,
    CONTROL,
    HEADER,
    MARK,
    MISSED,
    OPENED,
    RECEIVED,
    SENT,
)
from testrium.system.files import write_all
from testrium.taps import (
    REQUEST,
    RESPONSE,
    Decoder,
    MessageRule,
    UndecodableError,
    WireMessage,
    decoder_of,
)
from testrium.tracebacks import error_with_place
from testrium.variables import as_text, filled_value, getter_of, references

#: Gaps of one link that are reported one by one.
_MOST_GAPS: Final = 20
#: How long a process may be unknown that has connected: the runner hears of it meanwhile.
_KNOWN_WITHIN_S: Final = 2.0
#: Messages of a link without rules that are kept, and characters of each.
_MOST_KEPT: Final = 20_000
_MOST_SHOWN: Final = 4000
_LINE_LIMIT: Final = 1 << 24


def serve() -> None:
    """The entrypoint: read until the runner hangs up."""
    asyncio.run(_serve(os.environ[CONTROL]))


async def _serve(address: str) -> None:
    reader, writer = await connected_async(address, _LINE_LIMIT)

    def tell(event: str, **fields: object) -> None:
        writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    units = _Units()
    taps: list[_Tap] = []
    server: asyncio.Server | None = None
    while line := await reader.readline():
        message = json.loads(line)
        match message["op"]:
            case "open":
                taps += [
                    _Tap(each, partial(tell, "gap", tap=number))
                    for number, each in enumerate(message["taps"])
                ]
                path = Path(message["path"])
                server, where = await listen(partial(_Copies, taps, units, tell), path)
                tell("done", id=message["id"], address=where)
            case "process":
                units.add(message["unit"], message["pids"])
            case "client":
                units.add_client(message["peer"], message["unit"])
            case "files":
                for tap, file in zip(taps, message["paths"], strict=True):
                    tap.write_to(file)
                tell("done", id=message["id"])
            case "close":
                tell("done", id=message["id"])
    if server is not None:
        server.close()


class _Units:
    """The unit of each process, and the frames that wait for it."""

    def __init__(self) -> None:
        self._units: dict[int, str] = {}
        self._clients: dict[str, str | None] = {}
        self.on_news: Callable[[], None] = lambda: None

    def add(self, unit: str, pids: list[int]) -> None:
        self._units |= dict.fromkeys(pids, unit)
        self.on_news()

    def add_client(self, peer: str, unit: str | None) -> None:
        """The next connection from there is that of a unit on another host, or of none."""
        self._clients[peer] = unit
        self.on_news()

    def is_remote(self, peer: str) -> bool:
        """Whether the client that connects from there is on another host."""
        return peer in self._clients

    def client(self, peer: str) -> str | None:
        """The unit on another host that has connected from there."""
        return self._clients.pop(peer)

    def of(self, pids: list[int]) -> str | None:
        """The unit of a process, given with those above it."""
        return next((self._units[pid] for pid in pids if pid in self._units), None)


class _Text:
    """A text with the fields of a message."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._getters = {name: getter_of(name) for name in references(text)}
        #: Of one reference alone: it becomes the value itself.
        self._only = next(
            (get for name, get in self._getters.items() if text == f"${{{name}}}"), None
        )

    def fill(self, fields: Mapping[str, Any]) -> object:
        """What it becomes; None where a field is null. Raises KeyError: it is missing."""
        if self._only is not None:
            return self._only(fields)
        values = {name: get(fields) for name, get in self._getters.items()}
        if None in values.values():
            return None
        return filled_value(self._text, values.__getitem__)


class _Probe(NamedTuple):
    """What a message that `rule` matches becomes."""

    rule: MessageRule
    unit: str
    step: str
    type: str
    key: _Text | None
    meta: Mapping[str, _Text]

    @classmethod
    def from_message(cls, said: Mapping[str, Any]) -> _Probe:
        return cls(
            MessageRule(said["match"], said["on"]),
            said["unit"],
            said["step"],
            said["type"],
            _Text(said["key"]) if said["key"] else None,
            {name: _Text(text) for name, text in said["meta"].items()},
        )


class _Tap:
    """One tapped link: makes decoders of its connections, and probes of their messages."""

    def __init__(self, said: Mapping[str, Any], on_gap: Callable[..., None]) -> None:
        self.link: str = said["link"]
        self.protocol: str = said["protocol"]
        self._plugged: list[str] = said["plugged"]
        probes = [_Probe.from_message(each) for each in said["probes"]]
        self._probes = {
            side: [
                (number, probe)
                for number, probe in enumerate(probes)
                if probe.rule.side in (None, side)
            ]
            for side in (REQUEST, RESPONSE)
        }
        self._kept_path: str = said["messages"]
        self.needs_client = bool(self._kept_path) or any(one.unit == CLIENT for one in probes)
        self._on_gap = on_gap
        self._gaps = 0
        self._told: set[str] = set()
        self._made: Callable[[], Decoder] | None = None
        self._fd = -1
        self._kept = -1
        self._count = 0
        self._lines: list[str] = []
        self._heads: dict[tuple[int, str], tuple[str, str]] = {}
        self._pid = os.getpid()
        self._seq = 0
        self.write_to(said["file"])

    def write_to(self, path: str) -> None:
        """Write probes to this file from now on."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def decoder(self) -> Decoder:
        """What reads a new connection. Raises whatever a plugin raises."""
        if self._made is None:
            if self._plugged:
                self._made = load_plugin(Plugin(*self._plugged))
            else:
                answers = bool(self._kept_path or self._probes[RESPONSE])
                self._made = decoder_of(self.protocol, answers)
        return self._made()

    def gap(self, reason: str, once: str | None = None) -> None:
        """Something on this link could not be read; what has the same `once` is reported once."""
        if once is not None:
            if once in self._told:
                return
            self._told.add(once)
        self._gaps += 1
        if self._gaps <= _MOST_GAPS:
            self._on_gap(reason=reason)

    def take(self, message: WireMessage, t_ns: int, connection: _Connection) -> None:
        """Write what the rules make of a message."""
        if self._kept_path:
            self._keep(message, t_ns, connection)
        for number, probe in self._probes[message.side]:
            if not probe.rule.matches(message):
                continue
            unit = connection.client if probe.unit == CLIENT else probe.unit
            if unit is None:
                self.gap(
                    f"{self.link}: the client at {connection.peer} belongs to no unit of the"
                    " group: ${client} is not known",
                    f"client {connection.peer}",
                )
                continue
            self._write(number, probe, unit, message, t_ns)

    def _write(
        self, number: int, probe: _Probe, unit: str, message: WireMessage, t_ns: int
    ) -> None:
        key = None
        if probe.key is not None:
            try:
                value = probe.key.fill(message.fields)
                if value is None:  # the answer of an empty queue
                    return
                key = value if isinstance(value, str) else _shown(value)
                check_key(key)
            except (KeyError, ValueError) as error:
                why = f"no {error}" if isinstance(error, KeyError) else str(error)
                place = f"{unit}:{probe.step}"
                self.gap(
                    f"{self.link}: a message for {place} has no key: {why}", f"key {number} {why}"
                )
                return
        meta = {}
        for name, text in probe.meta.items():
            with contextlib.suppress(KeyError):  # this message has none
                meta[name] = text.fill(message.fields)
        said = self._heads.get((number, unit)) or self._head(number, probe, unit)
        self._seq += 1
        more = "" if key is None else f',"key":{quoted(key)}'
        if meta:
            more += f',"meta":{json.dumps(meta)}'
        self._lines.append(
            f'{said[0]}{more}{said[1]},"t_ns":{t_ns},"pid":{self._pid},"seq":{self._seq}}}\n'
        )

    def _head(self, number: int, probe: _Probe, unit: str) -> tuple[str, str]:
        """What stands before and behind a probe's key, as `testrium.probe` writes it."""
        kind = "" if probe.type == "Default" else f',"type":{quoted(probe.type)}'
        said = f'{{"step":{quoted(probe.step)}{kind}', f',"unit":{quoted(unit)}'
        self._heads[number, unit] = said
        return said

    def flush(self) -> None:
        """Write the lines that were made."""
        if self._lines:
            data = "".join(self._lines).encode()
            self._lines.clear()
            write_all(self._fd, data)

    def _keep(self, message: WireMessage, t_ns: int, connection: _Connection) -> None:
        """A message, for `testrium learn`."""
        if self._count >= _MOST_KEPT:
            self.gap(f"{self.link}: only the first {_MOST_KEPT} messages were kept", "kept")
            return
        if self._kept < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._kept = os.open(self._kept_path, flags, 0o600)
        self._count += 1
        said = {
            "t_ns": t_ns,
            "protocol": connection.protocol,
            "client": connection.client,
            "side": message.side,
            "fields": message.fields,
        }
        line = json.dumps(said, default=str)
        if len(line) <= _MOST_SHOWN:
            os.write(self._kept, line.encode() + b"\n")


def _shown(value: object) -> str:
    """A value other than text as text: what is nested as JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return as_text(value)


class _Connection:
    """What is known of one connection of a link."""

    def __init__(self, tap: _Tap, pids: list[int], peer: str, opened_s: float) -> None:
        self.tap = tap
        self.pids = pids
        self.peer = peer
        self.opened_s = opened_s
        self.client: str | None = None
        self.known = not (tap.needs_client and pids)
        self._read = {REQUEST: 0, RESPONSE: 0}
        self._decoder: Decoder | None = None
        self._deaf = False

    @property
    def protocol(self) -> str:
        """What it speaks; where its tap does not say so, what its first bytes told."""
        return self.tap.protocol or getattr(self._decoder, "protocol", "")

    def read(self, data: bytes, side: str, t_ns: int) -> None:
        """Read the next bytes of one side; b"" is their end."""
        if self._deaf:
            return
        try:
            if self._decoder is None:
                self._decoder = self.tap.decoder()
            take = self.tap.take
            for message in self._decoder.feed(data, side):
                take(message, t_ns, self)
        except UndecodableError as error:
            self.stop(side, str(error))
        except Exception as error:  # noqa: BLE001 - a defect, or a plugin's: traffic continues
            self.stop(side, error_with_place(error))
        self._read[side] += len(data)

    def stop(self, side: str, reason: str) -> None:
        """Nothing that follows can be read."""
        self._deaf = True
        who = self.client or f"the client at {self.peer}"
        unit = self.tap.link.rpartition(".")[0]
        sender, receiver = (who, unit) if side == REQUEST else (unit, who)
        protocol = self.tap.protocol or "any protocol"
        self.tap.gap(
            f"{self.tap.link} cannot be read as {protocol} from byte {self._read[side]}"
            f" of what {sender} sent to {receiver}: {reason}"
        )


class _Copies(asyncio.Protocol):
    """Reads the frames that the process of the links sends."""

    def __init__(self, taps: list[_Tap], units: _Units, tell: Callable[..., None]) -> None:
        self._taps = taps
        self._units = units
        self._tell = tell
        self._connections: dict[int, _Connection] = {}
        self._rest = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: ARG002 - asyncio's
        self._units.on_news = self._go_on

    def data_received(self, data: bytes) -> None:
        self._rest += data
        self._go_on()

    def _go_on(self) -> None:
        """Read the frames that are whole, up to one that has to wait."""
        rest, at = self._rest, 0
        while len(rest) - at >= HEADER.size:
            kind, number, t_ns, size = HEADER.unpack_from(rest, at)
            end = at + HEADER.size + size
            if len(rest) < end:
                break
            if not self._obey(kind, number, t_ns, bytes(rest[at + HEADER.size : end])):
                self._wait()
                break
            at = end
        del rest[:at]
        for tap in self._taps:
            tap.flush()

    def _obey(self, kind: bytes, number: int, t_ns: int, data: bytes) -> bool:
        """Whether the frame was read; False: whose the connection is will be known soon."""
        if kind == MARK:
            for tap in self._taps:
                tap.flush()
            self._tell("done", id=number)
            return True
        if kind == OPENED:
            said = json.loads(data)
            tap = self._taps[said["tap"]]
            now_s = time.monotonic()
            self._connections[number] = _Connection(tap, said["pids"], said["peer"], now_s)
            return True
        connection = self._connections[number]
        if not connection.known and not self._find_client(connection):
            return False
        if kind == SENT:
            connection.read(data, REQUEST, t_ns)
        elif kind == RECEIVED:
            connection.read(data, RESPONSE, t_ns)
        elif kind == MISSED:
            connection.stop(REQUEST, "it came faster than it could be read")
        elif kind == CLOSED:
            del self._connections[number]
        return True

    def _find_client(self, connection: _Connection) -> bool:
        if self._units.is_remote(connection.peer):
            connection.client = self._units.client(connection.peer)
            connection.known = True
            return True
        connection.client = self._units.of(connection.pids)
        late = time.monotonic() - connection.opened_s > _KNOWN_WITHIN_S
        connection.known = connection.client is not None or late
        return connection.known

    def _wait(self) -> None:
        """Go on when the runner tells of another process, and after a while at the latest."""
        asyncio.get_running_loop().call_later(_KNOWN_WITHIN_S + 0.01, self._go_on)
