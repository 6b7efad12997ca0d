"""Inside the process of the unit `tests`: runs the group's test functions and callbacks.

The runner never imports code of the group. It starts `serve` as an entrypoint, which connects back
to the runner's socket and does what it is told, one JSON line per request and answer:

    {"call": "list", "modules": ["test_case"]}
        -> {"tests": [{"module", "name", "priority", "parallelize"}],
            "callbacks": {"validate_test": "test_case", "tests_results": "test_case"}}
    {"call": "test", "module": "test_case", "name": "test_x"}
        -> {"passed", "duration_s", "message", "traceback", "skipped"}
    {"call": "callback", "module", "name", "argument"} -> the same
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from testrium.errors import SkipTest
from testrium.probe.waiting import connected

CONTROL = "TESTRIUM_CONTROL"

#: Characters of a value that is told.
_LONGEST_VALUE = 200

CALLBACKS = ("validate_test", "tests_results")


def serve() -> None:
    """The entrypoint: answer the runner until it hangs up."""
    with connected(os.environ[CONTROL]) as wire:
        lines = wire.makefile("r", encoding="utf-8")
        for line in lines:
            answer = _answer(json.loads(line))
            wire.sendall(json.dumps(answer, default=str).encode() + b"\n")


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["call"] == "list":
        return _listing([importlib.import_module(name) for name in request["modules"]])
    function = getattr(importlib.import_module(request["module"]), request["name"])
    if request["call"] == "test":
        return _timed(function, (), _test_problem)
    return _timed(function, (request["argument"],), _callback_problem)


def _listing(modules: list[ModuleType]) -> dict[str, Any]:
    """The test functions in the order in which they run: by priority, then as defined.

    One that a module has imported from another of them is that one's.
    """
    names = {module.__name__ for module in modules}
    tests = [
        {
            "module": module.__name__,
            "name": name,
            "priority": getattr(value, "testrium_priority", 0),
            "parallelize": getattr(value, "testrium_parallelize", False),
        }
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("test_")
        and inspect.isroutine(value)
        and name != "test_config"
        and getattr(value, "__module__", None) not in names - {module.__name__}
    ]
    return {
        "tests": sorted(tests, key=lambda test: int(test["priority"])),
        "callbacks": {
            name: module.__name__
            for module in reversed(modules)
            for name in CALLBACKS
            if callable(getattr(module, name, None))
        },
    }


def _timed(
    function: Callable[..., Any], arguments: tuple[Any, ...], problem: Callable[[object], str]
) -> dict[str, Any]:
    """Call it; `problem` says what is wrong with the value that it returned, or nothing."""
    started = time.perf_counter()
    message = trace = ""
    passed, skipped = True, False
    try:
        value = function(*arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        message = problem(value)
        passed = not message
    except SkipTest as reason:
        message, skipped = str(reason) or "skipped", True
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code: what it raises is a result
        passed = False
        if _is_skip_of_unittest(error):
            return _answer_of(started, str(error) or "skipped", passed=True, skipped=True)
        message = "".join(traceback.format_exception_only(error)).strip()
        trace = "".join(traceback.format_exception(error.with_traceback(_own_frames(error))))
        sys.stderr.write(trace)
        sys.stderr.flush()
    return _answer_of(started, message, trace, passed=passed, skipped=skipped)


def _answer_of(
    started: float, message: str, trace: str = "", *, passed: bool, skipped: bool
) -> dict[str, Any]:
    return {
        "passed": passed,
        "duration_s": time.perf_counter() - started,
        "message": message,
        "traceback": trace,
        "skipped": skipped,
    }


def _is_skip_of_unittest(error: BaseException) -> bool:
    """Whether it is a `unittest.SkipTest`, which would cost 50 ms to import."""
    return any(
        (kind.__module__, kind.__name__) == ("unittest.case", "SkipTest")
        for kind in type(error).__mro__
    )


def _test_problem(value: object) -> str:
    """A test that returns something has most likely forgotten an `assert`."""
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return "is a generator: its body was not run (it contains `yield`)"
    if value is None or value is True:
        return ""
    return f"returned {repr(value)[:_LONGEST_VALUE]}: a test passes when it returns None or True"


def _callback_problem(value: object) -> str:
    return "" if value is None or value else f"returned {value!r}"


def _own_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
