"""More processes of a unit: started, waited for and stopped from a test function or entrypoint.

They are descendants of the unit's keeper: whatever happens, they are gone when the group ends.
Outside of a run they are stopped when this process exits.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from testrium.errors import TestriumError
from testrium.testing.places import unit_folder, unused
from testrium.testing.waking import waking

#: As in `subprocess`: `stdin=PIPE` lets `Process.write` talk to the process.
PIPE = subprocess.PIPE

_READY_KINDS = ("log", "tcp", "file")
_LAST_LINES = 10

#: What this process has started and nobody has stopped, in the order of starting.
_alive: dict[int, Process] = {}


class ExitError(TestriumError, AssertionError):
    """A process ended with an exit code that it must not have."""


class Process:
    """A process that was started here. As a context manager it is stopped at the end.

    `stdout_path` and `stderr_path` are the files that it writes to.
    """

    def __init__(self, popen: subprocess.Popen[bytes], name: str, folder: Path) -> None:
        self.name = name
        self.pid = popen.pid
        self.stdout_path = folder / "stdout.log"
        self.stderr_path = folder / "stderr.log"
        self.starter = os.getpid()  # a forked child of that must not stop it
        self._popen = popen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Process {self.name}: {self.described_end()}>"

    @property
    def exit_code(self) -> int | None:
        """None while it runs; the negative number of a signal that ended it."""
        code = self._popen.poll()
        if code is not None:
            _alive.pop(self.pid, None)
        return code

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return _text(self.stdout_path)

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return _text(self.stderr_path)

    def write(self, text: str) -> None:
        """Write to its stdin, which must be PIPE. Raises BrokenPipeError: it has ended."""
        if self._popen.stdin is None:
            raise ValueError(f"{self.name} was not started with stdin=testing.PIPE")
        self._popen.stdin.write(text.encode())
        self._popen.stdin.flush()

    def close_stdin(self) -> None:
        """Tell it that there comes no more."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()

    def wait(self, timeout: float | None = 10.0) -> int:
        """Wait for its end; the exit code. Raises WaitTimeoutError; it goes on then."""
        with waking(f"the end of {self.name}", timeout, self) as wakes:
            while (code := self.exit_code) is None:
                wakes.wait("" if (wakes.left_s() or 1) > 0 else self._last_output())
        return code

    def send_signal(self, name: str = "TERM") -> None:
        """Send a signal, to what it has started in its process group too."""
        number = signal.Signals[f"SIG{name.removeprefix('SIG')}"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, name: str = "TERM", grace: float = 2.0) -> int:
        """Stop it: a signal, then SIGKILL after `grace` seconds. The exit code.

        What it has started goes with it. One that has ended is left as it is.
        """
        self.close_stdin()
        if self.exit_code is None:
            self.send_signal(name)
            with contextlib.suppress(TimeoutError):
                self.wait(grace)
        self.send_signal("KILL")  # what it has left behind in its process group, or itself
        return self.wait(None)

    def described_end(self) -> str:
        """In words: "server ended with exit code 3"."""
        code = self.exit_code
        if code is None:
            return f"{self.name} runs as pid {self.pid}"
        if code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} ended with exit code {code}"

    def check_exit(self, expected: int | Collection[int] = 0) -> None:
        """Raise ExitError, with its last output, if it ended in another way than expected."""
        accepted = (expected,) if isinstance(expected, int) else tuple(expected)
        if self.exit_code not in accepted:
            wanted = " or ".join(map(str, accepted))
            raise ExitError(
                f"{self.described_end()}, expected exit code {wanted}; {self._last_output()}"
            )

    def _last_output(self) -> str:
        from testrium.testing.following import Log

        log = Log(self.stdout_path, self.stderr_path)
        for _ in log.lines():
            pass
        return log.last_seen()


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    name: str = "",
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: bool = True,
    stdin: str | bytes | Path | int | None = None,
    ready: Mapping[str, str | int] | None = None,
    error: str | Sequence[str] = (),
    timeout: float | None = 10.0,
) -> Process:
    """Start a process in the background.

    Args:
        command: the program and its arguments; there is no shell.
        name: for messages, and of the folder of its output; by default the program's.
        cwd: its working folder.
        env: variables; those of this process too, unless `inherit_env` is false: then just these.
        inherit_env: see `env`.
        stdin: what it reads: a text, a file (a Path), PIPE to `write` to it; else nothing.
        ready: return only when this holds: {"log": "regex"}, {"tcp": port} or {"file": "path"}.
        error: patterns of lines that mean that it will not become ready.
        timeout: seconds for becoming ready.

    Raises:
        FileNotFoundError, PermissionError: there is no such program.
        WaitError: it did not become ready, and was stopped.
    """
    if ready is not None and (len(ready) != 1 or next(iter(ready)) not in _READY_KINDS):
        raise ValueError(f"ready has one of {', '.join(_READY_KINDS)}, not {dict(ready)!r}")
    words = [os.fspath(word) for word in command]
    if not words:
        raise ValueError("the command is empty")
    name = name or Path(words[0]).name
    folder = unused(unit_folder(), name)
    folder.mkdir(mode=0o700)
    environment = ({**os.environ} if inherit_env else {}) | dict(env or {})
    with contextlib.ExitStack() as stack:
        process = Process(
            subprocess.Popen(
                words,
                cwd=cwd,
                env=environment,
                stdin=_input(stdin, stack),
                stdout=stack.enter_context(_log(folder / "stdout.log")),
                stderr=stack.enter_context(_log(folder / "stderr.log")),
                # A group of its own, so that its children can be signalled with it; not a session:
                # who stops the unit signals its session.
                process_group=0,
            ),
            name,
            folder,
        )
    if not _alive:
        atexit.unregister(_stop_all)
        atexit.register(_stop_all)
    _alive[process.pid] = process
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
    name: str = "",
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: bool = True,
    stdin: str | bytes | Path | None = None,
    exit: int | Collection[int] | None = 0,  # noqa: A002 - what the key of a unit is called
    timeout: float | None = 30.0,
) -> Process:
    """Run a process to its end. The arguments are those of `start`.

    Args:
        exit: accepted exit codes; None: any. A signal is a negative number.
        timeout: seconds; then it is stopped, and WaitTimeoutError raised.

    Raises:
        ExitError: another exit code.
    """
    process = start(command, name=name, cwd=cwd, env=env, inherit_env=inherit_env, stdin=stdin)
    try:
        process.wait(timeout)
    except BaseException:
        process.stop(grace=0.2)
        raise
    if exit is not None:
        process.check_exit(exit)
    return process


def _wait_ready(
    process: Process,
    ready: Mapping[str, str | int],
    error: str | Sequence[str],
    timeout: float | None,
) -> None:
    from testrium.testing import waiting

    [(kind, target)] = ready.items()
    if kind == "log":
        waiting.wait_for_log(process, str(target), error=error, timeout=timeout)
    elif kind == "tcp":
        waiting.wait_for_port(int(target), process=process, timeout=timeout)
    else:
        waiting.wait_for_file(str(target), process=process, timeout=timeout)


def _input(stdin: str | bytes | Path | int | None, stack: contextlib.ExitStack) -> int | IO[bytes]:
    if stdin is None:
        return subprocess.DEVNULL
    if isinstance(stdin, int):
        return stdin
    if isinstance(stdin, Path):
        return stack.enter_context(stdin.open("rb"))
    # A file, not a pipe: nothing can block, however much it is.
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is one
    file.write(stdin.encode() if isinstance(stdin, str) else stdin)
    file.seek(0)
    return file


def _log(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab")


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="backslashreplace")


def _stop_all() -> None:
    """At the end of this process: the last that was started first."""
    for process in reversed(tuple(_alive.values())):
        if process.starter == os.getpid():
            process.stop()
