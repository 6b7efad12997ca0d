"""A unittest suite as a unit: the standard loader, and a result that reports every test."""

from __future__ import annotations

import sys
import time
import traceback
import unittest
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from testrium.suites import protocol
from testrium.suites.protocol import Teller

_Error: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
)


def main() -> None:
    """The entrypoint: run what the paths hold; a folder is searched for `test*.py`."""
    suite = unittest.TestSuite(_load(Path(path)) for path in protocol.paths())
    result = Result(Teller())
    suite.run(result)
    result.teller.conclude()


def _load(path: Path) -> unittest.TestSuite:
    loader = unittest.TestLoader()
    if path.is_dir():
        return loader.discover(str(path))
    sys.path.insert(0, str(path.parent))
    return loader.loadTestsFromName(path.stem)


class Result(unittest.TestResult):
    """Reports each test at its end, and prints a line for people who read the unit's output."""

    def __init__(self, teller: Teller) -> None:
        super().__init__()
        self.teller = teller
        self._begun: dict[str, float] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._begun[test.id()] = time.perf_counter()

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._begun.pop(test.id(), None)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._passed(test, "")

    def addFailure(self, test: unittest.TestCase, err: _Error) -> None:
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test: unittest.TestCase, err: _Error) -> None:
        super().addError(test, err)
        self._failed(test, err)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: _Error | None
    ) -> None:
        """A part of a test: told only where it failed, else the test itself is."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(subtest, err, of=test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._print("skipped", test)
        self.teller.tell(test.id(), "skipped", duration_s=self._took_s(test), message=reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: _Error) -> None:
        super().addExpectedFailure(test, err)
        self._passed(test, "failed as expected")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._print("FAILED", test)
        message = "passed although a failure is expected"
        self.teller.tell(test.id(), "failed", duration_s=self._took_s(test), message=message)

    def _passed(self, test: unittest.TestCase, message: str) -> None:
        self._print("ok", test)
        self.teller.tell(test.id(), "passed", duration_s=self._took_s(test), message=message)

    def _failed(
        self, test: unittest.TestCase, err: _Error, of: unittest.TestCase | None = None
    ) -> None:
        self._print("FAILED", test)
        error = err[1]
        assert error is not None
        trace = "".join(traceback.format_exception(error))
        sys.stdout.write(trace)
        self.teller.tell(
            test.id(),
            "failed",
            duration_s=self._took_s(of or test),
            message="".join(traceback.format_exception_only(error)).strip(),
            traceback=trace,
        )

    def _took_s(self, test: unittest.TestCase) -> float:
        begun = self._begun.get(test.id())  # none for what fails around tests: setUpClass
        return 0.0 if begun is None else time.perf_counter() - begun

    def _print(self, word: str, test: unittest.TestCase) -> None:
        sys.stdout.write(f"{word:<7} {test.id()}\n")
