"""Units that are spawned: the way of systems without fork and child subreapers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from testrium.errors import InfraError
from testrium.evidence import Leak
from testrium.run.diagnostics import threads_of
from testrium.run.supervisor.client import Exit, Launch, LaunchError, Supervisor
from testrium.system import portable

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder

Gone = Callable[[list[int]], None]

WAIT = "import signal\ndef main():\n    print('ready')\n    while True: signal.pause()"

#: Leaves a child in its session; with `setsid` in one of its own.
LEAVE = """
    import os, subprocess
    def main():
        sleeper = subprocess.Popen(["sleep", "1000"])
        print(sleeper.pid)
    def apart():
        sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print(sleeper.pid)
"""


def lived(folder: UnitFolder, launch: Launch, signal_name: str = "") -> tuple[Exit, list[Leak]]:
    """Start it; stop it by a signal once it has written a line, if one is named."""

    async def story(supervisor: Supervisor) -> tuple[Exit, list[Leak]]:
        process = await supervisor.spawn(launch)
        if signal_name:
            await folder.wait_lines()
            process.stop(signal_name)
        return await process.ended, list(await process.cleared)

    return folder.run(story, "spawn")


def test_a_unit_ends_by_itself(folder: UnitFolder) -> None:
    end, leaks = lived(folder, folder.launch("def main():\n    raise SystemExit(3)"))
    assert (end.exit_code, end.signal, end.stopped) == (3, None, False)
    assert end.cpu_s is not None
    assert leaks == []


def test_only_the_mark_is_added_to_its_environment(folder: UnitFolder) -> None:
    code = "import os\ndef main():\n    print(*sorted(os.environ))"
    launch = folder.launch(code)
    assert lived(folder, launch)[0].exit_code == 0
    assert folder.text("source.out").split() == sorted({*launch.env, portable.MARK, "LC_CTYPE"})


def test_its_input_is_empty_and_the_supervisor_is_not_heard(folder: UnitFolder) -> None:
    code = "import sys, threading\ndef main():\n    print([sys.stdin.read(), *sys.argv])\n"
    code += "    print(threading.active_count())"
    assert lived(folder, folder.launch(code))[0].exit_code == 0, folder.text("source.err")
    assert folder.lines() == ["['', 'part']", "1"]


def test_a_stopped_unit(folder: UnitFolder) -> None:
    end, leaks = lived(folder, folder.launch(WAIT), "TERM")
    assert (end.exit_code, end.signal, end.stopped) == (None, "SIGTERM", True)
    assert leaks == []


def test_a_unit_that_ignores_the_signal_is_killed(folder: UnitFolder) -> None:
    code = WAIT.replace("print", "signal.signal(signal.SIGTERM, signal.SIG_IGN); print")
    end, _ = lived(folder, folder.launch(code, grace_s=0.1), "TERM")
    assert (end.signal, end.stopped) == ("SIGKILL", True)


def test_signals_of_the_supervisor_are_not_inherited(folder: UnitFolder) -> None:
    for name in ("INT", "HUP", "QUIT"):
        launch = folder.launch(command=["sh", "-c", "echo; exec sleep 1000"], unit=name)

        async def story(supervisor: Supervisor, launch: Launch = launch, name: str = name) -> Exit:
            process = await supervisor.spawn(launch)
            await folder.wait_lines(name=f"{name}.out")
            process.stop(name)
            return await process.ended

        assert folder.run(story, "spawn").signal == f"SIG{name}"


def test_its_stacks_are_kept(folder: UnitFolder) -> None:
    async def story(supervisor: Supervisor) -> Exit:
        process = await supervisor.spawn(folder.launch(WAIT, grace_s=0.1))
        await folder.wait_lines()
        process.stop(stacks=True)
        return await process.ended

    assert folder.run(story, "spawn").stopped
    [line] = threads_of(folder.out / "source.stacks", folder.path)
    assert line.startswith("main thread at part.py:")


def test_a_crash_is_told_on_stderr(folder: UnitFolder) -> None:
    end, _ = lived(folder, folder.launch("import os\ndef main():\n    os.abort()"))
    assert end.signal == "SIGABRT"
    assert folder.text("source.err").startswith("Fatal Python error: Aborted")


@pytest.mark.parametrize("entrypoint", ["part:main", "part:apart"])
def test_what_is_left_is_a_leak(folder: UnitFolder, gone: Gone, entrypoint: str) -> None:
    end, leaks = lived(folder, folder.launch(LEAVE, entrypoint=entrypoint))
    assert end.exit_code == 0
    [pid] = map(int, folder.lines())
    assert leaks == [Leak(pid, "sleep 1000")]
    gone([pid])


def test_to_stop_a_unit_is_to_stop_its_children(folder: UnitFolder, gone: Gone) -> None:
    code = "sleep 1000 & echo $!; wait"
    _, leaks = lived(folder, folder.launch(command=["sh", "-c", code]), "TERM")
    assert leaks == []
    gone([int(folder.lines()[0])])


@pytest.mark.parametrize(
    ("command", "reason"),
    [(["no-such-program"], "no such program on PATH"), (["./nowhere"], "no such file")],
)
def test_what_cannot_be_started_is_told(
    folder: UnitFolder, command: list[str], reason: str
) -> None:
    with pytest.raises(LaunchError, match=reason):
        lived(folder, folder.launch(command=command))


def test_a_folder_that_does_not_exist_is_told(folder: UnitFolder) -> None:
    with pytest.raises(LaunchError, match="no such folder"):
        lived(folder, folder.launch(WAIT, cwd=Path("/nowhere")))


def test_an_output_that_cannot_be_written_is_the_machines_fault(folder: UnitFolder) -> None:
    with pytest.raises(InfraError, match="cannot write"):
        lived(folder, folder.launch(WAIT, stdout=folder.out))


def test_a_supervisor_that_is_killed_leaves_nothing(folder: UnitFolder, gone: Gone) -> None:
    python = folder.launch(
        LEAVE + "        import time; time.sleep(1000)\n", entrypoint="part:apart"
    )
    other = folder.launch(command=["sh", "-c", "echo; exec sleep 1000"], unit="other")

    async def story(supervisor: Supervisor) -> list[int]:
        processes = [await supervisor.spawn(launch) for launch in (python, other)]
        await folder.wait_lines()
        await folder.wait_lines(name="other.out")
        os.kill(psutil.Process(processes[0].pid).ppid(), signal.SIGKILL)
        for process in processes:
            with pytest.raises(InfraError, match="was killed by SIGKILL"):
                await process.ended
        return [*(process.pid for process in processes), int(folder.lines()[0])]

    gone(folder.run(story, "spawn"))


def test_a_unit_ends_with_a_supervisor_whose_runner_ended_too(
    folder: UnitFolder, gone: Gone
) -> None:
    """Both are killed at once: a Python unit hears it by itself."""
    code = f"""
import asyncio, os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.run.conftest import UnitFolder
from testrium.run.supervisor.client import Supervisor
async def main():
    folder = UnitFolder(pathlib.Path({str(folder.path)!r}))
    with Supervisor.launch("spawn") as supervisor:
        await supervisor.connect()
        process = await supervisor.spawn(folder.launch({WAIT!r}))
        await folder.wait_lines()
        print(process.pid, flush=True)
        os.kill(os.getppid(), 0)
        import psutil
        os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    import subprocess

    folder.out.rmdir()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == -signal.SIGKILL, told.stderr
    gone([int(told.stdout)])
