"""The keeper: one process per started unit, its parent and the owner of all that it starts.

A keeper is a child subreaper, so whatever a unit starts comes to it when its own parent ends:
grandchildren, daemons that forked twice and emptied their environment. That tells whose leak a
process is, and nothing is left when the keeper ends: it kills until the kernel says that it has no
children. Deadlines live here too: a stopped runner cannot stop time.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from collections.abc import Iterable
from multiprocessing import get_context
from typing import NamedTuple, NoReturn

from testrium.run.supervisor.fork import INFRA_MARK, STACKS_SIGNAL, run_forked_unit
from testrium.run.supervisor.lifecycle import LeftProcess, UnitLifecycle
from testrium.run.supervisor.protocol import Channel, Launch, Message, Receiver, encoded, file_size
from testrium.system import kernel

# How long a unit may take to write its stacks.
_DUMP_LIMIT_NS = 500_000_000


def keep(wire: socket.socket) -> NoReturn:
    """The main function of a keeper's process: forks a process, and makes it a unit when told to.

    The keeper ends when nothing of the unit is left, or with the supervisor, to which `wire` leads.
    """
    kernel.become_subreaper()
    kernel.set_title("testrium: keeper in reserve")
    signal.set_wakeup_fd(-1)  # the supervisor's
    # What the supervisor and other keepers hold: the end of each must be seen.
    kernel.close_files((wire.fileno(),))
    supervisor = Channel(wire)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        reserve = _fork_reserve()
        start, *later = supervisor.receive()
        _Keeper(supervisor, start["number"], start["launch"]).run(reserve, later)
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
            time.sleep(0.001)  # the kernel tells nobody that a handler has returned

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
        self._launch = Launch.from_message(launch)
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
        try:
            self._keep(reserve, messages)
        finally:
            signal.set_wakeup_fd(-1)  # children still end
            self._wake.close()
            self._wake_writer.close()

    def _keep(self, reserve: _Reserve, messages: list[Message]) -> None:
        stacks_from = file_size(self._launch.stacks)
        if not self._start(reserve):
            return
        life = UnitLifecycle(self._launch, _ForkedUnit(reserve.pid), stacks_from, self._send)
        # Children first: what ended before it was told to stop has ended by itself.
        while self._reap(life, reserve.pid):
            for message in messages:
                life.obey(message)
            life.check_time()
            messages = self._wait(life.next_ns)

    def _start(self, reserve: _Reserve) -> bool:
        if reserve.reason:
            self._send("refused", reason=reserve.reason, infra=True)
            return False
        started_ns = time.monotonic_ns()
        with reserve.wire as wire, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(encoded(self._message))
            kernel.set_title(f"testrium: keeper of {self._launch.unit}")
            reason = b"".join(iter(lambda: wire.recv(4096), b""))
            if reason:
                text = reason.removeprefix(INFRA_MARK).decode(errors="replace")
                self._send("refused", reason=text, infra=reason.startswith(INFRA_MARK))
                return False
        self._send("started", pid=reserve.pid, keeper=os.getpid(), t_ns=started_ns)
        return True

    def _wait(self, next_ns: int | None) -> list[Message]:
        """Wait for the end of a child, messages or a time. Raises EOFError without a supervisor."""
        limit_s = None if next_ns is None else max(0, next_ns - time.monotonic_ns()) / 1e9
        poll = select.poll()  # select() knows no descriptor above 1023; the supervisor has more
        for one in (self._supervisor, self._wake):
            poll.register(one, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if limit_s is None else math.ceil(limit_s * 1000))}
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
