"""Inside the process of the unit `tests`: runs the group's test functions and callbacks.

The runner never imports code of the group. It starts `serve` as an entrypoint, which connects back
to the runner's socket and answers requests, one JSON line per request and answer:

    {"call": "list", "modules": ["test_case"]}
        -> {"tests": [fields of `run.tests.TestFunction`],
            "callbacks": {"validate_test": "test_case", "tests_results": "test_case"}}
    {"call": "test", "module": "test_case", "name": "test_x"}
        -> fields of `evidence.TestResult`
    {"call": "callback", "module", "name", "argument"} -> the same
"""

from __future__ import annotations

import asyncio
import dis
import importlib
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType, TracebackType
from typing import Any

from testrium.errors import AbortGroup, SkipTest
from testrium.probe.waiting import connected

CONTROL = "TESTRIUM_CONTROL"

#: Characters of a value that is shown.
_LONGEST_VALUE = 200

_ASSERTS_NOTHING = "asserts nothing: it fails only when it raises an exception"

#: How much of what a failed test has printed is shown: its end (bytes).
_MOST_OUTPUT = 8_000

#: The group's folder, with a slash behind it.
_folder = ""

CALLBACKS = ("validate_test", "tests_results")


class CurrentTest:
    """What the test function that runs now has said so far, by functions of `testrium.testing`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inspections: list[str] = []
        self.failures: list[BaseException] = []
        self.attachments: list[str] = []


#: Set while a test function or a callback runs. A process runs one at a time.
current: CurrentTest | None = None


def serve() -> None:
    """The entrypoint: answer the runner until it hangs up."""
    _begin_in(os.getcwd())  # noqa: PTH109 - as text
    with connected(os.environ[CONTROL]) as wire:
        lines = wire.makefile("r", encoding="utf-8")
        for line in lines:
            answer = _answer(json.loads(line))
            wire.sendall(json.dumps(answer, default=str).encode() + b"\n")


def repeat(folder: str, modules: list[str]) -> list[dict[str, Any]]:
    """Call what is marked with `testing.verification` again, in this process.

    Returns:
        Fields of `evidence.TestResult` for each.
    """
    _begin_in(folder)
    found = [importlib.import_module(name) for name in modules]
    marked = [test for test in _listing(found)["tests"] if test["verification"]]
    return [
        {
            **_answer({"call": "test", **test}),
            "name": place_of(test["module"], test["name"], marked),
        }
        for test in marked
    ]


def _begin_in(folder: str) -> None:
    global _folder  # noqa: PLW0603 - a process belongs to one group
    _folder = os.path.join(folder, "")  # noqa: PTH118 - as text


def place_of(module: str, name: str, tests: Iterable[Mapping[str, Any]]) -> str:
    """The name of a test, with its module where another one has a test of that name."""
    others = [test for test in tests if test["name"] == name]
    return name if len(others) == 1 else f"{module}:{name}"


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["call"] == "list":
        return _listing([importlib.import_module(name) for name in request["modules"]])
    function = getattr(importlib.import_module(request["module"]), request["name"])
    if request["call"] == "test":
        answer = _timed(request["name"], function, (), _test_problem)
        if answer["passed"] and not answer["skipped"] and not _asserts(function):
            answer["remarks"].append(("test", _ASSERTS_NOTHING))
        return answer
    return _timed(request["name"], function, (request["argument"],), _callback_problem)


def _listing(modules: list[ModuleType]) -> dict[str, Any]:
    """The test functions in the order in which they run: by priority, then as defined.

    One that a module has imported from another of them is that one's.
    """
    from testrium.tracebacks import place_of_function

    names = {module.__name__ for module in modules}
    tests = [
        {
            "module": module.__name__,
            "name": name,
            "priority": getattr(value, "testrium_priority", 0),
            "parallelize": getattr(value, "testrium_parallelize", False),
            "verification": getattr(value, "testrium_verification", False),
            **dict(zip(("file", "line"), place_of_function(value), strict=True)),
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
    name: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    problem: Callable[[object], str],
) -> dict[str, Any]:
    """Call it; `problem` says what is wrong with the value that it returned, or nothing."""
    global current  # noqa: PLW0603 - functions of `testrium.testing` find it here
    said = current = CurrentTest(name)
    written = _Written()
    started = time.perf_counter()
    answer: dict[str, Any] = {"passed": True, "skipped": False, "message": "", "traceback": ""}
    failures = said.failures
    ended: list[BaseException] = []
    try:
        value = function(*arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        answer["message"] = problem(value)
        answer["passed"] = not answer["message"]
    except SkipTest as reason:
        answer |= {"skipped": True, "message": str(reason) or "skipped"}
    except AbortGroup as reason:
        answer |= {"passed": False, "aborted": True, "message": str(reason) or "aborted"}
        ended = [reason]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code: what it raises is a result
        if _is_skip_of_unittest(error):
            answer |= {"skipped": True, "message": str(error) or "skipped"}
        else:
            failures.append(error)
    answer["duration_s"] = time.perf_counter() - started
    current = None
    if failures and not answer.get("aborted"):
        answer |= {"passed": False, "skipped": False, **_told_failures(failures)}
    place = _line_of(function, ended or failures)
    if not answer["passed"]:
        answer["output"] = written.end()
    if answer["traceback"]:
        sys.stderr.write(answer["traceback"])
        sys.stderr.flush()
    return answer | {
        "file": place[0],
        "line": place[1],
        "attachments": said.attachments,
        "remarks": [("inspect", reason) for reason in said.inspections],
    }


def _told_failures(failures: list[BaseException]) -> dict[str, str]:
    """What was raised, together, in words and as tracebacks."""
    for error in failures:
        error.__traceback__ = _own_frames(error)
        if isinstance(error, AssertionError):
            from testrium.tracebacks import add_asserted_values

            add_asserted_values(error)
    texts = ["".join(traceback.format_exception_only(error)).strip() for error in failures]
    message = texts[0]
    if len(texts) > 1:
        numbered = (
            f"{number}. " + text.replace("\n", "\n   ") for number, text in enumerate(texts, 1)
        )
        message = "\n".join((f"{len(texts)} failures:", *numbered))
    traces = ("".join(traceback.format_exception(error)) for error in failures)
    return {"message": message, "traceback": "\n".join(traces)}


def _line_of(function: Callable[..., Any], failures: list[BaseException]) -> tuple[str, int | None]:
    """File and line of the first failure in the group's code, else of the function."""
    from testrium.tracebacks import own_place, place_of_function

    failed = own_place(failures[0], _folder) if failures else None
    return failed or place_of_function(function)


class _Written:
    """What this process and those below it write to its output from now on."""

    def __init__(self) -> None:
        self._begun = {fd: self._size(fd) for fd in (1, 2)}

    def end(self) -> str:
        """The last of it, stdout first; "" where the output is not a readable file."""
        sys.stdout.flush()
        sys.stderr.flush()
        parts = []
        for fd, begin in self._begun.items():
            size = self._size(fd)
            try:
                with open(f"/dev/fd/{fd}", "rb") as file:  # noqa: PTH123 - no path to speak of
                    file.seek(max(begin, size - _MOST_OUTPUT))
                    parts.append(file.read(size - begin if size > begin else 0))
            except OSError:  # a pipe, or another process's file
                continue
        return b"".join(parts)[-_MOST_OUTPUT:].decode("utf-8", "backslashreplace")

    @staticmethod
    def _size(fd: int) -> int:
        return os.fstat(fd).st_size


#: Where a name like these is used, something is looked at, or put to a circuit that is judged.
_ASSERTING = (
    "assert", "check", "expect", "verif", "ensure", "must", "should", "raise", "fail", "wait",
    "inspect", "probe", "send", "receive", "run", "collect", "extract", "metric",
)  # fmt: skip


def _asserts(function: Callable[..., Any]) -> bool:
    """Whether a test could fail in another way than by an error on its way, as its code shows."""
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType) or _may_return_failure(plain.__code__):
        return True
    codes, seen = [plain.__code__], set[CodeType]()
    while codes:
        code = codes.pop()
        if code in seen:
            continue
        seen.add(code)
        if any(step.opname == "RAISE_VARARGS" for step in dis.get_instructions(code)):
            return True
        for name in code.co_names:
            value = plain.__globals__.get(name)
            if any(word in name.lower() for word in _ASSERTING):
                return True
            if isinstance(value, FunctionType):
                if value.__module__.startswith("testrium."):
                    return True
                if value.__globals__ is plain.__globals__ or _is_ours(value):
                    codes.append(value.__code__)
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
    return False


def _may_return_failure(code: CodeType) -> bool:
    """Whether it returns something that is not certainly None or True."""
    before: dis.Instruction | None = None
    for step in dis.get_instructions(code):
        if step.opname in ("RETURN_VALUE", "RETURN_CONST"):
            value = step if step.opname == "RETURN_CONST" else before
            if step.is_jump_target or value is None or "CONST" not in value.opname:
                return True
            if value.argval is not None and value.argval is not True:
                return True
        before = step
    return False


def _is_ours(function: FunctionType) -> bool:
    """Whether it is code of the group."""
    return function.__code__.co_filename.startswith(_folder)


def _is_skip_of_unittest(error: BaseException) -> bool:
    """Whether it is a `unittest.SkipTest`, which would cost 50 ms to import."""
    return any(
        (kind.__module__, kind.__name__) == ("unittest.case", "SkipTest")
        for kind in type(error).__mro__
    )


def _test_problem(value: object) -> str:
    """A test that returns something has most likely forgotten an `assert`."""
    if why := _unrun(value):
        return why
    if value is None or value is True:
        return ""
    return f"returned {repr(value)[:_LONGEST_VALUE]}: a test passes when it returns None or True"


def _callback_problem(value: object) -> str:
    return _unrun(value) or ("" if value is None or value else f"returned {value!r}")


def _unrun(value: object) -> str:
    """Why a function that returned this has not run, or ""."""
    if not inspect.isgenerator(value) and not inspect.isasyncgen(value):
        return ""
    from testrium.tracebacks import why_unrun

    return why_unrun(value)


def _own_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
