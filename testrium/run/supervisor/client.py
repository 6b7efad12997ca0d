"""The runner's side of the supervisor: start processes, stop them, learn how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from testrium.errors import InfraError, TestriumError
from testrium.evidence import Leak
from testrium.run.supervisor import bootstrap
from testrium.run.supervisor.protocol import (
    Exit,
    Launch,
    Message,
    Receiver,
    encoded,
    file_size,
    signal_name,
    signal_number,
)
from testrium.system import START_METHOD, StartMethod
from testrium.system.platform import system

if TYPE_CHECKING:
    from ssl import SSLContext

    from testrium.system.processes import ProcessFigures

_T = TypeVar("_T")

__all__ = ["Exit", "Launch", "LaunchError", "SupervisedProcess", "Supervisor"]

# The longest message of the supervisor: a long list of leaks.
_LINE_LIMIT = 1 << 24

# How long the supervisor may take to end after everything below it was killed.
_CLOSE_LIMIT_S = 10.0


class LaunchError(TestriumError):
    """A program could not be started for a reason that lies in the unit's description."""


class SupervisedProcess:
    """A process that was started; its futures are resolved in the runner's loop.

    `log_starts` tells at which offsets of its stdout and stderr files its own output begins.

    `pid` is the unit's own process; all that it starts is below `keeper` (see that module), which
    has waited for processes of earlier units that used `waited_before_s` of CPU. `ended`
    resolves with the end of the process; `cleared` when nothing that it started is left, with what
    was alive 200 ms after its end. Both raise InfraError if the supervisor dies; who waits for them
    may be cancelled without harm to others who do.
    """

    def __init__(self, supervisor: ProcessOwner, number: int, launch: Launch) -> None:
        loop = asyncio.get_running_loop()
        self.launch = launch
        self.pid = 0
        self.keeper = 0
        self.started_ns = 0
        self.waited_before_s = 0.0
        self.log_starts = {path: file_size(path) for path in (launch.stdout, launch.stderr)}
        self._ended: asyncio.Future[Exit] = loop.create_future()
        self._cleared: asyncio.Future[tuple[Leak, ...]] = loop.create_future()
        self._strikes: deque[asyncio.Future[None]] = deque()
        self._supervisor = supervisor
        self._number = number
        self._started: asyncio.Future[None] = loop.create_future()

    @property
    def alive(self) -> bool:
        """Whether its end is not known yet."""
        return not self._ended.done()

    @property
    def ended(self) -> asyncio.Future[Exit]:
        return _shielded(self._ended)

    @property
    def cleared(self) -> asyncio.Future[tuple[Leak, ...]]:
        return _shielded(self._cleared)

    def stop(
        self, signal: str | None = None, grace_s: float | None = None, *, stacks: bool = False
    ) -> None:
        """Signal the unit (`Launch.stop_to`), and kill what is left of it after the grace.

        Without arguments as the launch says. Nothing happens once the process has ended. With
        `stacks` a Python unit appends the stacks of its threads to `launch.stacks` just before,
        even in a deadlock. Not earlier: the question may wake it (signal.pause), and it continues.
        """
        number = signal_number(signal or self.launch.stop_signal)
        grace_ns = int((self.launch.grace_s if grace_s is None else grace_s) * 1e9)
        self._tell("stop", signal=number, grace_ns=grace_ns, stacks=stacks)

    def kill(self) -> None:
        """SIGKILL to everything that the unit has started, at once. No leaks are reported."""
        self._tell("kill")

    def release(self) -> None:
        """End what the unit was allowed to leave behind (`Launch.may_leave`), once it has ended."""
        if not self._cleared.done():
            self._supervisor._send({"op": "release", "number": self._number})  # noqa: SLF001

    async def signal(self, name: str, to: Receiver = "session", pid: int = 0) -> bool:
        """Signal the unit as if from outside: it does not count as asked to stop.

        Returns when it was sent; False when the unit had ended before. `pid` is the emitter.
        """
        return await self._strike("signal", signal=signal_number(name), to=to, pid=pid)

    async def pause(self, for_ns: int | None, to: Receiver = "session", pid: int = 0) -> bool:
        """Pause the unit; its keeper resumes it after `for_ns`, None for never.

        Returns when it stands still; False when the unit had ended before, or was asked to.
        """
        return await self._strike("pause", for_ns=for_ns, to=to, pid=pid)

    async def _strike(self, op: str, **fields: object) -> bool:
        struck: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._strikes.append(struck)
        self._tell(op, **fields)
        first: set[asyncio.Future[Any]] = {struck, self.ended}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        return struck.done()

    async def spawn_beside(self, command: tuple[str, ...]) -> SupervisedProcess:
        """Start a command in the folder and with the environment of this unit, to ask about it.

        Its output is thrown away. Raises what `Supervisor.spawn` does.
        """
        nowhere = Path(os.devnull)
        launch = self.launch._replace(
            unit=f"{self.launch.unit} (ready?)",
            entrypoint=None,
            command=command,
            stdout=nowhere,
            stderr=nowhere,
            stacks=nowhere,
            deadline_ns=None,
        )
        return await self._supervisor.spawn(launch)

    async def connection(
        self, host: str, port: int, tls: SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams to a port as it is reached from the unit's host. Raises OSError."""
        return await self._supervisor.connection(host, port, tls)

    @property
    def is_remote(self) -> bool:
        """Whether it runs on another host, where `figures` has to ask."""
        return self._supervisor.is_remote

    async def figures(self) -> tuple[list[ProcessFigures], float]:
        """The processes of the unit on another host now, and what their keeper has waited for (s).

        Raises InfraError: the host is lost.
        """
        found, waited_s = await self._supervisor.figures(self.pid, self.keeper)
        return found, waited_s - self.waited_before_s

    async def exists(self, path: Path) -> bool:
        """Whether there is such a file on the unit's host."""
        return await self._supervisor.exists(path)

    def _tell(self, op: str, **fields: object) -> None:
        if self.alive:
            self._supervisor._send({"op": op, "number": self._number, **fields})  # noqa: SLF001

    def _receive(self, message: Message) -> None:
        match message["event"]:
            case "started":
                self.pid, self.keeper = message["pid"], message["keeper"]
                self.started_ns = message["t_ns"]
                self.waited_before_s = message["waited_cpu_s"]
                _resolve(self._started, None)
            case "struck":
                _resolve(self._strikes.popleft(), None)
            case "refused":
                kind = InfraError if message["infra"] else LaunchError
                self._fail(kind(message["reason"]))
            case "ended":
                _resolve(self._ended, Exit.from_message(message["exit"]))
            case "cleared":
                leaks = tuple(Leak(pid, line) for pid, line in message["leaks"])
                _resolve(self._cleared, leaks)

    def _fail(self, error: TestriumError) -> None:
        for future in (self._started, self._ended, self._cleared):
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: not everybody waits for all three


class ProcessOwner:
    """The processes that one supervisor owns, here or on another host; sends it commands.

    `started` is set once a first process runs.
    """

    is_remote = False

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self._processes: dict[int, SupervisedProcess] = {}
        self._count = 0
        self._failure: InfraError | None = None
        self._next_start: asyncio.Future[None] | None = None

    def next_start(self) -> asyncio.Future[None]:
        """Resolves when the next process is asked for, or none can be any more."""
        if self._next_start is None or self._next_start.done():
            self._next_start = asyncio.get_running_loop().create_future()
        return _shielded(self._next_start)

    async def spawn(self, launch: Launch) -> SupervisedProcess:
        """Start a process; returns when it runs.

        Raises:
            LaunchError: no such program or folder.
            InfraError: the machine cannot start it, or the supervisor is dead.
        """
        if self._failure is not None:
            raise self._failure
        self._count += 1
        number = self._count
        process = self._processes[number] = SupervisedProcess(self, number, launch)
        self._send({"op": "start", "number": number, "launch": launch.to_message()})
        if self._next_start is not None:
            _resolve(self._next_start, None)
        try:
            await process._started  # noqa: SLF001 - a process is made here
        except asyncio.CancelledError:
            process.kill()
            raise
        self.started.set()
        return process

    async def connection(
        self, host: str, port: int, tls: SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams to a port, as processes reach it. Raises OSError."""
        return await asyncio.open_connection(host, port, ssl=tls)

    async def figures(self, pid: int, keeper: int) -> tuple[list[ProcessFigures], float]:
        """See `SupervisedProcess.figures`; here processes are looked at without asking."""
        raise NotImplementedError

    async def exists(self, path: Path) -> bool:
        """Whether there is such a file where processes are."""
        return path.exists()  # noqa: ASYNC240 - one call of the kernel; a thread would cost more

    def _send(self, message: Message) -> None:
        raise NotImplementedError

    def _receive(self, message: Message) -> None:
        """The supervisor has said something about a process."""
        if (process := self._processes.get(message["number"])) is not None:
            process._receive(message)  # noqa: SLF001
            if message["event"] in ("cleared", "refused"):
                del self._processes[message["number"]]

    def _fail_all(self, failure: InfraError) -> None:
        """Nothing will be heard of any process any more."""
        for process in list(self._processes.values()):
            process._fail(failure)  # noqa: SLF001
        if self._next_start is not None:
            _resolve(self._next_start, None)


class Supervisor(ProcessOwner):
    """Owns all processes of a run.

        with Supervisor.launch() as supervisor:   # at once, before there is a loop
            ...
            await supervisor.connect()
            process = await supervisor.spawn(launch)
            ...
            await supervisor.close()

    However the block is left, nothing that was started is left behind. `own` are children of the
    runner itself (those of multiprocessing are known), to be spared when the supervisor dies and
    the runner has to clean up.
    """

    def __init__(self, booted: bootstrap.Booted) -> None:
        super().__init__()
        self.own: set[int] = set()
        self._wire = booted.wire
        self._program = booted.program
        self._mark = booted.mark
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closing = False

    @classmethod
    def launch(cls, start_method: StartMethod = START_METHOD) -> Self:
        """Start the supervisor's process; does not wait for it.

        Args:
            start_method: how it starts units, see `testrium.system`.

        Raises:
            InfraError: the machine cannot start a process.
        """
        if problem := system.proc_problem():
            raise InfraError(f"cannot look after processes: {problem}")
        try:
            system.become_subreaper()
            booted = bootstrap.take(start_method)
        except OSError as error:
            raise InfraError(f"cannot start the supervisor: {error.strerror}") from error
        return cls(booted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()
        try:
            self._program.wait(_CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()

    async def connect(self) -> None:
        """Serve the supervisor's socket in this loop from now on."""
        reader, self._writer = await asyncio.open_connection(sock=self._wire, limit=_LINE_LIMIT)
        self._listening = asyncio.create_task(self._listen(reader), name="supervisor")
        if sys.platform != "win32":
            # A supervisor that is stopped would hold up everything for ever.
            # Who started the runner may have blocked it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
                asyncio.get_running_loop().add_signal_handler(
                    signal.SIGCHLD, system.resume_children
                )
            system.resume_children()

    async def close(self) -> None:
        """Kill what is left of the run; returns when it is gone."""
        self._closing = True
        if self._writer is None or self._listening is None:
            return
        if self._failure is None:
            self._writer.write_eof()
        await self._listening
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def _send(self, message: Message) -> None:
        if self._writer is not None and self._failure is None:
            self._writer.write(encoded(message))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self._receive(json.loads(line))
        await self._end()

    async def _end(self) -> None:
        """The supervisor has ended: on request, or it was killed."""
        code = await asyncio.to_thread(self._program.wait)
        if not self._closing:
            how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with {code}"
            self._failure = InfraError(f"the supervisor {how}")
            units = [process.pid for process in self._processes.values() if process.pid]
            await asyncio.to_thread(system.end_orphans, self._spared(), self._mark, units)
        self._fail_all(self._failure or InfraError("the run was closed"))

    def _spared(self) -> set[int]:
        import multiprocessing

        return self.own | {child.pid for child in multiprocessing.active_children() if child.pid}


def _shielded(future: asyncio.Future[_T]) -> asyncio.Future[_T]:
    """The same for one waiting task: cancelling a task cancels the future that it awaits."""
    if future.done():
        return future
    own = asyncio.shield(future)
    # Seen: not everybody who looks at it waits for it.
    own.add_done_callback(lambda done: done.cancelled() or done.exception())
    return own


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
