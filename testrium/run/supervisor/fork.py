"""What happens in a unit's process before its program runs: from a fork to a clean slate.

The process gets a session of its own, dies with its keeper, and keeps nothing of what the processes
before it had: signals, files, environment. Then it becomes the command, or runs the entrypoint.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import testrium
from testrium.loaded_by_name import FRESH_UNIT, import_of
from testrium.run.supervisor import program
from testrium.run.supervisor.program import MachineError, explain, open_private
from testrium.run.supervisor.protocol import Channel, Launch, encoded
from testrium.system import kernel

if TYPE_CHECKING:
    from pathlib import Path

#: What the keeper reads when it was the machine that failed, not the unit's description.
INFRA_MARK = b"!"

#: Tells an interpreter that was started for a unit which one it is.
LAUNCH = "TESTRIUM_LAUNCH"

# What such an interpreter runs; it finds Testrium where this one did.
_FRESH = (
    f"import sys; sys.path.append({os.path.dirname(testrium.__path__[0])!r});"  # noqa: PTH120 - as text
    f" {import_of(FRESH_UNIT)}; run_fresh_unit()"
)

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
