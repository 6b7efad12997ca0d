"""A limit for computing: a regular expression can take longer than anybody waits."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from testrium.errors import TestriumError


class TookTooLongError(TestriumError):
    """The computation was broken off."""


@contextmanager
def at_most(limit_s: float) -> Iterator[None]:
    """Break off what is computed in here after `limit_s` seconds of the process's CPU time.

    CPU time, so that a busy machine makes no difference to what is found.
    The regular expressions of the standard library ask for signals while they search; a thread
    could not be stopped. Outside the main thread, and on Windows, there is no limit.

    Raises:
        TookTooLongError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise TookTooLongError(f"took more than {limit_s:.3g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL if before is None else before)
