"""Helpers for `test_*` functions, entrypoints and callbacks: checks, waits, processes, files.

Loaded at first use, so importing this costs a unit nothing:

    from testrium import testing

    server = testing.start(["./server", "--port", "0"], ready={"log": "listening"})
    port = testing.wait_for_log(server, r"listening on (\\d+)")[1]
    testing.check_log(server, lacks="ERROR")

They work outside of a run too, in plain pytest for instance.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`, without the 5 ms that importing typing takes
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from testrium.testing.asserting import (
        CheckError,
        check_absent,
        check_exists,
        check_file,
        check_json,
        check_log,
        check_that,
        check_value,
        collect,
        diff,
        extract,
        extract_all,
        normalize,
    )
    from testrium.testing.files import (
        UnpackError,
        copy,
        fill_template,
        free_port,
        free_ports,
        unpack,
        work_folder,
        write_file,
    )
    from testrium.testing.functions import (
        abort,
        attach,
        generate,
        inspect,
        skip,
        test_config,
        verification,
    )
    from testrium.testing.processes import ExitError, Process
    from testrium.testing.starting import PIPE, run, start
    from testrium.testing.waiting import (
        wait_for_exit,
        wait_for_exit_async,
        wait_for_file,
        wait_for_file_async,
        wait_for_log,
        wait_for_log_async,
        wait_for_port,
        wait_for_port_async,
        wait_for_probe,
        wait_for_probe_async,
        wait_until,
        wait_until_async,
    )
    from testrium.testing.waking import (
        ErrorLineError,
        Log,
        ProcessEndedError,
        WaitError,
        WaitTimeoutError,
    )

__all__ = [
    "PIPE",
    "CheckError",
    "ErrorLineError",
    "ExitError",
    "Log",
    "Process",
    "ProcessEndedError",
    "UnpackError",
    "WaitError",
    "WaitTimeoutError",
    "abort",
    "attach",
    "check_absent",
    "check_exists",
    "check_file",
    "check_json",
    "check_log",
    "check_that",
    "check_value",
    "collect",
    "copy",
    "diff",
    "extract",
    "extract_all",
    "fill_template",
    "free_port",
    "free_ports",
    "generate",
    "inspect",
    "normalize",
    "run",
    "skip",
    "start",
    "test_config",
    "unpack",
    "verification",
    "wait_for_exit",
    "wait_for_exit_async",
    "wait_for_file",
    "wait_for_file_async",
    "wait_for_log",
    "wait_for_log_async",
    "wait_for_port",
    "wait_for_port_async",
    "wait_for_probe",
    "wait_for_probe_async",
    "wait_until",
    "wait_until_async",
    "work_folder",
    "write_file",
]


def _homes() -> Iterator[ModuleType]:
    """The modules; each imports those before it, and comes only where they lack what is wanted."""
    from testrium.testing import functions

    yield functions
    from testrium.testing import files

    yield files
    from testrium.testing import waking

    yield waking
    from testrium.testing import processes

    yield processes
    from testrium.testing import waiting

    yield waiting
    from testrium.testing import starting

    yield starting
    from testrium.testing import asserting

    yield asserting


def __getattr__(name: str) -> object:
    """Import the module that has `name`, and what that needs."""
    if name in __all__:
        for home in _homes():
            if name in vars(home):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
