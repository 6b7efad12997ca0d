"""The process of a plugin's writer: calls its methods as the runner says, until the run is over."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback

from testrium.frames import where_raised
from testrium.plugins import load_plugin
from testrium.report.writer import STDOUT, Writer
from testrium.run.platform import system


def serve(runner: int, status: int) -> None:
    """Read calls from standard input and make them; ends with the pipe.

    Args:
        runner: the process that tells, with which this one dies.
        status: an open file for the one sentence that says what failed.
    """
    system.die_with_parent(runner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, which has an end to tell of
    os.set_inheritable(status, False)
    calls = os.fdopen(os.dup(0), "rb")
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    _, (plugin, target, cwd) = pickle.load(calls)  # noqa: S301 - the runner's own
    if target != STDOUT:
        os.dup2(2, 1)
    method = "its constructor"
    try:
        writer: Writer = load_plugin(plugin)(target, cwd)
        with contextlib.suppress(EOFError):
            while True:
                method, arguments = pickle.load(calls)  # noqa: S301
                # A class of its own need not have all methods.
                getattr(writer, method, _ignore)(*arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code
        os.write(status, _sentence(error, method).encode(errors="replace"))
        _leave(1)
    _leave(0)


def _sentence(error: BaseException, method: str) -> str:
    told = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        told = f"{type(error).__name__}: {error.msg}"
        return f"{told} in {method} ({error.filename}:{error.lineno})"
    return f"{told} in {method}{where_raised(error)}"


def _ignore(*_: object) -> None:
    pass


def _redirect(opened: int, stream: int) -> None:
    os.dup2(opened, stream)
    os.close(opened)


def _leave(code: int) -> None:
    """End at once: threads that the writer has left running are not waited for."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
