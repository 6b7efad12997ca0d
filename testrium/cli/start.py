"""The console script: starts the supervisor before anything else, where the command needs one."""

from __future__ import annotations

import errno
import gc
import os
import sys

from testrium.cli import catch_interrupts, raise_interrupts

_FLAGS = ("-v", "--verbose")
#: Of address space: with less imports, threads and SQLite fail at random places of a run.
_LEAST_MEMORY = 80 << 20
#: So close to the limit an error may be its doing.
_NEAR = 16 << 20
#: Modules that have something to do when the interpreter ends.
_AT_END = ("coverage", "multiprocessing.util")


def start() -> int:
    """Run the command line; ends the process, or returns the exit code (see `_leave`).

    Nothing that importing makes is garbage: until a run is under way (`session`) the collector
    would only look for it in vain, which is a tenth of a short command.
    """
    catch_interrupts()
    gc.disable()
    try:
        _open_standard_streams()
        if "_TESTRIUM_COMPLETE" not in os.environ and begins_run(sys.argv[1:]):
            if (limit := _memory_limit()) is not None and limit < _LEAST_MEMORY:
                return _tell_memory(limit, f"a run needs {_LEAST_MEMORY >> 20} MB or more")
            from testrium.run.supervisor import bootstrap

            bootstrap.start_early()
        from testrium.cli.main import entry

        raise_interrupts()
        return _leave(entry())
    except KeyboardInterrupt:  # as one that others heed in their own way
        sys.stderr.write("testrium: interrupted\n")
        return 130
    except Exception as error:  # noqa: BLE001 - the outermost: told with its traceback
        if (limit := _memory_limit()) is not None and _lacks_memory(error, limit):
            return _tell_memory(limit, type(error).__name__)
        _tell_defect()
        return 5


def _tell_memory(limit: int, reason: str) -> int:
    sys.stderr.write(
        f"testrium: cannot work with {limit >> 20} MB of address space (RLIMIT_AS):"
        f" {reason}; raise the limit (ulimit -v)\n"
    )
    return 5


def _tell_defect() -> None:
    """Print the exception that nothing expected.

    Python itself would end with 1, which says that a group failed.
    """
    import traceback

    traceback.print_exc()
    sys.stderr.write(
        "testrium: this is a defect in Testrium, not in what it tests;"
        " please report it with the traceback above\n"
    )


def _memory_limit() -> int | None:
    """The limit of this process's address space in bytes; None where it has none.

    Read from the kernel's own words: `resource` costs half a millisecond, and memory.
    """
    return _of_kernel("/proc/self/limits", b"Max address space")


def _lacks_memory(error: BaseException, limit: int) -> bool:
    """Whether it is the limit that has caused an error, and no defect.

    Near the limit imports raise anything: a library that cannot be mapped, a file half read.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return True
        cause = cause.__cause__ or cause.__context__
    most = _of_kernel("/proc/self/status", b"VmPeak:")
    return most is not None and limit - (most << 10) < _NEAR


def _of_kernel(path: str, name: bytes) -> int | None:
    """The first number behind a name in a file of the kernel; None where there is none."""
    try:
        with open(path, "rb", 0) as file:  # noqa: PTH123
            content = file.read(8192)
    except (OSError, MemoryError):
        return None
    words = content.partition(name)[2].split(None, 1)
    return int(words[0]) if words and words[0].isdigit() else None


def _leave(code: int) -> int:
    """End this process at once: all is closed, and taking the interpreter apart takes 8 ms.

    A debugger, a measurement of coverage, and multiprocessing, which complains about what is left,
    have their work at the end still before them: then, and where what was printed cannot be
    delivered, this returns the code, for an end as usual.
    """
    if sys.gettrace() is not None or not sys.modules.keys().isdisjoint(_AT_END):
        return code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # its reader is gone, the disk is full, or it is closed
        return code
    os._exit(code)


def _open_standard_streams() -> None:
    """Open closed standard streams (`>&-`) on the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def begins_run(arguments: list[str]) -> bool:
    """Whether these arguments mean `testrium run` (which is also what no command means).

    A guess that saves time: wrong only costs a process that ends again at once.
    """
    words = iter(arguments)
    for word in words:
        if word == "--less":
            next(words, None)
        elif not word.startswith("--less=") and word not in _FLAGS:
            return word == "run"
    return True
