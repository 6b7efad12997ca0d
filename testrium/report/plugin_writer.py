"""A writer of a plugin, in a process of its own: what it does cannot harm the run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from testrium.declared.groups import Scenario
from testrium.errors import Problem
from testrium.evidence import UnitState
from testrium.loaded_by_name import PLUGIN_WRITER, import_of
from testrium.plugins.registry import Plugin, load_plugin
from testrium.report.writer import STDOUT, Writer, WriterFailedError
from testrium.results import GroupResult, RunResult
from testrium.system.platform import system
from testrium.tracebacks import where_raised

#: How long it may take once the run is over.
LIMIT_S = 30.0

_START = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.argv[1])\n"
    f"{import_of(PLUGIN_WRITER)}\n"
    "serve(int(sys.argv[2]), int(sys.argv[3]))"
)


class PluginWriter(Writer):
    """Passes everything on to a plugin's writer in another process.

    Every method raises WriterFailedError, once, when that one has failed.
    """

    def __init__(
        self, plugin: Plugin, target: str | None, cwd: Path, *, limit_s: float = LIMIT_S
    ) -> None:
        super().__init__(target, cwd)
        self._plugin = plugin
        self._limit_s = limit_s
        self._status, status = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                _START,
                json.dumps(sys.path),
                str(os.getpid()),
                str(status),
            ],
            stdin=subprocess.PIPE,
            pass_fds=(status,),
            cwd=cwd,
        )
        os.close(status)
        self._messages: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="writer", daemon=True)
        self._thread.start()
        self._messages.put(("begin", (plugin, target, cwd)))

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """Pass it on."""
        self._pass_on("run_started", run, scenarios)

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """Pass it on."""
        self._pass_on("group_started", scenario, run_dir)

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """Pass it on."""
        self._pass_on("unit_changed", scenario, unit, state)

    def notice(self, text: str | Problem) -> None:
        """Pass it on."""
        self._pass_on("notice", text)

    def group_ended(self, result: GroupResult) -> None:
        """Pass it on."""
        self._pass_on("group_ended", result)

    def run_ended(self, result: RunResult) -> None:
        """Pass it on, and wait until the writer is done with it, for a while."""
        self._messages.put(("run_ended", (result,)))
        self._messages.put(None)
        end = time.monotonic() + self._limit_s
        self._thread.join(self._limit_s)
        try:
            self._process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            reason = f"it was not done {self._limit_s:g} s after the run had ended"
        else:
            reason = self._reason()
        os.close(self._status)
        if reason:
            raise self._failed(reason)

    def _pass_on(self, method: str, *arguments: Any) -> None:
        if not self._thread.is_alive():  # its process is gone
            self._process.wait()
            reason = self._reason()
            os.close(self._status)
            raise self._failed(reason)
        self._messages.put((method, arguments))

    def _deliver(self) -> None:
        """The thread: until there is nothing more to tell, or its process is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            while (message := self._messages.get()) is not None:
                pipe.write(pickle.dumps(message))
                pipe.flush()

    def _reason(self) -> str:
        """Why the process failed, in its own words if it had time for some; "" if it did not."""
        os.set_blocking(self._status, False)
        try:
            told = os.read(self._status, 1 << 16).decode(errors="replace")
        except BlockingIOError:  # a process that it has left behind holds the pipe
            told = ""
        code = self._process.returncode
        return told or ("" if code == 0 else f"its process ended with {code}")

    def _failed(self, reason: str) -> WriterFailedError:
        plugin = self._plugin
        return WriterFailedError(f"the writer {plugin.name!r} of {plugin.origin} failed: {reason}")


def serve(runner: int, status: int) -> None:
    """Read calls from standard input and make them; ends with the pipe.

    Args:
        runner: the process that tells, with which this one dies.
        status: an open file for the one sentence that says what failed.
    """
    system.die_with_parent(runner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, which has an end to tell of
    os.set_inheritable(status, False)
    calls = os.fdopen(os.dup(0), "rb")
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    _, (plugin, target, cwd) = pickle.load(calls)  # noqa: S301 - the runner's own
    if target != STDOUT:
        os.dup2(2, 1)
    method = "its constructor"
    try:
        writer: Writer = load_plugin(plugin)(target, cwd)
        with contextlib.suppress(EOFError):
            while True:
                method, arguments = pickle.load(calls)  # noqa: S301
                # A class of its own need not have all methods.
                getattr(writer, method, lambda *_: None)(*arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code
        os.write(status, _sentence(error, method).encode(errors="replace"))
        _leave(1)
    _leave(0)


def _sentence(error: BaseException, method: str) -> str:
    told = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        told = f"{type(error).__name__}: {error.msg}"
        return f"{told} in {method} ({error.filename}:{error.lineno})"
    return f"{told} in {method}{where_raised(error)}"


def _redirect(opened: int, stream: int) -> None:
    os.dup2(opened, stream)
    os.close(opened)


def _leave(code: int) -> None:
    """End at once: threads that the writer has left running are not waited for."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
