"""Real processes for the tests of the process layer."""

from __future__ import annotations

import asyncio
import json
import os
import select
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from testrium.evidence import Leak
from testrium.probe import environment
from testrium.run.supervisor.client import Exit, Launch, SupervisedProcess, Supervisor
from testrium.system import StartMethod

_T = TypeVar("_T")
#: Waits until these processes are gone; see `wait_gone`.
Gone = Callable[[list[int]], None]

#: Says "ready" on stdout and waits for a signal.
WAIT = "import signal\ndef main():\n    print('ready')\n    while True: signal.pause()"

#: Leaves a process that has cut every tie: forked twice, its own session, no environment.
DAEMON = """
    import os, signal, sys
    def daemon():
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                os.write(writer, str(os.getpid()).encode())
                os.execve("/bin/sleep", ["sleep", "1000"], {})
            os._exit(0)
        pid = os.read(reader, 20).decode()
        os.wait()
        print(pid)
    def main():
        daemon()
    def stay():
        daemon()
        signal.pause()
"""


class UnitFolder:
    """A group's folder whose units are written in the test itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.out = path / "out"
        self.out.mkdir()

    def launch(
        self,
        code: str = "",
        *,
        command: list[str] | None = None,
        entrypoint: str = "part:main",
        unit: str = "source",
        env: dict[str, str] | None = None,
        **overrides: Any,
    ) -> Launch:
        """A Python unit with this code, or a command."""
        if code:
            module = entrypoint.partition(":")[0].replace(".", "/")
            (self.path / f"{module}.py").write_text(textwrap.dedent(code))
        probes = {environment.PROBES: str(self.out / f"{unit}.jsonl"), environment.UNIT: unit}
        fields: dict[str, Any] = {
            "unit": unit,
            "folder": self.path,
            "entrypoint": None if command else entrypoint,
            "command": tuple(command) if command else None,
            "cwd": self.path,
            "env": {"PATH": os.environ["PATH"], "OUT": str(self.out)} | probes | (env or {}),
            "stdout": self.out / f"{unit}.out",
            "stderr": self.out / f"{unit}.err",
            "stacks": self.out / f"{unit}.stacks",
            "mode": "DEBUG",
        }
        return Launch(**(fields | overrides))

    def text(self, name: str) -> str:
        """What is in a file of the `out` folder."""
        return (self.out / name).read_text()

    def lines(self, name: str = "source.out") -> list[str]:
        """The complete lines of a file of the `out` folder, none if it does not exist."""
        path = self.out / name
        return path.read_text().split("\n")[:-1] if path.exists() else []

    async def wait_lines(self, count: int = 1, name: str = "source.out") -> list[str]:
        """Wait until a file of the `out` folder has so many lines."""
        await self.until(lambda: len(self.lines(name)) >= count)
        return self.lines(name)

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        """Wait until it holds; for what other processes do, where nothing wakes us."""
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def events(self, unit: str = "source") -> list[dict[str, Any]]:
        """The probes that the unit has emitted."""
        path = self.out / f"{unit}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def run(self, story: Callable[[Supervisor], Awaitable[_T]], method: StartMethod = "fork") -> _T:
        """Run the story with a supervisor that is connected, and close that."""

        async def told(supervisor: Supervisor) -> _T:
            await supervisor.connect()
            try:
                async with asyncio.timeout(30):
                    return await story(supervisor)
            finally:
                await supervisor.close()

        with Supervisor.launch(method) as supervisor:
            return asyncio.run(told(supervisor))


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    return UnitFolder(tmp_path)


def wait_gone(pids: list[int], limit_s: float = 10.0) -> None:
    """Wait until none of the processes runs any more."""
    for pid in pids:
        try:
            opened = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([opened], [], [], limit_s)
        os.close(opened)
        assert readable, f"process {pid} is still there"


@pytest.fixture
def gone() -> Callable[[list[int]], None]:
    return wait_gone


def lived(
    folder: UnitFolder,
    launch: Launch,
    story: Callable[[SupervisedProcess], Awaitable[None]] | None = None,
) -> tuple[Exit, tuple[Leak, ...]]:
    """Start it, wait for its first line, go through the story; how it ended and what it left."""

    async def told(supervisor: Supervisor) -> tuple[Exit, tuple[Leak, ...]]:
        process = await supervisor.spawn(launch)
        if story is not None:
            await folder.wait_lines()
            await story(process)
        return await process.ended, await process.cleared

    return folder.run(told)


async def stop(process: SupervisedProcess) -> None:
    process.stop()
