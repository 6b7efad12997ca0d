"""`testrium doctor`: whether this machine and this project can run groups, with advice.

Sources for the limits that containers and CI set: the kernel's
Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/ for the older kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from testrium import __version__
from testrium.declared.groups import Group, UnitHost
from testrium.errors import (
    ConfigError,
    ExitCode,
    HostError,
    InfraError,
    NoGroupsError,
    UsageError,
)
from testrium.host_clocks import KnownClock
from testrium.load import Project, find_project, load_groups
from testrium.phrases import did_you_mean, plural, time_span
from testrium.plan.scenarios import Machine, missing
from testrium.probe.environment import clock_domain
from testrium.record.database import open_database
from testrium.record.inotify import Inotify
from testrium.resources import template_folder
from testrium.run.folder import RunFolder
from testrium.run.hosts.home import RemoteHost
from testrium.run.ports import PortAllocator
from testrium.run.schedule import usable_cores
from testrium.run.supervisor.client import Launch, LaunchError
from testrium.system import is_portable

#: Where the trees are mounted, on every distribution.
MOUNT = Path("/sys/fs/cgroup")

MEMBERSHIP = Path("/proc/self/cgroup")

#: Version 1 writes "no limit" as a number near 2**63.
_NO_LIMIT = 1 << 60


class Limits(NamedTuple):
    """What is left of all control groups above this process; None means unlimited.

    `memory` is in bytes, `cpus` in cores, `processes` how many more may be started.
    """

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


def read_limits(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Limits:
    """The limits of this process; all unlimited without control groups."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Limits()
    memory: list[int] = []
    cpus: list[float] = []
    processes: list[int] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        tree = mount / controllers if controllers else mount
        for folder in _upwards(tree, path):
            memory += _numbers(folder / "memory.max", folder / "memory.limit_in_bytes")
            cpus += _cores(folder)
            most = _numbers(folder / "pids.max")
            processes += [limit - sum(_numbers(folder / "pids.current")) for limit in most]
    return Limits(min(memory, default=None), min(cpus, default=None), min(processes, default=None))


def _upwards(tree: Path, path: str) -> Iterator[Path]:
    """The folder of a control group and those above it, to the root of its tree.

    In a container the path may be one of the host, which is not there; the root is in any case.
    """
    folder = tree / path.strip("/")
    while folder != tree and folder.is_relative_to(tree):
        yield folder
        folder = folder.parent
    yield tree


def _numbers(*files: Path) -> list[int]:
    """The numbers in those files that exist and hold a limit."""
    found = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            number = int(file.read_text(encoding="utf-8"))
            found += [number] if 0 <= number < _NO_LIMIT else []
    return found


def _cores(folder: Path) -> list[float]:
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, (folder / "cpu.max").read_text(encoding="utf-8").split())
        return [quota / period]
    quotas = _numbers(folder / "cpu.cfs_quota_us")
    return [quotas[0] / period for period in _numbers(folder / "cpu.cfs_period_us")[: len(quotas)]]


#: Fewer open files than this are not enough for a dozen of units side by side.
_FILES = 1024

#: The same for processes.
_PROCESSES = 200

_FREE_BYTES = 500_000_000

_TRIAL_LIMIT_S = 60

#: So long a port of a host may take to answer (seconds).
_ADDRESS_LIMIT_S = 3.0

#: The longest path of a Unix socket (sun_path of unix(7)), and what a run appends to its folder.
_SOCKET_PATH = 107

_SOCKET_NAME = len("/testrium-12345678/waits")


class MachineCheck(NamedTuple):
    """What one check found; `advice` is what to do about it, or ""."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


def exit_code(checks: Iterable[MachineCheck]) -> ExitCode:
    """CONFIG_ERROR where only the project's files are wrong, ERROR where the machine is."""
    wrong = {check.name for check in checks if check.state == "problem"}
    if not wrong:
        return ExitCode.SUCCESS
    return ExitCode.CONFIG_ERROR if wrong <= {"project", "groups"} else ExitCode.ERROR


def run_checks(cwd: Path) -> tuple[MachineCheck, ...]:
    """All checks, those of the machine first; takes about a second, for a trial run."""
    machine = (
        check_python,
        check_processes,
        check_inotify,
        check_ports,
        check_sockets,
        check_open_files,
        check_limits,
        check_git,
        check_terminal,
    )
    checks = [_guarded(check) for check in machine]
    project = _project(cwd)
    if isinstance(project, MachineCheck):
        return (*checks, project)
    file = "no testrium.toml: defaults are used" if project.file is None else str(project.file)
    checks.append(MachineCheck("project", "ok", file))
    checks.append(check_state_folder(project.state_folder))
    checks += _checked_groups(project, cwd)
    checks.append(_guarded(check_trial))
    return tuple(checks)


def run_host_checks(cwd: Path, name: str) -> tuple[MachineCheck, ...]:
    """What a host of the project or of a group below `cwd` has for its units.

    Raises:
        ConfigError: the project file is wrong; or the groups are, and the project has no such host.
        UsageError: no group and no project file declares the host.
    """
    project = find_project(cwd)
    groups: tuple[Group, ...] = ()
    try:
        groups = load_groups([], cwd=cwd, project=project)
    except (NoGroupsError, ConfigError):
        if name not in project.hosts:
            raise
    known = {host: each for group in groups for host, each in group.hosts.items()}
    known = {**known, **project.hosts}
    if name not in known:
        raise UsageError(
            f"--host {name}: no project file declares it and no unit names it"
            f"{did_you_mean(name, known) or ': add [hosts.' + name + ']'}"
        )
    programs = {
        unit.command[0]: None
        for group in groups
        for unit in group.units
        if unit.host == name and unit.enabled and unit.command
    }
    return asyncio.run(_checked_host(name, known[name], tuple(programs)))


async def _checked_host(
    name: str, declared: UnitHost, programs: Iterable[str]
) -> tuple[MachineCheck, ...]:
    with tempfile.TemporaryDirectory() as folder:
        host = RemoteHost(name, declared, RunFolder(Path(folder)), "")
        began = time.monotonic()
        checks: list[MachineCheck] = []
        try:
            await host.open()
            took_s = time.monotonic() - began
            command = shlex.join(declared.connect)
            checks.append(MachineCheck("connection", "ok", f"{took_s:.2f} s with `{command}`"))
            checks += _known_of_host(host)
            checks += [await check(host) for check in (_host_trial, _host_ports, _host_address)]
            for program in programs:
                if "/" not in program and "$" not in program:
                    checks.append(await _host_program(host, program))
        except HostError as error:
            advice = f"try `{shlex.join(declared.connect)} 'echo works'` in a shell"
            checks.append(MachineCheck("connection", "problem", str(error), advice))
        finally:
            await host.close()
        return tuple(checks)


def _known_of_host(host: RemoteHost) -> Iterator[MachineCheck]:
    there, facts = host.far_end, host.facts
    assert there is not None
    own = "its own Testrium" if there.testrium else "no Testrium: its files are sent along"
    version = ".".join(map(str, there.python))
    yield MachineCheck("python", "ok", f"{version}, {there.executable}; {own}")
    yield MachineCheck(
        "system", "ok", f"{facts['host']}, {facts['system']}, {facts['cores']} cores"
    )
    files = facts["files"]
    if files != resource.RLIM_INFINITY and files < _FILES:
        advice = f"raise it there to {_FILES} (ulimit -n)"
        yield MachineCheck("open files", "warning", f"at most {files} for a process", advice)
    if host.domain == clock_domain():
        yield MachineCheck("clock", "ok", "the one of this machine")
        return
    clock = KnownClock.of(host.domain, host.name, "", host.readings)
    offset = time_span(abs(clock.offset_ns))
    side = "later" if clock.offset_ns >= 0 else "earlier"
    yield MachineCheck("clock", "ok", f"known within {time_span(clock.bound_ns)}, {offset} {side}")


async def _host_trial(host: RemoteHost) -> MachineCheck:
    """Whether its supervisor starts a process."""
    nowhere, folder = Path(os.devnull), Path(host.facts["folder"])
    launch = Launch(
        unit="trial", folder=folder, entrypoint=None, command=("true",), cwd=folder,
        env=dict(host.facts["environment"]), stdout=nowhere, stderr=nowhere, stacks=nowhere,
        mode="DEBUG",
    )  # fmt: skip
    try:
        ended = await (await host.spawn(launch)).ended
    except LaunchError as error:
        return MachineCheck("processes", "problem", str(error))
    if ended.exit_code == 0:
        return MachineCheck("processes", "ok", "a supervisor there owns what it starts")
    return MachineCheck("processes", "problem", f"`true` ended with {ended.signal or ended}")


async def _host_ports(host: RemoteHost) -> MachineCheck:
    return MachineCheck("ports", "ok", f"free ones, such as {(await host.ports(1))[0]}")


async def _host_address(host: RemoteHost) -> MachineCheck:
    """Whether this machine reaches a port there at the declared address."""
    address = host.declared.address
    if address is None:
        advice = f"add address to [hosts.{host.name}], where other units connect to it"
        return MachineCheck("address", "warning", "is not declared", advice)
    port = (await host.ask("listen"))["port"]
    try:
        async with asyncio.timeout(_ADDRESS_LIMIT_S):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
    except (OSError, TimeoutError) as error:
        advice = "correct address, or let connections pass to the ports of units there"
        why = os.strerror(error.errno) if error.errno else "no answer"
        if isinstance(error, socket.gaierror):  # its numbers are not those of other errors
            why = str(error.strerror)
        return MachineCheck("address", "problem", f"{address} port {port}: {why}", advice)
    return MachineCheck("address", "ok", f"{address} is reached from here")


async def _host_program(host: RemoteHost, program: str) -> MachineCheck:
    """Whether the command of a unit is there."""
    path = (await host.ask("program", name=program))["path"]
    if path is not None:
        return MachineCheck(program, "ok", path)
    return MachineCheck(program, "problem", "is not on PATH there", "install it there")


def _guarded(check: Callable[[], MachineCheck]) -> MachineCheck:
    """A check that meets an error of the machine has found a problem."""
    try:
        return check()
    except (OSError, InfraError, subprocess.SubprocessError) as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        return MachineCheck(name, "problem", _words(error))


def _words(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def check_python() -> MachineCheck:
    """Which interpreter runs Testrium, and with it the units written in Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    return MachineCheck("python", "ok", f"{version}, {sys.executable}; testrium {__version__}")


def check_processes() -> MachineCheck:
    """Whether a child can be forked, adopted from its parent, and tied to the life of another."""
    if is_portable():
        return MachineCheck("processes", "ok", "units are spawned; see docs/platforms.md")
    from testrium.system import kernel

    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.become_subreaper()
            kernel.die_with_parent(me)
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status or kernel.process_entry(me) is None:
        return MachineCheck("processes", "problem", "children cannot be tied to this process")
    return MachineCheck("processes", "ok", "fork, adoption of orphans and /proc work")


def check_inotify() -> MachineCheck:
    """Whether the recorder is woken when a probe is written."""
    watcher = Inotify.open()
    if watcher is None:
        return MachineCheck(
            "inotify",
            "warning",
            "not available: probe files are looked at every 20 ms instead",
            "raise fs.inotify.max_user_instances if all are in use",
        )
    with tempfile.NamedTemporaryFile() as file:
        watched = watcher.add(file.name) is not None
        file.write(b"x")
        file.flush()
        woken = watched and watcher.wait(1.0)
    watcher.close()
    if woken:
        return MachineCheck("inotify", "ok", "a written probe wakes the recorder")
    return MachineCheck(
        "inotify",
        "warning",
        "files cannot be watched: they are looked at every 20 ms instead",
        "raise fs.inotify.max_user_watches: sysctl fs.inotify.max_user_watches=65536",
    )


def check_ports() -> MachineCheck:
    """Whether units can get ports, and be reached at them."""
    with PortAllocator().allocate(1) as lease:
        (port,) = lease.ports
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            return MachineCheck("ports", "ok", f"127.0.0.1 answers, on port {port} for example")


def check_sockets() -> MachineCheck:
    """Whether Unix sockets can be made where a run makes its own."""
    folder = tempfile.gettempdir()
    if is_portable():
        return MachineCheck("sockets", "ok", "not needed: units ask the runner over TCP")
    if len(os.fsencode(folder)) + _SOCKET_NAME > _SOCKET_PATH:
        return MachineCheck(
            "sockets",
            "problem",
            f"{folder} is too long for the path of a Unix socket",
            "set TMPDIR to a shorter path",
        )
    with tempfile.TemporaryDirectory() as own, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{own}/s")
    return MachineCheck("sockets", "ok", f"in {folder}")


def check_open_files() -> MachineCheck:
    """How many files may be open at once, by process."""
    return judge_open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))


def judge_open_files(soft: int, hard: int) -> MachineCheck:
    """Judge the limits on the number of open files."""
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        shown = "without a limit" if soft == resource.RLIM_INFINITY else str(soft)
        return MachineCheck("open files", "ok", shown)
    most = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return MachineCheck(
        "open files",
        "warning",
        f"{soft}: little for many units side by side",
        f"ulimit -n {_FILES} (the most is {most})",
    )


def check_limits() -> MachineCheck:
    """What control groups and limits of the user leave of memory, cores and processes."""
    limits = read_limits()
    cores = usable_cores()
    facts = [plural(cores, "core")]
    advice = ""
    if limits.cpus is not None and limits.cpus < cores:
        facts[0] += f", of which {limits.cpus:g} may be used"
        advice = f"testrium run --jobs {max(1, round(limits.cpus))}"
    if limits.memory is not None:
        facts.append(f"{limits.memory / 1e9:.1f} GB of memory")
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    most = [number for number in (limits.processes, soft) if number not in (None, -1)]
    if most:
        facts.append(f"{min(most)} processes")
    if most and min(most) < _PROCESSES:
        return MachineCheck("limits", "warning", ", ".join(facts), "raise pids.max or ulimit -u")
    return MachineCheck("limits", "warning" if advice else "ok", ", ".join(facts), advice)


def check_git() -> MachineCheck:
    """Whether results can name the revision of the code."""
    if shutil.which("git") is None:
        return MachineCheck(
            "git",
            "warning",
            "not found: results do not name the revision",
            "install git to see revisions in the history",
        )
    return MachineCheck("git", "ok", "results name the revision of the code")


def check_terminal() -> MachineCheck:
    """Whether the signs of a report can be shown."""
    encoding = sys.stdout.encoding or "ascii"
    if encoding.lower().replace("-", "") != "utf8":
        return MachineCheck(
            "terminal", "warning", f"writes {encoding}", "set LANG=C.UTF-8 or PYTHONUTF8=1"
        )
    return MachineCheck("terminal", "ok", encoding)


def _project(cwd: Path) -> Project | MachineCheck:
    try:
        return find_project(cwd)
    except ConfigError as error:
        return MachineCheck("project", "problem", "; ".join(map(str, error.problems)))


def check_state_folder(folder: Path) -> MachineCheck:
    """Whether runs can be kept: SQLite works there, and there is room."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".testrium-doctor-") as own:
            open_database(f"{own}/Data.db", "wal").close()
    except (OSError, InfraError) as error:
        advice = "make it writable, or name another folder: state = PATH in testrium.toml"
        return MachineCheck("state folder", "problem", f"{folder}: {_words(error)}", advice)
    free = shutil.disk_usage(there).free
    if free < _FREE_BYTES:
        return MachineCheck(
            "state folder",
            "warning",
            f"{folder}: {free / 1e6:.0f} MB are free",
            "testrium clean --keep 10",
        )
    return MachineCheck("state folder", "ok", f"{folder}: {free / 1e9:.0f} GB are free")


def _checked_groups(project: Project, cwd: Path) -> list[MachineCheck]:
    """Whether the groups below `cwd` can be read, and what they require is there."""
    try:
        groups = load_groups((), cwd=cwd, project=project)
    except ConfigError as error:
        number = len(error.problems)
        wrong = f"{plural(number, 'problem')} in the groups below"
        return [MachineCheck("groups", "problem", f"{wrong} {cwd}", "testrium check")]
    except NoGroupsError:
        advice = "testrium gen group NAME --from TEMPLATE"
        return [MachineCheck("groups", "warning", f"none below {cwd}", advice)]
    except UsageError as error:
        return [MachineCheck("groups", "problem", str(error))]
    number = len(groups)
    shown = f"{plural(number, 'group')} below {cwd}"
    return [MachineCheck("groups", "ok", shown), *check_requirements(groups, Machine())]


def check_requirements(groups: Iterable[Group], machine: Machine) -> list[MachineCheck]:
    """One check for each program or module that the groups require."""
    wanted: dict[str, list[Group]] = {}
    for group in groups:
        for name in group.requires:
            wanted.setdefault(name, []).append(group)
    checks = []
    for name, several in sorted(wanted.items()):
        needed = f"required by {', '.join(group.id for group in several)}"
        lacks = (missing(name, machine, group) for group in several)
        if lacking := next(filter(None, lacks), None):
            advice = "install it, else these groups are skipped"
            checks.append(MachineCheck(name, "warning", f"{lacking}, {needed}", advice))
        else:
            checks.append(MachineCheck(name, "ok", needed))
    return checks


def check_trial() -> MachineCheck:
    """Whether a whole run works: the group of two units that `testrium gen` makes."""
    with tempfile.TemporaryDirectory(prefix="testrium-doctor-") as own:
        shutil.copytree(template_folder() / "scaffold" / "hello", Path(own, "hello"))
        Path(own, "testrium.toml").touch()  # its state stays here
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-P", "-m", "testrium", "run", "--plain"],
            cwd=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TRIAL_LIMIT_S,
            check=False,
        )
        took = time.monotonic() - started
    if done.returncode == 0:
        return MachineCheck("trial", "ok", f"a group of two units passed in {took:.1f} s")
    return MachineCheck(
        "trial", "problem", f"a group of two units did not pass:\n{done.stdout.strip()}"
    )
