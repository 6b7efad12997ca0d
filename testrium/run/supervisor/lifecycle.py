"""The lifecycle of one started unit: its deadline, its stop, its end.

A keeper (Linux) has one life, the supervisor of other systems all of them. What a unit's processes
are, and how they are reported, is the `Body`'s matter.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from testrium.run.supervisor.program import CRASH, readable_stacks
from testrium.run.supervisor.protocol import (
    Exit,
    Launch,
    Message,
    Receiver,
    signal_name,
    signal_number,
)
from testrium.system.files import open_regular

#: What is still alive so long after its unit has ended is a leak.
LEAK_AFTER_NS = 200_000_000

#: A unit that is killed and has not ended after so long is held by another process, its debugger.
HELD_AFTER_NS = 500_000_000

#: How much is kept of the stacks that a unit has written (bytes): a hundred threads need less.
_MOST_STACKS = 1 << 22


class LeftProcess(NamedTuple):
    """A process that is alive after its unit has ended; `names` are what its program is called."""

    pid: int
    command_line: str
    names: frozenset[str]

    def is_called(self, programs: Collection[str]) -> bool:
        return not self.names.isdisjoint(programs)


class UnitProcesses(Protocol):
    """The processes of one start of a unit."""

    def signal(self, number: int, to: Receiver, pid: int = 0) -> None:
        """Signal the unit's main process, each of its session once, or its process `pid`."""

    def pause(self, to: Receiver, pid: int = 0) -> None:
        """Pause the processes."""

    def resume(self, to: Receiver, pid: int = 0) -> None:
        """Resume the processes."""

    def kill_session(self) -> None:
        """SIGKILL to each process of the unit's session, also when its main process is gone."""

    def kill(self, pids: Iterable[int]) -> None:
        """SIGKILL to these processes of the unit."""

    def kill_all(self) -> None:
        """SIGKILL to everything that the unit has started."""

    def dump_stacks(self) -> None:
        """Have a Python unit append its stacks to its file; returns when that is done."""

    def left(self) -> list[LeftProcess]:
        """What is alive of it now."""

    def clear(self) -> None:
        """Kill until there is nothing left."""


class UnitLifecycle:
    """Times are CLOCK_MONOTONIC, None for never.

    Once the unit has ended, what is left of it is looked at (`leaks_at_ns`): what it was allowed to
    leave stays until the runner releases it (`leaving`), all else is ended.

    `stacks_from` is the size of the stacks file before the start: what is before is of earlier
    starts. `tell` takes an event and its fields.
    """

    def __init__(
        self, launch: Launch, body: UnitProcesses, stacks_from: int, tell: Callable[..., None]
    ) -> None:
        self.alive = True
        self.leaks_at_ns: int | None = None
        self._launch = launch
        self._body = body
        self._tell = tell
        self._deadline_ns = launch.deadline_ns
        self._stacks_from = stacks_from
        self._kill_at_ns: int | None = None  # the end of the grace period
        self._resume_at_ns: int | None = None  # the end of a pause
        self._free_at_ns: int | None = None  # when all is killed that might hold the unit
        self._paused: tuple[Receiver, int] = ("session", 0)
        self._leaks: list[LeftProcess] = []
        self._leaving = False
        self._released = False
        self._stopped = False
        self._overdue = False
        self._killed = False

    @property
    def next_ns(self) -> int | None:
        """When there is something to do although nothing happens."""
        kills = (self._deadline_ns, self._kill_at_ns, self._free_at_ns)
        times = (*kills, self._resume_at_ns, self.leaks_at_ns)
        return min((at_ns for at_ns in times if at_ns is not None), default=None)

    def obey(self, message: Message) -> None:
        """What the runner says; after the unit's end there is nothing but `release` to obey."""
        match message["op"]:
            case "release":
                self._released = True
                if self._leaving:
                    self.leaks_at_ns = time.monotonic_ns()
            case "stop" if self.alive:
                if message["stacks"]:
                    self._dump_stacks()
                self._stop(message["signal"], message["grace_ns"])
            case "kill" if self.alive:
                self._stopped = self._killed = True
                self._body.kill_all()
            case "signal" if self.alive:
                self._body.signal(message["signal"], message["to"], message["pid"])
                self._tell("struck")
            case "pause" if self.alive and not self._stopped:
                self._paused = (message["to"], message["pid"])
                self._body.pause(*self._paused)
                if message["for_ns"] is not None:
                    self._resume_at_ns = time.monotonic_ns() + message["for_ns"]
                self._tell("struck")

    def check_time(self) -> None:
        """Do what is due."""
        now_ns = time.monotonic_ns()
        if self._deadline_ns is not None and now_ns >= self._deadline_ns:
            self._overdue = True
            self._dump_stacks()
            self._stop(signal_number(self._launch.stop_signal), int(self._launch.grace_s * 1e9))
        if self._resume_at_ns is not None and now_ns >= self._resume_at_ns:
            self._resume_at_ns = None
            self._body.resume(*self._paused)
        if self._kill_at_ns is not None and now_ns >= self._kill_at_ns:
            self._kill_at_ns = None
            self._free_at_ns = now_ns + HELD_AFTER_NS
            self._body.kill_session()
        if self._free_at_ns is not None and now_ns >= self._free_at_ns:
            self._free_at_ns = None
            self._body.kill_all()

    def end(self, code: int, cpu_s: float | None, max_rss: int | None) -> None:
        """The unit's own process has ended; `code` is -N for signal N, `max_rss` in bytes."""
        ended_ns = time.monotonic_ns()
        self.alive = False
        self._deadline_ns = self._kill_at_ns = self._free_at_ns = self._resume_at_ns = None
        self.leaks_at_ns = ended_ns if self._killed else ended_ns + LEAK_AFTER_NS
        if self._stopped and self._launch.stop_to == "process":
            self._body.kill_session()  # as with the main process of a container
        if code < 0 and self._launch.command is None:
            self._tell_crash()
        end = Exit(
            exit_code=code if code >= 0 else None,
            signal=signal_name(-code) if code < 0 else None,
            t_ns=ended_ns,
            stopped=self._stopped,
            overdue=self._overdue,
            cpu_s=cpu_s,
            max_rss=max_rss,
        )
        self._tell("ended", exit=end.to_message())

    def clear(self) -> bool:
        """End what is left; False while it stays because the unit may leave it.

        After `kill` something is left, and no unit is to blame.
        """
        if not (self._killed or self._leaving):
            left = self._body.left()
            allowed = [each for each in left if each.is_called(self._launch.may_leave)]
            self._leaks = [each for each in left if each not in allowed]
            if allowed and not self._released:
                self._leaving, self.leaks_at_ns = True, None
                self._body.kill(each.pid for each in self._leaks)
                return False
        self._body.clear()
        self.tell_cleared()
        return True

    def tell_cleared(self) -> None:
        """Nothing is left of the unit."""
        self._tell("cleared", leaks=[(each.pid, each.command_line) for each in self._leaks])

    def _stop(self, number: int, grace_ns: int) -> None:
        self._stopped = True
        self._deadline_ns = self._resume_at_ns = None
        self._kill_at_ns = time.monotonic_ns() + grace_ns
        self._body.signal(number, self._launch.stop_to)

    def _dump_stacks(self) -> None:
        if self._launch.command is None:
            self._body.dump_stacks()
            self._tidy_stacks()

    def _tidy_stacks(self) -> str:
        """Take our own frames out of what this start has written to the stacks file."""
        try:
            fd = open_regular(self._launch.stacks, os.O_RDWR)
            with os.fdopen(fd, "r+b") as file:
                file.seek(self._stacks_from)
                own = file.read(_MOST_STACKS)
                text = readable_stacks(own.decode(errors="replace")) if own else ""
                file.seek(self._stacks_from)
                file.truncate()
                file.write(text.encode())
        except OSError:  # evidence that the unit has removed, or that the disk has no room for
            return ""
        return text

    def _tell_crash(self) -> None:
        """Append to the unit's stderr what the interpreter wrote as it died."""
        _, crash, told = self._tidy_stacks().rpartition(CRASH)
        if crash:
            try:
                fd = open_regular(self._launch.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                with os.fdopen(fd, "a") as stderr:
                    stderr.write(crash + told)
            except OSError:  # as above
                return
