"""Failpoints: a unit that reaches a probe is killed, stopped, delayed, or made to fail there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from testrium.declared.faults import OUTSIDE_ACTS, Fault
from testrium.declared.units import Unit, is_accepted
from testrium.errors import InfraError
from testrium.evidence import Event
from testrium.record.recorder import injected
from testrium.run.supervisor.protocol import signal_name, signal_number

if TYPE_CHECKING:
    from testrium.record.recorder import Recorder
    from testrium.record.waits import LineId, ThreadId
    from testrium.run.change import ChangeSignal
    from testrium.run.supervisor.client import SupervisedProcess


class StrikableUnit(Protocol):
    """A unit as a failpoint needs it; a `RunningUnit` is one. `process` is None while none runs."""

    unit: Unit
    starts: int
    process: SupervisedProcess | None

    def restart(self) -> bool:
        """Stop the process as the runner stops it, and start it again; False if that is useless."""

    @property
    def gone(self) -> bool:
        """Whether it will not be started again."""


class _Strike(NamedTuple):
    """A fault at the event that it was waiting for.

    `doing` does it from outside; None where the process has to do it itself, and asks what.
    """

    fault: Fault
    event: Event
    doing: asyncio.Task[None] | None


class Injector:
    """The failpoints of one group's run.

    It sees every event as soon as it is stored, and counts there: so `on` is exact over all starts
    and processes of a unit. A Python process waits behind a probe that is a failpoint until
    `reached` has answered; what is done from outside needs no answer.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        recorder: Recorder,
        probe_file: Callable[[str, int], Path],
        change: ChangeSignal,
    ) -> None:
        """`probe_file` gives the file of a unit's start, `change` wakes when a process starts."""
        #: The units whose processes can be struck.
        self.targets: Mapping[str, StrikableUnit] = {}
        self._recorder = recorder
        self._probe_file = probe_file
        self._change = change
        self._by_place: dict[tuple[str, ...], list[Fault]] = {}
        self._counts: dict[str, int] = {}
        self._strikes: dict[LineId, list[_Strike]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for fault in faults:
            if fault.at is not None:
                self._by_place.setdefault(fault.at, []).append(fault)
        recorder.subscribe(self._see)

    async def reached(self, place: str, line: LineId, _: ThreadId) -> dict[str, Any]:
        """What the process has to do behind this line; it is stored, and what is done too."""
        acts: list[dict[str, Any]] = []
        for strike in self._strikes.pop(line, ()):
            fault = strike.fault
            if strike.doing is not None:
                await asyncio.wait({strike.doing})
                if fault.do == "kill" and self._concerns_emitter(strike):
                    acts.append({"do": "kill"})
                continue
            act: dict[str, Any] = {"do": fault.do, "for_ns": fault.for_ns, "fault": fault.name}
            if fault.do == "exit":
                act["code"] = self._exit_code(strike.event.owner)
            self._tell(fault, strike.event, code=act.get("code"))
            acts.append(act)
        await self._recorder.sync()
        return {"over": self._is_over(place), "acts": acts}

    async def close(self) -> None:
        """Wait until what was begun is done."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _is_over(self, place: str) -> bool:
        """Whether all that was planned for a place has struck."""
        faults = self._by_place.get(tuple(place.split(":", 1)), ())
        return all(self._counts.get(fault.name, 0) >= fault.on for fault in faults)

    def _see(self, events: tuple[Event, ...]) -> None:
        for event in events:
            for fault in self._by_place.get((event.unit, event.step), ()):
                if event.owner and fault.key in (None, event.key):
                    self._counts[fault.name] = self._counts.get(fault.name, 0) + 1
                    if self._counts[fault.name] == fault.on:
                        self._strike(fault, event)

    def _strike(self, fault: Fault, event: Event) -> None:
        doing = None
        if fault.do in OUTSIDE_ACTS:
            doing = asyncio.create_task(self._do(fault, event))
            self._tasks.add(doing)
            doing.add_done_callback(self._tasks.discard)
        if event.seq is not None:
            line = (str(self._probe_file(event.owner, event.start)), event.pid, event.seq)
            self._strikes.setdefault(line, []).append(_Strike(fault, event, doing))

    async def _do(self, fault: Fault, event: Event) -> None:
        """What is done from outside, unless the unit's process has ended already."""
        process = await self._process_of(event)
        if process is None:
            return
        to = fault.receiver
        facts: dict[str, Any] = {}
        with contextlib.suppress(InfraError):  # the group learns of it from the recorder
            match fault.do:
                case "restart":
                    done = self.targets[event.owner].restart()
                    if done:  # what is asked next is answered once the stop signal was sent
                        await process.signal("CONT", "process", event.pid)
                case "pause":
                    done = await process.pause(fault.for_ns, to, event.pid)
                case "signal":
                    name = signal_name(signal_number(fault.signal or "TERM"))
                    facts = {"signal": name, "to": to}
                    done = await process.signal(name, to, event.pid)
                case _:
                    done = await process.signal("KILL", to, event.pid)
            if done:
                self._tell(fault, event, **facts)

    def _concerns_emitter(self, strike: _Strike) -> bool:
        """Whether the process that waits at the probe is one that was killed."""
        target = self.targets.get(strike.event.owner)
        main = target.process.pid if target is not None and target.process is not None else 0
        return strike.fault.receiver != "process" or strike.event.pid == main

    async def _process_of(self, event: Event) -> SupervisedProcess | None:
        """The process of the start that has emitted the event."""
        target = self.targets.get(event.owner)
        while target is not None and target.starts == event.start and not target.gone:
            if target.process is not None:
                return target.process
            await self._change.wait()  # its first probes come before word that it runs
        return None

    def _exit_code(self, owner: str) -> int:
        """One that is not accepted, so the end is unexpected."""
        target = self.targets.get(owner)
        accepted: tuple[int | str, ...] = (0,) if target is None else target.unit.exit
        codes = (code for code in range(1, 256) if not is_accepted(code, accepted))
        return next(codes, 1)

    def _tell(self, fault: Fault, event: Event, **facts: Any) -> None:
        facts = {"at": fault.target, "event": event.id, "for_ns": fault.for_ns, **facts}
        self._recorder.add_fault(
            injected(
                fault.name,
                do=fault.do,
                unit=event.owner,
                start=event.start,
                pid=event.pid,
                key=event.key,
                **{name: value for name, value in facts.items() if value is not None},
            )
        )
