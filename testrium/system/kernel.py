"""What supervisor and keepers need of the Linux kernel: prctl and /proc. Standard library only.

They fork units, so nothing may stand in their memory that a fork would break; what the runner
asks about processes it asks psutil (`processes`). Sources: prctl(2), proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from testrium.system import COMMAND_LINE_LIMIT
from testrium.tuples import NamedTuple

_PR_SET_PDEATHSIG = 1

_PR_SET_NAME = 15

_PR_SET_CHILD_SUBREAPER = 36

#: How long children that /proc does not show are looked for.
_UNSEEN_LIMIT_S = 10.0

#: The kernel's word for a TCP socket that listens.
_LISTENS = b"0A"

_libc = ctypes.CDLL(None, use_errno=True)

# Lists of the children of a thread exist only in kernels with CONFIG_PROC_CHILDREN.
_HAS_CHILDREN_FILES = Path(f"/proc/self/task/{os.getpid()}/children").exists()


def proc_problem() -> str:
    """Why processes cannot be looked after here, in words; "" where they can.

    In a PID namespace that was made without a /proc of its own, /proc names other processes.
    """
    try:
        own = os.readlink("/proc/self")  # noqa: PTH115 - as text
    except FileNotFoundError:
        if os.path.isdir("/proc/1"):  # noqa: PTH112
            own = ""
        else:
            return "/proc is missing: mount it (mount -t proc proc /proc)"
    except OSError as error:
        return f"/proc cannot be read: {error.strerror}"
    if own == str(os.getpid()):
        return ""
    return (
        "/proc shows the processes of another PID namespace: mount it anew in this one"
        " (unshare --mount-proc, or mount -t proc proc /proc)"
    )


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have this process killed when `parent` ends; ends at once if it already has."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def resume_children() -> None:
    """Resume children of this process that are stopped (SIGSTOP)."""
    with contextlib.suppress(ChildProcessError):
        while stopped := os.waitid(os.P_ALL, 0, os.WSTOPPED | os.WNOHANG):
            with contextlib.suppress(ProcessLookupError):
                os.kill(stopped.si_pid, signal.SIGCONT)


def suspended_ns() -> int:
    """For how long in all this machine was suspended since it was started.

    Source: clock_gettime(2), CLOCK_BOOTTIME counts it and CLOCK_MONOTONIC does not.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def set_title(title: str) -> None:
    """Show `title` instead of the command line that this process was forked with, in ps and /proc.

    Overwrites the memory of the arguments, the only way without privileges.
    """
    encoded = title.encode(errors="backslashreplace")
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(encoded[:15]))
    start, room = _argument_memory()
    if room > 1:
        ctypes.memmove(start, encoded[: room - 1].ljust(room, b"\0"), room)


class Descendant(NamedTuple):
    """A process as the kernel lists it; `state` is one letter, `Z` for a zombie."""

    pid: int
    state: str
    parent: int
    group: int
    session: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZXx"


def process_entry(pid: int) -> Descendant | None:
    """The process `pid`, or None when it is gone."""
    try:
        state, *fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    parent, group, session = map(int, fields[:3])
    return Descendant(pid, state, parent, group, session)


def descendants(pid: int, spare: Collection[int] = ()) -> list[Descendant]:
    """Every process below `pid`, zombies too, without those in `spare` and what is below them."""
    children = _children if _HAS_CHILDREN_FILES else _scanned_children()
    found = []
    parents = [pid]
    while parents:
        for child in children(parents.pop()):
            entry = process_entry(child) if child not in spare else None
            if entry is not None:
                found.append(entry)
                parents.append(child)
    return found


def unit_pids(pid: int, keeper: int) -> list[int]:  # noqa: ARG001 - see `platform`
    """Every process of the unit that `keeper` keeps, zombies too: all that is below the keeper."""
    return [each.pid for each in descendants(keeper)]


def socket_owner(peer: tuple[Any, ...], own: tuple[Any, ...]) -> list[int]:
    """See `platform`: the socket's inode is in a table of the kernel, and a link of its process."""
    inode = _inode_of(_hex_address(peer), _hex_address(own), ":" in peer[0])
    if inode is None:
        return []
    link = f"socket:[{inode}]"
    # Mostly one of those that the same supervisor has started, which are few.
    beside = os.getppid() if (above := process_entry(os.getppid())) is None else above.parent
    pids = [each.pid for each in descendants(beside)]
    owner = next((pid for pid in pids if _holds(pid, link)), None)
    if owner is None:
        others = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
        owner = next((pid for pid in others if _holds(pid, link)), None)
    found: list[int] = []
    while owner is not None and owner > 1:
        found.append(owner)
        entry = process_entry(owner)
        owner = None if entry is None else entry.parent
    return found


def _hex_address(address: tuple[Any, ...]) -> bytes:
    """As /proc/net/tcp has it: words of the address in the machine's order, and the port."""
    host, port = address[:2]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host.partition("%")[0])
    words = struct.iter_unpack("!I", packed)
    swapped = b"".join(struct.pack("=I", word) for (word,) in words)
    return b"%s:%04X" % (swapped.hex().upper().encode(), port)


def _inode_of(local: bytes, remote: bytes, is_v6: bool) -> int | None:
    """The inode of a connected socket; None where the kernel lists none with these ends."""
    ends = b" %s %s " % (local, remote)
    for line in _read_all("/proc/net/tcp6" if is_v6 else "/proc/net/tcp").splitlines():
        if ends in line:
            return int(line.split()[9]) or None
    return None


def _holds(pid: int, link: str) -> bool:
    """Whether a file of the process is this one."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for fd in os.listdir(folder):  # noqa: PTH208 - see _read
            with contextlib.suppress(OSError):
                if os.readlink(f"{folder}/{fd}") == link:  # noqa: PTH115
                    return True
    return False


def activity(pid: int) -> object | None:
    """What the threads of all processes below `pid` have run so far; None while one runs."""
    ran: list[tuple[str, bytes]] = []
    for process in descendants(pid):
        folder = f"/proc/{process.pid}/task"
        with contextlib.suppress(OSError):  # it has ended by now
            for thread in os.listdir(folder):  # noqa: PTH208 - see _read
                state, *_ = stat_fields(f"{process.pid}/task/{thread}")
                if state in "RDW":  # waiting for a disk, too
                    return None
                ran.append((thread, _read(f"{folder}/{thread}/schedstat")))
    return ran


def has_thread(pid: int, thread: int) -> bool:
    """Whether the process has a thread of this number, and is not a zombie."""
    try:
        return stat_fields(f"{pid}/task/{thread}")[0] not in "ZXx"
    except (FileNotFoundError, ProcessLookupError):
        return False


def close_files(kept: Collection[int]) -> None:
    """Close every descriptor of this process but the three standard ones and those in `kept`.

    There may be thousands, so ranges of them; up to the highest that is open, as a Python that was
    built for an old C library tries each number.
    """
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - thousands, see above
    low = 3
    for fd in (*sorted(fd for fd in kept if fd > 2), highest + 1):
        os.closerange(low, fd)
        low = fd + 1


def ports_of_the_kernel() -> frozenset[int]:
    """TCP ports that the kernel gives to clients, and those that an administrator has reserved."""
    folder = Path("/proc/sys/net/ipv4")
    ports: set[int] = set()
    with contextlib.suppress(OSError):
        first, last = map(int, (folder / "ip_local_port_range").read_text(encoding="utf-8").split())
        ports.update(range(first, last + 1))
    with contextlib.suppress(OSError):
        reserved = (folder / "ip_local_reserved_ports").read_text(encoding="utf-8")
        for part in reserved.strip().split(","):
            low, _, high = part.partition("-")
            if low:
                ports.update(range(int(low), int(high or low) + 1))
    return frozenset(ports)


def listening_ports() -> frozenset[int] | None:
    """See `platform`. psutil would look through the files of all processes, to name the owners."""
    ports: set[int] | None = None
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = _read_all(path).splitlines()[1:]
        except OSError:
            continue
        ports = ports or set()
        for line in lines:
            _, local, _, state, _ = line.split(None, 4)
            if state == _LISTENS:
                ports.add(int(local.rpartition(b":")[2], 16))
    return None if ports is None else frozenset(ports)


def lock_ports(ports: Collection[int]) -> tuple[socket.socket, frozenset[int]] | None:
    """See `platform`. An abstract Unix socket lives in the network namespace, as ports do."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0testrium-ports-{min(ports)}")
    except OSError:
        lock.close()
        return None
    return lock, frozenset()


def figures(pid: int) -> list[Any] | None:
    """The fields of `processes.ProcessFigures`, where psutil is not installed (on other hosts)."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    times = [int(field) / ticks for field in fields[11:15]]
    try:
        files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - as `_read`
    except OSError:
        files = 0
    return [
        pid,
        "zombie" if fields[0] in "ZXx" else "sleeping" if fields[0] == "S" else "running",
        int(fields[1]),
        times[0] + times[1],
        times[2] + times[3],
        int(fields[17]),
        int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        files,
        command_line(pid),
    ]


def command_line(pid: int) -> str:
    """How the process was called, cut to `COMMAND_LINE_LIMIT`; its name in brackets if unknown."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        text = b" ".join(words).decode(errors="backslashreplace")
        return (text or f"[{_name(pid)}]")[:COMMAND_LINE_LIMIT]
    return ""


def kill_descendants(spare: Collection[int] = ()) -> None:
    """SIGKILL everything below this process, and reap it, until there is nothing left.

    One list of processes is never enough: while it is read, they fork. Those in `spare` and what
    is below them stay, and so does what may not be signalled (a setuid program).
    """
    me = os.getpid()
    spared = set(spare)
    end = time.monotonic() + _UNSEEN_LIMIT_S
    while True:
        doomed = descendants(me, spared)
        for entry in doomed:
            try:
                os.kill(entry.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:
                spared.add(entry.pid)
        mine = [entry.pid for entry in doomed if entry.parent == me and entry.pid not in spared]
        if not mine and (spared or not _has_children() or time.monotonic() > end):
            return
        for pid in mine:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def end_orphans(spare: Collection[int], mark: str, units: Collection[int]) -> None:  # noqa: ARG001
    """Kill the orphans that this process inherited when the supervisor died (see `platform`)."""
    kill_descendants(spare)


def signal_session(leader: int, number: int) -> None:
    """Signal each process below this one that belongs to the session of `leader`, once.

    The leader's process group is signalled as a whole, so nothing that forks right now is
    missed; jobs that a shell has put into groups of their own follow one by one. Stopped processes
    are continued, or the signal would wait; but not by SIGSTOP.
    """
    others = [
        entry.pid
        for entry in descendants(os.getpid())
        if entry.session == leader and entry.group != leader
    ]
    for each in (number,) if number == signal.SIGSTOP else (number, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, each)
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, each)


def signal_process(pid: int, number: int) -> None:
    """Signal one process; a stopped one is continued, as by `signal_session`."""
    for each in (number,) if number == signal.SIGSTOP else (number, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, each)


def kill_session(leader: int) -> None:
    """SIGKILL each process below this one that is of the session, whether its leader lives or not.

    One list is not enough: while it is read, they fork. What may not be signalled stays.
    """
    done: set[int] = set()
    while doomed := [
        entry.pid
        for entry in descendants(os.getpid())
        if entry.session == leader and entry.alive and entry.pid not in done
    ]:
        for pid in doomed:
            done.add(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _name(pid: int) -> str:
    """What a process calls itself, in any bytes that it likes. Raises OSError."""
    name = Path(f"/proc/{pid}/comm").read_bytes().removesuffix(b"\n")
    return name.decode(errors="backslashreplace")


def program_names(pid: int) -> frozenset[str]:
    """What the program of a process is called: its command, its file, the script that it runs."""
    names = set()
    with contextlib.suppress(OSError):
        names.add(_name(pid))
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        names.add(os.fsdecode(words[0]).rpartition("/")[2])
    with contextlib.suppress(OSError):
        names.add(Path(f"/proc/{pid}/exe").readlink().name)
    return frozenset(names - {""})


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    return any(_in_mask(mask, number) for mask in _masks(Path(f"/proc/{pid}/status"), "SigCgt"))


def handling(pid: int, number: int) -> bool:
    """Whether the signal is still pending for the process, or its handler runs.

    A handler's own signal is blocked while it runs. A stopped process handles nothing.
    """
    entry = process_entry(pid)
    if entry is None or not entry.alive or entry.state in "Tt":
        return False
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            masks = _masks(thread / "status", "SigPnd", "ShdPnd", "SigBlk")
            if any(_in_mask(mask, number) for mask in masks):
                return True
    return False


def _prctl(option: int, argument: int | ctypes.Array[ctypes.c_char]) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@functools.cache  # a forked process has its arguments in the same place
def _argument_memory() -> tuple[int, int]:
    """Where the arguments of this process are, and how many bytes they have."""
    fields = stat_fields("self")
    start, end = int(fields[45]), int(fields[46])
    return start, end - start


def stat_fields(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the name before them may hold anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()


def _read(path: str) -> bytes:
    """A short file. Processes are asked often, and pathlib takes four times as long."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _read_all(path: str) -> bytes:
    """A file that may be long: of /proc no read gives more than a page."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    finally:
        os.close(fd)


def _children(pid: int) -> Iterator[int]:
    tasks = f"/proc/{pid}/task"
    with contextlib.suppress(OSError):
        for thread in os.listdir(tasks):  # noqa: PTH208 - see _read
            with contextlib.suppress(OSError):
                yield from map(int, _read_all(f"{tasks}/{thread}/children").split())


def _scanned_children() -> Callable[[int], Iterable[int]]:
    """The same, from one pass over all processes."""
    by_parent: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        entry = process_entry(int(folder.name)) if folder.name.isdigit() else None
        if entry is not None:
            by_parent.setdefault(entry.parent, []).append(entry.pid)
    return lambda pid: by_parent.get(pid, ())


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _masks(status: Path, *names: str) -> list[int]:
    """The signal masks of a status file that have these names."""
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [int(value, 16) for name, _, value in pairs if name in names]


def _in_mask(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)
