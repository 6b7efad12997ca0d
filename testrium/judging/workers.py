"""Processes for long computations and for code of others: the runner's loop is not held up."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from testrium.errors import InfraError, TestriumError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.connection import Connection

_T = TypeVar("_T")


class GivenUpError(TestriumError):
    """The result is no longer wanted."""


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
            given_up: once it is set, the process is killed, whatever it does: nothing waits for it.

        Raises:
            GivenUpError: `given_up` was set before there was a result.
            InfraError: the process was killed from outside.
        """
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
                raise GivenUpError("its caller has given up") from error
            raise InfraError(f"the process that {what} was killed") from error


def _started() -> ProcessPoolExecutor:
    import multiprocessing  # 4 ms of a run, and most never come here
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


def call_isolated(
    work: Callable[[], _Answer], limit_s: float, left: Callable[[str], None] = lambda _: None
) -> _Answer:
    """What `work` returns in a process of its own; both are pickled, and `work` must not raise.

    Whatever it writes to standard output goes to standard error. A keeper ends whatever it has
    started: once it has its answer, when the time is over, and when this process is gone.

    Args:
        work: what is done there.
        limit_s: seconds after which the process is killed.
        left: told of each process that was alive 200 ms after the answer, and was ended.

    Raises:
        LostError: no answer came; says why.
    """
    import multiprocessing  # as in `_started`

    # Forking takes a millisecond, and is safe in a process with one thread.
    alone = sys.platform == "linux" and threading.active_count() == 1
    context: Any = multiprocessing.get_context("fork" if alone else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    told, telling = context.Pipe(duplex=False)
    life, held = context.Pipe(duplex=False)  # its other end is closed: the runner waits no longer
    process = context.Process(
        target=_keep, args=(theirs, telling, life, (held,) if alone else (), work, os.getpid())
    )
    process.start()
    for end in (theirs, telling, life):
        end.close()
    try:
        if not ours.poll(limit_s):
            raise LostError(f"took longer than {limit_s:g} s")
        answer: _Answer = ours.recv()
    except EOFError:
        code = -signal.SIGKILL
        with suppress(EOFError):  # the keeper is gone too
            if told.poll(_END_LIMIT_S):
                code = told.recv()[0]
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise LostError(f"its process ended with {how}") from None
    else:
        with suppress(EOFError):  # it was killed
            for text in told.recv()[1]:
                left(text)
    finally:
        held.close()
        for end in (ours, told):
            end.close()
        _end_keeper(process)
    return answer


def _end_keeper(process: Any) -> None:
    """Wait for the end of a keeper, which what it keeps may have stopped."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
    process.join(_END_LIMIT_S)
    if process.is_alive():
        process.kill()
        process.join()


#: So long the keeper may take to tell how a process has ended (seconds).
_END_LIMIT_S = 10.0
#: What is alive so long after the end of the process that started it was left behind (seconds).
_LEFT_S = 0.2
_PAUSE_S = 0.005


def _keep(
    answers: Connection,
    telling: Connection,
    life: Connection,
    inherited: tuple[Connection, ...],
    work: Callable[[], object],
    parent: int,
) -> None:
    """In the keeper's process: have the work done by a child, and end all that it leaves."""
    from testrium.system.platform import system

    for end in inherited:
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's
    if sys.platform != "linux":
        system.die_with_parent(parent)
        _serve(answers, work)
        return
    from testrium.system import kernel

    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kernel.become_subreaper()
    kernel.set_title("testrium: keeper of a check")
    keeper = os.getpid()
    if (pid := os.fork()) == 0:
        for end in (telling, life):
            end.close()
        code = 1
        try:
            kernel.die_with_parent(keeper)
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _serve(answers, work)
            code = 0
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)
    answers.close()
    status = _end_of(pid, life)
    if status is not None:
        left = _left_behind(life)
        with suppress(OSError):
            telling.send((os.waitstatus_to_exitcode(status), left))
    kernel.kill_descendants()
    os._exit(0)  # what the interpreter would do at its end is the parent's


def _end_of(pid: int, life: Connection) -> int | None:
    """How the child has ended; None where the wait was given up."""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        for fd in (ended, life.fileno()):
            poll.register(fd, select.POLLIN)
        poll.poll()
    finally:
        os.close(ended)
    found, status = os.waitpid(pid, os.WNOHANG)
    return status if found else None


def _left_behind(life: Connection) -> list[str]:
    """The processes that are still there after a while, in words."""
    from testrium.system import kernel

    limit = time.monotonic() + _LEFT_S
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        alive = [entry.pid for entry in kernel.descendants(os.getpid()) if entry.alive]
        if not alive or time.monotonic() >= limit or life.poll():
            return [f"pid {pid}: {kernel.command_line(pid)}" for pid in alive]
        time.sleep(_PAUSE_S)  # grandchildren have no end that can be waited for


def _serve(answers: Connection, work: Callable[[], object]) -> None:
    sys.stdout.flush()
    os.dup2(2, 1)
    answers.send(work())
