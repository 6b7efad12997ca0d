"""The console script: starts the supervisor before anything else, where the command needs one."""

from __future__ import annotations

import gc
import os
import sys

from testrium.cli import heed_interrupts, raise_interrupts

_FLAGS = ("-v", "--verbose")
#: Modules that have something to do when the interpreter ends.
_AT_END = ("coverage", "multiprocessing.util")


def start() -> int:
    """Run the command line; ends the process, or returns the exit code (see `_leave`).

    Nothing that importing makes is garbage: until a run is under way (`session`) the collector
    would only look for it in vain, which is a tenth of a short command.
    """
    heed_interrupts()
    gc.disable()
    try:
        _open_standard_streams()
        if "_TESTRIUM_COMPLETE" not in os.environ and begins_run(sys.argv[1:]):
            from testrium.run.supervisor import bootstrap

            bootstrap.start_early()
        from testrium.cli.main import entry

        raise_interrupts()
        return _leave(entry())
    except KeyboardInterrupt:  # as one that others heed in their own way
        sys.stderr.write("testrium: interrupted\n")
        return 130
    except Exception as error:  # noqa: BLE001 - the outermost: told with its traceback
        if (limit := _memory_limit()) is not None:
            # Whatever imports raise then: a library that cannot be mapped, a file half read.
            sys.stderr.write(
                f"testrium: cannot start with {limit >> 20} MB of address space (RLIMIT_AS):"
                f" {type(error).__name__}; raise the limit (ulimit -v)\n"
            )
        else:
            _tell_defect()
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
    """The limit of this process's address space in bytes; None where it has none."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


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
    except (OSError, ValueError):  # nobody reads, the disk is full, or it is closed
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
