"""The runner's end of a host's pipe: its processes, files, ports, waits and clock, as at home.

What units write there is written here as it comes, into the same files of the run folder: so all
that reads them reads as at home. Processes are owned by a supervisor there, which is spoken to as
the one here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shlex
import socket
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import testrium
from testrium.declared.groups import Scenario, UnitHost
from testrium.errors import HostError, error_text
from testrium.host_clocks import ClockReading, offset_at, reading_of
from testrium.probe.waiting import connected_async
from testrium.run.environment import LOOPBACK, Ports, Surroundings
from testrium.run.folder import RunFolder
from testrium.run.hosts.frames import (
    BEAT_S,
    BOOT,
    GREETING,
    HEADER,
    LONGEST,
    TELEMETRY,
    Connections,
    JoinedStreams,
    Sink,
    frame,
    message,
)
from testrium.run.supervisor.client import Launch, ProcessOwner
from testrium.run.supervisor.protocol import Message
from testrium.system.files import write_all
from testrium.system.processes import ProcessFigures

if TYPE_CHECKING:
    from ssl import SSLContext

    from testrium.run.faults.links.control import Links
    from testrium.run.telemetry.control import TelemetryReceiver

#: How long a host may take to answer at first: an ssh without a password, a container that wakes.
CONNECT_LIMIT_S = 30.0

#: After how many beats without an answer a host is lost.
_MOST_MISSED = 20

#: Exchanges of times at the start and at the end.
_EXCHANGES = 8

#: How many readings of a clock are kept of one run.
_MOST_READINGS = 4000

_CLOSE_LIMIT_S = 10.0

#: How long the command may take to end once nothing is left there.
_LEAVE_LIMIT_S = 2.0

#: How much of a line of the command's standard error is repeated.
_LONGEST_LINE = 200

_SENT_AT_ONCE = 1 << 18

#: How often it is tried whether a unit there listens: nothing tells when it begins to.
_TRY_AGAIN_S = 0.02

#: Rooms of Testrium that no process of a unit needs.
_AT_HOME_ONLY = frozenset(
    ("chaos", "cli", "history", "judging", "load", "plan", "report", "serve", "verify")
)

#: Folders of a group that are not sent.
_NOT_SENT = frozenset(("__pycache__", "node_modules"))


class FarEnd(NamedTuple):
    """The agent that answered: its Python, and its Testrium; None where that is sent along."""

    python: tuple[int, ...]
    executable: str
    testrium: str | None


class RemoteHost(ProcessOwner):
    """One host, for one group: from its connection to the end of everything there.

    `on_failure` is called when it is lost.
    """

    is_remote = True

    def __init__(self, name: str, declared: UnitHost, folder: RunFolder, waits: str) -> None:
        super().__init__()
        self.name = name
        self.declared = declared
        self.on_failure: Callable[[HostError], None] = lambda _: None
        self.readings: list[ClockReading] = []
        self.facts: dict[str, Any] = {}
        self.far_end: FarEnd | None = None
        self._folder = folder
        self._waits = waits
        self._program: asyncio.subprocess.Process | None = None
        self._said = bytearray()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self._opened: asyncio.Future[None] | None = None
        self._closed = asyncio.Event()
        self._read_clock = asyncio.Event()
        self._files: dict[int, tuple[Path, int]] = {}
        self._sent_ns = 0
        self._asked_for: frozenset[str] = frozenset()
        self._group: Path | None = None  # the group's folder, once its files may come back
        self._missed = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = Connections(self._write, 2)
        self._forwarded: dict[str, Forwarded] = {}
        self._entrances: list[asyncio.Server] = []
        #: What its wall clock said, each with the times of its CLOCK_MONOTONIC before and after.
        self.walls: list[tuple[int, int, int]] = []

    # Life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and have an agent with a supervisor there. Raises HostError."""
        try:
            await self._open()
        except HostError as error:
            self._failure = self._failure or error
            raise

    async def _open(self) -> None:
        self._opened = asyncio.get_running_loop().create_future()
        program = await self._connect()
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                self.far_end = await self._greeted(program)
                await self._boot(program, self.far_end)
                self._begin(self._listen(program))
                self._write(message("open"))
                await self._opened
                for _ in range(_EXCHANGES):
                    await self._exchange()
        except TimeoutError:
            self._kill()
            raise self._error(f"no answer within {CONNECT_LIMIT_S:g} s{self._stderr()}") from None
        self._begin(self._beat())

    async def close(self) -> None:
        """End everything there; what was written last has come."""
        if self._program is None:
            return
        if self._failure is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_LIMIT_S):
                    for _ in range(_EXCHANGES):
                        await self._exchange()
                    self._closing = True
                    self._write(message("close"))
                    await self._closed.wait()
        self._closing = True
        for entrance in self._entrances:
            entrance.close()
        self._connections.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._program.stdin is not None
        self._program.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_LIMIT_S):
                await self._program.wait()
        self._kill()
        await self._program.wait()
        for _, fd in self._files.values():
            os.close(fd)
        self._files.clear()

    async def send_folders(self, folders: Mapping[str, Path]) -> None:
        """Send folders there, by their names below the agent's. Raises HostError."""
        self._sent_ns = time_ns()
        for name, folder in folders.items():
            self._write(message("put", path=name))
            with tempfile.TemporaryFile() as archive:
                await asyncio.to_thread(_packed, folder, archive)
                archive.seek(0)
                while part := archive.read(_SENT_AT_ONCE):
                    self._write(frame(b"P", 0, part))
                    await self._drain()
            self._write(frame(b"P", 0))

    def surroundings(self, around: Surroundings, paths: Mapping[str, Path]) -> Surroundings:
        """What processes there have in common; `paths` are those that were sent, by name."""
        far = Path(self.facts["folder"])
        group = around.scenario.group
        env = dict(group.env)
        if "PYTHONPATH" in env:
            there = {str(path): str(far / name) for name, path in paths.items()}
            parts = env["PYTHONPATH"].split(os.pathsep)
            env["PYTHONPATH"] = os.pathsep.join(there.get(part, part) for part in parts)
        moved = replace(group, folder=far / "group", env=env)
        return around._replace(
            scenario=around.scenario._replace(group=moved),
            folder=RunFolder(far / "run"),
            socket=str(far / "waits"),
            domain=self.domain,
            inherited=self._environment(),
            otlp="",
        )

    def _environment(self) -> dict[str, str]:
        """What processes there inherit: the agent's environment, and where Testrium is."""
        environment: dict[str, str] = dict(self.facts["environment"])
        assert self.far_end is not None
        if (code := self.facts["code"]) is not None:
            paths = (code, environment.get("PYTHONPATH", ""))
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        paths = (environment.get("PATH", os.defpath), os.path.dirname(self.far_end.executable))  # noqa: PTH120
        environment["PATH"] = os.pathsep.join(filter(None, paths))
        return environment

    @property
    def domain(self) -> str:
        """The name of its clock."""
        return str(self.facts["domain"])

    # What is asked of it ----------------------------------------------------------------------

    async def ports(self, count: int) -> tuple[int, ...]:
        """Free ports there. Raises HostError."""
        return tuple((await self.ask("ports", count=count))["ports"]) if count else ()

    async def ask(self, what: str, **fields: object) -> dict[str, Any]:
        """The answer to a question. Raises HostError."""
        if self._failure is not None:
            raise self._failure
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._write(message("ask", id=number, what=what, **fields))
        try:
            return await answer
        finally:
            self._answers.pop(number, None)

    async def connection(
        self, host: str, port: int, tls: SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams to a port as it is reached from there. Raises OSError: it cannot be."""
        ours, theirs = socket.socketpair()
        there = await asyncio.open_connection(sock=theirs)
        try:
            await self._connections.ask(
                JoinedStreams(there[0], Sink(there[1])), host=host, port=port
            )
        except OSError:
            ours.close()
            there[1].close()
            raise
        name = None if tls is None else host
        return await asyncio.open_connection(sock=ours, ssl=tls, server_hostname=name)

    async def forward(self, name: str, to: Forwarded) -> int:
        """A port there, for programs there alone, that leads to a port here. Raises HostError."""
        self._forwarded[name] = to
        return int((await self.ask("forward", to=name))["port"])

    async def entrance(self, unit: str, port: int) -> int:
        """A port here, for programs here alone, that leads to the port of a unit there."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._begin(self._enter(unit, port, reader, writer))

        server = await asyncio.start_server(connected, LOOPBACK, 0)
        self._entrances.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _enter(
        self, unit: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Connect to a unit there, as soon as it listens."""
        streams = JoinedStreams(reader, Sink(writer), halves=True)
        while True:
            try:
                await self._connections.ask(streams, host=LOOPBACK, port=port, halves=True)
            except OSError:
                runs = any(one.launch.unit == unit for one in self._processes.values())
                if self._failure is not None or not runs or reader.at_eof():
                    streams.sink.reset()
                    return
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    async def figures(self, pid: int, keeper: int) -> tuple[list[ProcessFigures], float]:
        """The processes of a unit there. Raises HostError."""
        told = await self.ask("figures", pid=pid, keeper=keeper)
        return [ProcessFigures(*row) for row in told["processes"]], told["waited_cpu_s"]

    async def exists(self, path: Path) -> bool:
        """Whether there is such a file there. Raises HostError."""
        return bool((await self.ask("exists", path=str(path)))["exists"])

    async def bring_files(self, scenario: Scenario) -> None:
        """Have what units wrote there here: what checks look at, and their folders of the run.

        Raises HostError: the host is lost, or a file was written on two machines.
        """
        self._group = group = scenario.group.folder
        if (looked_at := _looked_at(scenario)) is not None:
            written = (await self.ask("written"))["paths"]
            names = [name for name in written if looked_at.fullmatch(name.rstrip("/"))]
            files = [name for name in names if not name.endswith("/")]
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    if (group / name).stat().st_mtime_ns > self._sent_ns:
                        raise self._error(
                            f"{name} was written there and on another machine, and a check looks"
                            " at it: give each its own name"
                        )
            for name in set(names) - set(files):
                (group / name).mkdir(parents=True, exist_ok=True)
            self._asked_for = frozenset(files)
        await self.ask("bring", paths=sorted(self._asked_for))

    # Processes --------------------------------------------------------------------------------

    def _send(self, told: Message) -> None:
        if self._failure is not None:
            return
        if told["op"] == "start":
            launch = dict(told["launch"])
            for name in ("stdout", "stderr", "stacks"):
                launch[name] = self._far(Path(launch[name]))
            if launch["deadline_ns"] is not None:
                launch["deadline_ns"] += self._offset_ns
            told = {**told, "launch": launch}
        self._write(frame(b"S", 0, json.dumps(told).encode() + b"\n"))

    def _receive(self, told: Message) -> None:
        if told["event"] == "started":
            told["t_ns"] = self.here_ns(told["t_ns"])
        elif told["event"] == "ended":
            told["exit"]["t_ns"] = self.here_ns(told["exit"]["t_ns"])
        super()._receive(told)

    def at_home(self, launch: Launch, folder: RunFolder) -> Launch:
        """The launch with the files that the runner reads."""
        unit = launch.unit
        return launch._replace(
            stdout=folder.stdout(unit), stderr=folder.stderr(unit), stacks=folder.stacks(unit)
        )

    def _far(self, path: Path) -> str:
        """Where a file of the run folder is there."""
        if not path.is_relative_to(self._folder.path):
            return str(path)
        return str(Path(self.facts["folder"], "run", path.relative_to(self._folder.path)))

    @property
    def _offset_ns(self) -> int:
        """About how much later the clock there is than the one here."""
        low, high = offset_at(self.readings[-1].t_ns, self.readings)
        return (low + high) // 2

    def here_ns(self, t_ns: int) -> int:
        """About when it was here: not later than now."""
        return min(t_ns - self._offset_ns, monotonic_ns())

    # The pipe ---------------------------------------------------------------------------------

    def _error(self, reason: str) -> HostError:
        return HostError(self.name, reason, self.declared.place)

    async def _connect(self) -> asyncio.subprocess.Process:
        boot = base64.b64encode(BOOT.encode()).decode()
        code = f"import base64;exec(base64.b64decode('{boot}'))"
        line = f"exec {shlex.quote(self.declared.python)} -c {shlex.quote(code)}"
        pipe = asyncio.subprocess.PIPE
        connect = self.declared.connect
        try:
            self._program = await asyncio.create_subprocess_exec(
                *connect, line, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True,
                limit=LONGEST, cwd=self.declared.folder,
            )  # fmt: skip
        except OSError as error:
            why = f"connect: {connect[0]!r} cannot be started: {error.strerror}"
            raise self._error(why) from error
        self._begin(self._keep_stderr(self._program))
        return self._program

    async def _keep_stderr(self, program: asyncio.subprocess.Process) -> None:
        assert program.stderr is not None
        while data := await program.stderr.read(4096):
            self._said += data
            del self._said[:-4096]

    def _stderr(self) -> str:
        """The last lines that the command has said on its standard error."""
        lines = self._said.decode(errors="replace").strip().splitlines()[-3:]
        return f": {' / '.join(line.strip()[:_LONGEST_LINE] for line in lines)}" if lines else ""

    async def _greeted(self, program: asyncio.subprocess.Process) -> FarEnd:
        assert program.stdout is not None
        while line := await program.stdout.readline():
            if line.startswith(GREETING):
                said = json.loads(line.removeprefix(GREETING))
                return FarEnd(tuple(said["python"]), said["executable"], said["testrium"])
        code = await program.wait()
        await asyncio.sleep(0)
        python = self.declared.python
        hint = f" (is python = {python!r} there?)" if code in (126, 127) else ""
        command = shlex.join(self.declared.connect)
        raise self._error(f"`{command}` {_ended(code)}{self._stderr()}{hint}")

    async def _boot(self, program: asyncio.subprocess.Process, there: FarEnd) -> None:
        """Let the far end begin, with Testrium's files where it has none."""
        assert program.stdin is not None
        version = ".".join(map(str, there.python))
        if there.python < (3, 11):
            self._kill()
            raise self._error(
                f"python = {self.declared.python!r} is Python {version} there: name one from 3.11"
            )
        if there.testrium not in (None, testrium.__version__):
            self._kill()
            raise self._error(
                f"{there.executable} has Testrium {there.testrium} there, this is"
                f" {testrium.__version__}: install the same there, or name a python without it"
            )
        files = b"" if there.testrium else await asyncio.to_thread(own_files)
        program.stdin.write(b"%d\n" % len(files) + files)
        with contextlib.suppress(ConnectionError):  # who reads learns why
            await program.stdin.drain()

    def _write(self, data: bytes) -> None:
        if self._program is not None and self._failure is None:
            assert self._program.stdin is not None
            self._program.stdin.write(data)

    async def _drain(self) -> None:
        assert self._program is not None
        assert self._program.stdin is not None
        with contextlib.suppress(ConnectionError):
            await self._program.stdin.drain()
        if self._failure is not None:
            raise self._failure

    async def _listen(self, program: asyncio.subprocess.Process) -> None:
        assert program.stdout is not None
        reason = "the pipe has broken"
        try:
            while True:
                kind, number, length = HEADER.unpack(await program.stdout.readexactly(HEADER.size))
                if length > LONGEST:
                    reason = "its answer is not that of an agent"
                    break
                content = await program.stdout.readexactly(length)
                self._missed = 0
                self._take(kind, number, content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (OSError, ValueError, KeyError, LookupError) as error:
            reason = error_text(error)
        await asyncio.sleep(0)
        if not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    code = await program.wait()
                    reason += f": `{shlex.join(self.declared.connect)}` {_ended(code)}"
            self._lose(f"{reason}{self._stderr()}")

    async def _beat(self) -> None:
        """Ask for the time there periodically, to notice when the host is gone."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._write(message("clock", t1=monotonic_ns()))
            self._missed += 1
            if self._missed > _MOST_MISSED:
                self._lose(f"no heartbeat for {_MOST_MISSED * BEAT_S:g} s")
                return

    async def _exchange(self) -> None:
        self._read_clock.clear()
        self._write(message("clock", t1=monotonic_ns()))
        await self._read_clock.wait()
        if self._failure is not None:
            raise self._failure

    def _lose(self, reason: str) -> None:
        """The host is gone: fail everything that waits for it."""
        if self._failure is not None or self._closing:
            return
        failure = self._failure = self._error(reason)
        self._kill()
        self._fail_all(failure)
        self._connections.close()
        waiting: list[asyncio.Future[Any]] = list(self._answers.values())
        for each in (*waiting, *([self._opened] if self._opened else [])):
            if not each.done():
                each.set_exception(failure)
                each.exception()  # seen: not everybody waits for it
        self._read_clock.set()
        self._closed.set()
        self.on_failure(failure)

    def _kill(self) -> None:
        """End the command at this end; the far end ends with its pipe."""
        if self._program is not None:
            assert self._program.stdin is not None
            self._program.stdin.close()
            if self._program.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._program.kill()

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What comes -------------------------------------------------------------------------------

    def _take(self, kind: bytes, number: int, content: bytes) -> None:
        match kind:
            case b"M":
                self._obey(json.loads(content))
            case b"S":
                self._receive(json.loads(content))
            case b"F":
                write_all(self._files[number][1], content)
                self._write(frame(b"A", len(content)))
            case b"O":
                asked = json.loads(content)
                if asked["to"] == "waits":
                    self._begin(self._join_wait(number))
                else:
                    self._begin(self._join_forwarded(number, asked))
            case _:
                self._connections.take(kind, number, content)

    def _obey(self, told: dict[str, Any]) -> None:
        match told["op"]:
            case "clock":
                self._keep_reading(told, monotonic_ns())
            case "wall":
                self._keep_wall(tuple(told["read"]))
            case "opened":
                self.facts = told
                assert self._opened is not None
                self._opened.set_result(None)
            case "answer":
                if (answer := self._answers.get(told["id"])) is not None and not answer.done():
                    answer.set_result(told)
            case "feed":
                self._open_file(told["feed"], told["path"], told["root"])
            case "end":
                os.close(self._files.pop(told["feed"])[1])
            case "cut":
                os.ftruncate(self._files[told["feed"]][1], told["to"])
            case "gone" | "replaced":
                self._replace_file(told["feed"])
            case "failed":
                self._lose(told["reason"])
            case "closed":
                self._closed.set()

    def _keep_reading(self, told: dict[str, Any], t4: int) -> None:
        self.readings.append(reading_of(told["t1"], told["t2"], told["t3"], t4))
        self._read_clock.set()
        if len(self.readings) > _MOST_READINGS:  # of each two the better one
            pairs = zip(self.readings[::2], self.readings[1::2], strict=False)
            self.readings = [min(pair, key=lambda one: one.high - one.low) for pair in pairs]

    def _open_file(self, number: int, path: str, root: str) -> None:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(f"a file outside of the run folder: {path}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if root == "run":
            here = self._folder.path / parts
            here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif path in self._asked_for and self._group is not None:
            here = self._group / parts
            here.parent.mkdir(parents=True, exist_ok=True)
            flags |= os.O_TRUNC
        else:
            raise ValueError(f"a file that was not asked for: {path}")
        mode = 0o600 if root == "run" else 0o666
        self._files[number] = (here, os.open(here, flags, mode))

    def _replace_file(self, number: int) -> None:
        """Do here what was done there: the file is another one."""
        here, fd = self._files[number]
        os.close(fd)
        here.unlink(missing_ok=True)
        self._files[number] = (here, os.open(here, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))

    def _keep_wall(self, read: tuple[int, int, int]) -> None:
        self.walls.append(read)
        del self.walls[:-_MOST_READINGS]
        for forwarded in self._forwarded.values():
            if forwarded.note_wall is not None:
                forwarded.note_wall(read)

    async def _join_wait(self, number: int) -> None:
        """A process there asks the runner something."""
        try:
            reader, writer = await connected_async(self._waits, LONGEST)
        except OSError as error:
            self._connections.refuse(number, error)
            return
        self._connections.accept(number, JoinedStreams(reader, _HomePaths(writer, self._paths)))

    async def _join_forwarded(self, number: int, asked: dict[str, Any]) -> None:
        """A process there has connected to a port that leads here."""
        to = self._forwarded.get(asked["to"])
        if to is None:
            self._connections.refuse(number, ConnectionRefusedError("no port is forwarded there"))
            return
        end = socket.socket()
        try:
            end.setblocking(False)
            end.bind((LOOPBACK, 0))
            if to.note_client is not None:
                to.note_client(end.getsockname()[1], asked["unit"])
            await asyncio.get_running_loop().sock_connect(end, (LOOPBACK, to.port))
            reader, writer = await asyncio.open_connection(sock=end)
        except OSError as error:
            end.close()
            self._connections.refuse(number, error)
            return
        sink = Sink(writer) if to.told is None else _AfterTold(writer, to.told)
        self._connections.accept(number, JoinedStreams(reader, sink, halves=True))

    @property
    def _paths(self) -> tuple[bytes, bytes]:
        far = str(Path(self.facts["folder"], "run"))
        return tuple(json.dumps(text).encode()[1:-1] for text in (far, str(self._folder.path)))  # type: ignore[return-value]


class Forwarded(NamedTuple):
    """A port of this machine that processes on another host reach.

    Args:
        port: where it listens, at 127.0.0.1.
        note_client: learns from which port a connection comes, and of which unit there it is.
        note_wall: learns what the wall clock there said, see `RemoteHost.walls`.
        told: is awaited before bytes are handed on, so what was noted before is known.
    """

    port: int
    note_client: Callable[[int, str | None], None] | None = None
    note_wall: Callable[[tuple[int, int, int]], None] | None = None
    told: Callable[[], Awaitable[None]] | None = None


class _AfterTold(Sink):
    """Hands on what comes once its receiver knows what was noted before."""

    def __init__(self, writer: asyncio.StreamWriter, told: Callable[[], Awaitable[None]]) -> None:
        super().__init__(writer)
        self._told = told

    async def send(self, data: bytes) -> None:
        await self._told()
        await super().send(data)


class _HomePaths(Sink):
    """Names files of the run folder, in questions of processes there, as they are called here."""

    def __init__(self, writer: asyncio.StreamWriter, paths: tuple[bytes, bytes]) -> None:
        super().__init__(writer)
        self._paths = paths
        self._rest = b""

    async def send(self, data: bytes) -> None:
        lines, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            await super().send(lines.replace(*self._paths) + end)


def _looked_at(scenario: Scenario) -> re.Pattern[str] | None:
    """The names, below the group's folder, that checks look at; None where they look at none.

    A reference in a path can be any text.
    """
    paths = (
        os.path.normpath(check.target.removeprefix("${group.dir}/"))
        for check in scenario.group.checks
        if check.kind in ("file", "json", "exists", "absent")
    )
    wanted = [re.sub(r"\\\$\\\{.*?\\\}", ".*", re.escape(path)) for path in paths]
    return re.compile("|".join(wanted)) if wanted else None


def _packed(folder: Path, archive: Any) -> None:
    """The folder as an archive, without what is made anew or hidden."""

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = PurePosixPath(entry.name).name
        hidden = entry.isdir() and name.startswith(".") and name != "."
        return None if hidden or name in _NOT_SENT else entry

    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as packing:
        packing.add(folder, ".", filter=wanted)


@cache
def own_files() -> bytes:
    """Testrium's own files, for a Python that has none."""
    package = Path(testrium.__file__).parent
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as packing:
        for path in sorted(package.rglob("*")):
            place = path.relative_to(package)
            if place.parts[0] in _AT_HOME_ONLY or path.suffix not in (".py", ".sql"):
                continue
            packing.write(path, str(Path("testrium", place)))
    return packed.getvalue()


class Joined(NamedTuple):
    """The hosts of a group, connected: what its units here have in common now, and those there."""

    surroundings: Surroundings
    hosts: Mapping[str, RemoteHost]
    around: Mapping[str, Surroundings]


@contextlib.asynccontextmanager
async def joined_hosts(
    around: Surroundings, folder: RunFolder
) -> AsyncIterator[Joined | HostError]:
    """Let the units of a group run on their hosts; at the end nothing is left there.

    Where one cannot be reached, that is what the block gets.
    """
    scenario = around.scenario
    names = dict.fromkeys(unit.host for unit in scenario.units if unit.host is not None)
    declared = scenario.group.hosts
    hosts = {name: RemoteHost(name, declared[name], folder, around.socket) for name in names}
    try:
        yield await _joined(around, hosts)
    finally:
        await asyncio.gather(*(host.close() for host in hosts.values()), return_exceptions=True)


async def _joined(around: Surroundings, hosts: Mapping[str, RemoteHost]) -> Joined | HostError:
    """Connect all hosts at once; choose ports there, and say to all units where the others are."""
    scenario = around.scenario
    opening = [asyncio.ensure_future(_opened(host, scenario)) for host in hosts.values()]
    try:
        await asyncio.gather(*opening)
        ports = {**around.ports, **await _far_ports(scenario, hosts)}
    except HostError as error:
        await asyncio.gather(*opening, return_exceptions=True)
        return error
    near = _addresses(scenario, LOOPBACK)
    near |= dict.fromkeys(scenario.linked_ports, LOOPBACK)  # the links are here
    around = around._replace(ports=ports, addresses=near)
    paths = _sent_paths(scenario)
    far = {}
    for name, host in hosts.items():
        there = _addresses(scenario, _own_address(host.declared.address))
        there |= dict.fromkeys(around.links, LOOPBACK)  # of each there is a port there
        far[name] = host.surroundings(around._replace(addresses=there), paths)
    return Joined(around, hosts, far)


async def with_links(
    around: Mapping[str, Surroundings], hosts: Mapping[str, RemoteHost], links: Links
) -> dict[str, Surroundings]:
    """Let processes there reach ports through the group's links. Raises HostError.

    Units there are reached from the links over the pipe where their host has no address.
    """
    found = {}
    for name, host in hosts.items():
        ports: dict[str, dict[str, int]] = {}
        for unit, linked in around[name].links.items():
            for port, number in linked.items():
                link = f"{unit}.{port}"
                ports.setdefault(unit, {})[port] = await host.forward(
                    link, Forwarded(number, note_client=links.note_client)
                )
        found[name] = around[name]._replace(links=ports)
        for one in around[name].scenario.units:
            if one.host == name and host.declared.address is None and one.name in ports:
                for port, number in around[name].ports[one.name].items():
                    links.entrances[f"{one.name}.{port}"] = await host.entrance(one.name, number)
    return found


async def with_telemetry(
    around: Mapping[str, Surroundings],
    hosts: Mapping[str, RemoteHost],
    telemetry: TelemetryReceiver,
    ports: Mapping[str, int],
) -> dict[str, Surroundings]:
    """Let processes there send their spans to the group's receiver. Raises HostError.

    Its `ports` are by the clock of those that send: "" is the one of this machine.
    """
    found = {}
    for name, host in hosts.items():
        to = Forwarded(ports[""])
        if host.domain in ports:
            note = partial(telemetry.note_wall, host.domain)
            for read in host.walls:
                note(read)
            to = Forwarded(ports[host.domain], note_wall=note, told=telemetry.told)
        port = await host.forward(TELEMETRY, to)
        found[name] = around[name]._replace(otlp=f"http://{LOOPBACK}:{port}")
    return found


async def _opened(host: RemoteHost, scenario: Scenario) -> None:
    await host.open()
    await host.send_folders({"group": scenario.group.folder, **_sent_paths(scenario)})


def _addresses(scenario: Scenario, home: str) -> dict[str, str]:
    """The address of each unit for callers that reach this machine at `home`."""
    hosts = scenario.group.hosts
    found = {}
    for unit in scenario.units:
        address = home if unit.host is None else hosts[unit.host].address
        if address is not None:
            found[unit.name] = address
    return found


def _own_address(there: str | None) -> str:
    """The address of this machine on its way to another one; nothing is sent."""
    if there is None:
        return LOOPBACK
    try:
        [family, kind, *_, address], *_ = socket.getaddrinfo(there, 9, type=socket.SOCK_DGRAM)
        with socket.socket(family, kind) as trial:
            trial.connect(address)
            return str(trial.getsockname()[0])
    except OSError:
        return LOOPBACK


def _sent_paths(scenario: Scenario) -> dict[str, Path]:
    """The folders of PYTHONPATH that go along with the group's, by their names there."""
    paths = scenario.group.env.get("PYTHONPATH", "").split(os.pathsep)
    folders = [Path(path) for path in paths if path and "$" not in path]
    return {f"path-{n}": path for n, path in enumerate(folders) if path.is_dir()}


async def _far_ports(scenario: Scenario, hosts: Mapping[str, RemoteHost]) -> Ports:
    """Ports of units on other hosts, chosen there. Raises HostError."""
    ports: dict[str, dict[str, int]] = {}
    for name, host in hosts.items():
        wanted = [
            (unit.name, port) for unit in scenario.units if unit.host == name for port in unit.ports
        ]
        for (unit, port), number in zip(wanted, await host.ports(len(wanted)), strict=True):
            ports.setdefault(unit, {})[port] = number
    return ports


def _ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"ended with signal {-code}"
