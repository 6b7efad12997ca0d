"""Code of others, called in a process that it may kill or never come back from."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from testrium.errors import TestriumError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_T = TypeVar("_T")


class LostError(TestriumError):
    """The process ended, or took too long, before it had an answer."""


def call_isolated(work: Callable[[], _T], limit_s: float) -> _T:
    """What `work` returns in a process of its own; both are pickled, and `work` must not raise.

    Whatever it writes to standard output goes to standard error.

    Args:
        work: what is done there.
        limit_s: seconds after which the process is killed.

    Raises:
        LostError: there is no answer; says why.
    """
    # Forking takes a millisecond, and is safe where there is no other thread.
    alone = sys.platform == "linux" and threading.active_count() == 1
    context: Any = multiprocessing.get_context("fork" if alone else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit_s):
            process.kill()
            raise LostError(f"took longer than {limit_s:g} s")
        answer: _T = ours.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise LostError(f"its process ended with {how}") from None
    except KeyboardInterrupt:  # nobody wants the answer any more
        process.kill()
        raise
    finally:
        ours.close()
        process.join()
    return answer


def _serve(answers: Connection, work: Callable[[], object], parent: int) -> None:
    from testrium.run.platform import system

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's
    system.die_with_parent(parent)
    sys.stdout.flush()
    os.dup2(2, 1)
    answers.send(work())
