"""The far end of a host's pipe: a supervisor, what its units write, their waits, their figures.

It imports the standard library and what units themselves import, so it runs wherever there is
a Python. It ends with the pipe: then everything that it started is killed, and its folder is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import platform
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from time import monotonic_ns
from typing import IO, Any

import testrium
from testrium.errors import error_text
from testrium.probe.environment import PROBES, clock_domain
from testrium.record.inotify import Inotify
from testrium.run.hosts.frames import (
    BEAT_S,
    GREETING,
    HEADER,
    LONGEST,
    MOST_MISSED,
    PART,
    TELEMETRY,
    WINDOW,
    Connections,
    JoinedStreams,
    Sink,
    frame,
    message,
)
from testrium.run.ports import Lease, PortAllocator
from testrium.run.supervisor import bootstrap
from testrium.system import START_METHOD, kernel
from testrium.system.platform import system

#: How long the supervisor may take to end what it owns.
_END_LIMIT_S = 1.5

#: How the names of folders of an agent begin: its own, and what it was sent of Testrium.
_FOLDERS = ("testrium-host-", "testrium-agent-")

#: Waits for the end of the agent, then at most 3 s for that of the supervisor: units write there.
_REMOVE = """
read supervisor
read end
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    kill -0 "$supervisor" || break
    sleep 0.1
done
rm -rf -- "$@"
"""

#: A folder that is older, and that no agent holds, was left by one that was killed (seconds).
_YOUNG_S = 60.0

#: How long a process may be unknown that has connected (seconds).
_KNOWN_WITHIN_S = 1.0

#: How often files are looked at where nothing reports writes.
_SWEEP_S = 0.02
#: The same where something does: a net for what it does not see.
_SAFETY_SWEEP_S = 0.5


def main() -> None:
    """Identify this agent, and serve the runner at the other end of the standard streams."""
    said = {
        "testrium": testrium.__version__,
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
    }
    os.write(1, GREETING + json.dumps(said).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        if not (part := os.read(0, 1)):
            return
        answer += part
    if int(answer):
        sys.exit("testrium agent: the runner is of another version")
    serve(None)


def serve(code: str | None) -> None:
    """Serve the runner until the pipe ends; then nothing is left.

    Args:
        code: the folder of Testrium's own files, where they were sent along.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    read_fd, write_fd = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # whatever prints must not stand between frames
    folder = _made_folder(code)
    remover = _started_remover([str(folder), *([code] if code else [])])
    try:
        asyncio.run(_Agent(read_fd, write_fd, folder, code, remover).run())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if code is not None:
            shutil.rmtree(code, ignore_errors=True)
    os._exit(0)


def _made_folder(code: str | None) -> Path:
    """A folder of this agent alone; what agents that were killed have left goes first.

    An agent holds a lock on its folders, which ends with it.
    """
    if code is not None:
        _lock(code)
    for old in Path(tempfile.gettempdir()).glob("testrium-*"):
        if not old.name.startswith(_FOLDERS):
            continue
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime < _YOUNG_S or old.is_symlink():
                continue
            fd = _lock(old)
            try:
                shutil.rmtree(old, ignore_errors=True)
            finally:
                os.close(fd)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDERS[0]))
    _lock(folder)
    return folder


def _lock(folder: str | Path) -> int:
    """Hold a folder until the descriptor is closed. Raises OSError: another agent has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _started_remover(folders: list[str]) -> int:
    """Have the folders removed once this process is gone, even if it is killed.

    Returns what the process id of the supervisor is written to, a line: they go when that is gone.
    """
    read_fd, write_fd = os.pipe()
    null = subprocess.DEVNULL
    subprocess.Popen(
        ["sh", "-c", _REMOVE, "testrium", *folders], stdin=read_fd, stdout=null, stderr=null,
        env={"PATH": os.environ.get("PATH", os.defpath)}, start_new_session=True,
    )  # fmt: skip
    os.close(read_fd)
    return write_fd


class _Feed:
    """A file that the far end writes, and how far it was sent home."""

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.offset = 0
        self._identity: tuple[int, int] | None = None

    def look(self) -> tuple[str, int]:
        """What was done to it besides appending ("cut", "gone", "replaced"), and its size."""
        try:
            status = self.path.stat()
        except OSError:
            return ("gone" if self._identity is not None else "", 0)
        identity = (status.st_dev, status.st_ino)
        before, self._identity = self._identity, identity
        if before not in (None, identity):
            return "replaced", status.st_size
        return ("cut" if status.st_size < self.offset else ""), status.st_size

    def forget(self) -> None:
        self._identity = None


class _Feeds:
    """All such files: bytes go home as they are written, as much as home has room for."""

    def __init__(self, send: Any, root: Path) -> None:
        self._send = send
        self._root = root
        self._feeds: dict[Path, _Feed] = {}
        self._numbers = itertools.count(1)
        self._watched: dict[int, _Feed] = {}
        self._inotify = Inotify.open()
        self._room = WINDOW
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._news = asyncio.Event()
        self._busy = asyncio.Lock()

    def open(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read_changes)

    def follow(self, path: Path) -> None:
        """Send all that is written to this file; it is made if need be."""
        if path in self._feeds or not path.is_relative_to(self._root):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        feed = self._feeds[path] = _Feed(next(self._numbers), path)
        name = str(path.relative_to(self._root))
        self._send(message("feed", feed=feed.number, path=name, root="run"))
        number = self._inotify.add(str(path)) if self._inotify is not None else None
        if number is not None:
            self._watched[number] = feed
        self._news.set()

    async def bring(self, path: Path, root: str, name: str) -> None:
        """Send a file that its unit has written, once, as `name` of the folder `root`."""
        feed = _Feed(next(self._numbers), path)
        self._send(message("feed", feed=feed.number, path=name, root=root))
        async with self._busy:
            _, size = feed.look()
            goals = {feed: size}
            while feed.offset < goals[feed]:
                await self._send_part(feed, goals)
        self._send(message("end", feed=feed.number))

    async def bring_unit_files(self) -> None:
        """Send what units have written into their folders of the run beside what is followed."""
        for name, path in await asyncio.to_thread(_files_below, self._root / "units"):
            if path not in self._feeds:
                await self.bring(path, "run", f"units/{name}")

    def arrived(self, count: int) -> None:
        self._room += count
        self._has_room.set()

    async def run(self) -> None:
        """Send what is new, whenever there is something."""
        pause_s = _SWEEP_S if self._inotify is None else _SAFETY_SWEEP_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self, paths: tuple[Path, ...] | None = None) -> None:
        """Send all that was written before this call to these files, or to any."""
        feeds = [feed for feed in map(self._feeds.get, paths or tuple(self._feeds)) if feed]
        async with self._busy:
            goals = {feed: self._goal(feed) for feed in feeds}
            while open_feeds := [feed for feed in feeds if feed.offset < goals[feed]]:
                for feed in open_feeds:  # a part of each in turn: none holds up the others
                    await self._send_part(feed, goals)

    async def send_again(self, path: Path) -> None:
        """Send a file from its beginning: it is rewritten there."""
        if os.path.exists(path) and path.is_relative_to(self._root):  # noqa: PTH110, ASYNC240 - one call
            self.follow(path)
            self._send(message("cut", feed=self._feeds[path].number, to=0))
            self._feeds[path].offset = 0
            await self.flush((path,))

    def _goal(self, feed: _Feed) -> int:
        done, size = feed.look()
        if done == "gone":
            self._send(message("gone", feed=feed.number))
            feed.forget()
            feed.offset = 0
        elif done:
            to = size if done == "cut" else 0
            self._send(message(done, feed=feed.number, to=to))
            feed.offset = to
            if done == "replaced" and self._inotify is not None:
                number = self._inotify.add(str(feed.path))
                if number is not None:
                    self._watched[number] = feed
        return size

    async def _send_part(self, feed: _Feed, goals: dict[_Feed, int]) -> None:
        while self._room <= 0:
            self._has_room.clear()
            await self._has_room.wait()
        try:
            with feed.path.open("rb") as file:
                file.seek(feed.offset)
                data = file.read(min(PART, goals[feed] - feed.offset))
        except OSError:
            data = b""
        if not data:
            goals[feed] = feed.offset  # it was cut meanwhile: the next look tells
            return
        feed.offset += len(data)
        self._room -= len(data)
        self._send(frame(b"F", feed.number, data))
        await asyncio.sleep(0)

    def _read_changes(self) -> None:
        assert self._inotify is not None
        self._inotify.read()
        self._news.set()


class _Owners:
    """The units of processes there, by their numbers and those of their keepers."""

    def __init__(self) -> None:
        self._units: dict[int, str] = {}
        self._news = asyncio.Event()

    def add(self, unit: str, pids: tuple[int, ...]) -> None:
        self._units |= dict.fromkeys(pids, unit)
        self._news.set()

    async def of(self, client: socket.socket) -> str | None:
        """The unit at the other end of a connection; None where it is of none."""
        try:
            pids = system.socket_owner(client.getpeername(), client.getsockname())
        except OSError:  # it has hung up already
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KNOWN_WITHIN_S if pids else 0):
                while True:  # it may connect before the supervisor has told of it
                    for pid in pids:
                        if pid in self._units:
                            return self._units[pid]
                    self._news.clear()
                    await self._news.wait()
        return None


class _Agent:
    def __init__(
        self, read_fd: int, write_fd: int, folder: Path, code: str | None, remover: int
    ) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._folder = folder
        self._code = code
        self._remover = remover
        self._run_folder = folder / "run"
        self._group = folder / "group"
        self._sent_ns = 0  # when its files had come, as the file system counts
        self._input = bytearray()
        self._output = bytearray()
        self._over = asyncio.Event()
        self._missed = 0
        self._feeds = _Feeds(self.send, self._run_folder)
        self._connections = Connections(self.send, 1)
        self._owners = _Owners()
        self._units: dict[int, str] = {}  # by the number of a process
        self._files: dict[int, tuple[Path, ...]] = {}  # of each process that was started
        self._stacks: dict[int, Path] = {}
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._supervisor: asyncio.StreamWriter | None = None
        self._booted: bootstrap.Booted | None = None
        self._archive: IO[bytes] | None = None
        self._leases: list[Lease] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Until the pipe ends or home says so."""
        loop = asyncio.get_running_loop()
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)
        loop.add_reader(self._read_fd, self._read)
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        self._begin(self._watch_pipe())
        await self._over.wait()
        loop.remove_reader(self._read_fd)
        await self._end()

    def send(self, data: bytes) -> None:
        self._output += data
        self._write()

    # The pipe ---------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            data = os.read(self._read_fd, 1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        read_ns = monotonic_ns()
        if not data:
            self._over.set()
            return
        self._missed = 0
        self._input += data
        start = 0
        while len(self._input) - start >= HEADER.size:
            kind, number, length = HEADER.unpack_from(self._input, start)
            end = start + HEADER.size + length
            if length > LONGEST:
                self._over.set()
                return
            if len(self._input) < end:
                break
            self._take(kind, number, bytes(self._input[start + HEADER.size : end]), read_ns)
            start = end
        del self._input[:start]

    def _write(self) -> None:
        while self._output:
            try:
                written = os.write(self._write_fd, self._output[: 1 << 18])
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._write_fd, self._write)
                return
            except OSError:
                self._over.set()
                return
            del self._output[:written]
        asyncio.get_running_loop().remove_writer(self._write_fd)

    async def _watch_pipe(self) -> None:
        while self._missed < MOST_MISSED:
            await asyncio.sleep(BEAT_S)
            self._missed += 1
        self._over.set()

    def _take(self, kind: bytes, number: int, content: bytes, read_ns: int) -> None:
        match kind:
            case b"M":
                self._obey(json.loads(content), read_ns)
            case b"S":
                self._pass_on(content)
            case b"P":
                self._begin_part(content)
            case b"A":
                self._feeds.arrived(number)
            case b"O":
                self._begin(self._connect(number, json.loads(content)))
            case _:
                self._connections.take(kind, number, content)

    def _obey(self, told: dict[str, Any], read_ns: int) -> None:
        match told["op"]:
            case "clock":
                self.send(message("clock", t1=told["t1"], t2=read_ns, t3=monotonic_ns()))
                self._tell_wall()
            case "open":
                self._begin(self._open())
            case "put":
                self._put(told["path"])
            case "ask" if told["what"] == "figures":  # at once: a stop may come behind it
                found, waited_cpu_s = figures_of(told["pid"], told["keeper"])
                answer = {"processes": found, "waited_cpu_s": waited_cpu_s}
                self.send(message("answer", id=told["id"], **answer))
            case "ask":
                self._begin(self._answer(told))
            case "close":
                self._begin(self._close())

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.send(message("failed", reason=error_text(error)))

    # What home asks for -----------------------------------------------------------------------

    async def _open(self) -> None:
        """Start the supervisor, and say what there is."""
        if problem := system.proc_problem():
            self.send(message("failed", reason=problem))
            return
        system.become_subreaper()
        self._run_folder.mkdir(mode=0o700)
        self._booted = bootstrap.start(START_METHOD)
        os.write(self._remover, b"%d\n" % self._booted.program.pid)
        reader, self._supervisor = await asyncio.open_connection(
            sock=self._booted.wire, limit=LONGEST
        )
        self._begin(self._receive(reader))
        self._begin(self._relay())
        self._feeds.open()
        self._begin(self._feeds.run())
        await asyncio.start_unix_server(self._wait_asked, self._folder / "waits")
        self.send(message("opened", **self._facts()))

    def _facts(self) -> dict[str, Any]:
        return {
            "folder": str(self._folder),
            "code": self._code,
            "environment": dict(os.environ),
            "domain": clock_domain(),
            "host": platform.node(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }

    def _put(self, path: str) -> None:
        self._archive = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - until it is unpacked
        self._target = self._folder / path

    def _begin_part(self, content: bytes) -> None:
        assert self._archive is not None
        if content:
            self._archive.write(content)
            return
        archive, self._archive = self._archive, None
        with archive:
            archive.seek(0)
            with tarfile.open(fileobj=archive) as packed:
                packed.extractall(self._target, filter="tar")
            if self._target == self._group:
                os.utime(archive.fileno())
                self._sent_ns = os.fstat(archive.fileno()).st_ctime_ns

    async def _answer(self, asked: dict[str, Any]) -> None:
        answer: dict[str, Any]
        match asked["what"]:
            case "ports":
                lease = PortAllocator().allocate(asked["count"])
                self._leases.append(lease)
                answer = {"ports": list(lease.ports)}
            case "exists":
                answer = {"exists": os.path.exists(asked["path"])}  # noqa: PTH110, ASYNC240 - one call
            case "listening":
                there = system.listening_ports()
                answer = {"ports": None if there is None else sorted(there)}
            case "listen":
                listener = _listener()
                await asyncio.start_server(lambda _, writer: writer.close(), sock=listener)
                answer = {"port": listener.getsockname()[1]}
            case "forward":
                answer = {"port": await self._forward(asked["to"])}
            case "written":
                found = await asyncio.to_thread(_written, self._group, self._sent_ns)
                answer = {"paths": found}
            case "bring":
                for name in asked["paths"]:
                    await self._feeds.bring(self._group / name, "group", name)
                await self._feeds.bring_unit_files()
                answer = {}
            case "program":
                answer = {"path": shutil.which(asked["name"])}
            case _:
                answer = {}
        self.send(message("answer", id=asked["id"], **answer))

    async def _connect(self, number: int, to: dict[str, Any]) -> None:
        try:
            reader, writer = await asyncio.open_connection(to["host"], to["port"])
        except OSError as error:
            self._connections.refuse(number, error)
        else:
            streams = JoinedStreams(reader, Sink(writer), halves=to.get("halves", False))
            self._connections.accept(number, streams)

    def _wait_asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._join_wait(reader, writer))

    async def _join_wait(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams = JoinedStreams(reader, Sink(writer), self._feeds.flush)
        try:
            await self._connections.ask(streams, to="waits")
        except OSError:
            writer.close()

    async def _forward(self, to: str) -> int:
        """A port of this machine that leads to a link at home, or to its receiver of spans."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._begin(self._join_home(to, reader, writer))

        lease = PortAllocator().allocate(1)
        self._leases.append(lease)
        await asyncio.start_server(connected, "127.0.0.1", lease.ports[0])
        with contextlib.suppress(OSError):  # it has no such addresses
            await asyncio.start_server(connected, "::1", lease.ports[0])
        return lease.ports[0]

    async def _join_home(
        self, to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sink, before = Sink(writer), None
        asked: dict[str, str | None] = {"to": to}
        if to == TELEMETRY:
            before = self._read_wall
        else:
            asked["unit"] = await self._owners.of(writer.get_extra_info("socket"))
        try:
            await self._connections.ask(JoinedStreams(reader, sink, before, halves=True), **asked)
        except OSError:
            sink.reset()

    async def _read_wall(self) -> None:
        """What follows has times of the wall clock, which were not later than now."""
        self._tell_wall()

    def _tell_wall(self) -> None:
        before_ns = monotonic_ns()
        wall_ns = time.time_ns()
        self.send(message("wall", read=[before_ns, wall_ns, monotonic_ns()]))

    # The supervisor ---------------------------------------------------------------------------

    def _pass_on(self, line: bytes) -> None:
        """A line of the runner for the supervisor."""
        if self._supervisor is None:
            return
        told = json.loads(line)
        if told["op"] == "start":
            launch = told["launch"]
            number = told["number"]
            files = [Path(launch[name]) for name in ("stdout", "stderr")]
            if probes := launch["env"].get(PROBES):
                files.append(Path(probes))
            self._files[number] = tuple(files)
            self._stacks[number] = Path(launch["stacks"])
            self._units[number] = launch["unit"]
            for path in files:
                self._feeds.follow(path)
        self._supervisor.write(line)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self._lines.put_nowait(line)
        if not self._over.is_set():
            self.send(message("failed", reason="the supervisor there has ended"))

    async def _relay(self) -> None:
        """Send home what the supervisor says, behind what its units wrote before."""
        while True:
            line = await self._lines.get()
            told = json.loads(line)
            number = told["number"]
            if told["event"] == "started":
                self._owners.add(self._units[number], (told["pid"], told["keeper"]))
            elif told["event"] == "ended":
                await self._feeds.flush(self._files.get(number, ()))
                await self._feeds.send_again(self._stacks[number])
            self.send(frame(b"S", 0, line))
            if told["event"] in ("cleared", "refused"):
                self._files.pop(number, None)
                self._stacks.pop(number, None)
                self._units.pop(number, None)

    # The end ----------------------------------------------------------------------------------

    async def _close(self) -> None:
        """Kill what is left, send the last bytes, say so."""
        await self._end_supervisor()
        await self._feeds.flush()
        self.send(message("closed"))  # home closes the pipe then

    async def _end_supervisor(self) -> None:
        booted, self._booted = self._booted, None
        if booted is None:
            return
        assert self._supervisor is not None
        self._supervisor.close()
        try:
            await asyncio.to_thread(booted.program.wait, _END_LIMIT_S)
        except subprocess.TimeoutExpired:
            booted.program.kill()
            await asyncio.to_thread(system.end_orphans, (), booted.mark, ())

    async def _end(self) -> None:
        await self._end_supervisor()
        self._connections.close()
        for lease in self._leases:
            lease.release()
        for task in self._tasks:
            task.cancel()


def _files_below(folder: Path) -> list[tuple[str, Path]]:
    """The regular files below a folder, with their names there."""
    found = sorted(folder.rglob("*"))
    return [
        (str(path.relative_to(folder)), path)
        for path in found
        if path.is_file() and not path.is_symlink()
    ]


def _written(folder: Path, since_ns: int) -> list[str]:
    """The names of files below a folder that were written since then, and of folders with "/"."""
    names = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            if status.st_ctime_ns > since_ns and kind in (stat.S_IFREG, stat.S_IFDIR):
                end = "/" if kind == stat.S_IFDIR else ""
                names.append(f"{path.relative_to(folder)}{end}")
    return names


def _listener() -> socket.socket:
    """A server's socket at a free port of all addresses."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def figures_of(pid: int, keeper: int) -> tuple[list[list[Any]], float]:
    """The processes of a unit, each with the fields of `ProcessFigures`, and what their keeper has
    waited for in seconds of CPU time.
    """
    found = [
        row for each in system.unit_pids(pid, keeper) if (row := kernel.figures(each)) is not None
    ]
    kept = kernel.figures(keeper) if keeper else None
    return found, kept[4] if kept else 0.0
