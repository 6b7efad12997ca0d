"""The runner's side of a group's links: what acts when, and the process that carries them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testrium.declared.faults import Fault
from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.loaded_by_name import LINKS
from testrium.record.listening import listen_streams
from testrium.record.recorder import Recorder, injected
from testrium.run.environment import Surroundings
from testrium.run.faults.links.process import CONTROL
from testrium.run.supervisor.client import Launch, SupervisedProcess, Supervisor

#: How long the process may take to do what it is told.
_LIMIT_S = 30.0


class Links:
    """The links of one group, from before its setup until after its last unit.

        links = Links(scenario, surroundings, recorder, supervisor, sockets, folder, on_failure)
        await links.open()
        ...
        await links.close()

    Its process writes into `folder`, the run's. `on_failure` is told when the links are broken
    otherwise than was asked for.
    """

    def __init__(
        self,
        scenario: Scenario,
        surroundings: Surroundings,
        recorder: Recorder,
        supervisor: Supervisor,
        sockets: Path,
        folder: Path,
        on_failure: Callable[[str], None],
    ) -> None:
        self._scenario = scenario
        self._surroundings = surroundings
        self._recorder = recorder
        self._supervisor = supervisor
        self._path = sockets / "links"
        self._folder = folder
        self._on_failure = on_failure
        self._faults = [
            (number, fault)
            for number, fault in enumerate(scenario.group.faults)
            if fault.port is not None
        ]
        self._process: SupervisedProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._has_failed = False

    async def open(self) -> None:
        """Let everybody connect through the links; what has no `after` acts when this returns.

        Raises:
            InfraError: the process cannot be started, or a port is in use.
        """
        connected: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writer = writer
            connected.set_result(reader)

        server, address = await listen_streams(take, self._path)
        async with server:
            self._process = await self._supervisor.spawn(self._launch(address))
            reader = await self._before_end(connected)
        self._tasks.append(asyncio.create_task(self._listen(reader)))
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
        await self._ask("open", {"op": "open", "links": ports})
        for number, fault in self._faults:
            if fault.after is None:
                await self._begin(number, fault)
            else:
                self._tasks.append(asyncio.create_task(self._begin_after(number, fault)))

    async def set_up(self, unit: str, *, up: bool) -> None:
        """A unit is about to start, or has ended: only then are connections to it refused."""
        links = [f"{unit}.{name}" for name in self._surroundings.links.get(unit, ())]
        if links and self._writer is not None and not self._has_failed:
            message = {"op": "unit", "links": links, "up": up, "id": unit}
            try:
                await self._ask(f"unit {unit}", message)
            except InfraError as error:  # it is not this unit that was failed
                self._fail(str(error))

    async def close(self) -> None:
        """End what still acts, keep how it went, and end the process."""
        if self._process is None:
            return
        if self._process.alive and self._writer is not None:
            with contextlib.suppress(InfraError):  # it was told when it happened
                await self._ask("finished", {"op": "finish"})
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        self._process.kill()
        with contextlib.suppress(InfraError):
            await self._process.cleared

    # Faults -----------------------------------------------------------------------------------

    async def _begin_after(self, number: int, fault: Fault) -> None:
        assert fault.after is not None
        with contextlib.suppress(InfraError):  # whoever runs the group hears it too
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
        await self._ask(
            f"began {number}",
            {
                "op": "begin",
                "fault": number,
                "link": fault.target,
                "impairment": impairment,
                "for_ns": fault.for_ns,
            },
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
        with contextlib.suppress(InfraError):  # whoever runs the group hears it too
            self._recorder.add_fault(told._replace(t_low_ns=message["t_ns"]))

    # The process ------------------------------------------------------------------------------

    def _launch(self, address: str) -> Launch:
        folder = self._folder
        log = folder / "links.log"
        return Launch(
            unit="links",
            folder=folder,  # not the group's: what users write does not run here
            entrypoint=LINKS,
            command=None,
            cwd=folder,
            env={**os.environ, CONTROL: address},
            stdout=log,
            stderr=log,
            stacks=log,
            mode=self._scenario.mode,
        )

    async def _ask(self, answer: str, message: dict[str, Any]) -> None:
        """Tell the process to do something; returns when it is done. Raises InfraError."""
        assert self._writer is not None
        done = self._answers[answer] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._before_end(done)

    async def _before_end(self, done: asyncio.Future[Any]) -> Any:
        assert self._process is not None
        both: set[asyncio.Future[Any]] = {done, self._process.ended}
        await asyncio.wait(both, timeout=_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise InfraError("the process of the links has ended or does not answer")
        return done.result()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason = "the process of the links has ended"
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                match message["event"]:
                    case "open" | "finished" as answer:
                        self._resolve(answer)
                    case "done":
                        self._resolve(f"unit {message['id']}")
                    case "began":
                        self._record(message["fault"], "begin", message)
                        self._resolve(f"began {message['fault']}")
                    case "ended":
                        self._record(message["fault"], "end", message)
                    case "failed":
                        reason = f"a link cannot be made: {message['reason']}"
                        break
        if not self._closing:
            self._fail(reason)

    def _resolve(self, answer: str) -> None:
        waiting = self._answers.pop(answer, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _fail(self, reason: str) -> None:
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(InfraError(reason))
                waiting.exception()
        if not self._has_failed:
            self._has_failed = True
            self._on_failure(reason)
