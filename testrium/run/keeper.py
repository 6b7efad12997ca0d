"""The keeper: one process per started unit, its parent and the owner of all that it starts.

A keeper is a child subreaper, so whatever a unit starts comes to it when its own parent ends:
grandchildren, daemons that forked twice and emptied their environment. That tells whose leak a
process is, and nothing is left when the keeper ends: it kills until the kernel says that it has no
children. Deadlines live here too: a stopped runner cannot stop time.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from multiprocessing import get_context
from multiprocessing.context import ForkContext, SpawnContext
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from testrium.run import linux
from testrium.run.entrypoint import CRASH, STACKS_SIGNAL, readable_stacks
from testrium.run.protocol import (
    Channel,
    Exit,
    Launch,
    Message,
    encoded,
    file_size,
    signal_name,
    signal_number,
)
from testrium.run.worker import INFRA_MARK, run_unit

if TYPE_CHECKING:
    import resource

#: What is still alive so long after its unit has ended is a leak.
LEAK_AFTER_NS = 200_000_000

# How long a unit may take to write its stacks.
_DUMP_LIMIT_NS = 500_000_000


def start_context(method: str) -> ForkContext | SpawnContext:
    """The context of multiprocessing for a start method."""
    return get_context("spawn") if method == "spawn" else get_context("fork")


def keep(wire: socket.socket, method: str) -> NoReturn:
    """The main function of a keeper's process: forks a process, and makes it a unit when told to.

    The keeper ends when nothing of the unit is left, or with the supervisor, to which `wire` leads.
    `method` is a start method of multiprocessing.
    """
    linux.become_subreaper()
    linux.set_title("testrium: keeper in reserve")
    if method == "fork":
        # What the supervisor and other keepers hold: the end of each must be seen.
        linux.close_files((wire.fileno(),))
    supervisor = Channel(wire)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        reserve = _fork_reserve(method)
        start, *later = supervisor.receive()
        _Keeper(supervisor, start["number"], start["launch"]).run(reserve, later)
    linux.kill_descendants()
    os._exit(0)  # what multiprocessing would wait for is gone


class _Reserve(NamedTuple):
    """A process that waits at the other end of `wire` to become the unit; or why there is none."""

    pid: int
    wire: socket.socket
    reason: str = ""


def _fork_reserve(method: str) -> _Reserve:
    context = start_context(method)
    ours, theirs = socket.socketpair()
    kept: tuple[int, ...] = ()
    if method == "spawn":
        from multiprocessing.resource_tracker import getfd

        kept = tuple(fd for fd in (getfd(),) if fd is not None)
    process = context.Process(target=run_unit, args=(theirs, os.getpid(), kept))
    try:
        process.start()
    except OSError as error:
        return _Reserve(0, ours, f"cannot start another process: {error.strerror}")
    finally:
        theirs.close()
    assert process.pid is not None
    return _Reserve(process.pid, ours)


class _Keeper:
    """`_pid` is the unit's while it lives; times are CLOCK_MONOTONIC, None for never."""

    def __init__(self, supervisor: Channel, number: int, launch: Message) -> None:
        self._supervisor = supervisor
        self._number = number
        self._message = launch
        self._launch = Launch.from_message(launch)
        self._pid = 0
        self._alive = False
        self._deadline_ns = self._launch.deadline_ns
        self._stacks_from = file_size(self._launch.stacks)  # what is before is of earlier starts
        self._kill_at_ns: int | None = None  # the end of the grace period
        self._resume_at_ns: int | None = None  # the end of a pause
        self._leaks_at_ns: int | None = None
        self._stopped = False
        self._overdue = False
        self._killed = False
        self._wake, wake_writer = socket.socketpair()
        for end in (self._wake, wake_writer):
            end.setblocking(False)
        self._wake_writer = wake_writer

    def run(self, reserve: _Reserve, messages: list[Message]) -> None:
        """Start the unit, obey, and stay until nothing of it is left.

        Raises:
            EOFError, BrokenPipeError, ConnectionResetError: the supervisor is gone.
        """
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        if not self._start(reserve):
            signal.set_wakeup_fd(-1)  # the reserve is about to end, and its socket to close
            return
        # Children first: what ended before it was told to stop has ended by itself.
        while self._reap():
            for message in messages:
                self._obey(message)
            self._check_time()
            messages = self._wait()

    # Start -------------------------------------------------------------------------------------

    def _start(self, reserve: _Reserve) -> bool:
        if reserve.reason:
            self._send("refused", reason=reserve.reason, infra=True)
            return False
        self._pid, self._alive = reserve.pid, True
        started_ns = time.monotonic_ns()
        with reserve.wire as wire, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(encoded(self._message))
            linux.set_title(f"testrium: keeper of {self._launch.unit}")
            reason = b"".join(iter(lambda: wire.recv(4096), b""))
            if reason:
                text = reason.removeprefix(INFRA_MARK).decode(errors="replace")
                self._send("refused", reason=text, infra=reason.startswith(INFRA_MARK))
                return False
        self._send("started", pid=self._pid, keeper=os.getpid(), t_ns=started_ns)
        return True

    # Life --------------------------------------------------------------------------------------

    def _wait(self) -> list[Message]:
        """Wait for the end of a child, messages or a time. Raises EOFError without a supervisor."""
        times = (self._deadline_ns, self._kill_at_ns, self._resume_at_ns, self._leaks_at_ns)
        next_ns = min((at_ns for at_ns in times if at_ns is not None), default=None)
        limit_s = None if next_ns is None else max(0, next_ns - time.monotonic_ns()) / 1e9
        waited_for: list[Channel | socket.socket] = [self._supervisor, self._wake]
        readable, _, _ = select.select(waited_for, [], [], limit_s)
        if self._wake in readable:
            self._wake.recv(4096)
        return self._supervisor.receive() if self._supervisor in readable else []

    def _obey(self, message: Message) -> None:
        match message["op"]:
            case "stop" if self._alive:
                if message["stacks"]:
                    self._dump_stacks()
                self._stop(message["signal"], message["grace_ns"])
            case "kill" if self._alive:
                self._stopped = self._killed = True
                self._kill_all()
            case "crash" if self._alive:
                linux.signal_session(self._pid, signal.SIGKILL)
                self._send("struck")
            case "pause" if self._alive and not self._stopped:
                linux.signal_session(self._pid, signal.SIGSTOP)
                if message["for_ns"] is not None:
                    self._resume_at_ns = time.monotonic_ns() + message["for_ns"]
                self._send("struck")
            case "deadline" if self._alive and not self._overdue:
                self._deadline_ns = message["at_ns"]

    def _stop(self, number: int, grace_ns: int) -> None:
        self._stopped = True
        self._deadline_ns = self._resume_at_ns = None
        self._kill_at_ns = time.monotonic_ns() + grace_ns
        linux.signal_session(self._pid, number)

    def _kill_all(self) -> None:
        for entry in linux.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(entry.pid, signal.SIGKILL)

    def _dump_stacks(self) -> None:
        if self._launch.command is not None or not linux.catches(self._pid, STACKS_SIGNAL):
            return  # to a program that does not expect it the signal would be the end
        os.kill(self._pid, STACKS_SIGNAL)
        limit_ns = time.monotonic_ns() + _DUMP_LIMIT_NS
        while linux.handling(self._pid, STACKS_SIGNAL) and time.monotonic_ns() < limit_ns:
            time.sleep(0.001)  # the kernel tells nobody that a handler has returned
        self._tidy_stacks()

    def _tidy_stacks(self) -> str:
        """Take our own frames out of what this start has written to the stacks file."""
        path = self._launch.stacks
        try:
            written = path.read_bytes()
            earlier, own = written[: self._stacks_from], written[self._stacks_from :]
            text = readable_stacks(own.decode(errors="replace")) if own else ""
            path.write_bytes(earlier + text.encode())
        except OSError:  # evidence that the unit has removed, or that the disk has no room for
            return ""
        return text

    def _tell_crash(self) -> None:
        """Append to the unit's stderr what the interpreter wrote as it died."""
        _, crash, told = self._tidy_stacks().rpartition(CRASH)
        if crash:
            with contextlib.suppress(OSError), self._launch.stderr.open("a") as stderr:
                stderr.write(crash + told)

    def _check_time(self) -> None:
        now_ns = time.monotonic_ns()
        if self._deadline_ns is not None and now_ns >= self._deadline_ns:
            self._overdue = True
            self._dump_stacks()
            self._stop(signal_number(self._launch.stop_signal), int(self._launch.grace_s * 1e9))
        if self._resume_at_ns is not None and now_ns >= self._resume_at_ns:
            self._resume_at_ns = None
            linux.signal_session(self._pid, signal.SIGCONT)
        if self._kill_at_ns is not None and now_ns >= self._kill_at_ns:
            self._kill_at_ns = None
            linux.signal_session(self._pid, signal.SIGKILL)

    # End ---------------------------------------------------------------------------------------

    def _reap(self) -> bool:
        """Take note of ended children; False when the last one is gone and all is said."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._pid and self._alive:
                    self._ended(status, usage)
            if self._leaks_at_ns is None or time.monotonic_ns() < self._leaks_at_ns:
                return True
            self._clear()
            return False
        self._send("cleared", leaks=[])
        return False

    def _ended(self, status: int, usage: resource.struct_rusage) -> None:
        ended_ns = time.monotonic_ns()
        self._alive = False
        self._deadline_ns = self._kill_at_ns = self._resume_at_ns = None
        self._leaks_at_ns = ended_ns if self._killed else ended_ns + LEAK_AFTER_NS
        code = os.waitstatus_to_exitcode(status)
        if code < 0 and self._launch.command is None:
            self._tell_crash()
        end = Exit(
            exit_code=code if code >= 0 else None,
            signal=signal_name(-code) if code < 0 else None,
            t_ns=ended_ns,
            stopped=self._stopped,
            overdue=self._overdue,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss=usage.ru_maxrss * 1024,
        )
        self._send("ended", exit=end.to_message())

    def _clear(self) -> None:
        """End what is left. After `kill` it is nobody's fault that there is something."""
        left = [entry.pid for entry in linux.descendants(os.getpid()) if entry.alive]
        leaks = [] if self._killed else [(pid, linux.command_line(pid)) for pid in left]
        linux.kill_descendants()
        self._send("cleared", leaks=leaks)

    def _send(self, event: str, **fields: object) -> None:
        self._supervisor.send({"event": event, "number": self._number, **fields})
