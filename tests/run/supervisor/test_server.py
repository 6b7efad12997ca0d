"""Whoever dies, nothing of a run stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.errors import InfraError
from testrium.probe import environment
from testrium.run.supervisor.client import (
    Launch,
    ProcessOwner,
    SupervisedProcess,
    Supervisor,
)
from testrium.run.supervisor.protocol import Channel, Message
from testrium.run.supervisor.server import _ForkingSupervisor, _Kept
from testrium.system import kernel

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder

Gone = Callable[[list[int]], None]

#: A runner of its own: starts a unit that leaves a daemon and stays, tells all pids, and waits.
RUNNER = """
    import asyncio, sys, time
    from pathlib import Path
    from testrium.run.supervisor.client import Launch, Supervisor

    async def main(supervisor, out):
        await supervisor.connect()
        folder = Path(out)
        limit_s = float(sys.argv[2])
        while True:
            deadline_ns = time.monotonic_ns() + int(limit_s * 1e9)
            process = await supervisor.spawn(Launch(
                unit="source", folder=folder, entrypoint="part:main", command=None, cwd=folder,
                env={}, stdout=folder / "log", stderr=folder / "err", stacks=folder / "stacks",
                mode="DEBUG", deadline_ns=deadline_ns, grace_s=0.1,
            ))
            while "\\n" not in (folder / "log").read_text() and not process.ended.done():
                await asyncio.sleep(0.005)
            if "\\n" in (folder / "log").read_text():
                break
            await process.cleared  # a busy machine has not come to its line before its deadline
            limit_s = limit_s * 4 + 0.1
        daemon = (folder / "log").read_text().strip()
        print(supervisor._program.pid, process.keeper, process.pid, daemon, flush=True)
        await process.cleared

    with Supervisor.launch() as supervisor:
        asyncio.run(main(supervisor, sys.argv[1]))
"""

UNIT = """
    import os, signal
    def main():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "1000"], {})
            os._exit(0)
        print(os.read(reader, 20).decode())
        signal.pause()
"""


class Run:
    """A runner in a process of its own and the processes that it has started."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self.program = program
        assert program.stdout is not None
        self.supervisor, self.keeper, self.unit, self.daemon = map(
            int, program.stdout.readline().split()
        )

    @property
    def pids(self) -> list[int]:
        return [self.supervisor, self.keeper, self.unit, self.daemon]


@contextmanager
def a_run(tmp_path: Path, limit_s: float = 60) -> Iterator[Run]:
    (tmp_path / "part.py").write_text(textwrap.dedent(UNIT))
    command = [sys.executable, "-c", textwrap.dedent(RUNNER), str(tmp_path), str(limit_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield Run(program)
        finally:
            program.kill()


def test_the_runner_is_killed(tmp_path: Path, gone: Gone) -> None:
    with a_run(tmp_path) as run:
        run.program.kill()
        gone(run.pids)


def test_the_runner_and_the_supervisor_are_killed(tmp_path: Path, gone: Gone) -> None:
    with a_run(tmp_path) as run:
        run.program.send_signal(signal.SIGSTOP)  # so that it cannot act in between
        os.kill(run.supervisor, signal.SIGKILL)
        run.program.kill()
        gone(run.pids)


@pytest.mark.unmeasured
def test_the_runner_is_interrupted(tmp_path: Path, gone: Gone) -> None:
    with a_run(tmp_path) as run:
        run.program.send_signal(signal.SIGINT)
        gone(run.pids)


def test_a_stopped_runner_cannot_stop_time(tmp_path: Path, gone: Gone) -> None:
    with a_run(tmp_path, limit_s=1.5) as run:
        run.program.send_signal(signal.SIGSTOP)
        gone([run.unit, run.daemon])
        assert "in main" in (tmp_path / "stacks").read_text()
        assert kernel.process_entry(run.supervisor) is not None
        run.program.send_signal(signal.SIGCONT)
        assert run.program.wait(10) == 0


@pytest.mark.parametrize("stopped", ["supervisor", "keeper"])
def test_the_run_ends_although_a_process_is_stopped(
    tmp_path: Path, gone: Gone, stopped: str
) -> None:
    """Else the deadline would be held up as long as that lasts."""
    with a_run(tmp_path, limit_s=1.5) as run:
        os.kill(getattr(run, stopped), signal.SIGSTOP)
        gone([run.unit, run.daemon])
        assert run.program.wait(10) == 0


def test_a_unit_that_is_ended_before_it_began_does_not_hold_up_these_tests(
    tmp_path: Path, gone: Gone
) -> None:
    with a_run(tmp_path, limit_s=0) as run:
        gone([run.unit, run.daemon])
        assert run.program.wait(10) == 0


def test_a_unit_whose_own_debugger_holds_it_is_ended(folder: UnitFolder) -> None:
    """The end of a process that is traced comes to its debugger first, which never looks."""
    code = """
        import ctypes, os, time
        def main():
            seize = lambda: ctypes.CDLL(None).ptrace(0x4206, unit, 0, 0)
            unit = os.getpid()
            reader, writer = os.pipe()
            begin, go = os.pipe()
            if (between := os.fork()) == 0:
                os.setsid()
                if os.fork() == 0:
                    os.read(begin, 1)
                    os.write(writer, str(seize()).encode() + b" ")
                    time.sleep(60)
                os._exit(0)
            os.waitpid(between, 0)  # its SIGCHLD would stop a process that is traced
            os.write(go, b"!")
            print(os.read(reader, 10).decode(), flush=True)
            time.sleep(60)
    """

    async def story(supervisor: Supervisor) -> str | None:
        process = await supervisor.spawn(folder.launch(code, grace_s=0.1))
        [seized] = await folder.wait_lines()
        if seized.strip() != "0":
            pytest.skip("this machine lets nobody trace")
        process.stop("KILL")
        return (await process.ended).signal

    assert folder.run(story) == "SIGKILL"


def test_signals_do_not_end_the_supervisor(tmp_path: Path, gone: Gone) -> None:
    with a_run(tmp_path) as run:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(run.supervisor, number)
            os.kill(run.keeper, number)
        entry = kernel.process_entry(run.unit)
        assert entry is not None
        assert entry.alive
        session = kernel.process_entry(run.supervisor)
        assert session is not None
        assert session.session == run.supervisor  # Ctrl-C at a terminal does not reach it
        run.program.kill()
        gone(run.pids)


def test_the_supervisor_is_killed(folder: UnitFolder, gone: Gone) -> None:
    """The runner cleans up itself, except for its own helpers, and everybody who waits is told."""
    launch = folder.launch(UNIT)
    helper = subprocess.Popen(["sleep", "1000"])

    async def story(supervisor: Supervisor) -> list[int]:
        supervisor.own.add(helper.pid)
        process = await supervisor.spawn(launch)
        [daemon] = await folder.wait_lines()
        # Stopped first: it must not start what it is asked to before the kill reaches it.
        os.kill(supervisor._program.pid, signal.SIGSTOP)
        starting = asyncio.create_task(supervisor.spawn(folder.launch(command=["sleep", "60"])))
        await asyncio.sleep(0)
        os.kill(supervisor._program.pid, signal.SIGKILL)
        for future in (process.ended, process.cleared, starting):
            with pytest.raises(InfraError, match="the supervisor was killed by SIGKILL"):
                await future
        with pytest.raises(InfraError):
            await supervisor.spawn(launch)
        process.stop(stacks=True)
        process.kill()
        return [process.pid, process.keeper, int(daemon)]

    try:
        gone(folder.run(story))
        assert helper.poll() is None
    finally:
        helper.kill()
        helper.wait()


def test_a_command_ends_when_the_keeper_that_has_spawned_it_is_killed(
    folder: UnitFolder, gone: Gone
) -> None:
    async def story(supervisor: Supervisor) -> list[int]:
        for _ in range(2):  # a keeper spawns what follows other commands
            await (await supervisor.spawn(folder.launch(command=["true"], unit="before"))).cleared
        process = await supervisor.spawn(folder.launch(command=["sleep", "1000"]))
        os.kill(process.keeper, signal.SIGKILL)
        end = await process.ended
        assert end.infra == "the keeper of unit source was killed by SIGKILL"
        await process.cleared
        return [process.pid]

    gone(folder.run(story))


def test_giving_up_a_wait_leaves_the_process_alive(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> str | None:
        process = await supervisor.spawn(folder.launch(command=["sleep", "60"]))

        async def wait() -> None:
            await process.ended

        impatient = asyncio.create_task(wait())
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert process.alive
        process.stop()
        return (await process.ended).signal

    assert folder.run(story) == "SIGTERM"


def test_close_ends_what_is_left(folder: UnitFolder, gone: Gone) -> None:
    launch = folder.launch(UNIT)

    async def story(supervisor: Supervisor) -> tuple[SupervisedProcess, list[int]]:
        process = await supervisor.spawn(launch)
        [daemon] = await folder.wait_lines()
        return process, [process.pid, process.keeper, int(daemon)]

    process, pids = folder.run(story)
    gone(pids)
    assert isinstance(process.cleared.exception(), InfraError)


def test_an_unused_supervisor_ends(gone: Gone) -> None:
    """Loading has failed: the block is left before there was a loop."""
    with Supervisor.launch() as supervisor:
        pid = supervisor._program.pid
    assert kernel.process_entry(pid) is None


@pytest.mark.unmeasured
def test_a_hundred_starts_leave_nothing(folder: UnitFolder) -> None:
    launch = folder.launch("def main(): pass")

    def files(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def zombies() -> set[int]:
        return {entry.pid for entry in kernel.descendants(os.getpid()) if not entry.alive}

    async def story(supervisor: Supervisor) -> None:
        async def start() -> None:
            await (await supervisor.spawn(launch)).cleared

        await start()
        pids = (os.getpid(), supervisor._program.pid)
        before = [files(pid) for pid in pids]
        dead_before = zombies()  # orphans of other tests come to this process too
        for _ in range(10):
            await asyncio.gather(*(start() for _ in range(10)))
        await start()

        def is_tidy() -> bool:
            # Up to three keepers wait for units of other groups, each with a socket and a pipe.
            most = [count + 8 for count in before]
            few_files = all(files(pid) <= limit for pid, limit in zip(pids, most, strict=True))
            return few_files and len(zombies() - dead_before) <= 2

        # A keeper says "cleared" before it ends, or waits for another unit.
        async with asyncio.timeout(10):
            while not is_tidy():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)

    folder.run(story)


def test_a_keeper_keeps_units_of_several_groups_one_after_the_other(folder: UnitFolder) -> None:
    busy = ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]

    async def story(supervisor: Supervisor) -> None:
        async def run(group: str, command: list[str]) -> SupervisedProcess:
            launch = folder.launch(command=command, env={environment.RUN_DIR: group})
            process = await supervisor.spawn(launch)
            assert (await process.ended).exit_code == 0
            assert await process.cleared == ()
            return process

        first = await run("a", busy)
        used_s = (await first.ended).cpu_s
        await run("b", ["true"])
        third = await run("c", ["true"])
        assert third.keeper == first.keeper
        assert used_s is not None
        # Clocks of 10 ms. What earlier units have used is not counted for this one.
        assert third.waited_before_s >= used_s - 0.02
        assert (await run("a", ["true"])).keeper != first.keeper

    folder.run(story)


def test_many_at_once(folder: UnitFolder) -> None:
    """Each start gets its own answer, and a big environment travels in pieces."""
    code = "import os, sys\ndef main(): sys.exit(int(os.environ['NUMBER']))"
    padding = {f"PAD_{number}": "x" * 1000 for number in range(100)}

    def numbered(number: int) -> Launch:
        env = padding | {"NUMBER": str(number)}
        return folder.launch(code, unit=f"u{number}", env=env)

    async def story(supervisor: Supervisor) -> list[int | None]:
        processes = await asyncio.gather(*(supervisor.spawn(numbered(n)) for n in range(20)))
        return [(await process.ended).exit_code for process in processes]

    assert folder.run(story) == list(range(20))


def test_names_of_signals(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> None:
        process = await supervisor.spawn(folder.launch(command=["sleep", "60"]))
        with pytest.raises(ValueError, match="no signal is called 'NONE'"):
            process.stop("NONE")
        process.stop("SIGHUP")
        assert (await process.ended).signal == "SIGHUP"

    folder.run(story)


def test_a_real_time_signal_has_a_name(folder: UnitFolder) -> None:
    number = signal.SIGRTMIN + 3
    launch = folder.launch(f"import os\ndef main(): os.kill(os.getpid(), {number})")

    async def story(supervisor: Supervisor) -> str | None:
        return (await (await supervisor.spawn(launch)).ended).signal

    assert folder.run(story) == "SIGRTMIN+3"


def test_the_current_folder_does_not_matter(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Files there that are called like modules of the standard library are not imported."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    (tmp_path / "part.py").write_text("def main(): pass")
    monkeypatch.chdir(tmp_path)

    async def story(supervisor: Supervisor) -> int | None:
        launch = folder.launch(command=["true"])
        return (await (await supervisor.spawn(launch)).ended).exit_code

    assert folder.run(story) == 0


def test_supervisor_and_keepers_import_the_standard_library_only(folder: UnitFolder) -> None:
    """A unit that was forked from them finds in memory what they have imported."""
    code = "import sys\ndef main(): print(*{name.partition('.')[0] for name in sys.modules})"
    bare = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    async def imported(supervisor: Supervisor) -> set[str]:
        await (await supervisor.spawn(folder.launch(code))).ended
        return set((folder.out / "source.out").read_text().split())

    own = {name.partition(".")[0] for name in bare.stdout.split()}  # of .pth files
    foreign = folder.run(imported) - own - sys.stdlib_module_names
    assert foreign - {"__mp_main__"} == {"testrium", "part"}  # another name of a forked `__main__`


@pytest.fixture
def wires() -> Iterator[list[Channel]]:
    """Both ends of a channel between supervisor and runner, then of one to a keeper."""
    ends = [end for _ in range(2) for end in socket.socketpair()]
    yield [Channel(end) for end in ends]
    for end in ends:
        end.close()


def test_nothing_is_forked_beside_a_start(
    wires: list[Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts now needs the processor more than what may start next."""
    runner, _, ours, keeper = wires
    supervisor = _ForkingSupervisor(runner)
    kept = _Kept(BaseProcess(), ours)
    monkeypatch.setattr(supervisor, "_forked", lambda: kept)
    may_prepare = [supervisor._may_prepare]
    supervisor._start(
        1, {"env": {}, "folder": "group", "unit": "unit", "command": None, "stdout": "out"}
    )
    may_prepare.append(supervisor._may_prepare)
    keeper.send({"event": "started", "number": 1})
    supervisor._receive(kept)
    may_prepare.append(supervisor._may_prepare)
    supervisor.close()
    assert may_prepare == [True, False, True]


def test_a_unit_of_which_nothing_is_left_is_not_released(folder: UnitFolder) -> None:
    """A message less for each unit of each group."""

    sent = []

    class Owner(ProcessOwner):
        def _send(self, message: Message) -> None:
            sent.append(message["op"])

    async def main() -> None:
        process = SupervisedProcess(Owner(), 1, folder.launch())
        process.release()
        process._receive({"event": "cleared", "leaks": []})
        process.release()

    asyncio.run(main())
    assert sent == ["release"]
