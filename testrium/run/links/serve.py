"""The process that carries the links of a group; see `control` for the runner's side.

It is started like a unit, below the supervisor, and connects back to the runner. One JSON line
each:

    {"op": "open", "links": {"api.http": [port, port of the unit]}}  -> {"event": "open"}
    {"op": "unit", "links": [...], "up": true, "id": 7}              -> {"event": "done", "id": 7}
    {"op": "begin", "fault": 0, "link": "api.http", "impairment": {...}, "for_ns": N or null}
                                               -> {"event": "began", "fault": 0, "t_ns": T}
                                               later {"event": "ended", "fault": 0, "t_ns": T,
                                                      "seen": {...}}
    {"op": "finish"}                           -> "ended" of what still acts, {"event": "finished"}
    what cannot be done                        -> {"event": "failed", "reason": "..."}

Times are kept here: a runner that is stopped cannot stop them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from typing import Any

from testrium.probe.waiting import connected_async
from testrium.run.links.condition import Condition, Impairment
from testrium.run.links.link import Link, Seen

#: Names the address of the runner in the environment of this process.
CONTROL = "TESTRIUM_LINKS"

_LINE_LIMIT = 1 << 16


def serve() -> None:
    """The entrypoint: serve until the runner hangs up."""
    asyncio.run(_serve(os.environ[CONTROL]))


async def _serve(address: str) -> None:
    reader, writer = await connected_async(address, _LINE_LIMIT)
    links = _Links(writer)
    while line := await reader.readline():
        try:
            links.obey(json.loads(line))
        except OSError as error:
            links.tell("failed", reason=str(error))


class _Links:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._links: dict[str, Link] = {}
        self._active: dict[int, tuple[Link, Seen]] = {}

    def obey(self, message: dict[str, Any]) -> None:
        """Do what the runner says. Raises OSError: a port is in use."""
        match message["op"]:
            case "open":
                for name, (port, unit_port) in message["links"].items():
                    link = self._links[name] = Link(port, unit_port, Condition(random.random))
                    link.listen()
                self.tell("open")
            case "unit":
                for name in message["links"]:
                    self._links[name].set_unit_up(message["up"])
                self.tell("done", id=message["id"])
            case "begin":
                self._begin(message)
            case "finish":
                for fault in tuple(self._active):
                    self._end(fault)
                for link in self._links.values():
                    link.close()
                self.tell("finished")

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
        self.tell("ended", fault=fault, t_ns=time.monotonic_ns(), seen=seen._asdict())
