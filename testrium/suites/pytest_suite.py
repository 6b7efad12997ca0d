"""A pytest suite as a unit: plain pytest, and a plugin that reports every test.

The plugin is an object, not a module for `-p`: with pytest-xdist such a module would be loaded in
each worker too, and every test told twice.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testrium.suites import protocol
from testrium.suites.protocol import Outcome, OutcomeReporter
from testrium.tracebacks import deepest_own

#: Exit codes of pytest after which every test was reported, see its reference (ExitCode).
_OK, _TESTS_FAILED, _INTERRUPTED, _NO_TESTS = 0, 1, 2, 5


def main() -> None:
    """The entrypoint: run the suite; exits with pytest's code where pytest itself failed."""
    import pytest

    plugin = PytestHooks(OutcomeReporter())
    cache = os.path.join(os.environ[protocol.FOLDER], "pytest_cache")  # noqa: PTH118 - text for pytest
    own = ["-p", "no:testrium", "-o", f"cache_dir={cache}", "--color=no"]
    code = int(pytest.main([*own, *protocol.arguments(), *protocol.paths()], plugins=[plugin]))
    told = code in (_OK, _TESTS_FAILED, _NO_TESTS)
    if not told and not (code == _INTERRUPTED and plugin.collection_failed):
        sys.exit(code)
    plugin.reporter.conclude()


@dataclass
class _Test:
    """What is known of a test so far; pytest reports its phases one by one."""

    outcome: Outcome = "passed"
    duration_s: float = 0.0
    message: str = ""
    traceback: str = ""
    place: tuple[str, int | None] = ("", None)


@dataclass
class PytestHooks:
    """The hooks of pytest that report the results of tests."""

    reporter: OutcomeReporter
    collection_failed: bool = False
    #: What ids of tests, and what places in tracebacks, are relative to.
    root: Path = field(default_factory=Path.cwd)
    started_in: Path = field(default_factory=Path.cwd)
    _running: dict[str, _Test] = field(default_factory=dict)

    def pytest_configure(self, config: Any) -> None:
        """pytest has found where its configuration is."""
        self.root, self.started_in = config.rootpath, config.invocation_params.dir

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be imported is a test that failed."""
        if report.failed:
            self.collection_failed = True
            text = report.longreprtext
            message = _last_line(text) or "cannot be collected"
            place = str(self.root / report.nodeid.partition("::")[0]), 1
            told = {"message": message, "traceback": text}
            self.reporter.report(report.nodeid, "failed", place=place, **told)
        elif report.skipped:
            self.reporter.report(report.nodeid, "skipped", message=_skip_reason(report))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Setup, call or teardown of a test is over."""
        test = self._running.setdefault(report.nodeid, _Test())
        test.duration_s += report.duration
        if not test.place[0] and report.location[1] is not None:
            test.place = str(self.root / report.location[0]), report.location[1] + 1
        expected = getattr(report, "wasxfail", None)
        if report.failed:
            if test.outcome != "failed":  # the first phase that failed tells why
                test.outcome = "failed"
                test.message = _message(report)
                test.traceback = report.longreprtext
                test.place = _failed_at(report, self.started_in) or test.place
        elif expected is not None:
            said = (
                "failed as expected" if report.skipped else "passed although a failure is expected"
            )
            test.message = ": ".join(filter(None, (said, expected)))
        elif report.skipped:
            test.outcome, test.message = "skipped", _skip_reason(report)
        if report.when == "teardown":
            self._tell(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """What has no end was cut off: by a worker that died, or by pytest.exit()."""
        for name, test in list(self._running.items()):
            if test.outcome == "passed":
                test.outcome, test.message = "failed", "was cut off"
            self._tell(name)

    def _tell(self, name: str) -> None:
        test = self._running.pop(name)
        self.reporter.report(
            name,
            test.outcome,
            duration_s=test.duration_s,
            message=test.message,
            traceback=test.traceback,
            place=test.place,
        )


def _message(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else _last_line(report.longreprtext)
    return f"in {report.when}: {text}" if report.when in ("setup", "teardown") else text


def _failed_at(report: Any, folder: Path) -> tuple[str, int] | None:
    """The deepest line of the user's code in the traceback."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ())
    places = [place for one in entries if (place := getattr(one, "reprfileloc", None)) is not None]
    if not places and (crash := getattr(report.longrepr, "reprcrash", None)) is not None:
        places = [crash]  # with --tb=native
    files = [str(folder / place.path) for place in places]
    index = deepest_own(files)
    return None if index is None else (files[index], places[index].lineno)


def _last_line(text: str) -> str:
    lines = [line.removeprefix("E").strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _skip_reason(report: Any) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
