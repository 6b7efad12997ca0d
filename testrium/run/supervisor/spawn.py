"""The supervisor of systems without a safe fork: units are spawned, and it keeps them itself.

Without a child subreaper a keeper has nothing to keep, so none is started: each unit is a
`Life` of this process. It speaks with the runner as the other supervisor does (`protocol`). Linux
takes this way too where a variable asks for it (docs/contributing/testing.md): the tests do.

A Python unit is an interpreter that gets its launch on its standard input (`script`). That pipe
stays: a byte on it asks for the stacks, and its end tells that the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from testrium.loaded_by_name import SPAWNED_UNIT, import_of
from testrium.run.supervisor.lifecycle import LeftProcess, UnitLifecycle
from testrium.run.supervisor.program import MachineError, explain, framed, open_private
from testrium.run.supervisor.protocol import Channel, Launch, Message, Receiver, file_size
from testrium.system import portable
from testrium.system.processes import command_line, program_names

#: How long a unit may take to write its stacks.
_DUMP_LIMIT_S = 0.5

#: Seconds between looks at what a unit has left: nothing reports that an orphan has ended.
_LOOK_S = 0.02

_HEEDED_BY_NOBODY = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")

# As in `bootstrap`. The package is found before what is found in the current folder.
_BOOT = (
    "import sys; root = sys.argv.pop(); root in sys.path or sys.path.insert(0, root);"
    f" {import_of(SPAWNED_UNIT)}; run_spawned_unit()"
)

_ROOT = str(Path(__file__).resolve().parents[3])


def main(wire: socket.socket, mark: str) -> None:
    """Serve the runner at the other end; returns when it is gone and nothing is left."""
    for name in _HEEDED_BY_NOBODY:
        # Not SIG_IGN, which units would inherit.
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, lambda *_: None)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with wire:
        wire.set_inheritable(False)
        supervisor = _SpawningSupervisor(Channel(wire), mark)
        try:
            supervisor.serve()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
        finally:
            supervisor.kill_all()


class _SpawnedUnit:
    """The processes of one start of a unit; see `life.Body`."""

    def __init__(self, program: subprocess.Popen[bytes], mark: str, stacks: Path) -> None:
        self.pid = program.pid
        self._program = program
        self._mark = mark
        self._stacks = stacks

    def signal(self, number: int, to: Receiver, pid: int = 0) -> None:
        if to == "session" or sys.platform == "win32":
            portable.signal_session(self.pid, number, self._mark)
        else:
            for process in self._meant(to, pid):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
                    if number != signal.SIGSTOP:  # else it would wait in a stopped process
                        process.resume()

    def pause(self, to: Receiver, pid: int = 0) -> None:
        if to == "session":
            self._each_of_session("SIGSTOP", psutil.Process.suspend)
        for process in self._meant(to, pid):
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def resume(self, to: Receiver, pid: int = 0) -> None:
        if to == "session":
            self._each_of_session("SIGCONT", psutil.Process.resume)
        for process in self._meant(to, pid):
            with contextlib.suppress(psutil.Error):
                process.resume()

    def kill_session(self) -> None:
        self._each_of_session("SIGKILL", psutil.Process.kill)

    def kill(self, pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()

    def kill_all(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._program.kill()
        for process in portable.belonging(self.pid, self._mark):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def dump_stacks(self) -> None:
        before, limit = file_size(self._stacks), time.monotonic() + _DUMP_LIMIT_S
        assert self._program.stdin is not None
        try:
            self._program.stdin.write(b"?")
            self._program.stdin.flush()
        except OSError:  # it has closed its end, and is nearly gone
            return
        while self._is_writing(before) and time.monotonic() < limit:
            time.sleep(0.001)  # nothing reports that a file was written

    def left(self) -> list[LeftProcess]:
        found = portable.belonging(self.pid, self._mark)
        return [
            LeftProcess(process.pid, command_line(process.pid), program_names(process.pid))
            for process in found
        ]

    def clear(self) -> None:
        portable.kill_until_none(lambda: list(portable.belonging(self.pid, self._mark)))
        if self._program.stdin is not None:
            with contextlib.suppress(OSError):
                self._program.stdin.close()

    def _meant(self, to: Receiver, pid: int) -> list[psutil.Process]:
        """The main process, or the one with this pid, if it belongs to the unit."""
        if to == "session":
            return []
        with contextlib.suppress(psutil.Error):
            main = psutil.Process(self.pid)
            if to == "process" or pid == self.pid:
                return [main]
        return [each for each in portable.belonging(self.pid, self._mark) if each.pid == pid]

    def _each_of_session(self, name: str, do: Callable[[psutil.Process], None]) -> None:
        """Signal a session; without sessions, all processes of the unit."""
        if (number := getattr(signal, name, None)) is not None:
            portable.signal_session(self.pid, number, self._mark)
            return
        for process in (psutil.Process(self.pid), *portable.belonging(self.pid, self._mark)):
            with contextlib.suppress(psutil.Error):
                do(process)

    def _is_writing(self, before: int) -> bool:
        """Whether the dump that began at this size is not there, or has no end yet."""
        if self._program.poll() is not None:
            return False
        with contextlib.suppress(OSError):
            return not self._stacks.read_bytes()[before:].endswith(b"\n\n")
        return True


class _SpawningSupervisor:
    def __init__(self, runner: Channel, mark: str) -> None:
        self._runner = runner
        self._mark = mark
        self._lives: dict[int, tuple[UnitLifecycle, _SpawnedUnit]] = {}
        self._ends: list[tuple[int, int, float | None, int | None]] = []
        self._wake, self._wake_writer = socket.socketpair()
        self._wake.setblocking(False)

    def serve(self) -> None:
        """Pass messages on until the runner is gone; then EOFError."""
        while True:
            self._note_ends()
            for number, (life, body) in tuple(self._lives.items()):
                life.check_time()
                self._look_after(number, life, body)
            for message in self._wait():
                self._obey(message)

    def kill_all(self) -> None:
        for _, body in self._lives.values():
            body.kill_all()
        for _, body in self._lives.values():
            body.clear()

    def _wait(self) -> list[Message]:
        waited_for: list[Channel | socket.socket] = [self._runner, self._wake]
        readable, _, _ = select.select(waited_for, [], [], self._limit_s())
        if self._wake in readable:
            self._wake.recv(4096)
        if self._runner not in readable:
            return []
        messages = self._runner.receive()
        self._note_ends()  # what ended before it was stopped has ended by itself
        return messages

    def _limit_s(self) -> float | None:
        limits = []
        for life, _ in self._lives.values():
            if (next_ns := life.next_ns) is not None:
                limits.append(max(0, next_ns - time.monotonic_ns()) / 1e9)
            if not life.alive:
                limits.append(_LOOK_S)
        return min(limits, default=None)

    def _obey(self, message: Message) -> None:
        number = message["number"]
        if message["op"] == "start":
            self._start(number, message["launch"])
        elif number in self._lives:
            self._lives[number][0].obey(message)

    def _start(self, number: int, message: Message) -> None:
        launch = Launch.from_message(message)
        mark = f"{self._mark}.{number}"
        stacks_from = file_size(launch.stacks)
        started_ns = time.monotonic_ns()
        try:
            program = _started(launch, message, mark)
        except MachineError as error:
            self._tell(number, "refused", reason=str(error), infra=True)
            return
        except OSError as error:
            infra = isinstance(error, BlockingIOError | MemoryError)
            reason = f"cannot start another process: {error.strerror}"
            reason = reason if infra else explain(error, launch)
            self._tell(number, "refused", reason=reason, infra=infra)
            return
        body = _SpawnedUnit(program, mark, launch.stacks)
        tell = partial(self._tell, number)
        self._lives[number] = (UnitLifecycle(launch, body, stacks_from, tell), body)
        begun = {"pid": program.pid, "keeper": 0, "t_ns": started_ns, "waited_cpu_s": 0.0}
        self._tell(number, "started", **begun)
        threading.Thread(target=self._await_end, args=(number, program), daemon=True).start()

    def _await_end(self, number: int, program: subprocess.Popen[bytes]) -> None:
        """In a thread of its own: no system but POSIX tells a loop of the end of a child."""
        self._ends.append((number, *_waited_for(program)))
        self._wake_writer.send(b".")

    def _note_ends(self) -> None:
        while self._ends:
            number, code, cpu_s, max_rss = self._ends.pop(0)
            self._lives[number][0].end(code, cpu_s, max_rss)

    def _look_after(self, number: int, life: UnitLifecycle, body: _SpawnedUnit) -> None:
        """A unit that has ended is cleared when nothing is left of it, or it was time for that."""
        if life.alive:
            return
        due = life.leaks_at_ns is not None and time.monotonic_ns() >= life.leaks_at_ns
        if (due or not body.left()) and life.clear():
            del self._lives[number]

    def _tell(self, number: int, event: str, **fields: object) -> None:
        self._runner.send({"event": event, "number": number, **fields})


def _started(launch: Launch, message: Message, mark: str) -> subprocess.Popen[bytes]:
    """Start the program with nothing of this process but what the launch names.

    Raises MachineError or OSError.
    """
    own: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    python = launch.command is None
    command = launch.command or (sys.executable, "-P", "-c", _BOOT, _ROOT)
    with contextlib.ExitStack() as opened:
        streams = []
        for path in (launch.stdout, launch.stderr):
            streams.append(open_private(path))
            opened.callback(os.close, streams[-1])
        program = subprocess.Popen(
            command,
            cwd=launch.cwd,
            env=launch.env | {portable.MARK: mark},
            stdin=subprocess.PIPE if python else subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            **own,
        )
    if program.stdin is not None:
        with contextlib.suppress(OSError):  # it died at once; that is its end
            program.stdin.write(framed(message))
            program.stdin.flush()
    return program


def _waited_for(program: subprocess.Popen[bytes]) -> tuple[int, float | None, int | None]:
    """The exit code (-N for signal N), the CPU time in s and the most memory in bytes, if known."""
    if sys.platform == "win32":
        return program.wait(), None, None
    while True:
        try:
            pid, status, usage = os.wait4(program.pid, 0)
        except ChildProcessError:  # `poll` was faster
            return program.wait(), None, None
        if pid == program.pid:
            code = program.returncode = os.waitstatus_to_exitcode(status)
            rss = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            return code, usage.ru_utime + usage.ru_stime, rss
