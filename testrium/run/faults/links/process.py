"""The process that carries the links of a group; see `control` for the runner's side.

It is started like a unit, below the supervisor, and connects back to the runner. One JSON line
each, those that have an "id" are answered with {"event": "done", "id": 7} as soon as it is done:

    {"op": "open", "links": {"api.http": [port, port of the unit, address of its host or ""]}}
    {"op": "unit", "links": [...], "up": true}
    {"op": "begin", "fault": 0, "link": "api.http", "impairment": {...}, "for_ns": N or null}
                                               -> {"event": "began", "fault": 0, "t_ns": T}
                                               later {"event": "ended", "fault": 0, "t_ns": T,
                                                      "seen": {...}}
    {"op": "tap", "address": A, "links": {"api.http": [0, true]}}
                                               copies go to the process at A, see `tapping`
    {"op": "mark", "number": 7}                all that has passed is reported there before the mark
    {"op": "hold", "links": [...]}: what passes them is asked for from now on
                                               -> {"event": "held", "held": 3, "link": "api.http",
                                                   "connection": 1, "direction": "in"}
    {"op": "pass", "held": 3}: it may pass
    {"op": "finish"}                           -> "ended" of what still acts
    what cannot be done                        -> {"event": "failed", "reason": "..."}

Times are kept here: a runner that is stopped cannot stop them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from functools import partial
from typing import Any

from testrium.probe.waiting import connected_async
from testrium.run.faults.links.connection import Condition, Impairment, Link, Seen
from testrium.run.faults.links.copies import CONTROL, Copies

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
            if "id" in message:
                links.tell("done", id=message["id"])
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
            self._links[name].copy_of = partial(copies.opened, number, needs_client)

    def obey(self, message: dict[str, Any]) -> None:
        """Do what the runner says. Raises OSError: a port is in use."""
        match message["op"]:
            case "open":
                for name, (port, unit_port, host) in message["links"].items():
                    link = Link(port, unit_port, Condition(random.random), host)
                    self._links[name] = link
                    link.listen()
            case "hold":
                for name in message["links"]:
                    self._links[name].hold = partial(self._hold, name)
            case "pass":
                self._held.pop(message["held"]).set_result(None)
            case "unit":
                for name in message["links"]:
                    self._links[name].set_unit_up(message["up"])
            case "begin":
                self._begin(message)
            case "mark":
                if self._copies is not None:
                    self._copies.mark(message["number"])
            case "finish":
                for fault in tuple(self._active):
                    self._end(fault)
                for link in self._links.values():
                    link.close()

    async def _hold(self, link: str, connection: int, direction: str) -> None:
        """Ask the runner whether what was sent may pass, and wait until it says so."""
        self._last += 1
        held = self._held[self._last] = asyncio.get_running_loop().create_future()
        self.tell("held", held=self._last, link=link, connection=connection, direction=direction)
        await held

    def tell(self, event: str, **fields: object) -> None:
        self._writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    def _begin(self, message: dict[str, Any]) -> None:
        fault, link = message["fault"], self._links[message["link"]]
        self._active[fault] = link, link.seen
        link.begin(fault, Impairment(**message["impairment"]))
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
