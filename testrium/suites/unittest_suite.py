"""A unittest suite as a unit: the standard loader, and a result that reports every test."""

from __future__ import annotations

import sys
import time
import traceback
import unittest
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from testrium.suites import protocol
from testrium.suites.protocol import Outcome, OutcomeReporter
from testrium.tracebacks import own_place, place_of_function

_Error: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
)


def main() -> None:
    """The entrypoint: run what the paths hold; a folder is searched for `test*.py`."""
    suite = unittest.TestSuite(_load(Path(path)) for path in protocol.paths())
    result = Result(OutcomeReporter())
    suite.run(result)
    result.reporter.conclude()


def _load(path: Path) -> unittest.TestSuite:
    loader = unittest.TestLoader()
    if path.is_dir():
        return loader.discover(str(path))
    sys.path.insert(0, str(path.parent))
    return loader.loadTestsFromName(path.stem)


class Result(unittest.TestResult):
    """Reports each test at its end, and prints a line for people who read the unit's output."""

    def __init__(self, reporter: OutcomeReporter) -> None:
        super().__init__()
        self.reporter = reporter
        self._begun: dict[str, float] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begun[test.id()] = time.perf_counter()

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._begun.pop(test.id(), None)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._tell("passed", test)

    def addFailure(self, test: unittest.TestCase, err: _Error) -> None:
        super().addFailure(test, err)
        self._failed(test, err, self.failures)

    def addError(self, test: unittest.TestCase, err: _Error) -> None:
        super().addError(test, err)
        self._failed(test, err, self.errors)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: _Error | None
    ) -> None:
        """A part of a test: told only where it failed, else the test itself is."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = err[0] is not None and issubclass(err[0], test.failureException)
            self._failed(subtest, err, self.failures if failed else self.errors, of=test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._tell("skipped", test, reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: _Error) -> None:
        super().addExpectedFailure(test, err)
        self._tell("passed", test, "failed as expected")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._tell("failed", test, "passed although a failure is expected")

    def _tell(self, outcome: Outcome, test: unittest.TestCase, message: str = "") -> None:
        self._print(outcome, test)
        whole = getattr(test, "test_case", None)  # of a part, whose own class is unittest's
        own = whole if isinstance(whole, unittest.TestCase) else test
        function = getattr(own, getattr(own, "_testMethodName", ""), None)  # none of a module
        self.reporter.report(
            test.id(),
            outcome,
            duration_s=self._took_s(test),
            message=message,
            place=place_of_function(function),
        )

    def _failed(
        self,
        test: unittest.TestCase,
        err: _Error,
        kept: Sequence[tuple[unittest.TestCase, str]],
        of: unittest.TestCase | None = None,
    ) -> None:
        """`kept` are those of its kind so far, with their tracebacks without unittest's frames."""
        self._print("failed", test)
        error = err[1]
        assert error is not None
        trace = kept[-1][1]
        sys.stdout.write(trace)
        self.reporter.report(
            test.id(),
            "failed",
            duration_s=self._took_s(of or test),
            message="".join(traceback.format_exception_only(error)).strip(),
            traceback=trace,
            place=own_place(error, str(Path.cwd())) or ("", None),
        )

    def _took_s(self, test: unittest.TestCase) -> float:
        begun = self._begun.get(test.id())  # none for what fails around tests: setUpClass
        return 0.0 if begun is None else time.perf_counter() - begun

    @staticmethod
    def _print(outcome: Outcome, test: unittest.TestCase) -> None:
        word = {"passed": "ok", "failed": "FAILED"}.get(outcome, outcome)
        sys.stdout.write(f"{word:<7} {test.id()}\n")
