"""The other side of the seam (`platform`): what psutil can tell and do on every system.

Nothing here makes a process the parent of orphans. What belongs to a unit is found by three signs:
it is below the unit's process; it is of the session that this process leads (POSIX); its
environment carries the mark of the unit's start. A daemon that has forked twice, made a session of
its own and emptied its environment shows none of them, and is lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import psutil

from testrium.system import processes
from testrium.system.processes import END_LIMIT_S, GONE, environment, wait_ended

#: In the environment of everything that a unit starts: `RUN.START`, see `spawn`.
MARK: Final = "TESTRIUM_MARK"


def proc_problem() -> str:
    """psutil knows where to ask."""
    return ""


def become_subreaper() -> None:
    """Unsupported here: orphans go to the first process of the system."""


def die_with_parent(parent: int) -> None:
    """Have a thread end this process when `parent` ends."""

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            wait_ended([psutil.Process(parent)])
        os._exit(1)

    threading.Thread(target=watch, name="watch of the parent", daemon=True).start()


def resume_children() -> None:
    """Resume children of this process that are stopped."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            if child.status() == psutil.STATUS_STOPPED:
                child.resume()


def suspended_ns() -> int:
    """Not known here."""
    return 0


def unit_pids(pid: int, keeper: int) -> list[int]:  # noqa: ARG001 - see `platform`
    """The unit's process and those below it, zombies too; not what has lost its parent."""
    return processes.tree(pid)


def activity(pid: int) -> object | None:
    """What all processes below `pid` have run so far; None while one of them runs."""
    ran = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_RUNNING:
                return None
            ran.append((process.pid, process.cpu_times(), process.num_ctx_switches()))
    return ran


def has_thread(pid: int, thread: int) -> bool:  # noqa: ARG001 - see `platform`
    """Whether the process is there."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def belonging(leader: int, mark: str) -> Iterator[psutil.Process]:
    """The processes of one start of a unit, without its own.

    `leader` is the unit's process, `mark` what its environment holds as `MARK`; "" for any.
    """
    below = {leader}
    spared = {leader, os.getpid()}
    for process in sorted(psutil.process_iter(["ppid", "status"]), key=_age):
        if process.pid in spared or process.info["status"] in GONE:
            continue
        if (
            process.info["ppid"] in below
            or _of_posix("getsid", process.pid) == leader
            or (mark and environment(process.pid).get(MARK) == mark)
        ):
            below.add(process.pid)
            yield process


def kill_until_none(found: Callable[[], list[psutil.Process]]) -> None:
    """Kill what is found until nothing new is: while a list is read, processes fork.

    What may not be signalled, or does not end, stays.
    """
    spared: set[int] = set()
    while doomed := [process for process in found() if process.pid not in spared]:
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        spared.update(process.pid for process in wait_ended(doomed, END_LIMIT_S))


def end_orphans(spare: Collection[int], mark: str, units: Collection[int]) -> None:
    """Kill what belongs to the units of a dead supervisor; all marks of its run begin with `mark`.

    The units themselves are not below this process, so `spare` needs no look.
    """

    def found() -> list[psutil.Process]:
        marked = [
            process
            for process in psutil.process_iter(["status"])
            if process.pid not in spare
            and process.info["status"] not in GONE
            and environment(process.pid).get(MARK, "").startswith(f"{mark}.")
        ]
        return [*marked, *(process for unit in units for process in belonging(unit, ""))]

    kill_until_none(found)


def signal_session(leader: int, number: int, mark: str) -> None:
    """Signal the unit's process, its process group, and what is of its session, once.

    Windows has no signals: a console program gets Ctrl-Break, and may heed it.
    """
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            os.kill(leader, signal.CTRL_BREAK_EVENT)
        return
    others = [process.pid for process in belonging(leader, mark) if _is_job_of(process.pid, leader)]
    for each in (number,) if number == signal.SIGSTOP else (number, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, each)
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, each)


def socket_owner(peer: tuple[Any, ...], own: tuple[Any, ...]) -> list[int]:
    """See `platform`; macOS tells root alone."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections(kind="tcp"):
            if tuple(one.laddr) == peer[:2] and tuple(one.raddr) == own[:2] and one.pid:
                above = psutil.Process(one.pid).parents()
                return [one.pid, *(process.pid for process in above)]
    return []


def ports_of_the_kernel() -> frozenset[int]:
    """The dynamic ports of RFC 6335: macOS and Windows give them to clients."""
    return frozenset(range(49_152, 65_536))


def listening_ports() -> frozenset[int] | None:
    """See `platform`; macOS lets only root ask for the connections of all."""
    with contextlib.suppress(psutil.Error, OSError):
        return frozenset(
            connection.laddr[1]
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN and len(connection.laddr) > 1
        )
    return None


def lock_ports(ports: Collection[int]) -> tuple[socket.socket, frozenset[int]] | None:
    """See `platform`. The first port of a block is bound for it."""
    lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        lock.bind(("127.0.0.1", min(ports)))
    except OSError:
        lock.close()
        return None
    return lock, frozenset((min(ports),))


def _is_job_of(pid: int, leader: int) -> bool:
    """Whether a shell has put it into a process group of its own, in the leader's session."""
    return _of_posix("getsid", pid) == leader != _of_posix("getpgid", pid)


def _of_posix(name: str, pid: int) -> int:
    """What os.getsid or os.getpgid say; 0 where they do not exist, or the process does not."""
    ask: Callable[[int], int] | None = getattr(os, name, None)
    try:
        return ask(pid) if ask is not None else 0
    except OSError:
        return 0


def _age(process: psutil.Process) -> float:
    """Parents before their children."""
    try:
        return process.create_time()
    except psutil.Error:
        return time.time()
