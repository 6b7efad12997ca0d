"""Long computations, in a process of their own: the runner's loop must not be held up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from testrium.errors import InfraError, TestriumError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_T = TypeVar("_T")


class GivenUpError(TestriumError):
    """Nobody waits for the result any more."""


class Apart:
    """One process that computes what it is given; started with the first piece of work.

    It dies with the runner.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._pid = 0

    async def run(
        self, work: Callable[[], _T], what: str, given_up: asyncio.Event | None = None
    ) -> _T:
        """What `work` returns; it and its result are pickled.

        Args:
            work: what is computed.
            what: what the process does, for the message ("judges checkout").
            given_up: once it is set, nobody waits: the process is killed, whatever it does.

        Raises:
            GivenUpError: `given_up` was set before there was a result.
            InfraError: the process was killed from outside.
        """
        from concurrent.futures import BrokenExecutor

        loop = asyncio.get_running_loop()
        try:
            if self._pool is None:
                self._pool = _started()
                self._pid = await loop.run_in_executor(self._pool, os.getpid)
            working = loop.run_in_executor(self._pool, work)
            if given_up is not None:
                giving_up = asyncio.ensure_future(given_up.wait())
                either: set[asyncio.Future[Any]] = {working, giving_up}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                giving_up.cancel()
                if not working.done():
                    os.kill(self._pid, signal.SIGKILL)
            return await working
        except BrokenExecutor as error:  # killed from outside, most likely for want of memory
            self._pool = None
            if given_up is not None and given_up.is_set():
                raise GivenUpError("nobody waits for it any more") from error
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
