"""Conditions from outside: they hold, do not hold yet, and say why."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from testrium.declared.units import Readiness, Unit
from testrium.record.inotify import Inotify
from testrium.run.launch import UnresolvedError, Values
from testrium.run.ports import PortAllocator
from testrium.run.readiness import check_ports, line_before_ready, port_taken, wait_until
from testrium.run.supervisor.client import SupervisedProcess, Supervisor

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder

Make = Callable[[], Awaitable[asyncio.Server | None]]


class Tries(list[str]):
    """The reasons of failed tries, and the first of them as something to wait for."""

    def __init__(self) -> None:
        self.first = asyncio.Event()

    def __call__(self, reason: str) -> None:
        self.append(reason)
        self.first.set()


def became_ready(folder: UnitFolder, ready: Readiness, make: Make, unit: str = "sleep 60") -> str:
    """Wait for a failed try, make the condition true, wait until that is noticed; the reason."""

    async def story(supervisor: Supervisor) -> str:
        process = await supervisor.spawn(folder.launch(command=["sh", "-c", unit]))
        tries = Tries()
        waiting = asyncio.create_task(wait_until(ready, process, tries))
        await tries.first.wait()
        assert not waiting.done()
        server = await make()
        await waiting
        process.kill()
        if server is not None:
            server.close()
            await server.wait_closed()
        return tries[0]

    return folder.run(story)


def serving(answer: bytes, port: int, tls: ssl.SSLContext | None = None) -> Make:
    """Begins to answer every connection with the same bytes."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()  # or the end
        writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def make() -> asyncio.Server:
        return await asyncio.start_server(answered, "127.0.0.1", port, ssl=tls)

    return make


@pytest.mark.parametrize("host", ["", "127.0.0.1:", "localhost:"])
def test_a_port_is_listened_on(folder: UnitFolder, host: str) -> None:
    with PortAllocator().allocate(1) as lease:
        [port] = lease.ports
        reason = became_ready(folder, Readiness(tcp=f"{host}{port}"), serving(b"", port))
    assert reason.endswith(f"port {port}: connection refused") or "Multiple" in reason


def test_a_server_on_ipv6_only(folder: UnitFolder) -> None:
    with PortAllocator().allocate(1) as lease:
        [port] = lease.ports

        async def make() -> asyncio.Server:
            return await asyncio.start_server(lambda _, writer: writer.close(), "::1", port)

        became_ready(folder, Readiness(tcp=str(port)), make)


def test_a_url_answers(folder: UnitFolder) -> None:
    with PortAllocator().allocate(1) as lease:
        [port] = lease.ports
        url = f"http://127.0.0.1:{port}/health?full=1"
        make = serving(b"HTTP/1.1 204 No Content\r\n\r\n", port)
        reason = became_ready(folder, Readiness(http=url, status=204), make)
    assert reason == f"{url}: connection refused"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate with openssl")
def test_a_certificate_need_not_be_valid(folder: UnitFolder) -> None:
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    command = [
        *request.split(),
        "-keyout",
        str(folder.path / "key"),
        "-out",
        str(folder.path / "c"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder.path / "c", folder.path / "key")
    with PortAllocator().allocate(1) as lease:
        [port] = lease.ports
        ready = Readiness(http=f"https://127.0.0.1:{port}/")
        became_ready(folder, ready, serving(b"HTTP/1.1 200 OK\r\n\r\n", port, tls))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "status 503, not 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "status 302, not 200"),
        (b"SSH-2.0-server\r\n", "the answer is not HTTP"),
        (b"x" * 100_000, "the answer is not HTTP"),
        (b"", "closed without an answer"),
    ],
)
def test_a_url_that_does_not_answer_well(folder: UnitFolder, answer: bytes, reason: str) -> None:
    with PortAllocator().allocate(1) as lease:
        [port] = lease.ports
        url = f"http://127.0.0.1:{port}"

        async def story(supervisor: Supervisor) -> str:
            server = await serving(answer, port)()
            assert server is not None
            process = await supervisor.spawn(folder.launch(command=["sleep", "60"]))
            tries = Tries()
            async with waiting(Readiness(http=url), process, tries):
                await tries.first.wait()
            process.kill()
            server.close()
            await server.wait_closed()
            return tries[0]

        assert folder.run(story) == f"{url}: {reason}"


@pytest.mark.parametrize(
    ("ready", "reason"),
    [
        (Readiness(tcp="abc"), "'abc' is not a port"),
        (Readiness(tcp="localhost:99999"), "'localhost:99999' is not a port"),
        (Readiness(tcp=""), "'' is not a port"),
        (Readiness(http="http://127.0.0.1:abc/"), "http://127.0.0.1:abc/: Port could not"),
    ],
)
def test_a_value_of_the_environment_that_cannot_be(
    folder: UnitFolder, ready: Readiness, reason: str
) -> None:
    async def story(supervisor: Supervisor) -> str:
        process = await supervisor.spawn(folder.launch(command=["sleep", "60"]))
        tries = Tries()
        waiting = asyncio.create_task(wait_until(ready, process, tries))
        first = asyncio.create_task(tries.first.wait())
        await asyncio.wait({waiting, first}, return_when="FIRST_COMPLETED")
        for task in (waiting, first):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        process.kill()
        return tries[0]

    assert folder.run(story).startswith(reason)


def test_a_file_appears(folder: UnitFolder) -> None:
    path = folder.path / "pid"

    async def make() -> None:
        path.touch()

    assert became_ready(folder, Readiness(file="pid"), make) == f"{path} does not exist"


def test_a_command_succeeds(folder: UnitFolder) -> None:
    async def make() -> None:
        (folder.path / "up").touch()

    ready = Readiness(command=("test", "-e", "up"))
    assert became_ready(folder, ready, make) == "test: exit code 1"


def test_a_command_that_does_not_exist(folder: UnitFolder) -> None:
    tool = folder.path / "tool"

    async def make() -> None:
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)

    ready = Readiness(command=("./tool",))
    assert became_ready(folder, ready, make) == "cannot start './tool': no such file"


def test_a_command_does_not_outlive_the_wait(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> None:
        process = await supervisor.spawn(folder.launch(command=["sleep", "60"]))
        async with waiting(Readiness(command=("sleep", "60")), process, Tries()):
            await folder.until(lambda: len(supervisor._processes) == 2)
            await folder.until(lambda: all(each.pid for each in supervisor._processes.values()))
            trial = max(supervisor._processes.values(), key=lambda each: each._number)
        assert (await trial.ended).signal == "SIGKILL"

    folder.run(story)


@pytest.mark.parametrize("woken", [True, False], ids=["inotify", "no inotify"])
@pytest.mark.parametrize("stream", ["", " >&2"], ids=["stdout", "stderr"])
def test_a_line_is_printed(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch, stream: str, woken: bool
) -> None:
    if not woken:
        monkeypatch.setattr(Inotify, "open", lambda: None)

    async def make() -> None:
        (folder.path / "go").touch()

    unit = (
        "printf '\\377 broken\\n listen'; until [ -e go ]; do sleep 0.01; done;"
        f" printf 'ing on 80'{stream}; sleep 60"
    )
    ready = Readiness(log="^ing on \\d+$" if stream else "^ listening on \\d+$")
    reason = became_ready(folder, ready, make, unit)
    assert reason == f"no line of its output matches {ready.target!r}"


@pytest.mark.parametrize(
    ("out", "err", "ready", "line"),
    [
        ("FATAL\nup\n", "", ("up",), "FATAL"),
        ("up\nFATAL\n", "", ("up",), ""),
        ("up\nFATAL\n", "", (), "FATAL"),  # a port, say, makes it ready
        ("up\nFATAL\nmore\n", "", ("up", "more"), "FATAL"),
        ("up\n", "FATAL", ("up",), "FATAL"),  # two files do not tell which came first
        ("up\n", "", ("up",), ""),
    ],
)
def test_an_error_counts_that_comes_before_what_makes_it_ready(
    folder: UnitFolder, out: str, err: str, ready: tuple[str, ...], line: str
) -> None:
    (folder.out / "o").write_text(out)
    (folder.out / "e").write_text(err)
    process = Mock(log_starts={folder.out / "o": 0, folder.out / "e": 0})
    assert line_before_ready("FATAL", ready, process, "utf-8") == line


@pytest.mark.parametrize(("host", "own"), [("0.0.0.0", True), ("192.0.2.7", False)])
def test_a_listener_at_an_address_of_this_machine_is_found(host: str, own: bool) -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            found = await port_taken(Readiness(tcp=f"{host}:{port}"))
            assert found == (port if own else None)

    asyncio.run(story())


def test_a_service_that_stays_up_may_listen_before_the_unit_starts() -> None:
    async def check(kept: dict[str, object]) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            unit = Unit("api", 0, "units/api.toml", ready=(Readiness(tcp=f"127.0.0.1:{port}"),))
            context = Mock(started=[], services=Mock(fixtures={}, kept=kept))
            await check_ports(unit, Values({}, str), context)

    service = Mock(started=[Mock(pid=os.getpid(), keeper=os.getppid())])
    asyncio.run(check({"db": service}))
    with pytest.raises(UnresolvedError, match=r"another process listened .*: pid \d+"):
        asyncio.run(check({}))


def test_lines_of_an_earlier_start_do_not_count(folder: UnitFolder) -> None:
    (folder.out / "source.out").write_text("ready\n")

    async def make() -> None:
        (folder.path / "go").touch()

    unit = "until [ -e go ]; do sleep 0.01; done; echo ready; sleep 60"
    became_ready(folder, Readiness(log="ready"), make, unit)


def test_a_line_behind_much_output(folder: UnitFolder) -> None:
    launch = folder.launch("def main():\n    print('x' * 99 + '\\n' * 50_000)\n    print('ready')")

    async def story(supervisor: Supervisor) -> None:
        process = await supervisor.spawn(launch)
        await wait_until(Readiness(log="^ready$"), process)

    folder.run(story)


@asynccontextmanager
async def waiting(
    ready: Readiness, process: SupervisedProcess, tries: Tries
) -> AsyncIterator[None]:
    """A wait that goes on inside the block and is given up at its end."""
    task = asyncio.create_task(wait_until(ready, process, tries))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
