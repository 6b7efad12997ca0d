"""Processes for long computations and for code of others: the runner's loop is not held up."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from testrium.errors import InfraError, TestriumError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.connection import Connection

_T = TypeVar("_T")


class GivenUpError(TestriumError):
    """Nobody waits for the result any more."""


class Worker:
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
    from testrium.system.platform import system

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    system.die_with_parent(runner)


_Answer = TypeVar("_Answer")


class LostError(TestriumError):
    """The process ended, or took too long, before it had an answer."""


def call_isolated(work: Callable[[], _Answer], limit_s: float) -> _Answer:
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
        answer: _Answer = ours.recv()
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
    from testrium.system.platform import system

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's
    system.die_with_parent(parent)
    sys.stdout.flush()
    os.dup2(2, 1)
    answers.send(work())
