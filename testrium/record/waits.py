"""The socket where unit processes wait for each other's probes and ends; see `probe.waiting`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

from testrium.errors import InfraError
from testrium.evidence import End, EndCause, Event, UnitState
from testrium.phrases import close_to
from testrium.probe.event import check_key, check_step, check_unit
from testrium.record.listening import listen
from testrium.record.recorder import Recorder, Wait
from testrium.words import RESERVED_UNITS

#: Gets how the unit ended, in words.
Answer = Callable[[str], None]


class Endings:
    """The ends of one group's units."""

    def __init__(self) -> None:
        #: The group is being stopped, its units too: only test functions still need an answer. A
        #: unit that is about to be stopped must not first fail of another's end.
        self.stopping = False
        self._ends: dict[str, str] = {}
        self._asked: dict[str, dict[int, tuple[str, Answer]]] = {}  # by unit; in their order
        self._numbers = count()

    def tell(self, end: End) -> None:
        """A unit has ended for the last time."""
        self._ends[end.unit] = described(end)
        self._answer(end.unit)

    def forget(self) -> None:
        """All units begin again."""
        self._ends.clear()
        self.stopping = False

    def ask(self, unit: str, asker: str, answer: Answer) -> Callable[[], None]:
        """Have `answer` called once when `unit` has ended; what is returned takes it back."""
        number = next(self._numbers)
        self._asked.setdefault(unit, {})[number] = (asker, answer)
        self._answer(unit)
        return partial(self._forget, unit, number)

    def _forget(self, unit: str, number: int) -> None:
        asked = self._asked.get(unit, {})
        asked.pop(number, None)
        if not asked:
            self._asked.pop(unit, None)

    def _answer(self, unit: str) -> None:
        if unit not in self._ends:
            return
        for number, (asker, answer) in tuple(self._asked.get(unit, {}).items()):
            if not (self.stopping and asker not in RESERVED_UNITS):
                self._forget(unit, number)
                answer(self._ends[unit])


def described(end: End) -> str:
    """In words: "unit api was ended by SIGSEGV"."""
    if end.cause is EndCause.NOTRUN:
        return f"unit {end.unit} was not started"
    if end.cause in (EndCause.STOPPED, EndCause.ABANDONED):
        return f"unit {end.unit} was stopped"
    if end.signal is not None:
        return f"unit {end.unit} was ended by {end.signal}"
    if end.exit_code is not None:
        return f"unit {end.unit} ended with exit code {end.exit_code}"
    return f"unit {end.unit} has ended: {end.message}" if end.message else f"unit {end.unit} ended"


#: A line of a probe file: the file, the process, its number.
LineId = tuple[str, int, int]

#: A thread of a process: its name, "" for the main one, and its number in the system.
ThreadId = tuple[str, int]

#: Answers a process that has reached a failpoint: which, with which line, and in which thread.
Reached = Callable[[str, LineId, ThreadId], Awaitable[dict[str, Any]]]

#: Bytes of a request.
_MAX_REQUEST = 2 << 20

#: Turns of the loop from accepting a connection until it ends.
TURNS_TO_CLOSE = 6


class WaitServer:
    """Answers the questions of one group's processes.

    `path` is that of its Unix socket, see `listen`. `address` is what its processes get.
    """

    def __init__(
        self,
        recorder: Recorder,
        path: Path,
        reached: Reached | None = None,
        units: Collection[str] | None = None,
    ) -> None:
        """`reached` answers at failpoints, see `testrium.probe.faults`.

        `units` are those that can be waited for; None: whichever.
        """
        self.recorder = recorder
        self.reached = reached
        self.units = units
        self.address = ""
        self.endings = Endings()
        self.open: set[_Asker] = set()
        self._path = path

    async def __aenter__(self) -> Self:
        """Raises InfraError: the socket cannot be made."""
        try:
            self._server, self.address = await listen(partial(_Asker, self), self._path)
        except OSError as error:
            raise InfraError(f"cannot listen at {self._path}: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up: processes that still wait learn that the run has ended."""
        self._server.close()
        for _turn in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)  # whom the server has just accepted becomes known
            for asker in tuple(self.open):
                asker.hang_up()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)


class _Asker(asyncio.Protocol):
    """One connection of a unit's process: questions come line by line."""

    def __init__(self, server: WaitServer) -> None:
        self._server = server
        self._recorder = server.recorder
        self._endings = server.endings
        self._take_back: dict[Callable[[], None], None] = {}
        server.open.add(self)
        self._transport: asyncio.Transport | None = None
        self._input = bytearray()
        self._waits: set[Wait] = set()
        self._syncs: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The process hung up, or is gone: its answers are not needed any more."""
        self._server.open.discard(self)
        for wait in self._waits:
            self._recorder.withdraw(wait)
        self._waits.clear()
        for take_back in self._take_back:
            take_back()

    def hang_up(self) -> None:
        """Close the connection, and drop what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._input += data
        *lines, rest = self._input.split(b"\n")
        self._input = bytearray(rest)
        if len(rest) > _MAX_REQUEST:
            self._reply({"error": "the request is too long"})
            self.hang_up()
            return
        for line in lines:
            try:
                self._handle(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                self._reply({"error": f"not understood: {error!r}"})
            except InfraError as error:
                self._reply({"error": str(error)})

    def _handle(self, request: dict[str, Any]) -> None:
        match request["op"]:
            case "wait":
                self._wait(request)
            case "end":
                unit, asker = str(request["unit"]), str(request["asker"])
                answer = self._endings.ask(unit, asker, lambda how: self._reply({"end": how}))
                self._take_back[answer] = None
            case "sync":
                self._begin(self._answer(_done))
            case "reached" if (reached := self._server.reached) is not None:
                line = (str(request["file"]), int(request["pid"]), int(request["seq"]))
                name, number = request["thread"]
                thread = (str(name), int(number))
                asked = partial(reached, str(request["place"]), line, thread)
                self._begin(self._answer(asked))
            case "status":
                check_unit(request["unit"])
                state = UnitState(request["status"])
                self._recorder.set_status(request["unit"], state, at_once=True)  # it may be read
                self._reply({"ok": True})
            case "result":
                self._recorder.add_result(_result_row(request))
                self._reply({"ok": True})
            case other:
                self._reply({"error": f"no such question: {other!r}"})

    def _wait(self, request: dict[str, Any]) -> None:
        unit, step, key = request["unit"], request["step"], request["key"]
        if unit != "*":
            check_unit(unit)
            units = self._server.units
            if units is not None and unit not in units:
                guess = close_to(unit, units)
                hint = "" if guess is None else f": did you mean {guess!r}?"
                self._reply({"unknown": f"this run has no unit {unit!r}{hint}"})
                return
        check_step(step)
        if key is not None:
            check_key(key)
        if request.get("now"):
            self._begin(self._answer(partial(self._found, unit, step, key)))
            return
        waits: list[Wait] = []
        take_back: list[Callable[[], None]] = []

        def answer(event: Event | InfraError) -> None:
            self._waits.difference_update(waits)
            for each in take_back:
                each()
                self._take_back.pop(each, None)
            self._reply(_answer(event))

        wait = self._recorder.ask(unit, step, key, answer)
        if wait is None:
            return
        waits.append(wait)
        self._waits.add(wait)
        if "asker" in request and unit != "*":

            def ended(how: str) -> None:
                self._begin(self._look_a_last_time(wait, how))

            take_back.append(self._endings.ask(unit, str(request["asker"]), ended))
            self._take_back.update(dict.fromkeys(take_back))

    async def _look_a_last_time(self, wait: Wait, how: str) -> None:
        """The unit has ended: what it emitted at last may not have been read yet."""
        try:
            await self._recorder.sync()
        except InfraError:
            return  # whatever waits gets an error
        if wait in self._waits:
            self._waits.discard(wait)
            self._recorder.withdraw(wait)
            self._reply({"event": None, "ended": how})

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Answer when the store has caught up."""
        task = asyncio.ensure_future(work)
        self._syncs.add(task)
        task.add_done_callback(self._syncs.discard)

    async def _answer(self, asked: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """Reply once the store has caught up: the probe of a failpoint is stored by then."""
        try:
            await self._recorder.sync()
            self._reply(await asked())
        except InfraError as error:
            self._reply({"error": str(error)})

    async def _found(self, unit: str, step: str, key: str | None) -> dict[str, Any]:
        event = self._recorder.find(unit, step, key)
        return {"event": None} if event is None else _answer(event)

    def _reply(self, answer: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(json.dumps(answer).encode() + b"\n")


async def _done() -> dict[str, Any]:
    return {"ok": True}


def _answer(event: Event | InfraError) -> dict[str, Any]:
    if isinstance(event, InfraError):
        return {"error": str(event)}
    return {
        "event": {
            "unit": event.unit,
            "step": event.step,
            "type": event.type,
            "key": event.key,
            "cause": event.cause,
            "t_ns": event.t_ns,
            "wall_ns": event.wall_ns,
            "pid": event.pid,
            "seq": event.seq,
            "meta": dict(event.meta),
        }
    }


def _result_row(request: dict[str, Any]) -> tuple[Any, ...]:
    latency = request["average_latency"]
    return (
        str(request["test_group"]),
        int(request["passed"]),
        float(request["duration"]),
        None if latency is None else float(latency),
        json.dumps(request["summary"]),
    )
