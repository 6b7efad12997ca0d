"""The runner's side of setup.py, test functions, callbacks and teardown.py.

All of it runs in processes of the group, as the units `setup`, `tests` and `teardown`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from testrium.declared.groups import Group
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, TestResult
from testrium.loaded_by_name import TEST_FUNCTIONS
from testrium.record.listening import Streams, awaiting_connection
from testrium.run.context import GroupContext
from testrium.run.test_runner import CONTROL, place_of
from testrium.run.unit import RunningUnit

# What a test raises, with its traceback, is one line.
_LONGEST_LINE = 16 * 2**20

#: How long teardown.py may take, whatever happened before.
TEARDOWN_LIMIT_S = 30.0


def setup_unit(group: Group) -> Unit:
    return _reserved("setup", "setup:main", None, group.shared_env)


def teardown_unit(group: Group) -> Unit:
    timeout_s = min(group.timeout_s, TEARDOWN_LIMIT_S)
    return _reserved("teardown", "teardown:main", timeout_s, group.shared_env)


def reset_unit(group: Group, reset: str) -> Unit:
    """What brings services back to where they began. It is of `setup`, which is over by then."""
    return _reserved("setup", reset, group.timeout_s, group.shared_env)


def _reserved(name: str, entrypoint: str, timeout_s: float | None, env: Mapping[str, str]) -> Unit:
    return Unit(
        name=name,
        init=0,
        file=f"{name}.py",
        entrypoint=entrypoint,
        timeout_s=timeout_s,
        quiet=True,
        stop="runner",  # the group's deadline is not theirs
        in_except="Resume",
        env=env,
    )


async def run_to_end(running: RunningUnit) -> End:
    """Run a reserved unit once; returns its final end."""
    running.finish(await running.run_once())
    await running.cleared()
    assert running.end is not None
    return running.end


class TestFunction(NamedTuple):
    """A `test_*` function as its process describes it."""

    module: str
    name: str
    priority: int
    parallelize: bool
    verification: bool = False
    file: str = ""
    line: int | None = None


TestFunction.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


class TestProcess:
    """A process of the unit `tests` and the line to it."""

    __test__ = False

    def __init__(self, running: RunningUnit, life: asyncio.Task[End]) -> None:
        self.running = running
        self.life = life
        self._streams: Streams | None = None

    async def ask(self, request: Mapping[str, Any], limit_s: float) -> dict[str, Any] | None:
        """The answer, or None when the process ended or took longer than `limit_s` seconds."""
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(json.dumps(request).encode() + b"\n")
        answer = asyncio.ensure_future(reader.readline())
        await asyncio.wait({answer, self.life}, timeout=limit_s, return_when="FIRST_COMPLETED")
        if not answer.done() and self.life.done():
            await asyncio.wait({answer}, timeout=0)
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            line = answer.result()
            if line.endswith(b"\n"):
                return json.loads(line)  # type: ignore[no-any-return]
            await asyncio.wait({self.life}, timeout=limit_s)  # it has closed its end: it dies
        answer.cancel()
        return None

    async def close(self) -> End:
        """Hang up and wait for the end of the process."""
        if self._streams is not None:
            self._streams[1].close()
        return await self.life

    async def connected(self, streams: asyncio.Future[Streams]) -> bool:
        """Whether it has connected, and not ended before."""
        either: set[asyncio.Future[Any]] = {streams, self.life}
        await asyncio.wait(either, return_when="FIRST_COMPLETED")
        if not streams.done():
            return False
        self._streams = streams.result()
        return True


class Tests:
    """The test functions and callbacks of a group: started with the first use, ended by `close`."""

    __test__ = False

    def __init__(self, context: GroupContext, sockets: Path) -> None:
        self.results: list[TestResult] = []
        self.ends: list[End] = []
        self._context = context
        self._sockets = sockets
        self._count = 0
        self._main: TestProcess | None = None
        self._callbacks: dict[str, str] = {}  # and the modules that they are in
        self._functions: list[TestFunction] = []
        self._modules = context.scenario.group.test_modules
        self._limit_s = context.scenario.group.timeout_s

    async def run(self) -> None:
        """Run all test functions, each followed by `validate_test`.

        Sorted by priority; neighbours of one priority that are `parallelize` run side by side in
        processes of their own.
        """
        if not await self.open():
            return
        assert self._main is not None
        for (_, parallel), batch in groupby(self._functions, lambda f: (f.priority, f.parallelize)):
            if parallel:
                results = await asyncio.gather(*(self._run_apart(each) for each in batch))
                for result in results:
                    await self._keep(result)
            else:
                for function in batch:
                    await self._keep(await self._run_in(self._main, function))
                    if self.aborted:
                        return
            if self.aborted:
                return

    @property
    def aborted(self) -> bool:
        """Whether a test function has asked for the end of the group."""
        return any(result.aborted for result in self.results)

    async def open(self) -> bool:
        """Start the process and ask what there is; False when it died."""
        if self._main is None:
            self._main = await self._started()
            listing = (
                await self._main.ask({"call": "list", "modules": self._modules}, self._limit_s)
                if self._main
                else None
            )
            if listing is None:
                return False
            self._callbacks = listing["callbacks"]
            self._functions = [TestFunction(**test) for test in listing["tests"]]
        return True

    async def conclude(self, data: Mapping[str, Any]) -> None:
        """Call `tests_results(data)`; there must be one (`wants_results`)."""
        await self._callback("tests_results", dict(data), "tests_results")

    @property
    def wants_results(self) -> bool:
        return "tests_results" in self._callbacks

    async def close(self) -> None:
        if self._main is not None:
            self.ends.append(await self._main.close())
            self._main = None

    async def _keep(self, result: TestResult) -> None:
        if not result.file:  # it ended with its process, which did not tell
            [function] = [one for one in self._functions if self._place(one) == result.name]
            result = result._replace(file=function.file, line=function.line)
        self.results.append(result)
        if "validate_test" in self._callbacks and not result.aborted:
            await self._callback("validate_test", result.name, result.name)

    async def _callback(self, name: str, argument: Any, where: str) -> None:
        assert self._main is not None
        module = self._callbacks[name]
        request = {"call": "callback", "module": module, "name": name, "argument": argument}
        answer = await self._main.ask(request, self._limit_s)
        result = self._result(where, answer, self._main)
        if result.passed:
            return
        told = result.message if name == where else f"{name}: {result.message}"
        failed = result._replace(message=told)
        if self.results and self.results[-1].name == where:  # it rejects this test: one result
            failed = _together(self.results.pop(), failed)
        self.results.append(failed)

    async def _run_in(self, process: TestProcess, function: TestFunction) -> TestResult:
        where = self._place(function)
        if process.life.done():
            how = _ended(process.life.result())
            return TestResult(where, False, 0.0, f"did not run: the test process had {how}")
        request = {"call": "test", "module": function.module, "name": function.name}
        answer = await process.ask(request, self._limit_s)
        if answer is None:
            process.running.stop(EndCause.TIMEOUT)
        return self._result(where, answer, process)._replace(verification=function.verification)

    def _place(self, function: TestFunction) -> str:
        functions = [each._asdict() for each in self._functions]
        return place_of(function.module, function.name, functions)

    async def _run_apart(self, function: TestFunction) -> TestResult:
        where = self._place(function)
        process = await self._started()
        if process is None:
            return TestResult(where, False, 0.0, "the process of the test did not start")
        result = await self._run_in(process, function)
        self.ends.append(await process.close())
        return result

    def _result(
        self, where: str, answer: dict[str, Any] | None, process: TestProcess
    ) -> TestResult:
        if answer is not None:
            return TestResult.read({**answer, "name": where})
        if process.life.done():
            end = process.life.result()
            return TestResult(where, False, 0.0, f"the test process {_ended(end)} during the test")
        return TestResult(where, False, self._limit_s, f"took longer than {self._limit_s:g} s")

    async def _started(self) -> TestProcess | None:
        """A process of test_case.py that is connected; None if it died before."""
        self._count += 1
        path = self._sockets / f"t{self._count}"
        async with awaiting_connection(path, _LONGEST_LINE) as (address, streams):
            env = {**self._context.scenario.group.shared_env, CONTROL: address}
            unit = _reserved("tests", TEST_FUNCTIONS, None, env)
            running = RunningUnit(unit, self._context)
            running.starts = self._count - 1  # a probe file of its own for each process
            process = TestProcess(running, asyncio.create_task(run_to_end(running)))
            if not await process.connected(streams):
                self.ends.append(await process.life)
                return None
        return process


def _together(test: TestResult, callback: TestResult) -> TestResult:
    """The result of a test that its callback has rejected; what the test said of itself stays."""
    if test.passed:
        return callback._replace(duration_s=test.duration_s, remarks=test.remarks)
    return test._replace(
        message=f"{test.message}\n{callback.message}",
        traceback=f"{test.traceback}\n{callback.traceback}".strip("\n"),
    )


def _ended(end: End) -> str:
    """How the process ended, in words that follow its name."""
    return f"ended with {end.signal or f'exit code {end.exit_code}'}"
