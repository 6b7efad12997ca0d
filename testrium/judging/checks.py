"""The checks of one group, made on what its run has left: logs, files, values.

They are made once the services have stopped, so logs are complete, and before teardown.py,
which may remove what they look at; `testrium verify` makes them again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from testrium.checks.comparison import PluginFailedError
from testrium.checks.conditions import Failure, told
from testrium.checks.examine import Examiner, UnreadableError
from testrium.checks.patterns import TookTooLongError, at_most
from testrium.declared.checks import Check
from testrium.declared.groups import Scenario
from testrium.errors import TestriumError
from testrium.evidence import CheckResult, TestResult
from testrium.judging.workers import LostError, call_isolated
from testrium.plugins.registry import Plugin
from testrium.probe import environment as names
from testrium.record.reader import probe_metadata, stored_ports
from testrium.run import test_runner
from testrium.run.environment import Ports, Surroundings, event_field
from testrium.run.folder import RunFolder
from testrium.tracebacks import error_with_place
from testrium.variables import EnvValues, references, substitute
from testrium.words import EMPTY

#: How long one check may compute (seconds of CPU time): a pattern that backtracks without end is a
#: failure. Large files take longer: this much more for each byte.
LIMIT_S = 2.0
#: How long a check with a plugin may take by the clock: it can wait for others, or for ever.
PLUGIN_LIMIT_S = 30.0
_PER_BYTE_S = 2e-7


class Made(NamedTuple):
    """The results of all checks, and what to tell about reference files that were rewritten."""

    results: tuple[CheckResult, ...]
    notices: tuple[str, ...] = ()


class UnknownValueError(TestriumError):
    """A `${...}` of a check has no value: the run did not get so far."""


def make_checks(
    scenario: Scenario,
    database: Path,
    *,
    limit_s: float = LIMIT_S,
    update_golden: bool = False,
    hurried: bool = False,
    stored: Mapping[str, CheckResult] = EMPTY,
) -> Made:
    """Make the checks of a group on what lies beside `database`.

    Args:
        scenario: with the checks; need not be the one that was run.
        database: the store of the run.
        limit_s: seconds of CPU time for each check, if its file is small.
        update_golden: rewrite reference files that differ, and keep the old ones.
        hurried: a check that takes longer raises TookTooLongError, and does not fail.
        stored: results, by name, of checks that are not made.

    Raises:
        InfraError: the store cannot be read.
        TookTooLongError: only if `hurried`.
    """
    maker = _Maker(scenario, database, update_golden=update_golden)
    results: list[CheckResult] = []
    notices: list[str] = []
    for check in scenario.group.checks:
        if check.name in stored:
            result = stored[check.name]
        elif check.calls_plugin:
            alone = partial(_made_alone, scenario, database, check, limit_s, update_golden)
            (result,), told = _made_apart(check, alone)
            notices += told
        else:
            result = _timed(maker, check, limit_s, hurried=hurried)
        results.append(maker.env_values.hidden_in(result))
    return Made(tuple(results), (*maker.examiner.notices, *notices))


def repeat_verifications(
    scenario: Scenario, database: Path, stored: tuple[TestResult, ...]
) -> tuple[TestResult, ...]:
    """The results of tests, those marked `testing.verification` made again on the stored run.

    Args:
        scenario: as it is declared now.
        database: the store of the run.
        stored: the results that are kept, but for those that are made again.
    """
    sources = (scenario.group.folder / f"{name}.py" for name in scenario.group.test_modules)
    if not any(
        "verification" in source.read_text(encoding="utf-8", errors="replace") for source in sources
    ):
        return stored
    kept = tuple(test for test in stored if not test.verification)
    limit_s = scenario.group.timeout_s
    try:
        fields = call_isolated(partial(_repeated, scenario, database), limit_s)
    except LostError as error:
        names = [test.name for test in stored if test.verification] or ["verification"]
        return (*kept, *(TestResult(name, False, 0.0, str(error)) for name in names))
    hidden_in = EnvValues(scenario).hidden_in
    again = (hidden_in(TestResult.read({**each, "verification": True})) for each in fields)
    return (*kept, *again)


def _repeated(scenario: Scenario, database: Path) -> list[dict[str, Any]]:
    """Repeat the checks in a process with the environment and folder of the unit `tests`."""
    folder = RunFolder(database.parent.resolve())
    around = Surroundings(scenario, "", folder, stored_ports(database), "", "")
    # What is emitted now would change the stored run.
    env = {**around.environment("tests", 1), names.PROBES: os.devnull}
    lookup = around.lookup("tests", env)
    env |= {name: substitute(text, lookup) for name, text in scenario.group.shared_env.items()}
    del env[names.SOCKET]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(scenario.group.folder)
    sys.path[:0] = [
        str(scenario.group.folder),
        *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)),
    ]

    _keep_output()
    try:
        return test_runner.repeat(str(scenario.group.folder), list(scenario.group.test_modules))
    except Exception as error:  # noqa: BLE001 - user code that cannot be imported
        message = error_with_place(error)
        return [{"name": "verification", "passed": False, "duration_s": 0.0, "message": message}]


def _keep_output() -> None:
    """Let what this process prints go to files of its own: it belongs to tests, not on the console.

    They are in memory, where the system has such files, else it is dropped.
    """
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if hasattr(os, "memfd_create"):
            file = os.memfd_create(name)
        else:
            file = os.open(os.devnull, os.O_WRONLY)
        os.dup2(file, fd)
        os.close(file)


def weight(scenario: Scenario, database: Path) -> int:
    """The bytes that the checks of a group have to read: how long they take depends on it."""
    maker = _Maker(scenario, database)
    return sum(maker.size(check) for check in scenario.group.checks)


def _made_apart(check: Check, alone: Callable[[], Made]) -> Made:
    """A check that calls a plugin, which may end its process, or never return."""
    started = time.perf_counter()
    try:
        left: list[str] = []
        made = call_isolated(alone, PLUGIN_LIMIT_S, left.append)
        said = f"check {check.name!r} left a process behind, which was ended"
        return Made(made.results, (*made.notices, *(f"{said}: {process}" for process in left)))
    except LostError as error:
        fields = (check.plugged, check.mapped, *(one.plugged for one in check.normalize))
        plugins = [Plugin(*one) for one in fields if one]
        called = " or ".join(f"{plugin.name} of {plugin.origin}" for plugin in plugins)
        took_s = time.perf_counter() - started
        return Made((CheckResult(check.name, False, f"{called}: {error}", duration_s=took_s),))


def _made_alone(
    scenario: Scenario, database: Path, check: Check, limit_s: float, update_golden: bool
) -> Made:
    maker = _Maker(scenario, database, update_golden=update_golden)
    result = _timed(maker, check, limit_s, hurried=False)
    return Made((result,), tuple(maker.examiner.notices))


def _timed(maker: _Maker, check: Check, limit_s: float, *, hurried: bool) -> CheckResult:
    started = time.perf_counter()
    try:
        with at_most(limit_s if hurried else limit_s + maker.size(check) * _PER_BYTE_S):
            failures = maker.examiner.failures(check)
    except TookTooLongError as error:
        if hurried:
            raise
        failures = [Failure(f"{error}: is there a pattern that backtracks?", owed=False)]
    except (PluginFailedError, UnreadableError) as error:
        failures = [Failure(str(error), owed=False)]
    except UnknownValueError as error:
        failures = [Failure(str(error))]
    message, details = told(failures)
    unit = maker.unit(check)
    owed = any(failure.owed for failure in failures)
    return CheckResult(
        name=check.name,
        passed=not failures,
        message=message,
        details=details,
        duration_s=time.perf_counter() - started,
        unit=unit,
        owed="" if not owed else "probe" if unit and check.kind != "log" else "output",
    )


class _Maker:
    def __init__(self, scenario: Scenario, database: Path, *, update_golden: bool = False) -> None:
        self._database = database
        self._folder = RunFolder(database.parent)
        self._scenario = scenario
        self.env_values = EnvValues(scenario)
        self._values = _values_of(scenario, self._folder, stored_ports(database))
        encodings = {unit.name: unit.encoding for unit in scenario.units}
        self.examiner = Examiner(
            scenario.group.folder,
            self._logs,
            lookup=self._lookup,
            run_dir=self._folder.path,
            update_golden=update_golden,
            encoding=lambda name: encodings.get(name, "utf-8"),
        )

    def unit(self, check: Check) -> str | None:
        """The unit that would have had to write, or to emit, what the check looks at."""
        if check.kind == "log":
            return check.target
        places = (event_field(name, self._scenario) for name in references(check.target))
        return next((place[0] for place in places if place is not None), None)

    def size(self, check: Check) -> int:
        """The bytes of the files that are read for a check."""
        files: Iterable[Path] = ()
        if check.kind == "log":
            files = self._logs(check.target).values()
        elif check.kind in ("file", "json"):
            with suppress(UnknownValueError):
                files = (self.examiner.path(check.target),)
        sizes = 0
        for file in files:
            with suppress(OSError, ValueError):
                sizes += os.stat(file).st_size  # noqa: PTH116 - takes no time
        return sizes

    def _logs(self, unit: str) -> dict[str, Path]:
        return {"stdout": self._folder.stdout(unit), "stderr": self._folder.stderr(unit)}

    def _lookup(self, name: str) -> str:
        place = event_field(name, self._scenario)
        if place is None:
            return self._values(name)
        unit, step, field = place
        metadata = probe_metadata(self._database, unit, step)
        if metadata is None:
            raise UnknownValueError(f"${{{name}}}: no probe {unit}:{step} was emitted")
        if field not in metadata:
            raise UnknownValueError(f"${{{name}}}: the probe {unit}:{step} has no field {field!r}")
        value = metadata[field]
        return value if isinstance(value, str) else json.dumps(value)


def _values_of(scenario: Scenario, folder: RunFolder, ports: Ports) -> Callable[[str], str]:
    """The values of references other than probes, as the test functions of the run had them."""
    around = Surroundings(scenario, "", folder, ports, "", "")
    env = around.environment("tests", 1)
    lookup = around.lookup("tests", env)

    def value(name: str) -> str:
        try:
            return lookup(name)
        except KeyError:
            raise UnknownValueError(f"${{{name}}}: the run has not stored it") from None

    return value
