"""What the runner knows of processes, on every system: asked with psutil.

psutil takes longer to import than a unit to start: what every run calls imports this module only
when it has something to ask. Supervisor and keepers of Linux never do (`kernel`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import psutil

from testrium.system import COMMAND_LINE_LIMIT
from testrium.tuples import NamedTuple

_T = TypeVar("_T")

#: How long killed processes may take to end before they are left alone.
END_LIMIT_S: Final = 5.0

#: States of a process that runs no more.
GONE: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)

_LONGEST_PAUSE_S = 0.05


class ProcessFigures(NamedTuple):
    """A process as it is now.

    `state` is psutil's word for it: running, sleeping, zombie. `cpu_s` is its own CPU time,
    `waited_cpu_s` that of the children that it waited for, 0 where the system does not count it.
    `rss` is its resident memory in bytes, shared pages included. Of another host's process
    `files` and `command_line` are known too; here `open_files` and `command_line` ask for them.
    """

    pid: int
    state: str
    parent: int
    cpu_s: float
    waited_cpu_s: float
    threads: int
    rss: int
    files: int = 0
    command_line: str = ""

    @property
    def alive(self) -> bool:
        return self.state not in GONE


def figures(pid: int) -> ProcessFigures | None:
    """The process `pid`, or None when it is gone; figures that are not ours to ask are 0."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = _allowed(process.cpu_times)
            memory = _allowed(process.memory_info)
            return ProcessFigures(
                pid,
                process.status(),
                parent=process.ppid(),
                cpu_s=times.user + times.system if times else 0.0,
                waited_cpu_s=times.children_user + times.children_system if times else 0.0,
                threads=_allowed(process.num_threads) or 0,
                rss=memory.rss if memory else 0,
            )
    except psutil.Error:
        return None


def figures_of(pids: Iterable[int]) -> list[ProcessFigures]:
    """Those of the processes that are not gone, zombies too."""
    found = map(figures, pids)
    return [each for each in found if each is not None]


def tree(pid: int) -> list[int]:
    """The process and every process below it, zombies too; [] when it is gone."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def this_and_above() -> set[int]:
    """This process and its ancestors: a user may call from a shell with a unit's environment."""
    return {os.getpid(), *(process.pid for process in psutil.Process().parents())}


def pids() -> set[int]:
    """All processes that can be seen; none without /proc."""
    try:
        return set(psutil.pids())
    except OSError:
        return set()


def listeners(port: int) -> set[int | None]:
    """The processes that accept connections at a TCP port; None means a process of another user."""
    with contextlib.suppress(psutil.Error, OSError):
        return {
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        }
    return {None}


def open_files(pid: int) -> int:
    """How many descriptors (handles, on Windows) the process has; 0 when that is unknown."""
    counter = "num_handles" if sys.platform == "win32" else "num_fds"
    try:
        return int(getattr(psutil.Process(pid), counter)())
    except psutil.Error:
        return 0


def command_line(pid: int) -> str:
    """How the process was called, cut to `COMMAND_LINE_LIMIT`; its name in brackets if unknown."""
    try:
        process = psutil.Process(pid)
        # A unit's title fills the room of the command line that it was forked with.
        text = " ".join(_allowed(process.cmdline) or ()).rstrip()
        return (text or f"[{process.name()}]")[:COMMAND_LINE_LIMIT]
    except psutil.Error:
        return ""


def program_names(pid: int) -> frozenset[str]:
    """What the program of a process is called: its command, and its file."""
    try:
        process = psutil.Process(pid)
        words = _allowed(process.cmdline) or ()
        file = _allowed(process.exe) or ""
        names = {process.name(), *(os.path.basename(path) for path in (*words[:1], file))}  # noqa: PTH119
        return frozenset(names - {""})
    except psutil.Error:
        return frozenset()


def environment(pid: int) -> dict[str, str]:
    """The variables that the program of a process began with; {} when it is gone or not ours."""
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}


def outputs(pid: int) -> tuple[str, ...]:
    """The files that a process writes its output to; () when it is gone or not ours to ask."""
    try:
        opened = psutil.Process(pid).open_files()
    except (psutil.Error, OSError):
        return ()
    return tuple(file.path for file in opened if file.fd in (1, 2))


def kill_if(pid: int, condition: Callable[[], bool]) -> bool:
    """Kill the process if the condition holds; whether it is gone.

    psutil compares the times of creation, so its number is not another's by now.
    """
    try:
        process = psutil.Process(pid)
        if condition():
            process.kill()
            return not wait_ended([process], END_LIMIT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return True


def wait_ended(
    processes: list[psutil.Process], limit_s: float | None = None
) -> list[psutil.Process]:
    """Wait until none of the processes runs any more; those that do after the limit.

    Not with psutil's own wait: that would reap a child of ours, and wait for zombies of others.
    """
    end = None if limit_s is None else time.monotonic() + limit_s
    pause_s = 0.001
    while alive := [process for process in processes if _runs(process)]:
        if end is not None and time.monotonic() >= end:
            break
        time.sleep(pause_s)  # nothing tells of the end of a process that is not a child
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return alive


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() not in GONE
    return False


def _allowed(ask: Callable[[], _T]) -> _T | None:
    """What psutil returns; None where access is denied or the process is a zombie."""
    try:
        return ask()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None
