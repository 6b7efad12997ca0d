"""A process of ours beside the units of a group, and the lines of JSON to and from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from testrium.errors import InfraError
from testrium.record.listening import awaiting_connection
from testrium.run.supervisor.client import Launch, SupervisedProcess, Supervisor

#: How long a process may take to carry out a request.
_LIMIT_S = 30.0

#: The longest line that it may write, in bytes.
_LINE_LIMIT = 1 << 22


class OwnProgram(NamedTuple):
    """What such a process runs, and how messages name it.

    `name` is that of the process, its socket and its log; `control` the variable that holds the
    address of the socket; `failed` stands before the reason with which it gives up.
    """

    name: str
    entrypoint: str
    control: str
    subject: str
    failed: str = ""
    hint: str = ""


class OwnProcess:
    """The process of one group; everything that it cannot do is reported once.

        {"op": "...", "id": 7, ...}     -> {"event": "done", "id": 7, ...}
        what it cannot do at all        -> {"event": "failed", "reason": "..."}

    `receive` gets each other message; `on_failure` gets the reason when the process fails or ends
    unasked.
    """

    def __init__(
        self,
        program: OwnProgram,
        supervisor: Supervisor,
        sockets: Path,
        folder: Path,
        on_failure: Callable[[str], None],
        receive: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._program = program
        self._supervisor = supervisor
        self._path = sockets / program.name
        self._folder = folder
        self._receive = receive
        self._on_failure = on_failure
        self._process: SupervisedProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._closing = False
        self.has_failed = False

    @property
    def is_open(self) -> bool:
        return self._writer is not None and not (self.has_failed or self._closing)

    async def open(self, mode: str) -> None:
        """Start the process, and wait until it has connected. Raises InfraError."""
        async with awaiting_connection(self._path, _LINE_LIMIT) as (address, connected):
            self._process = await self._supervisor.spawn(self._launch(address, mode))
            reader, self._writer = await self._before_end(connected)
        self._listening = asyncio.create_task(self._listen(reader))

    def tell(self, op: str, **fields: Any) -> None:
        """Tell the process something that it does not answer; nothing where it is not open."""
        if self.is_open:
            self._send(op, fields)

    def _send(self, op: str, fields: dict[str, Any]) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps({"op": op, **fields}).encode() + b"\n")

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Tell the process to do something; its answer, once it is done. Raises InfraError."""
        number, answer = self.expect()
        self._send(op, {"id": number, **fields})
        return await answer

    def expect(self) -> tuple[int, Coroutine[Any, Any, dict[str, Any]]]:
        """The number of an answer that is asked for, and a wait for it. Raises InfraError."""
        self._count += 1
        done = self._answers[self._count] = asyncio.get_running_loop().create_future()
        return self._count, self._before_end(done)

    async def settle(self, answer: Coroutine[Any, Any, dict[str, Any]]) -> None:
        """Wait for an answer; where none comes, everything fails that needs the process."""
        try:
            await answer
        except InfraError as error:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        """Tell all that wait, and once the run of the group."""
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(InfraError(reason))
                waiting.exception()
        if not self.has_failed:
            self.has_failed = True
            self._on_failure(reason)

    async def close(self, last: str) -> dict[str, Any] | None:
        """Let it do one more thing, and end it; what it answers, or None where it cannot."""
        if self._process is None:
            return None
        answer = None
        if self._process.alive and self.is_open:
            with contextlib.suppress(InfraError):  # it was reported when it happened
                answer = await self.ask(last)
        self._closing = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        self._process.kill()
        with contextlib.suppress(InfraError):
            await self._process.cleared
        return answer

    def _launch(self, address: str, mode: str) -> Launch:
        folder = self._folder
        log = folder / f"{self._program.name}.log"
        return Launch(
            unit=self._program.name,
            folder=folder,  # not the group's: what users write does not run here
            entrypoint=self._program.entrypoint,
            command=None,
            cwd=folder,
            env={**os.environ, self._program.control: address},
            stdout=log,
            stderr=log,
            stacks=log,
            mode=mode,
        )

    async def _before_end(self, done: asyncio.Future[Any]) -> Any:
        assert self._process is not None
        both: set[asyncio.Future[Any]] = {done, self._process.ended}
        await asyncio.wait(both, timeout=_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            subject, hint = self._program.subject, self._program.hint
            raise InfraError(f"{subject} has ended or does not answer{hint}")
        return done.result()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason = f"{self._program.subject} has ended{self._program.hint}"
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                if message["event"] == "failed":
                    reason = self._program.failed + message["reason"]
                    break
                if message["event"] != "done":
                    self._receive(message)
                elif not (waiting := self._answers.pop(message["id"])).done():
                    waiting.set_result(message)
        if not self._closing:
            self._fail(reason)
