"""The checks of one group, made on what its run has left: logs, files, values.

They are made once the services have stopped, so that logs are complete, and before teardown.py,
which may remove what they look at; `testrium verify` makes them again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from testrium.checks import comparison, conditions, jsonpath, values
from testrium.checks.conditions import Failure, Stream, Text
from testrium.checks.expression import Found
from testrium.checks.limit import TookTooLongError, at_most
from testrium.checks.normalize import normalized_by
from testrium.checks.patterns import matcher
from testrium.errors import TestriumError
from testrium.model import RESERVED_UNITS, Check, CheckResult, Scenario
from testrium.record.subjects import (
    FileLines,
    UnreadableError,
    is_there,
    probe_metadata,
    stored_ports,
    whole_text,
)
from testrium.run.environment import Surroundings, substituted
from testrium.run.folder import RunFolder
from testrium.variables import probe_field, references

#: How long one check may compute (seconds): a pattern that backtracks without end is a failure.
LIMIT_S = 5.0

_WRITE_IT = "testrium run --update-golden writes it"


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
) -> Made:
    """Make the checks of a group on what lies beside `database`.

    Args:
        scenario: with the checks; need not be the one that was run.
        database: the store of the run.
        limit_s: seconds for each check.
        update_golden: rewrite reference files that differ, and keep the old ones.
        hurried: a check that takes longer raises TookTooLongError, and is no failure.

    Raises:
        InfraError: the store cannot be read.
        TookTooLongError: only if `hurried`.
    """
    maker = _Maker(scenario, database, update_golden=update_golden)
    results = tuple(
        _timed(maker, check, limit_s, hurried=hurried) for check in scenario.group.checks
    )
    return Made(results, tuple(maker.notices))


def weight(scenario: Scenario, database: Path) -> int:
    """The bytes that the checks of a group have to read: how long they take depends on it."""
    maker = _Maker(scenario, database)
    return sum(maker.size(check) for check in scenario.group.checks)


def _timed(maker: _Maker, check: Check, limit_s: float, *, hurried: bool) -> CheckResult:
    started = time.perf_counter()
    try:
        with at_most(limit_s):
            failures = maker.failures(check)
    except TookTooLongError as error:
        if hurried:
            raise
        failures = [Failure(f"{error}: is there a pattern that backtracks?", owed=False)]
    except UnknownValueError as error:
        failures = [Failure(str(error))]
    except (UnreadableError, jsonpath.AbsentError) as error:
        failures = [Failure(str(error), owed=False)]
    unit = maker.unit(check)
    owed = any(failure.owed for failure in failures)
    return CheckResult(
        name=check.name,
        passed=not failures,
        message="; ".join(failure.message for failure in failures),
        details=tuple(dict.fromkeys(line for failure in failures for line in failure.details)),
        duration_s=time.perf_counter() - started,
        unit=unit,
        owed="" if not owed else "probe" if unit and check.kind != "log" else "output",
    )


class _Maker:
    def __init__(self, scenario: Scenario, database: Path, *, update_golden: bool = False) -> None:
        self.notices: list[str] = []
        self._group = scenario.group
        self._database = database
        self._folder = RunFolder(database.parent)
        self._update_golden = update_golden
        self._units = (*(unit.name for unit in scenario.units), *RESERVED_UNITS)
        self._values = _values_of(scenario, self._folder)

    # What a check looks at --------------------------------------------------------------------

    def unit(self, check: Check) -> str | None:
        """The unit that would have had to write, or to emit, what the check looks at."""
        if check.kind == "log":
            return check.target
        places = (probe_field(name, self._units) for name in references(check.target))
        return next((place[0] for place in places if place is not None), None)

    def size(self, check: Check) -> int:
        """The bytes of the files that are read for a check."""
        if check.kind == "log":
            files = [self._folder.stdout(check.target), self._folder.stderr(check.target)]
        elif check.kind in ("file", "json"):
            try:
                files = [self._path(check.target)]
            except UnknownValueError:
                files = []
        else:
            files = []
        sizes = 0
        for file in files:
            try:
                sizes += os.stat(file).st_size  # noqa: PTH116 - takes no time
            except (OSError, ValueError):
                continue
        return sizes

    def failures(self, check: Check) -> list[Failure]:
        """Why the check fails; [] where it does not."""
        match check.kind:
            case "exists" | "absent":
                return self._existence(check)
            case "log":
                return self._log(check)
            case "file":
                return self._file(check)
            case "json":
                return self._json(check)
            case "value":
                name, value = "the value", Found(self._filled(check.target))
                return self._value(check, name, value)

    def _existence(self, check: Check) -> list[Failure]:
        path = self._path(check.target)
        there = os.path.lexists(path)
        if there is (check.kind == "exists"):
            return []
        if there:
            return [Failure(f"{self._shown(path)} exists, and must not", owed=False)]
        return [Failure(f"{self._shown(path)} does not exist")]

    def _log(self, check: Check) -> list[Failure]:
        files = {
            "stdout": self._folder.stdout(check.target),
            "stderr": self._folder.stderr(check.target),
        }
        there = {name: path for name, path in files.items() if is_there(path)}
        # One that is empty is left out: places of lines are shorter then.
        written = {name: path for name, path in there.items() if path.stat().st_size} or there
        streams = [Stream(name, FileLines(path)) for name, path in written.items()]
        if not streams:
            text = f"there is no output of {check.target}: it was not started, or its logs are gone"
            return [Failure(text)]
        return self._text(check, Text(f"the output of {check.target}", tuple(streams)))

    def _file(self, check: Check) -> list[Failure]:
        path = self._path(check.target)
        name = self._shown(path)
        if not is_there(path):
            return [Failure(f"{name} does not exist")]
        return self._text(check, Text(name, (Stream(name, FileLines(path)),)))

    def _json(self, check: Check) -> list[Failure]:
        path = self._path(check.target)
        name = self._shown(path)
        if not is_there(path):
            return [Failure(f"{name} does not exist")]
        document, failure = values.read_json(whole_text(path), name)
        if failure is not None:
            return [failure]
        if not check.at:
            return self._value(check, name, document)
        try:
            value = jsonpath.value_at(document, check.at)
        except jsonpath.AbsentError as error:
            return [Failure(f"{name}: {error}")]
        return self._value(check, f"{name} at {check.at}", value)

    # Conditions -------------------------------------------------------------------------------

    def _text(self, check: Check, text: Text) -> list[Failure]:
        failures = conditions.text_failures(check, text, self._lookup)
        if check.golden is not None:
            lines = (line for stream in text.streams for line in stream.lines)
            failures += self._golden(check, text.name, lines)
        return failures

    def _value(self, check: Check, name: str, value: Any) -> list[Failure]:
        """The conditions on a value: on itself, and on its lines."""
        failures: list[Failure] = []
        if check.equals is not None:
            expected = check.equals[0]
            if isinstance(expected, str):
                expected = self._filled(expected)
            normalize = normalized_by(check.normalize)
            failure = values.unequal(name, value, expected, normalize)
            failures += [failure] if failure else []
        lines = values.as_lines(value)
        text = Text(name, (Stream(name, lines),))
        if check.expect and not check.extract:
            failures += conditions.compare(check.expect, {"value": value})
        failures += conditions.text_failures(check, text, self._lookup)
        if check.golden is not None:
            failures += self._golden(check, name, lines, is_json=check.kind == "json")
        return failures

    def _golden(
        self, check: Check, name: str, lines: Iterable[str], *, is_json: bool = False
    ) -> list[Failure]:
        """The difference to the reference file, which is rewritten where that was asked for."""
        assert check.golden is not None
        path = self._path(check.golden)
        shown = self._shown(path)
        ignored = [
            matcher(text, literal=check.literal, lookup=self._lookup) for text in check.ignore
        ]
        actual = _kept(lines, ignored)
        there = is_there(path)
        if there:
            expected = self._reference(path, shown, is_json=is_json)
            difference = comparison.diff(
                _kept(expected, ignored),
                actual,
                normalized_by(check.normalize),
                names=(shown, name),
                unordered=check.unordered,
            )
            if not difference:
                return []
        if self._update_golden:
            old = _replace(path, actual)
            self.notices.append(
                f"golden: {shown} rewritten, the old one is {self._shown(old)}"
                if old
                else f"golden: {shown} written"
            )
            return []
        if not there:
            return [Failure(f"{shown} does not exist: {_WRITE_IT}", owed=False)]
        return [Failure(f"{name} differs from {shown}", difference)]

    def _reference(self, path: Path, shown: str, *, is_json: bool) -> list[str]:
        text = whole_text(path)
        if is_json:
            document, failure = values.read_json(text, shown)
            if failure is None:
                return values.as_lines(document)
        return _lines(text)

    # References -------------------------------------------------------------------------------

    def _filled(self, text: str) -> str:
        return substituted(text, self._lookup)

    def _path(self, text: str) -> Path:
        return self._group.folder / self._filled(text)

    def _shown(self, path: Path) -> str:
        """A path as messages name it: below the group's or the run's folder if it lies there."""
        if path.is_relative_to(self._folder.path):
            return f"${{run.dir}}/{path.relative_to(self._folder.path)}"
        below = path.is_relative_to(self._group.folder)
        return str(path.relative_to(self._group.folder) if below else path)

    def _lookup(self, name: str) -> str:
        place = probe_field(name, self._units)
        if place is None:
            return self._values(name)
        unit, step, field = place
        metadata = probe_metadata(self._database, unit, step)
        if metadata is None:
            raise UnknownValueError(f"${{{name}}}: there is no probe {unit}:{step}")
        if field not in metadata:
            raise UnknownValueError(f"${{{name}}}: the probe {unit}:{step} has no field {field!r}")
        value = metadata[field]
        return value if isinstance(value, str) else json.dumps(value)


def _values_of(scenario: Scenario, folder: RunFolder) -> Callable[[str], str]:
    """The values of references other than probes, as the test functions of the run had them."""
    ports = stored_ports(folder.database)
    around = Surroundings(scenario, "", folder, ports, "", "")
    env = around.environment("tests", 1)
    lookup = around.lookup("tests", env)

    def value(name: str) -> str:
        try:
            return lookup(name)
        except KeyError:
            raise UnknownValueError(f"${{{name}}}: the run has not stored it") from None

    return value


def _lines(text: str) -> list[str]:
    """As FileLines reads them."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _kept(lines: Iterable[str], ignored: Iterable[Callable[[str], object]]) -> list[str]:
    ignores = tuple(ignored)
    return [line for line in lines if not any(matches(line) for matches in ignores)]


def _replace(path: Path, lines: list[str]) -> Path | None:
    """Write a reference file; the one that was there keeps its content under another name.

    Raises UnreadableError where that fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = None
        if path.exists():
            old = _unused(path)
            path.rename(old)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be rewritten: {error.strerror}") from error
    return old


def _unused(path: Path) -> Path:
    """`NAME.old`, `NAME.old2`, ...: the first that is free, so that none is ever lost."""
    number = 1
    while True:
        old = path.with_name(f"{path.name}.old{number if number > 1 else ''}")
        if not old.exists():
            return old
        number += 1
