"""`use-ai`: the evidence of a failure is handed to a command of the user, which may explain it.

The verdict stands by then, and nothing of what the command says can change it: its answer is shown
as what it is, unverified.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from testrium.errors import TestriumError
from testrium.report.json_report import group_json
from testrium.results import GroupResult

#: How long the command may take (seconds), and how much of its answer is kept (bytes).
LIMIT_S = 60.0

MOST_BYTES = 16_384

_LEFT_OPEN_S = 1.0

#: The command dies with the runner: what this process asks of the kernel outlives its exec.
_LEASHED = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


class Adviser(NamedTuple):
    """The command of `[ai]`; relative paths in it start from `folder`, the project's."""

    command: tuple[str, ...]
    folder: Path
    limit_s: float = LIMIT_S

    async def ask(
        self, result: GroupResult, interrupted: asyncio.Event, notice: Callable[[str], None]
    ) -> str:
        """What the command answers to the group's report; "", and a notice, where it does not.

        It gets the report of the group, as in the JSON report, on its standard input. When this
        returns it has ended, as has all of its session.
        """
        try:
            return await self._answer(json.dumps(group_json(result)).encode(), interrupted)
        except _NoAnswerError as error:
            notice(f"{result.scenario.id}: [ai] {self.command[0]} gave no answer: {error}")
            return ""

    async def _answer(self, question: bytes, interrupted: asyncio.Event) -> str:
        program = self.command[0]
        if os.sep in program:
            program = str(self.folder / program)
        if shutil.which(program) is None:
            raise _NoAnswerError("no such program")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-P", "-c", _LEASHED, str(os.getpid())),
            *(program, *self.command[1:]),
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        talking = asyncio.ensure_future(_talk(process, question))
        stopping = asyncio.ensure_future(interrupted.wait())
        try:
            await asyncio.wait(
                {talking, stopping}, timeout=self.limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not talking.done():
                raise _NoAnswerError(
                    "the run was interrupted"
                    if stopping.done()
                    else f"it was not done after {self.limit_s:g} s"
                )
        finally:
            stopping.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # What has left the session may still hold its output open.
            await asyncio.wait({talking}, timeout=_LEFT_OPEN_S)
            talking.cancel()
        told, stderr = talking.result()
        if process.returncode:
            words = stderr.strip().splitlines()
            last = f": {words[-1]}" if words else ""
            raise _NoAnswerError(f"it ended with {process.returncode}{last}")
        if not told.strip():
            raise _NoAnswerError("it printed nothing")
        return told.strip()


class _NoAnswerError(TestriumError):
    """The command has nothing to say, in words that follow "gave no answer: "."""


async def _talk(process: asyncio.subprocess.Process, question: bytes) -> tuple[str, str]:
    """Hand over the question, and read what comes back until the process ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    told, stderr, _ = await asyncio.gather(
        _read(process.stdout), _read(process.stderr), _write(process.stdin, question)
    )
    await process.wait()
    return told, stderr


async def _write(pipe: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it does not want to know all of it
        pipe.write(data)
        await pipe.drain()
    pipe.close()
    with contextlib.suppress(OSError):
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader) -> str:
    """Read everything, or the writer would block; keep the beginning."""
    kept = b""
    while data := await pipe.read(1 << 16):
        kept += data[: max(0, MOST_BYTES - len(kept))]
    return kept.decode(errors="replace")
