"""What a unit's process is like before its program runs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testrium.errors import InfraError
from testrium.run.supervisor import keeper
from testrium.run.supervisor.client import Exit, Launch, LaunchError, Supervisor
from testrium.run.supervisor.program import MachineError
from testrium.run.supervisor.protocol import Channel
from testrium.system import kernel

if TYPE_CHECKING:
    from testrium.system import StartMethod
    from tests.run.conftest import UnitFolder

REPORT = """
    import json, os, pathlib, signal, sys
    def main():
        pathlib.Path(os.environ["OUT"], "report").write_text(json.dumps({
            "session": os.getsid(0) == os.getpid(),
            "signals": {s.name: repr(signal.getsignal(s)) for s in signal.valid_signals()
                        if isinstance(s, signal.Signals)},
            "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{fd}")},
            "env": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "argv": sys.argv,
            "cmdline": pathlib.Path("/proc/self/cmdline").read_text().rstrip("\\0"),
        }))
"""


def run_to_end(folder: UnitFolder, launch: Launch, method: StartMethod = "fork") -> Exit:
    async def story(supervisor: Supervisor) -> Exit:
        return await (await supervisor.spawn(launch)).ended

    return folder.run(story, method)


#: How many commands have run before: the keeper spawns those that follow two others.
BEFORE = pytest.mark.parametrize("before", [0, 2], ids=["forked", "spawned"])


def run_command(folder: UnitFolder, before: int, launch: Launch) -> Exit:
    """Run a command to its end, in a run that has had others before it."""

    async def story(supervisor: Supervisor) -> Exit:
        for _ in range(before):
            await (await supervisor.spawn(folder.launch(command=["true"], unit="before"))).cleared
        return await (await supervisor.spawn(launch)).ended

    return folder.run(story)


@pytest.fixture
def report(folder: UnitFolder) -> dict[str, Any]:
    end = run_to_end(folder, folder.launch(REPORT, env={"TMPDIR": "/tmp/x", "ODD": "\udcff"}))
    assert end.exit_code == 0, folder.text("source.err")
    return dict(json.loads(folder.text("report")))


def test_a_unit_leads_a_session_of_its_own(report: dict[str, Any]) -> None:
    assert report["session"]


def test_signals_are_those_of_a_fresh_interpreter(report: dict[str, Any]) -> None:
    changed = {name: how for name, how in report["signals"].items() if "SIG_DFL" not in how}
    assert changed.pop("SIGINT").startswith("<built-in function default_int_handler")
    ignored = repr(signal.SIG_IGN)
    assert changed == {"SIGPIPE": ignored, "SIGXFSZ": ignored}
    assert report["blocked"] == 0


def test_only_its_own_files_are_open(report: dict[str, Any], folder: UnitFolder) -> None:
    stacks = {fd for fd, path in report["fds"].items() if path == str(folder.out / "source.stacks")}
    others = {fd: path for fd, path in report["fds"].items() if fd not in stacks}
    assert others == {
        "0": "/dev/null",
        "1": str(folder.out / "source.out"),
        "2": str(folder.out / "source.err"),
    }
    assert all(int(fd) >= 200 for fd in stacks)


def test_the_environment_is_the_given_one(report: dict[str, Any], folder: UnitFolder) -> None:
    launch = folder.launch(env={"TMPDIR": "/tmp/x", "ODD": "\udcff"})
    assert report["env"] == launch.env


def test_code_is_imported_from_the_groups_folder(
    report: dict[str, Any], folder: UnitFolder
) -> None:
    assert report["path"][0] == str(folder.path)
    assert report["cwd"] == str(folder.path)
    assert report["argv"] == ["part"]


def test_process_lists_show_the_unit(report: dict[str, Any]) -> None:
    assert report["cmdline"] == "source: part:main"


def test_output_is_private(report: dict[str, Any], folder: UnitFolder) -> None:
    for name in ("source.out", "source.err", "source.stacks"):
        assert stat.S_IMODE((folder.out / name).stat().st_mode) == 0o600


def test_output_is_appended_over_starts(folder: UnitFolder) -> None:
    launch = folder.launch("def main(): print('line')")
    run_to_end(folder, launch)
    run_to_end(folder, launch)
    assert folder.text("source.out") == "line\nline\n"


@BEFORE
def test_a_command_gets_fresh_signals_and_no_files(folder: UnitFolder, before: int) -> None:
    script = "import os, signal; print(sorted(os.listdir('/proc/self/fd'))); print(os.getcwd())"
    status = "cat /proc/self/status | grep SigIgn"
    launch = folder.launch(command=["sh", "-c", f'{status}; {sys.executable} -c "{script}"'])
    assert run_command(folder, before, launch).exit_code == 0
    ignored, files, cwd = folder.text("source.out").splitlines()
    of_libc = 0b11 << 31  # 32 and 33: the C library lets nobody set them
    assert int(ignored.split()[1], 16) & ~of_libc == 0
    assert files == "['0', '1', '2', '3']"  # 3 is the folder that is listed
    assert cwd == str(folder.path)


@BEFORE
def test_a_command_is_found_on_the_units_path(folder: UnitFolder, before: int) -> None:
    tool = folder.path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    launch = folder.launch(command=["tool"], env={"PATH": str(tool.parent)})
    assert run_command(folder, before, launch).exit_code == 0
    assert folder.text("source.out") == "found\n"


@BEFORE
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("no-such-program", "cannot start 'no-such-program': no such program on PATH"),
        ("./missing", "cannot start './missing': no such file"),
        ("./plain", "cannot start './plain': it is not an executable file"),
        ("./broken", "cannot start './broken': the interpreter in its first line does not exist"),
        ("./garbage", "cannot start './garbage': Exec format error"),
    ],
)
def test_a_program_that_cannot_be_executed(
    folder: UnitFolder, before: int, program: str, reason: str
) -> None:
    for name, text, mode in (
        ("plain", "text", 0o644),
        ("broken", "#!/no/such/interpreter\n", 0o755),
        ("garbage", "no program", 0o755),
    ):
        (folder.path / name).write_text(text)
        (folder.path / name).chmod(mode)
    with pytest.raises(LaunchError) as caught:
        run_command(folder, before, folder.launch(command=[program]))
    assert str(caught.value) == reason


@pytest.mark.parametrize("command", [None, ["true"]])
def test_a_missing_working_folder(folder: UnitFolder, command: list[str] | None) -> None:
    launch = folder.launch("def main(): pass", command=command, cwd=folder.path / "gone")
    with pytest.raises(LaunchError, match="no such folder"):
        run_to_end(folder, launch)
    with pytest.raises(LaunchError, match="no such folder"):
        run_command(folder, 2, launch)


def test_an_unwritable_log_is_the_machines_fault(folder: UnitFolder) -> None:
    launch = folder.launch("def main(): pass", stdout=folder.path / "gone" / "out.log")
    with pytest.raises(InfraError, match=r"cannot write .*out\.log"):
        run_to_end(folder, launch)
    with pytest.raises(InfraError, match=r"cannot write .*out\.log"):
        run_command(folder, 2, launch._replace(command=("true",)))


@BEFORE
def test_a_command_that_ends_by_a_signal(folder: UnitFolder, before: int) -> None:
    end = run_command(folder, before, folder.launch(command=["sh", "-c", "kill -SEGV $$"]))
    assert (end.exit_code, end.signal, end.stopped) == (None, "SIGSEGV", False)


def test_resources_are_counted(folder: UnitFolder) -> None:
    code = "def main():\n    data = bytearray(80_000_000)\n    sum(range(2_000_000))"
    end = run_to_end(folder, folder.launch(code))
    assert end.max_rss is not None
    assert end.max_rss > 80_000_000
    assert end.cpu_s is not None
    assert end.cpu_s > 0.01


def test_a_spawned_unit_is_prepared_alike(folder: UnitFolder) -> None:
    end = run_to_end(folder, folder.launch(REPORT), method="spawn")
    assert end.exit_code == 0, folder.text("source.err")
    report = json.loads(folder.text("report"))
    assert report["session"]
    assert report["cwd"] == str(folder.path)
    assert report["argv"] == ["part"]
    assert report["path"][0] == str(folder.path)
    changed = {name for name, how in report["signals"].items() if "SIG_DFL" not in how}
    assert changed == {"SIGINT", "SIGPIPE", "SIGXFSZ"}


def test_a_spawned_command_keeps_no_files(folder: UnitFolder) -> None:
    launch = folder.launch(command=["ls", "/proc/self/fd"])
    assert run_to_end(folder, launch, method="spawn").exit_code == 0
    assert folder.text("source.out").split() == ["0", "1", "2", "3"]


@BEFORE
def test_nothing_of_the_runner_is_inherited(
    folder: UnitFolder, before: int, tmp_path: Path
) -> None:
    """Not even a descriptor that the runner has made inheritable."""
    opened = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(opened, True)
    try:
        run_command(folder, before, folder.launch(command=["ls", "-l", "/proc/self/fd"]))
    finally:
        os.close(opened)
    assert "secret" not in folder.text("source.out")


@BEFORE
def test_an_ignored_signal_of_the_runner_is_not_inherited(folder: UnitFolder, before: int) -> None:
    """As under nohup."""
    usual = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        end = run_command(folder, before, folder.launch(command=["sh", "-c", "kill -USR1 $$"]))
    finally:
        signal.signal(signal.SIGUSR1, usual)
    assert end.signal == "SIGUSR1"


@BEFORE
def test_a_program_that_cannot_run_is_passed_over_on_the_path(
    folder: UnitFolder, before: int
) -> None:
    for name, text in (("stale", "#!/no/such/interpreter\n"), ("good", "#!/bin/sh\necho found\n")):
        tool = folder.path / name / "tool"
        tool.parent.mkdir()
        tool.write_text(text)
        tool.chmod(0o755)
    path = f"{folder.path / 'stale'}:{folder.path / 'good'}"
    launch = folder.launch(command=["tool"], env={"PATH": path})
    assert run_command(folder, before, launch).exit_code == 0
    assert folder.text("source.out") == "found\n"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_too_many_processes_are_the_machines_fault(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_spawn", fail)
    monkeypatch.chdir(folder.path)
    with pytest.raises(MachineError, match="cannot start another process"):
        keeper._spawn(folder.launch(command=["true"]))


def test_a_launch_survives_its_journey(folder: UnitFolder) -> None:
    launch = folder.launch(command=["a", "b"], deadline_ns=17)
    there = json.loads(json.dumps(launch.to_message()))
    assert Launch.from_message(there) == launch
    assert Launch.from_message(launch._replace(command=None).to_message()).command is None


def test_starts_can_be_abandoned(folder: UnitFolder) -> None:
    """A start that its caller no longer waits for leaves no process."""

    async def story(supervisor: Supervisor) -> None:
        task = asyncio.create_task(supervisor.spawn(folder.launch(command=["sleep", "60"])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [process] = supervisor._processes.values()
        await process.cleared

    folder.run(story)


def test_a_command_that_a_keeper_spawns_leads_a_session_and_is_below_it(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> None:
        for number in range(3):
            unit = f"unit{number}"
            shown = folder.launch(command=["cut", "-d ", "-f4,6", "/proc/self/stat"], unit=unit)
            process = await supervisor.spawn(shown)
            await process.cleared
            assert folder.lines(f"{unit}.out") == [f"{process.keeper} {process.pid}"]

    folder.run(story)


def test_a_command_is_forked_where_python_cannot_spawn_it(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built for a C library of before 2017."""

    def fail(*_: object, **__: object) -> int:
        raise NotImplementedError("posix_spawn: setsid unavailable on this platform")

    monkeypatch.setattr(os, "posix_spawn", fail)
    monkeypatch.setattr(kernel, "set_title", lambda _: None)  # it would be that of this process
    monkeypatch.chdir(folder.path)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        launch = folder.launch(command=["echo", "there"])
        one = keeper._Keeper(Channel(theirs), 1, launch.to_message())
        with one._wake, one._wake_writer:
            pid = one._start(launch, None)
        assert pid is not None
        _, status = os.waitpid(pid, 0)
        [told] = Channel(ours).receive()
    assert (status, told["event"], told["pid"]) == (0, "started", pid)
    assert folder.text("source.out") == "there\n"
