"""What the runner, the supervisor and its keepers say to each other: JSON lines over a socket.

Every message but `prepare` carries the `number` of a process, given by the runner. To a keeper:

    {"op": "prepare"}                            fork the process of its next unit ahead
    {"op": "start", "launch": {...}}             -> started or refused, then ended, then cleared
    {"op": "stop", "signal": 15, "grace_ns": N, "stacks": false}
                                                 the unit gets the signal (`stop_to`), SIGKILL later
    {"op": "kill"}                               SIGKILL to everything that it started, at once
    {"op": "signal", "signal": 15, "to": "process", "pid": P}
                                                 as if from outside, to its main process, its
                                                 session or (`emitter`) the process P of it
                                                 -> struck
    {"op": "pause", "for_ns": N or null, "to": "session", "pid": P}
                                                 the same with SIGSTOP, SIGCONT after that time
                                                 -> struck
    {"op": "release"}                            end what the unit may leave behind (`may_leave`)

From it:

    {"event": "started", "pid": P, "keeper": P, "t_ns": T, "waited_cpu_s": S}
                                                 S is of what the keeper has waited for before
    {"event": "refused", "reason": "...", "infra": false}
    {"event": "struck"}                          (nothing once it has ended)
    {"event": "ended", "exit": {...}}
    {"event": "cleared", "leaks": [[pid, "command line"], ...]}
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import Any, Literal

from testrium.tuples import NamedTuple

Message = dict[str, Any]

#: Who gets a signal: the unit's main process, its session, or the process that has emitted a probe.
Receiver = Literal["process", "session", "emitter"]

_CHUNK = 1 << 16

_PATHS = ("folder", "cwd", "stdout", "stderr", "stacks")


class Launch(NamedTuple):
    """One process to start: an entrypoint `module:function`, or a command.

    `folder` is the group's; Python code is imported from there. `env` is the whole environment.
    Output is appended to `stdout` and `stderr`, the stacks of a Python unit that is asked for them
    to `stacks`. `deadline_ns` (CLOCK_MONOTONIC) is when the process is overdue. With
    `own_interpreter` a Python unit is a program of its own, which a library can be loaded into.
    `stop_to` gets the signal that stops it; `may_leave` names programs that may outlive it.
    """

    unit: str
    folder: Path
    entrypoint: str | None
    command: tuple[str, ...] | None
    cwd: Path
    env: dict[str, str]
    stdout: Path
    stderr: Path
    stacks: Path
    mode: str
    stop_signal: str = "TERM"
    stop_to: Receiver = "session"
    grace_s: float = 2.0
    may_leave: tuple[str, ...] = ()
    deadline_ns: int | None = None
    own_interpreter: bool = False

    def to_message(self) -> Message:
        message = self._asdict()
        return message | {name: str(message[name]) for name in _PATHS}

    @classmethod
    def from_message(cls, message: Message) -> Launch:
        fields = dict(message)
        for name in _PATHS:
            fields[name] = Path(message[name])
        fields["command"] = tuple(message["command"]) if message["command"] else None
        fields["may_leave"] = tuple(message["may_leave"])
        return cls(**fields)


class Exit(NamedTuple):
    """How a process ended.

    `exit_code` and `signal` ("SIGSEGV") exclude each other; both are None where `infra` says why
    it is not known. `t_ns` is when the end was seen. `stopped`: it was asked to end before it did,
    or was overdue. `cpu_s` and `max_rss` (bytes) count it and the children that it waited for.
    """

    exit_code: int | None
    signal: str | None
    t_ns: int
    stopped: bool = False
    overdue: bool = False
    infra: str = ""
    cpu_s: float | None = None
    max_rss: int | None = None

    def to_message(self) -> Message:
        return self._asdict()

    @classmethod
    def from_message(cls, message: Message) -> Exit:
        return cls(**message)


def signal_number(name: str) -> int:
    """The number of a signal called "TERM", "SIGTERM" or as `signal_name` says.

    Raises ValueError for an unknown one.
    """
    short, _, more = name.upper().removeprefix("SIG").partition("+")
    try:
        return signal.Signals[f"SIG{short}"].value + int(more or 0)
    except (KeyError, ValueError):
        raise ValueError(f"no signal is called {name!r}") from None


def signal_name(number: int) -> str:
    """The name of a signal; "SIGRTMIN+2" for a real-time signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def encoded(message: Message) -> bytes:
    """The message as one line. ASCII, so undecodable bytes of an environment survive."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def file_size(path: Path) -> int:
    """How much earlier starts have written to a file of the unit; 0 if there was none."""
    try:
        return path.stat().st_size
    except OSError:  # there is none, or no folder for it any more
        return 0


class Channel:
    """One end of a socket that carries messages; sending blocks."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._rest = b""

    def fileno(self) -> int:
        return self._wire.fileno()

    def close(self) -> None:
        self._wire.close()

    def end(self) -> None:
        """Tell the other end that nothing more comes; what it says still does."""
        with contextlib.suppress(OSError):  # it is gone
            self._wire.shutdown(socket.SHUT_WR)

    def send(self, message: Message) -> None:
        """Send one message. Raises OSError when the other end is gone."""
        self._wire.sendall(encoded(message))

    def receive(self) -> list[Message]:
        """The messages that have come, at least one; blocks until there is one.

        Raises:
            EOFError: the other end is gone.
        """
        lines: list[bytes] = []
        while not lines:
            try:
                data = self._wire.recv(_CHUNK)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]
