"""The runner's side of a group's links: what acts when, what is read, and the processes for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from testrium.declared.faults import Fault
from testrium.declared.groups import Scenario
from testrium.declared.taps import CLIENT, MESSAGES, PROTOCOLS, Tap
from testrium.errors import InfraError
from testrium.loaded_by_name import LINKS, TAPS
from testrium.record.recorder import Recorder, injected
from testrium.run.environment import LOOPBACK, Surroundings
from testrium.run.faults.links.copies import CONTROL
from testrium.run.folder import PRIVATE_FOLDER, RunFolder
from testrium.run.own_process import OwnProcess, OwnProgram
from testrium.run.supervisor.client import SupervisedProcess, Supervisor

_LINKS: Final = OwnProgram(
    "links", LINKS, CONTROL, "the process of the links", failed="a link cannot be made: "
)
_TAPS: Final = OwnProgram(
    "taps", TAPS, CONTROL, "the process of the taps", failed="a link cannot be made: "
)


class Links:
    """The links of one group, from before its setup until after its last unit.

        links = Links(scenario, surroundings, recorder, supervisor, sockets, folder, on_failure)
        await links.open()
        ...
        await links.close()

    Its processes write into `folder`, the run's. `on_failure` is called when the links are broken
    otherwise than was asked for.
    """

    def __init__(
        self,
        scenario: Scenario,
        surroundings: Surroundings,
        recorder: Recorder,
        supervisor: Supervisor,
        sockets: Path,
        folder: RunFolder,
        on_failure: Callable[[str], None],
    ) -> None:
        #: Is asked before what was sent through a held link may pass; set before it is opened.
        self.hold: Callable[[str, int, str], Awaitable[None]] | None = None
        #: By link, the port of this machine that leads to its unit on a host without an address.
        self.entrances: dict[str, int] = {}
        self._scenario = scenario
        self._surroundings = surroundings
        self._recorder = recorder
        self._faults = [
            (number, fault)
            for number, fault in enumerate(scenario.group.faults)
            if fault.port is not None
        ]
        self._process = OwnProcess(
            _LINKS, supervisor, sockets, folder.path, on_failure, self._receive
        )
        self._taps: _Taps | None = None
        if scenario.group.taps:
            self._taps = _Taps(scenario, recorder, supervisor, sockets, folder)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Let everybody connect through the links; what has no `after` acts when this returns.

        Raises:
            InfraError: a process cannot be started, or a port is in use.
        """
        mode = self._scenario.mode
        if self._taps is None:
            await self._process.open(mode)
        else:
            await asyncio.gather(self._process.open(mode), self._taps.open())
        real, links = self._surroundings.ports, self._surroundings.links
        group = self._scenario.group
        hosts = {
            unit.name: group.hosts[unit.host].address or ""
            for unit in self._scenario.units
            if unit.host
        }
        ports = {
            f"{unit}.{name}": [port, real[unit][name], hosts.get(unit, "")]
            for unit, names in links.items()
            for name, port in names.items()
        }
        for link, entrance in self.entrances.items():
            ports[link][1:] = entrance, ""
        await self._process.ask("open", links=ports)
        if self._taps is not None:
            await self._process.ask("tap", **self._taps.wanted)
        schedule = self._scenario.schedule
        if schedule is not None and schedule.links and self.hold is not None:
            held = [f"{unit}.{port}" for unit, port in schedule.links]
            self._process.tell("hold", links=held)
        for number, fault in self._faults:
            if fault.after is None:
                await self._begin(number, fault)
            else:
                self._tasks.append(asyncio.create_task(self._begin_after(number, fault)))

    async def set_up(self, unit: str, *, up: bool) -> None:
        """A unit is about to start, or has ended: only then are connections to it refused."""
        links = [f"{unit}.{name}" for name in self._surroundings.links.get(unit, ())]
        if links and self._process.is_open:
            await self._process.settle(self._process.ask("unit", links=links, up=up))

    def note_process(self, unit: str, process: SupervisedProcess) -> None:
        """A unit, or setup, tests or teardown, has got this process."""
        if self._taps is not None:
            pids = process.pid, process.keeper
            self._taps.process.tell("process", unit=unit, pids=pids)

    def note_client(self, port: int, unit: str | None) -> None:
        """What connects from this port of this machine does so for a unit on another host."""
        if self._taps is not None:
            self._taps.process.tell("client", peer=f"{LOOPBACK}:{port}", unit=unit)

    async def read_all(self) -> None:
        """Store the probes of everything that has passed until now."""
        if self._taps is not None and self._process.is_open:
            await self._taps.read_all(self._process)

    async def begin_attempt(self) -> None:
        """The circuit starts again: what passes from now on belongs to its next attempt."""
        if self._taps is not None:
            await self.read_all()
            await self._taps.begin_attempt()

    async def close(self) -> None:
        """End what still acts, keep how it went, and end the processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._process.close("finish")
        if self._taps is not None:
            await self._taps.close()

    # Faults -----------------------------------------------------------------------------------

    async def _begin_after(self, number: int, fault: Fault) -> None:
        assert fault.after is not None
        with contextlib.suppress(InfraError):  # the code that runs the group gets it too
            await self._recorder.wait_for(fault.after.unit, fault.after.step)
            await self._begin(number, fault)

    async def _begin(self, number: int, fault: Fault) -> None:
        impairment = {
            "do": fault.do,
            "delay_ns": fault.value_ns or 0,
            "jitter_ns": fault.jitter_ns,
            "rate": fault.bytes_per_s or 0,
            "first": fault.first_bytes,
        }
        await self._process.ask(
            "begin", fault=number, link=fault.target, impairment=impairment, for_ns=fault.for_ns
        )

    def _record(self, number: int, phase: str, message: dict[str, Any]) -> None:
        """Keep that a fault has begun or ended; between the two times lies only the message."""
        fault = self._scenario.group.faults[number]
        told = injected(
            fault.name,
            do=fault.do,
            unit=fault.unit,
            port=fault.port,
            phase=phase,
            **message.get("seen", {}),
        )
        with contextlib.suppress(InfraError):  # the code that runs the group gets it too
            self._recorder.add_fault(told._replace(t_low_ns=message["t_ns"]))

    def _receive(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "began":
                self._record(message["fault"], "begin", message)
            case "ended":
                self._record(message["fault"], "end", message)
            case "held":
                self._tasks.append(asyncio.create_task(self._let_pass(message)))

    async def _let_pass(self, message: dict[str, Any]) -> None:
        """Tell the process that what it asks for may pass, once it may."""
        assert self.hold is not None
        await self.hold(message["link"], message["connection"], message["direction"])
        self._process.tell("pass", held=message["held"])


class _Taps:
    """The process that reads tapped links, and the probe files that it writes.

    Without it traffic continues: what it cannot do is a gap of the links.
    """

    def __init__(
        self,
        scenario: Scenario,
        recorder: Recorder,
        supervisor: Supervisor,
        sockets: Path,
        folder: RunFolder,
    ) -> None:
        self._taps = scenario.group.taps
        self._mode = scenario.mode
        self._recorder = recorder
        self._folder = folder
        self._path = sockets / "copies"
        self._attempt = 0
        self.process = OwnProcess(
            _TAPS, supervisor, sockets, folder.path, self._lose, self._receive
        )
        #: What is sent to the process of the links.
        self.wanted: dict[str, Any] = {}

    async def open(self) -> None:
        """Be ready to read. Raises InfraError."""
        files = self._next_files()
        await self.process.open(self._mode)
        taps = [_said(tap, file, self._folder) for tap, file in zip(self._taps, files, strict=True)]
        opened = await self.process.ask("open", path=str(self._path), taps=taps)
        links = {
            tap.link: [number, tap.keeps or any(one.at.unit == CLIENT for one in tap.probes)]
            for number, tap in enumerate(self._taps)
        }
        self.wanted = {"address": opened["address"], "links": links}

    async def read_all(self, links: OwnProcess) -> None:
        """Wait until everything is read that has passed the links."""
        if self.process.is_open:
            number, read = self.process.expect()
            links.tell("mark", number=number)
            await self.process.settle(read)

    async def begin_attempt(self) -> None:
        """What is read from now on belongs to the next attempt."""
        paths = [str(file) for file in self._next_files()]
        if self.process.is_open:
            await self.process.settle(self.process.ask("files", paths=paths))

    async def close(self) -> None:
        if self.process.is_open:
            await self.process.close("close")

    def _next_files(self) -> list[Path]:
        """The probe files of the attempt that begins."""
        self._attempt += 1
        folder = self._folder.taps
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        files = []
        for tap in self._taps:
            file = folder / f"{tap.link}-{self._attempt}.jsonl"
            self._recorder.watch(tap.link, self._attempt, self._attempt, file)
            files.append(file)
        return files

    def _receive(self, gap: dict[str, Any]) -> None:
        self._recorder.add_damage(self._taps[gap["tap"]].link, gap["reason"])

    def _lose(self, reason: str) -> None:
        for tap in self._taps:
            self._recorder.add_damage(tap.link, f"{tap.link} is not read any more: {reason}")


def _said(tap: Tap, file: Path, folder: RunFolder) -> dict[str, Any]:
    """A tap as its process gets it."""
    own = PROTOCOLS.get(tap.protocol)
    return {
        "link": tap.link,
        "protocol": tap.protocol,
        "plugged": tap.plugged,
        "file": str(file),
        "messages": str(folder.taps / f"{tap.link}{MESSAGES}") if tap.keeps else "",
        "probes": [
            {
                "match": dict(one.match),
                "on": one.on or ("request" if own is None or own.answers else None),
                "unit": one.at.unit,
                "step": one.at.step,
                "type": str(one.type),
                "key": one.key,
                "meta": dict(one.meta),
            }
            for one in tap.probes
        ],
    }
