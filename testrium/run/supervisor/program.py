"""Run a Python entrypoint as if it were a script, in a process that is already the unit's own.

What a script would do at its end happens here too: the traceback, the exit code, threads joined,
atexit handlers called, files flushed. Uncaught exceptions become Exception events, taken from the
interpreter: main thread, threads, asyncio tasks.

A spawned unit (`spawn`) begins in `run_spawned_unit`, a forked one in `fork`.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import faulthandler
import gc
import importlib
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from testrium.probe.environment import DEBUG
from testrium.run.supervisor.protocol import Launch, Message, encoded
from testrium.system.files import open_regular

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pdb import Pdb
    from types import ModuleType, TracebackType

#: The root logger's level for each mode. EXCEPT: only what went wrong.
LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "EXCEPT": logging.ERROR,
}

#: Where a crash begins in the stacks file.
CRASH = "Fatal Python error: "

# Where the frames are that every call of user code begins with.
_FOREIGN = (
    __file__,
    importlib.__file__,
    "<frozen importlib",
    os.path.join(os.path.dirname(os.__file__), "asyncio", ""),  # noqa: PTH118, PTH120 - as text
    threading.__file__,
)


def prepare(launch: Launch, stacks_fd: int) -> None:
    """Make the interpreter look as if it had been started for this unit.

    `stacks_fd` is the open file that gets the stacks in a crash.
    """
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    # Lines are written when they are complete: log probes and the people who debug wait for them.
    sys.stdout = _text_stream(1)
    sys.stderr = _text_stream(2)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    gc.enable()
    logging.getLogger().setLevel(LEVELS.get(launch.mode, logging.DEBUG))
    faulthandler.enable(stacks_fd)  # the keeper passes on to stderr what is of interest
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: faulthandler.enable(2))
    if "COVERAGE_PROCESS_START" in launch.env and "TESTRIUM_COVERAGE" in launch.env:
        import coverage

        coverage.process_startup()  # nothing where the interpreter did so when it started
    threading.excepthook = _thread_died
    if "PYTHONBREAKPOINT" not in launch.env:
        sys.breakpointhook = _breakpoint
    sys.meta_path.insert(0, _AsyncioFinder())
    _import_from(launch.folder, launch.env.get("PYTHONPATH", ""))


def _breakpoint() -> None:
    """`breakpoint()`: the debugger at the runner's terminal, which `--debug` gives it."""
    files = os.environ.get(DEBUG, "")
    if not files:
        raise RuntimeError("breakpoint() needs `testrium run --debug`")
    global _debugger  # noqa: PLW0603 - it keeps its commands and breakpoints
    if _debugger is None:
        import pdb

        reading, writing = files.split("\n")
        _debugger = pdb.Pdb(
            stdin=_Lines(reading),  # type: ignore[arg-type] # no more than `readline` is used
            stdout=open(writing, "a", encoding="utf-8"),  # noqa: SIM115, PTH123 - open to the end
            nosigint=True,  # Ctrl-C is the runner's
        )
        _debugger.use_rawinput = False
    _debugger.set_trace(sys._getframe(1))  # noqa: SLF001 - as the hook of Python does


class _Lines:
    """Lines of a file, none of them read ahead: the next ones may be for another process."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, PTH123 - open to the end

    def readline(self) -> str:
        return self._file.readline().decode(errors="replace")


_debugger: Pdb | None = None

#: Units that sys.exit() ends well; a suite would leave out the tests that were to come.
_MAY_EXIT = ("setup", "teardown")


def run(launch: Launch) -> NoReturn:
    """Call the entrypoint and end the process as a script ends; does not return."""
    assert launch.entrypoint is not None
    module_name, _, function_name = launch.entrypoint.partition(":")
    sys.argv = [module_name]
    concluded = os.environ.pop("TESTRIUM_CONCLUDED", None)  # not for the processes below this one
    code, done, pid = 0, False, os.getpid()
    try:
        function: Any = importlib.import_module(module_name)
        for name in function_name.split("."):
            function = getattr(function, name)
        _call(function)
        done = True
    except SystemExit as error:
        code = _exit_code(error)
        done = launch.unit in _MAY_EXIT
    except KeyboardInterrupt as error:
        sys.excepthook(type(error), error, _own_frames(error.__traceback__))
        code = -signal.SIGINT
    except BaseException as error:  # noqa: BLE001 - user code; nothing may reach the keeper's frames
        error.__traceback__ = _own_frames(error.__traceback__)
        _emit(error, "main")
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    if concluded is not None and done and os.getpid() == pid:  # not of a child that was forked
        os.close(os.open(concluded, os.O_WRONLY | os.O_CREAT, 0o600))
    _leave(code)


def readable_stacks(text: str) -> str:
    """A dump without the frames that every unit has below its own, and without threads of ours."""
    threads = (_without_own_frames(thread) for thread in text.split("\n\n"))
    return "\n\n".join(thread for thread in threads if thread) + "\n"


def _without_own_frames(thread: str) -> str:
    # This file's: the frames that call user code, and the thread that writes the stacks.
    thread, own, _ = thread.partition(f'  File "{__file__}"')
    if own and len(thread.splitlines()) == 1:
        return ""
    return thread.rstrip("\n")


def _text_stream(fd: int) -> io.TextIOWrapper:
    raw = open(fd, "wb", closefd=False)  # noqa: SIM115 - it lives as long as the process
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)


def _import_from(folder: Path, python_path: str) -> None:
    """Import from the group's folder first, as from the folder of a script, then PYTHONPATH."""
    added = [str(folder), *(entry for entry in python_path.split(os.pathsep) if entry)]
    sys.path[:] = [*added, *(entry for entry in sys.path if entry not in added)]
    # This interpreter has imported more than a fresh one: a module of the group that is called
    # like one of the standard library (queue.py) must still be found.
    own = {entry.name.removesuffix(".py") for entry in os.scandir(folder)}
    for name in own.intersection(sys.modules):
        spec = sys.modules[name].__spec__
        if spec is not None and spec.origin not in ("built-in", "frozen") and name != "testrium":
            del sys.modules[name]


def _call(function: Callable[[], object]) -> None:
    returned = os.environ.pop("TESTRIUM_RETURNED", None)  # processes below this one must not see it
    result = function()
    if isinstance(result, Coroutine):
        import asyncio

        result = asyncio.run(result)
    if isinstance(result, Generator | AsyncGenerator):
        from testrium.tracebacks import why_unrun

        raise TypeError(why_unrun(result))
    if returned is not None:
        _tell_returned(returned, result)
    gc.collect()  # a task that died and is part of a cycle speaks up only when it is collected


def _tell_returned(step: str, values: object) -> None:
    """Emit the probe whose metadata are the values of a fixture.

    Raises TypeError for what is not a dictionary, or holds what metadata cannot.
    """
    if values is not None and not isinstance(values, dict):
        kind = type(values).__name__
        raise TypeError(f"the function of a fixture returns a dict of values or None, not {kind}")
    import testrium.probe

    testrium.probe.unit().emit(step, "Default", None, (), values or {})


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_FOREIGN):
            break
        trace = trace.tb_next
    return trace


def _emit(error: BaseException, uncaught: str) -> None:
    """Store the exception as an event; where that fails, the traceback on stderr must do."""
    import testrium.probe

    try:
        testrium.probe.unit().exception(error, uncaught=uncaught)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as failure:
        sys.stderr.write(f"testrium: the exception could not be stored: {failure}\n")


def _thread_died(died: threading.ExceptHookArgs) -> None:
    error = died.exc_value
    if error is None or isinstance(error, SystemExit):
        return
    trace = _own_frames(died.exc_traceback)
    _emit(error.with_traceback(trace), "thread")
    threading.__excepthook__(threading.ExceptHookArgs((died.exc_type, error, trace, died.thread)))


class _AsyncioFinder:
    """Reports unhandled errors of tasks as soon as asyncio is imported.

    Importing it in advance, to change it, would cost every unit's start: 50 ms of a core.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name != "asyncio.base_events":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _listen_to(module.BaseEventLoop)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 - a method, to mypy
        return spec


def _listen_to(event_loop: Any) -> None:
    complain = event_loop.default_exception_handler

    def complain_and_emit(loop: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            _emit(error, "task")
        complain(loop, context)

    event_loop.default_exception_handler = complain_and_emit


def _leave(code: int) -> NoReturn:
    """End the process: what Py_FinalizeEx does for a script, without tearing down every module.

    `multiprocessing` ends its children with `os._exit`; full finalization costs 9 ms a unit.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - joins threads; no public way
    except KeyboardInterrupt:
        code = -signal.SIGINT
    atexit._run_exitfuncs()  # noqa: SLF001 - the same: the interpreter calls it where we leave it out
    _flush_files()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


# Text first: it is buffered twice.
_BUFFERED = (io.TextIOWrapper, io.BufferedRandom, io.BufferedWriter)


def _flush_files() -> None:
    """Flush the files that the program has left open."""
    files = [thing for thing in gc.get_objects() if type(thing) in _BUFFERED]
    for kind in _BUFFERED:
        for file in files:
            # A full disk, a closed pipe: the text cannot be delivered.
            if type(file) is kind and not file.closed:
                with contextlib.suppress(OSError, ValueError):
                    file.flush()


class MachineError(Exception):
    """The fault is not the unit's."""


def open_private(path: Path) -> int:
    """Open a file for appending that only its owner may read. Raises MachineError."""
    try:
        return open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}") from error


def explain(error: OSError, launch: Launch) -> str:
    """Why the launch could not be done, as its description has it."""
    if not launch.cwd.is_dir():
        return f"cannot start in {launch.cwd}: no such folder"
    if launch.command is None:
        return f"cannot start {launch.entrypoint}: {error.strerror}"
    program = launch.command[0]
    match error:
        case FileNotFoundError() | NotADirectoryError() if "/" not in program:
            reason = "no such program on PATH"
        case FileNotFoundError() if (launch.cwd / program).exists():
            reason = "the interpreter in its first line does not exist"
        case FileNotFoundError():
            reason = "no such file"
        case PermissionError():
            reason = "it is not an executable file"
        case _:
            reason = error.strerror or str(error)
    return f"cannot start {program!r}: {reason}"


# Digits of the length that goes before a launch: what follows it must stay in the pipe.
_DIGITS = 10


def framed(message: Message) -> bytes:
    """A launch as `main` reads it."""
    line = encoded(message)
    return b"%0*d" % (_DIGITS, len(line)) + line


def run_spawned_unit() -> NoReturn:
    """Read the launch from standard input and become that unit."""
    launch = Launch.from_message(json.loads(_read(int(_read(_DIGITS)))))
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    stacks_fd = open_private(launch.stacks)
    prepare(launch, stacks_fd)
    # Not of `threading`: the unit's own threads are what it counts, and what it waits for.
    _thread.start_new_thread(_listen, (pipe, stacks_fd))
    run(launch)


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            os._exit(0)  # the supervisor is gone
        data += part
    return data


def _listen(pipe: int, stacks_fd: int) -> None:
    """Write the stacks when they are asked for; end with the supervisor, however that ends."""
    while os.read(pipe, 1):
        faulthandler.dump_traceback(stacks_fd, all_threads=True)
        os.write(stacks_fd, b"\n\n")
    os._exit(1)
