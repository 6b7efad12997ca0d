"""Inside the process of the unit `tests`: runs the group's test functions and callbacks.

The runner never imports test_case.py. It starts `serve` as an entrypoint, which connects back to
the runner's socket and does what it is told, one JSON line per request and answer:

    {"call": "list"}                        -> {"tests": [{"name", "priority", "parallelize"}],
                                                "callbacks": ["validate_test", "tests_results"]}
    {"call": "test", "name": "test_x"}      -> {"passed", "duration_s", "message", "traceback"}
    {"call": "callback", "name", "argument"} -> the same
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

from testrium.probe.waiting import connected

MODULE = "test_case"

CONTROL = "TESTRIUM_CONTROL"

CALLBACKS = ("validate_test", "tests_results")


def serve() -> None:
    """The entrypoint: answer the runner until it hangs up."""
    with connected(os.environ[CONTROL]) as wire:
        module = importlib.import_module(MODULE)
        lines = wire.makefile("r", encoding="utf-8")
        for line in lines:
            answer = _answer(module, json.loads(line))
            wire.sendall(json.dumps(answer, default=str).encode() + b"\n")


def _answer(module: ModuleType, request: dict[str, Any]) -> dict[str, Any]:
    match request["call"]:
        case "list":
            return _listing(module)
        case "test":
            return _timed(getattr(module, request["name"]), (), callback=False)
        case _:
            function = getattr(module, request["name"])
            return _timed(function, (request["argument"],), callback=True)


def _listing(module: ModuleType) -> dict[str, Any]:
    """The test functions in the order in which they run: by priority, then as defined."""
    tests = [
        {
            "name": name,
            "priority": getattr(value, "testrium_priority", 0),
            "parallelize": getattr(value, "testrium_parallelize", False),
        }
        for name, value in vars(module).items()
        if name.startswith("test_") and inspect.isroutine(value) and name != "test_config"
    ]
    return {
        "tests": sorted(tests, key=lambda test: int(test["priority"])),
        "callbacks": [name for name in CALLBACKS if callable(getattr(module, name, None))],
    }


def _timed(
    function: Callable[..., Any], arguments: tuple[Any, ...], *, callback: bool
) -> dict[str, Any]:
    started = time.perf_counter()
    message = trace = ""
    try:
        value = function(*arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        if callback and value is not None and not value:
            message = f"returned {value!r}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code: what it raises is a result
        message = "".join(traceback.format_exception_only(error)).strip()
        trace = "".join(traceback.format_exception(error.with_traceback(_own_frames(error))))
        sys.stderr.write(trace)
        sys.stderr.flush()
    return {
        "passed": not message,
        "duration_s": time.perf_counter() - started,
        "message": message,
        "traceback": trace,
    }


def _own_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
