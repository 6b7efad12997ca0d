"""What happens in a unit's process before its program runs: from a fork to a clean slate.

The process gets a session of its own, dies with its keeper, and keeps nothing of what the processes
before it had: signals, files, environment. Then it becomes the command, or runs the entrypoint.
Where commands follow each other no process is forked ahead: their keepers spawn them.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, NoReturn

import testrium
from testrium.loaded_by_name import FRESH_UNIT, import_of
from testrium.run.supervisor import program
from testrium.run.supervisor.lifecycle import LeftProcess, UnitLifecycle
from testrium.run.supervisor.program import MachineError, explain, open_private
from testrium.run.supervisor.protocol import Channel, Launch, Message, Receiver, encoded, file_size
from testrium.system import kernel

#: What the keeper reads when it was the machine that failed, not the unit's description.
INFRA_MARK = b"!"

#: Tells an interpreter that was started for a unit which one it is.
LAUNCH = "TESTRIUM_LAUNCH"

# What such an interpreter runs; it finds Testrium where this one did.
_FRESH = (
    f"import sys; sys.path.append({os.path.dirname(testrium.__path__[0])!r});"  # noqa: PTH120 - as text
    f" {import_of(FRESH_UNIT)}; run_fresh_unit()"
)

# poll() takes an int of milliseconds, 24 days at most; a deadline may be later.
_LONGEST_POLL_MS = 3_600_000

#: Python's handler for it appends the stacks of all threads to the unit's `stacks` file.
STACKS_SIGNAL = signal.SIGRTMIN + 5

# A number where programs that count their files from 3 do not look.
_STACKS_FD = 200

# Signals that the supervisor or a keeper treats otherwise than a fresh process does, and Python.
_CHANGED = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD)

_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)


def run_forked_unit(keeper_wire: socket.socket, keeper: int) -> NoReturn:
    """Wait for a launch and become that unit.

    The launch comes from `keeper_wire`, and why it cannot be done is written there; as soon as the
    program runs it is closed. `keeper` is the process at its other end.
    """
    kernel.die_with_parent(keeper)
    os.setsid()
    _reset_signals()
    kernel.set_title("testrium: unit in reserve")
    try:
        [message] = Channel(keeper_wire).receive()
    except EOFError:
        os._exit(0)
    launch = Launch.from_message(message)
    try:
        _prepare(launch, keeper_wire.fileno())
    except MachineError as error:
        _refuse(keeper_wire, INFRA_MARK + str(error).encode())
    except OSError as error:
        _refuse(keeper_wire, explain(error, launch).encode())
    keeper_wire.close()
    program.run(launch)


def _prepare(launch: Launch, wire: int) -> None:
    """Leave everything behind; returns for Python units only."""
    command = launch.command
    _open_streams(launch)
    if command is None:
        _replace_environment(launch.env)
    kernel.close_files((wire,))
    os.chdir(launch.cwd)
    if command is not None:
        for number in _PYTHONS_OWN:
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, launch.env)
    if launch.own_interpreter:
        message = encoded(launch.to_message() | {"env": {}})  # it has that as its own
        program = [sys.executable, "-c", _FRESH]
        os.execve(program[0], program, {**launch.env, LAUNCH: message.decode()})
    become(launch)


def become(launch: Launch) -> None:
    """Make this process, which has nothing left of another, the Python unit."""
    kernel.set_title(f"{launch.unit}: {launch.entrypoint}")
    stacks_fd = _open_stacks(launch.stacks)
    program.prepare(launch, stacks_fd)
    faulthandler.register(STACKS_SIGNAL, file=stacks_fd, all_threads=True, chain=False)


def _reset_signals() -> None:
    """As in a fresh Python process."""
    signal.set_wakeup_fd(-1)
    for number in _CHANGED:
        signal.signal(number, signal.SIG_DFL)
    for number in _PYTHONS_OWN:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _open_streams(launch: Launch) -> None:
    """Nothing to read, and the unit's files to write to."""
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    for path, stream in ((launch.stdout, 1), (launch.stderr, 2)):
        _redirect(open_private(path), stream)


def _open_stacks(path: Path) -> int:
    opened = open_private(path)
    try:
        fd = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _STACKS_FD)
    except OSError:  # the limit of open files is lower
        return opened
    os.close(opened)
    return fd


def _redirect(opened: int, stream: int) -> None:
    os.dup2(opened, stream, inheritable=True)
    os.close(opened)


def _replace_environment(env: dict[str, str]) -> None:
    """Make `env` the environment. Most of it is there already, and each change costs."""
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    for name, value in env.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _refuse(keeper_wire: socket.socket, reason: bytes) -> NoReturn:
    with contextlib.suppress(OSError):
        keeper_wire.sendall(reason)
    os._exit(127)


def run_fresh_unit() -> NoReturn:
    """Be the unit that the environment names; does not return."""
    message = json.loads(os.environ.pop(LAUNCH))
    launch = Launch.from_message(message | {"env": dict(os.environ)})
    become(launch)
    program.run(launch)


# How long a unit may take to write its stacks.
_DUMP_LIMIT_NS = 500_000_000


def keep(wire: socket.socket, prepared: bool) -> NoReturn:
    """The main function of a keeper's process: makes a process a unit when told to.

    Once nothing of that unit is left, it does the same for another one. It ends when the supervisor
    says so, or with it; `wire` leads there. One that is `prepared` forks that process ahead.
    """
    kernel.become_subreaper()
    kernel.set_title("testrium: keeper in reserve")
    signal.set_wakeup_fd(-1)  # the supervisor's
    # What the supervisor and other keepers hold: the end of each must be seen.
    kernel.close_files((wire.fileno(),))
    supervisor = Channel(wire)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        reserve = _fork_reserve() if prepared else None
        while True:
            messages = supervisor.receive()
            while messages:
                message = messages.pop(0)
                if message["op"] == "prepare":
                    reserve = reserve or _fork_reserve()
                elif message["op"] == "start":  # others are late: about a unit that is gone
                    keeper = _Keeper(supervisor, message["number"], message["launch"])
                    keeper.run(reserve, messages)
                    reserve, messages = None, []
                    kernel.set_title("testrium: keeper in reserve")
    kernel.kill_descendants()
    os._exit(0)  # what multiprocessing would wait for is gone


class _Reserve(NamedTuple):
    """A process that waits at the other end of `wire` to become the unit; or why there is none."""

    pid: int
    wire: socket.socket
    reason: str = ""


def _fork_reserve() -> _Reserve:
    ours, theirs = socket.socketpair()
    process = get_context("fork").Process(target=run_forked_unit, args=(theirs, os.getpid()))
    try:
        process.start()
    except OSError as error:
        return _Reserve(0, ours, f"cannot start another process: {error.strerror}")
    finally:
        theirs.close()
    assert process.pid is not None
    return _Reserve(process.pid, ours)


#: What a command must not inherit of its keeper's signals.
_FRESH_SIGNALS = (*_CHANGED, *_PYTHONS_OWN, signal.SIGINT)


def _spawn(launch: Launch) -> int | None:
    """Start a command; its pid, or None where Python was built for a C library that cannot.

    The kernel copies nothing of this process, and nothing of ours runs in the new one: together
    that takes longer than a short command. So the command cannot ask to die with its keeper, as a
    forked process does. When a keeper is killed the supervisor ends what is left, when that is
    killed the keepers do, when both are the runner does, and the next run when all three are.

    Raises:
        OSError: no such program or folder.
        MachineError: its files cannot be written, or there are too many processes.
        _RefusedError: a NUL is in the command or its environment.
    """
    with contextlib.ExitStack() as opened:
        opened.callback(os.chdir, "/")  # nothing waits for this process to leave that folder
        os.chdir(launch.cwd)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for path, stream in ((launch.stdout, 1), (launch.stderr, 2)):
            fd = open_private(path)
            opened.callback(os.close, fd)
            actions.append((os.POSIX_SPAWN_DUP2, fd, stream))
        try:
            return _spawned(launch, actions)
        except NotImplementedError:  # no sessions: glibc before 2.26
            return None


def _spawned(
    launch: Launch, actions: list[tuple[int, ...] | tuple[int, int, str, int, int]]
) -> int:
    """Try each file that the command may name, as execvpe(3) does. Raises as `_spawn`."""
    assert launch.command is not None
    name = launch.command[0]
    folders = [] if "/" in name else os.get_exec_path(launch.env)
    paths = [os.path.join(folder, name) for folder in folders] or [name]  # noqa: PTH118 - as text
    missing = OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    refused: OSError | None = None
    for path in paths:
        if folders and not os.path.exists(path):  # noqa: PTH110 - an attempt takes longer
            continue
        try:
            return os.posix_spawn(
                path,
                launch.command,
                launch.env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_FRESH_SIGNALS,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except ValueError as error:  # a NUL
            raise _RefusedError(f"cannot start {name!r}: {error}") from error
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOMEM):
                raise MachineError(f"cannot start another process: {error.strerror}") from error
            refused = refused or error
    raise refused or missing


#: How long a process in reserve may be silent before it is looked at (seconds).
_SILENCE_S = 0.5


def _received(wire: socket.socket) -> bytes:
    """What a process in reserve says; b"" once it is the unit.

    One that is stopped (SIGSTOP) is resumed: until it is the unit, no deadline ends it.
    """
    wire.settimeout(_SILENCE_S)
    while True:
        try:
            return wire.recv(4096)
        except TimeoutError:
            kernel.resume_children()


class _RefusedError(Exception):
    """The unit cannot be started as it is described, for this reason."""


class _ForkedUnit:
    """The processes of the unit with the pid `pid`: all that are below this one."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def signal(self, number: int, to: Receiver, pid: int = 0) -> None:
        if to == "session":
            kernel.signal_session(self._pid, number)
        elif to == "process":
            kernel.signal_process(self._pid, number)
        elif any(entry.pid == pid for entry in kernel.descendants(os.getpid())):
            kernel.signal_process(pid, number)

    def pause(self, to: Receiver, pid: int = 0) -> None:
        self.signal(signal.SIGSTOP, to, pid)

    def resume(self, to: Receiver, pid: int = 0) -> None:
        self.signal(signal.SIGCONT, to, pid)

    def kill_session(self) -> None:
        kernel.kill_session(self._pid)

    def kill(self, pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        self.kill(entry.pid for entry in kernel.descendants(os.getpid()))

    def dump_stacks(self) -> None:
        if not kernel.catches(self._pid, STACKS_SIGNAL):
            return  # to a program that does not expect it the signal would be the end
        os.kill(self._pid, STACKS_SIGNAL)
        limit_ns = time.monotonic_ns() + _DUMP_LIMIT_NS
        while kernel.handling(self._pid, STACKS_SIGNAL) and time.monotonic_ns() < limit_ns:
            time.sleep(0.001)  # the kernel does not report that a handler has returned

    def left(self) -> list[LeftProcess]:
        alive = [entry.pid for entry in kernel.descendants(os.getpid()) if entry.alive]
        return [
            LeftProcess(pid, kernel.command_line(pid), kernel.program_names(pid)) for pid in alive
        ]

    def clear(self) -> None:
        kernel.kill_descendants()


class _Keeper:
    def __init__(self, supervisor: Channel, number: int, launch: Message) -> None:
        self._supervisor = supervisor
        self._number = number
        self._message = launch
        self._wake, wake_writer = socket.socketpair()
        for end in (self._wake, wake_writer):
            end.setblocking(False)
        self._wake_writer = wake_writer

    def run(self, reserve: _Reserve | None, messages: list[Message]) -> None:
        """Start the unit, obey, and stay until nothing of it is left.

        Raises:
            EOFError, BrokenPipeError, ConnectionResetError: the supervisor is gone.
        """
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            self._keep(reserve, messages)
        finally:
            signal.set_wakeup_fd(-1)  # children still end
            self._wake.close()
            self._wake_writer.close()

    def _keep(self, reserve: _Reserve | None, messages: list[Message]) -> None:
        # A command writes none.
        stacks_from = 0 if self._message["command"] else file_size(Path(self._message["stacks"]))
        launch = Launch.from_message(self._message)
        pid = self._start(launch, reserve)
        if pid is None:
            kernel.kill_descendants()
            return
        life = UnitLifecycle(launch, _ForkedUnit(pid), stacks_from, self._send)
        # Children first: what ended before it was stopped has ended by itself.
        while self._reap(life, pid):
            for message in messages:
                if message["number"] == self._number:  # else it is about a unit that is gone
                    life.obey(message)
            life.check_time()
            messages = self._wait(life.next_ns)

    def _start(self, launch: Launch, reserve: _Reserve | None) -> int | None:
        """Make a process the unit; its pid, or None, and the reason is sent, where that fails."""
        started_ns, times = time.monotonic_ns(), os.times()
        try:
            pid = _spawn(launch) if reserve is None and launch.command is not None else None
            if pid is None:
                pid = self._turned(reserve or _fork_reserve())
        except (MachineError, _RefusedError, OSError) as error:
            reason = explain(error, launch) if isinstance(error, OSError) else str(error)
            self._send("refused", reason=reason, infra=isinstance(error, MachineError))
            return None
        kernel.set_title(f"testrium: keeper of {launch.unit}")
        self._send(
            "started",
            pid=pid,
            keeper=os.getpid(),
            t_ns=started_ns,
            waited_cpu_s=times.children_user + times.children_system,
        )
        return pid

    def _turned(self, reserve: _Reserve) -> int:
        """Let the process in reserve become the unit; its pid. Raises MachineError, _RefusedError.

        It gets ready on another core while this process does.
        """
        if reserve.reason:
            raise MachineError(reserve.reason)
        reason = b""
        with reserve.wire as wire:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                wire.sendall(encoded(self._message))
            with contextlib.suppress(ConnectionResetError):
                reason = b"".join(iter(lambda: _received(wire), b""))
        text = reason.decode(errors="replace")
        if reason.startswith(INFRA_MARK):
            raise MachineError(text.removeprefix(INFRA_MARK.decode()))
        if reason:
            raise _RefusedError(text)
        return reserve.pid

    def _wait(self, next_ns: int | None) -> list[Message]:
        """Wait for the end of a child, messages or a time. Raises EOFError without a supervisor."""
        left_ms = None if next_ns is None else max(0, next_ns - time.monotonic_ns()) / 1e6
        poll = select.poll()  # select() knows no descriptor above 1023; the supervisor has more
        for one in (self._supervisor, self._wake):
            poll.register(one, select.POLLIN)
        limit_ms = None if left_ms is None else min(math.ceil(left_ms), _LONGEST_POLL_MS)
        ready = {fd for fd, _ in poll.poll(limit_ms)}
        if self._wake.fileno() in ready:
            self._wake.recv(4096)
        return self._supervisor.receive() if self._supervisor.fileno() in ready else []

    def _reap(self, life: UnitLifecycle, unit: int) -> bool:
        """Take note of ended children; False when the last one is gone and all is said."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == unit and life.alive:
                    code = os.waitstatus_to_exitcode(status)
                    life.end(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
            if life.leaks_at_ns is None or time.monotonic_ns() < life.leaks_at_ns:
                return True
            return not life.clear()
        life.tell_cleared()
        return False

    def _send(self, event: str, **fields: object) -> None:
        self._supervisor.send({"event": event, "number": self._number, **fields})
