"""Starts the supervisor's process.

Light, so it can be the first thing that a command does: the supervisor then starts on another
core while the runner still imports what it needs itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from testrium.loaded_by_name import SPAWNING_SUPERVISOR, SUPERVISOR, import_of
from testrium.system import START_METHOD, StartMethod
from testrium.tuples import NamedTuple

# Not `-m`, and with `-P`: a file of the user's in the current folder must not stand in for one of
# the standard library. Arguments: folder of the package, then what the lines below take.
_ROOT = (
    "import gc, sys; gc.disable(); root, *rest = sys.argv[1:];"
    " root in sys.path or sys.path.insert(0, root);"
)

_FORKING = f"{import_of(SUPERVISOR)}; main(int(rest[0]))"

_SPAWNING = (
    f"import socket; {import_of(SPAWNING_SUPERVISOR)};"
    " main(socket.socket(fileno=int(rest[0])), rest[1])"
)

# Windows has no descriptors to pass on: the socket comes as bytes.
_SPAWNING_ON_WINDOWS = (
    f"import socket; {import_of(SPAWNING_SUPERVISOR)};"
    " main(socket.fromshare(sys.stdin.buffer.read()), rest[0])"
)


class Booted(NamedTuple):
    """A supervisor that was started.

    When `wire`, the runner's end of the socket between them, closes, the supervisor kills all that
    it owns and ends. `mark` begins the marks of all that it spawns.
    """

    wire: socket.socket
    program: subprocess.Popen[bytes]
    method: StartMethod
    mark: str


_early: list[Booted] = []


def start(method: StartMethod) -> Booted:
    """Start a supervisor that forks or spawns units; does not wait for it.

    Raises:
        OSError: the machine cannot start a process.
    """
    ours, theirs = socket.socketpair()
    mark = os.urandom(8).hex()
    try:
        program = _started(method, theirs, mark)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Booted(ours, program, method, mark)


def start_early() -> None:
    """Start one for the first `take` of this process. If that fails, `take` will say why."""
    try:
        _early.append(start(START_METHOD))
    except OSError:
        return


def take(method: StartMethod) -> Booted:
    """The supervisor that was started early, or a new one. Raises OSError."""
    if _early and _early[-1].method == method:
        return _early.pop()
    return start(method)


def _started(method: StartMethod, wire: socket.socket, mark: str) -> subprocess.Popen[bytes]:
    python = [sys.executable, "-P", "-c"]
    root = str(Path(__file__).resolve().parents[3])
    if sys.platform == "win32":
        program = subprocess.Popen(
            [*python, _ROOT + _SPAWNING_ON_WINDOWS, root, mark],
            stdin=subprocess.PIPE,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        assert program.stdin is not None
        with program.stdin as stdin:
            stdin.write(wire.share(program.pid))
        return program
    code = _FORKING if method == "fork" else _SPAWNING
    return subprocess.Popen(
        [*python, _ROOT + code, root, str(wire.fileno()), mark],
        stdin=subprocess.DEVNULL,
        pass_fds=(wire.fileno(),),
        start_new_session=True,
    )
