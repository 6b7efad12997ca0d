"""A process that a unit has started: waited for and stopped from a test function or entrypoint.

It is a descendant of the unit's keeper: whatever happens, it is gone when the group ends. Outside
of a run it is stopped when this process exits.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from testrium.errors import TestriumError
from testrium.testing.waking import Log, waking

#: Exit codes that a process may have.
Accepted = int | str | Collection[int | str]
_WORDS = ("!=0", "any")

#: What this process has started and not stopped yet, in the order of starting.
_alive: dict[int, Process] = {}


class ExitError(TestriumError, AssertionError):
    """A process ended with an exit code that it must not have."""

    __module__ = "testrium.testing"


class Process:
    """A process that was started here. As a context manager it is stopped at the end.

    `stdout_path` and `stderr_path` are the files that it writes to, in its `encoding`.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], name: str, folder: Path, encoding: str = "utf-8"
    ) -> None:
        self.name = name
        self.encoding = encoding
        self.pid = popen.pid
        self.stdout_path = folder / "stdout.log"
        self.stderr_path = folder / "stderr.log"
        self.starter = os.getpid()  # a forked child of that must not stop it
        self._popen = popen
        if not _alive:
            atexit.unregister(_stop_all)
            atexit.register(_stop_all)
        _alive[popen.pid] = self

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
        return _text(self.stdout_path, self.encoding)

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return _text(self.stderr_path, self.encoding)

    def write(self, text: str) -> None:
        """Write to its stdin, which must be PIPE. Raises BrokenPipeError: it has ended."""
        if self._popen.stdin is None:
            raise ValueError(f"{self.name} was not started with stdin=testing.PIPE")
        self._popen.stdin.write(text.encode(self.encoding))
        self._popen.stdin.flush()

    def close_stdin(self) -> None:
        """Tell it that there comes no more."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()

    def wait(self, timeout: float | None = 10.0) -> int:
        """Wait for its end; return its exit code. WaitTimeoutError leaves it running."""
        with waking(f"the end of {self.name}", timeout, self) as wakes:
            while (code := self.exit_code) is None:
                wakes.wait(None if (wakes.left_s() or 1) > 0 else self.last_output())
        return code

    def send_signal(self, signal_: str | int = "TERM") -> None:
        """Send a signal, to what it has started in its process group too.

        Args:
            signal_: its name ("TERM", "SIGTERM"), or `signal.SIGTERM`, or its number.

        Raises:
            ValueError: the signal does not exist.
        """
        number = _signal_number(signal_)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, signal_: str | int = "TERM", grace: float = 2.0) -> int:
        """Stop it: a signal, then SIGKILL after `grace` seconds. The exit code.

        What it has started goes with it. One that has ended is left as it is.
        """
        self.close_stdin()
        if self.exit_code is None:
            self.send_signal(signal_)
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

    def check_exit(self, expected: Accepted = 0) -> None:
        """Raise ExitError, with its last output, if it ended in another way than expected.

        Args:
            expected: an exit code, "!=0", "any", or several of them. A signal is a negative number,
                and matches neither of the two words.
        """
        accepted = (expected,) if isinstance(expected, int | str) else tuple(expected)
        if wrong := [each for each in accepted if isinstance(each, str) and each not in _WORDS]:
            raise ValueError(f'exit is a number, "!=0" or "any", not {wrong[0]!r}')
        code = self.exit_code
        by_itself = code is not None and code >= 0
        words = "any" in accepted or ("!=0" in accepted and code != 0)
        if code not in accepted and not (by_itself and words):
            wanted = " or ".join(map(str, accepted))
            raise ExitError(
                f"{self.described_end()}, expected exit code {wanted}; {self.last_output()}"
            )

    def last_output(self) -> str:
        """What it wrote last, for a message."""
        return Log(self.stdout_path, self.stderr_path, encoding=self.encoding).last_output()


def _signal_number(wanted: str | int) -> int:
    try:
        if isinstance(wanted, str):
            return signal.Signals[f"SIG{wanted.upper().removeprefix('SIG')}"]
        return wanted if wanted in signal.valid_signals() else signal.Signals(wanted)
    except (KeyError, ValueError):
        raise ValueError(
            f"no such signal: {wanted!r}; give a name such as 'TERM', or signal.SIGTERM"
        ) from None


def _text(path: Path, encoding: str) -> str:
    return path.read_bytes().decode(encoding, errors="backslashreplace")


def _stop_all() -> None:
    """At the end of this process: the last that was started first."""
    for process in reversed(tuple(_alive.values())):
        if process.starter == os.getpid():
            process.stop()
