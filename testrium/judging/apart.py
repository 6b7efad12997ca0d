"""Long computations, in a process of their own: the runner's loop must not be held up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from testrium.errors import InfraError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_T = TypeVar("_T")


class Apart:
    """One process that computes what it is given; started with the first piece of work.

    It dies with the runner.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, work: Callable[[], _T], what: str) -> _T:
        """What `work` returns; it and its result are pickled.

        Raises InfraError if the process is killed: `what` says what it did ("judges checkout").
        """
        from concurrent.futures import BrokenExecutor

        if self._pool is None:
            self._pool = _started()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BrokenExecutor as error:  # killed from outside, most likely for want of memory
            self._pool = None
            raise InfraError(f"the process that {what} was killed") from error


def _started() -> ProcessPoolExecutor:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_become_servant,
        initargs=(os.getpid(),),
    )


def _become_servant(runner: int) -> None:
    """In the process: Ctrl-C is the runner's, and so is the life."""
    from testrium.run.platform import system

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    system.die_with_parent(runner)
