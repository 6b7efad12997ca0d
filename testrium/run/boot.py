"""Starts the supervisor's process.

Light, so that it can be the first thing that a command does: the supervisor then starts on another
core while the runner still imports what it needs itself.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

# Arguments: descriptor, start method, folder of the package. Not `-m`, and with `-P`: a file of the
# user's in the current folder must not stand in for one of the standard library.
_BOOT = (
    "import gc, sys; gc.disable(); fd, method, root = sys.argv[1:];"
    " root in sys.path or sys.path.insert(0, root);"
    " from testrium.run.supervisor import main; main(int(fd), method)"
)

Booted = tuple[socket.socket, "subprocess.Popen[bytes]"]

_early: list[Booted] = []


def start(method: str) -> Booted:
    """Start a supervisor; does not wait for it.

    Args:
        method: how it starts Python units, see multiprocessing.

    Returns:
        The runner's end of the socket between them (when it closes, the supervisor kills all that
        it owns and ends), and the process.

    Raises:
        OSError: the machine cannot start a process.
    """
    ours, theirs = socket.socketpair()
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), method, root]
    try:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, program


def start_early() -> None:
    """Start one for the first `take` of this process. If that fails, `take` will say why."""
    try:
        _early.append(start("fork"))
    except OSError:
        return


def take(method: str) -> Booted:
    """The supervisor that was started early, or a new one. Raises OSError."""
    return _early.pop() if _early and method == "fork" else start(method)
