"""Starts more processes in a unit, from a test function or entrypoint."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict, Unpack

from testrium.testing import waiting
from testrium.testing.files import check_encoding, unit_folder, unused
from testrium.testing.processes import Accepted, Process

#: As in `subprocess`: `stdin=PIPE` lets `Process.write` talk to the process.
PIPE = subprocess.PIPE

_READY_KINDS = ("log", "tcp", "file")


class ProcessOptions(TypedDict, total=False):
    """How a process is started.

    name: for messages, and of the folder of its output; by default the program's.
    cwd: its working folder.
    env: variables; those of this process too, unless `inherit_env` is false: then just these.
    stdin: what it reads: a text, a file (a Path), PIPE to `write` to it; else nothing.
    encoding: of its input and output: a name that Python knows; UTF-8 by default.
    """

    name: str
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str] | None
    inherit_env: bool
    stdin: str | bytes | Path | int | None
    encoding: str


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    ready: Mapping[str, str | int] | None = None,
    error: str | Sequence[str] = (),
    timeout: float | None = 10.0,
    **options: Unpack[ProcessOptions],
) -> Process:
    """Start a process in the background.

    Args:
        command: the program and its arguments, without a shell.
        ready: return only when this holds: {"log": "regex"}, {"tcp": port} or {"file": "path"}.
        error: patterns of lines that mean that it will not become ready.
        timeout: seconds for becoming ready.
        options: name, cwd, env, inherit_env, stdin, encoding: see `ProcessOptions`.

    Raises:
        FileNotFoundError, PermissionError: no such program.
        WaitError: it did not become ready, and was stopped.
    """
    if ready is not None and (len(ready) != 1 or next(iter(ready)) not in _READY_KINDS):
        raise ValueError(f"ready has one of {', '.join(_READY_KINDS)}, not {dict(ready)!r}")
    process = _started(command, **options)
    if ready is not None:
        try:
            _wait_ready(process, ready, error, timeout)
        except BaseException:
            process.stop()
            raise
    return process


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    exit: Accepted | None = 0,  # noqa: A002 - what the key of a unit is called
    timeout: float | None = 30.0,
    **options: Unpack[ProcessOptions],
) -> Process:
    """Run a process until it ends. The arguments are those of `start`.

    Args:
        command: the program and its arguments, without a shell.
        exit: an accepted exit code, "!=0", "any", or several of them; None: whatever. A signal is a
            negative number, and matches neither of the two words.
        timeout: seconds; then it is stopped, and WaitTimeoutError raised.
        options: name, cwd, env, inherit_env, stdin, encoding: see `ProcessOptions`.

    Raises:
        ExitError: another exit code.
    """
    process = _started(command, **options)
    try:
        process.wait(timeout)
    except BaseException:
        process.stop(grace=0.2)
        raise
    if exit is not None:
        process.check_exit(exit)
    return process


def _started(
    command: Sequence[str | os.PathLike[str]],
    *,
    name: str = "",
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: bool = True,
    stdin: str | bytes | Path | int | None = None,
    encoding: str = "utf-8",
) -> Process:
    if isinstance(command, str | bytes):
        raise TypeError(f"the command must be a list of words (no shell reads it), got {command!r}")
    words = [os.fspath(word) for word in command]
    if not words:
        raise ValueError("the command is empty")
    check_encoding(encoding)
    name = name or Path(words[0]).name
    folder = unused(unit_folder(), name)
    folder.mkdir(mode=0o700)
    environment = ({**os.environ} if inherit_env else {}) | dict(env or {})
    with contextlib.ExitStack() as stack:
        return Process(
            subprocess.Popen(
                words,
                cwd=cwd,
                env=environment,
                stdin=_input(stdin, encoding, stack),
                stdout=stack.enter_context(_log(folder / "stdout.log")),
                stderr=stack.enter_context(_log(folder / "stderr.log")),
                # A group of its own, so its children can be signalled with it; not a session:
                # who stops the unit signals its session.
                process_group=0,
            ),
            name,
            folder,
            encoding,
        )


def _wait_ready(
    process: Process,
    ready: Mapping[str, str | int],
    error: str | Sequence[str],
    timeout: float | None,
) -> None:
    [(kind, target)] = ready.items()
    if kind == "log":
        waiting.wait_for_log(process, str(target), error=error, timeout=timeout)
    elif kind == "tcp":
        waiting.wait_for_port(int(target), process=process, timeout=timeout)
    else:
        waiting.wait_for_file(str(target), process=process, timeout=timeout)


def _input(
    stdin: str | bytes | Path | int | None, encoding: str, stack: contextlib.ExitStack
) -> int | IO[bytes]:
    if stdin is None:
        return subprocess.DEVNULL
    if isinstance(stdin, int):
        return stdin
    if isinstance(stdin, Path):
        return stack.enter_context(stdin.open("rb"))
    # A file, not a pipe: nothing can block, however much it is.
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is one
    file.write(stdin.encode(encoding) if isinstance(stdin, str) else stdin)
    file.seek(0)
    return file


def _log(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab")
