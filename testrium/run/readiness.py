"""What makes a unit ready: a probe, or a condition outside: a port, URL, line, file or command.

Nothing wakes us when a foreign server begins to listen, so there are tries with a growing pause.
Output is different: inotify tells when there is more of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, assert_never
from urllib.parse import urlsplit

from testrium.declared.units import Readiness, Unit
from testrium.errors import InfraError
from testrium.record.inotify import Inotify
from testrium.record.recorder import Recorder
from testrium.run.context import GroupContext
from testrium.run.folder import RunFolder
from testrium.run.launch import UnresolvedError, Values
from testrium.run.logs import LogTail, bounded
from testrium.run.supervisor.client import LaunchError, SupervisedProcess
from testrium.system.files import read_regular
from testrium.system.platform import system
from testrium.variables import substitute

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05

# A server that takes a connection while it starts, and forgets it, must not hold us up.
_TRY_LIMIT_S = 5.0

#: How long a local port may take to tell whether somebody listens.
_TAKEN_LIMIT_S = 0.2

#: How long the name of a host may take to be looked up for that.
_NAME_LIMIT_S = 1.0

_LOOPBACK = ("127.0.0.1", "::1")

#: Connects to a port as the unit's host reaches it, with TLS where that is given.
Connect = Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

#: Characters of what a plugin raised that are shown at most.
_MOST_RAISED = 1000

#: Characters of an incomplete line that are searched.
_LONGEST_REST = 1 << 16


def awaited(unit: Unit) -> str | None:
    """What makes the unit ready, in words; None if it is ready once it runs."""
    if unit.ready_event is not None:
        return f"probe {unit.ready_event!r}"
    return " and ".join(ready.plugin or ready.kind for ready in unit.ready) or None


def not_ready(unit: Unit, folder: RunFolder) -> str:
    """Why it is not: no sign of it came, or the plugin that is asked raised something at last."""
    if plugin := next((ready.plugin for ready in unit.ready if ready.plugin), None):
        from testrium.plugins.in_unit import RAISED

        with contextlib.suppress(OSError), read_regular(folder.unit(unit.name) / RAISED) as file:
            if raised := file.read(_MOST_RAISED).decode(errors="replace"):
                return f"{plugin} raised {raised}"
    return f"no {awaited(unit)}"


async def ready_condition(
    unit: Unit,
    values: Values,
    recorder: Recorder,
    start: int,
    process: SupervisedProcess,
    on_try: Callable[[str], None],
) -> None:
    """Wait until the unit's own condition for readiness holds.

    `on_try` gets the outcome of the last try in words, where there are tries.
    """
    if unit.ready_event is not None:
        await recorder.wait_for(unit.name, unit.ready_event, start=start)
    for ready in unit.ready:  # one that holds may fail again, as a health check may: it held
        await wait_until(_filled(ready, values.lookup), process, on_try, encoding=unit.encoding)


async def error_line(unit: Unit, values: Values, process: SupervisedProcess) -> str:
    """The first line of its output that a `ready.error` of the unit matches."""
    return await _wait_line(_error_pattern(unit, values), process, unit.encoding)


def error_before_ready(unit: Unit, values: Values, process: SupervisedProcess) -> str:
    """A line that a `ready.error` matches and that the unit wrote before it was ready, or "".

    Both may stand in the output before anybody looks. Where only lines make the unit ready, what
    comes behind them in one log does not count.

    Raises InfraError: a pattern takes too long, or a log cannot be read.
    """
    if not any(ready.error for ready in unit.ready):
        return ""
    filled = [_filled(ready, values.lookup) for ready in unit.ready]
    by_lines = unit.ready_event is None and all(ready.kind == "log" for ready in filled)
    patterns = tuple(ready.target for ready in filled) if by_lines else ()
    return line_before_ready(_error_pattern(unit, values), patterns, process, unit.encoding)


def _error_pattern(unit: Unit, values: Values) -> str:
    patterns = [substitute(ready.error, values.lookup) for ready in unit.ready if ready.error]
    return "|".join(f"(?:{pattern})" for pattern in patterns)


async def check_ports(unit: Unit, values: Values, context: GroupContext) -> None:
    """See that no stranger listens at a port that the unit's readiness asks for.

    Who answers there would not be the unit. Other units of the group may, and fixtures of the run.

    Raises:
        UnresolvedError: another process does; says which.
    """
    if unit.host is not None:
        await _check_far_ports(unit, values, context)
        return
    ports = [await port_taken(_filled(ready, values.lookup)) for ready in unit.ready]
    for port in dict.fromkeys(port for port in ports if port is not None):
        from testrium.system import processes

        services = context.services
        shared = chain(services.fixtures.values(), services.kept.values())
        own = {
            pid
            for process in chain(context.started, *(one.started for one in shared))
            if process.pid is not None
            for pid in system.unit_pids(process.pid, process.keeper)
        }
        strangers = processes.listeners(port) - own
        if not strangers:
            continue
        known = next((pid for pid in strangers if pid is not None), None)
        who = "" if known is None else f": pid {known}, {processes.command_line(known)}"
        raise UnresolvedError(
            f"another process listened at port {port} before the unit started{who}"
        )


async def _check_far_ports(unit: Unit, values: Values, context: GroupContext) -> None:
    """The same on another host, where the process cannot be named."""
    assert unit.host is not None
    places = filter(None, (_place(_filled(ready, values.lookup)) for ready in unit.ready))
    wanted = [port for name, port in places if _is_loopback(name)]
    if not wanted:
        return
    host = context.hosts[unit.host]
    others = {
        port
        for one in context.scenario.units
        if one.host == unit.host and one.name != unit.name
        for port in context.surroundings.ports.get(one.name, {}).values()
    }
    taken = set((await host.ask("listening"))["ports"] or ()) - others
    if port := next(filter(taken.__contains__, wanted), None):
        raise UnresolvedError(
            f"another process listened at port {port} of host {unit.host} before the unit started"
        )


async def ready_at_its_end(unit: Unit, values: Values, process: SupervisedProcess) -> bool:
    """Whether the unit's conditions hold now that its process has ended."""
    if not unit.ready or any(ready.plugin for ready in unit.ready):
        return False
    for ready in unit.ready:
        if await _ask_once(_filled(ready, values.lookup), process, unit.encoding):
            return False
    return True


def _filled(ready: Readiness, lookup: Callable[[str], str]) -> Readiness:
    command = tuple(substitute(word, lookup) for word in ready.command)
    if ready.kind == "ended":
        return ready
    if ready.kind == "command":
        return replace(ready, command=command)
    target: dict[str, Any] = {str(ready.kind): substitute(ready.target, lookup)}
    return replace(ready, **target)


async def port_taken(ready: Readiness) -> int | None:
    """The port of this machine in a condition that has a listener before the unit starts.

    An answer at it says nothing of the unit.
    """
    place = _place(ready)
    if place is None:
        return None
    host, port = place
    if host == "localhost":
        addresses = [(each, port) for each in _LOOPBACK]
    elif _is_loopback(host):
        addresses = [(host, port)]
    else:
        addresses = await _own_addresses(host, port)
    for address in addresses:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as trial:
            trial.settimeout(_TAKEN_LIMIT_S)
            if trial.connect_ex(address) == 0:
                return port
    return None


async def _own_addresses(host: str, port: int) -> list[Any]:
    """The addresses of a host that are this machine's own: one can bind a socket to them."""
    try:
        async with asyncio.timeout(_NAME_LIMIT_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError):  # said when it is asked
        return []
    own = []
    for family, _, _, _, address in found:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((address[0], 0, *address[2:]))
            own.append(address)
    return own


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _place(ready: Readiness) -> tuple[str, int] | None:
    """The host and the port that a condition asks, where it names both."""
    if ready.kind not in ("tcp", "http"):
        return None
    try:
        address = urlsplit(ready.target if ready.kind == "http" else f"//{ready.target}")
        host, port = address.hostname or "localhost", address.port
    except ValueError:  # said when it is asked
        return None
    return None if port is None else (host, port)


async def wait_until(
    ready: Readiness,
    process: SupervisedProcess,
    on_try: Callable[[str], None] = lambda _: None,
    *,
    encoding: str = "utf-8",
) -> None:
    """Return when the condition holds; the caller gives up, after a time or when the unit ended.

    Args:
        ready: the condition; its values are final, without `${...}`.
        process: the unit's; relative paths and commands start from its folder.
        on_try: told why the last try failed, in words that follow "not ready: ".
        encoding: of its output.

    Raises:
        InfraError: the supervisor is dead, or a pattern takes too long.
    """
    match ready.kind:
        case "tcp":
            await _again(lambda: _listens(ready.target, process.connection), on_try)
        case "http":
            answer = partial(_answers, ready.target, ready.status or 200, process.connection)
            await _again(answer, on_try)
        case "file":
            path = process.launch.cwd / ready.target
            await _again(lambda: _is_there(path, process), on_try)
        case "command":
            await _again(lambda: _succeeds(ready.command, process), on_try)
        case "log":
            on_try(f"no line of its output matches {ready.target!r}")
            await _wait_line(ready.target, process, encoding)
        case "ended":
            on_try("it has not ended")
            await asyncio.Event().wait()  # who waits for the end knows which exit is accepted
        case _:
            assert_never(ready.kind)


async def _ask_once(ready: Readiness, process: SupervisedProcess, encoding: str) -> str:
    """Why the condition does not hold, or "": asked a last time of a unit that has ended.

    What a migration or a seed should bring about is there when it ends. A
    port and a URL are not asked: what answers now is another process.

    Raises:
        InfraError: the supervisor is dead, or a pattern takes too long.
    """
    match ready.kind:
        case "file":
            return await _is_there(process.launch.cwd / ready.target, process)
        case "command":
            try:
                async with asyncio.timeout(_TRY_LIMIT_S):
                    return await _succeeds(ready.command, process)
            except TimeoutError:
                return f"{ready.command[0]}: no end within {_TRY_LIMIT_S:g} s"
        case "log":
            pattern = re.compile(ready.target)
            with bounded(lambda: f"unit {process.launch.unit}: ready = {{log = {ready.target!r}}}"):
                for path, offset in process.log_starts.items():
                    if any(map(pattern.search, _Tail(path, offset, encoding))):
                        return ""
            return f"no line of its output matches {ready.target!r}"
        case "ended":
            return ""
        case _:
            return f"its {ready.kind} condition did not hold while it ran"


async def _again(attempt: Callable[[], Awaitable[str]], on_try: Callable[[str], None]) -> None:
    """Try until the condition gives no reason against it."""
    pause_s = _FIRST_PAUSE_S
    while reason := await attempt():
        on_try(reason)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _listens(target: str, connect: Connect) -> str:
    host, _, number = target.rpartition(":")
    if not number.isdecimal() or not 0 < (port := int(number)) < 65536:
        return f"{target!r} is not a port"  # of the environment; loading has checked the rest
    reason = ""
    for address in (host.strip("[]"),) if host else _LOOPBACK:
        try:
            async with asyncio.timeout(_TRY_LIMIT_S):
                _, writer = await connect(address, port)
        except (OSError, TimeoutError) as error:
            reason = reason or f"{address} port {port}: {_words(error)}"
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return ""
    return reason


async def _answers(url: str, wanted: int, connect: Connect) -> str:
    try:
        async with asyncio.timeout(_TRY_LIMIT_S):
            status = await _status(url, connect)
    except (OSError, TimeoutError, EOFError, ValueError) as error:  # ValueError: it is not a URL
        return f"{url}: {_words(error)}"
    if status is None:
        return f"{url}: the answer is not HTTP"
    return "" if status == wanted else f"{url}: status {status}, not {wanted}"


async def _status(url: str, connect: Connect) -> int | None:
    """The status code of a GET request; None if the answer has none. Redirects are not followed."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await connect(parts.hostname or "", port, _any_tls() if secure else None)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        line = await reader.readline()
    except ValueError:  # longer than any status line
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not line:
        raise EOFError("closed without an answer")
    answer = re.match(rb"HTTP/\d(?:\.\d)? (\d{3})", line)
    return int(answer[1]) if answer else None


def _any_tls() -> ssl.SSLContext:
    """Certificates do not matter: the question is whether the server answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _is_there(path: Path, process: SupervisedProcess) -> str:
    there = await process.exists(path)
    return "" if there else f"{path} does not exist"


async def _succeeds(command: tuple[str, ...], process: SupervisedProcess) -> str:
    """Run the command below the supervisor too: it must not outlive the run."""
    try:
        trial = await process.spawn_beside(command)
    except LaunchError as error:
        return str(error)
    try:
        end = await trial.ended
        await trial.cleared
    finally:
        trial.kill()
    if end.infra:
        raise InfraError(end.infra)
    return (
        "" if end.exit_code == 0 else f"{command[0]}: {end.signal or f'exit code {end.exit_code}'}"
    )


async def _wait_line(text: str, process: SupervisedProcess, encoding: str) -> str:
    """The first line of the unit's output that matches the pattern.

    Raises InfraError: the pattern takes too long, or a log cannot be read.
    """
    pattern = re.compile(text)
    logs = process.log_starts
    tails = [_Tail(path, offset, encoding) for path, offset in logs.items()]
    who = f"unit {process.launch.unit}: ready = {{log = {pattern.pattern!r}}}"
    with _News(tuple(logs)) as news:
        while True:
            for tail in tails:
                while lines := tail.read():
                    with bounded(lambda: who):
                        for line in lines:
                            if pattern.search(line):
                                return line
                    await asyncio.sleep(0)  # a unit that prints 50 MB holds up no other
            await news.wait()


def line_before_ready(
    error: str, ready: tuple[str, ...], process: SupervisedProcess, encoding: str
) -> str:
    """The first line so far that matches `error`, or "".

    Args:
        error: a pattern.
        ready: patterns that made the unit ready: behind a line of each, a log is not searched.
        process: the unit's.
        encoding: of its output.

    Raises InfraError: a pattern takes too long, or a log cannot be read.
    """
    refuses = re.compile(error)
    with bounded(lambda: f"unit {process.launch.unit}: ready.error = {error!r}"):
        for path, offset in process.log_starts.items():
            left = list(map(re.compile, ready))
            for line in _Tail(path, offset, encoding):
                if refuses.search(line):
                    return line
                left = [pattern for pattern in left if not pattern.search(line)]
                if ready and not left:
                    break
    return ""


class _Tail(LogTail):
    """What is new in a log, read once. The last line counts even if it is incomplete."""

    def read(self) -> list[str]:
        """A chunk of new lines, if any."""
        if (lines := self.next_lines()) is None:
            return []
        self.decoder.rest = self.decoder.rest[-_LONGEST_REST:]
        return [*lines, self.decoder.rest]

    def __iter__(self) -> Iterator[str]:
        """All lines so far."""
        while lines := self.read():
            yield from lines


class _News:
    """Waits until one of some files was written; without inotify, for a growing pause."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._written = asyncio.Event()
        self._pause_s: float | None = _FIRST_PAUSE_S
        self._inotify = Inotify.open()
        if self._inotify is not None:
            numbers = [self._inotify.add(str(path)) for path in paths]
            if None not in numbers:
                self._pause_s = None
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read_changes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._written.wait()
        self._written.clear()
        if self._pause_s is not None:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _read_changes(self) -> None:
        assert self._inotify is not None
        self._inotify.read()
        self._written.set()


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TRY_LIMIT_S:g} s"
    code = getattr(error, "errno", None)
    return os.strerror(code).lower() if isinstance(code, int) and code > 0 else str(error)
