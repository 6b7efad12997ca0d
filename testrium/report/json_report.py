"""The report as JSON: of a whole run, or a line for each thing that happens while it happens.

What is written is declared in `testrium.report.fields`. Undefined is null.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium import __version__
from testrium.declared.checks import Metric
from testrium.declared.groups import Scenario
from testrium.errors import InfraError, Problem
from testrium.evidence import CheckResult, End, Event, Finding, UnitState
from testrium.evidence import TestResult as Test
from testrium.report import wording
from testrium.report.escape import json_text
from testrium.report.writer import STDOUT_FILES, Report, Writer, write_stdout
from testrium.results import (
    FailedTry,
    GroupResult,
    RunResult,
)
from testrium.system.files import open_new, write_text
from testrium.words import Verdict

if TYPE_CHECKING:
    from testrium.report.fields import (
        CheckReport,
        FaultReport,
        FindingReport,
        GroupReport,
        RunReport,
        TestReport,
        TryReport,
        UnitReport,
    )

#: The reports in a run's folder, and in the folder of each of its groups.
RUN_FILE = "report.json"

GROUP_FILE = "summary.json"


def as_stored(seconds: float) -> float:
    """As precise as a kept report: so a report made later is the same, to the last pixel."""
    return round(seconds, 6)


def since_start_s(t_ns: int | None, started_ns: int | None) -> float | None:
    """A moment as a report tells it: seconds from the start of the group; None where unknown."""
    return None if t_ns is None or started_ns is None else as_stored((t_ns - started_ns) / 1e9)


class JsonWriter(Report):
    """Writes the JSON report that the user asks for."""

    def render(self, result: RunResult) -> str:
        """The report of a run, as `--json` gives it."""
        return render(result)


def render(result: RunResult) -> str:
    """The report of a run, as `--json` gives it."""
    return _dump(run_json(result))


def write_report(result: RunResult, path: Path) -> None:
    """Keep the report of a run in its folder. Raises InfraError where that fails."""
    write_text(path, render(result), among_units=True)


def write_group(result: GroupResult, path: Path) -> None:
    """Write the report of one group (`summary.json`). Raises InfraError where that fails."""
    write_text(path, _dump(group_json(result)), among_units=True)


def run_json(result: RunResult) -> RunReport:
    """The run as a dictionary of what JSON can hold."""
    return {
        "testrium": __version__,
        "run": result.run,
        "verdict": str(result.verdict),
        "exit_code": int(result.exit_code),
        "duration_s": as_stored(result.duration_s),
        "started": result.started_wall,
        "shard": result.shard or None,
        "origin": _mirrored(result.origin),
        "errors": [_mirrored(problem) for problem in result.errors],
        "groups": [group_json(group) for group in result.groups],
    }


def group_json(result: GroupResult) -> GroupReport:
    """One group as a dictionary of what JSON can hold.

    `events` are the events that the findings name, so the report can be read without Data.db.
    Times of units are seconds from `started_ns`, which is on the clock of the events' `t_ns`.
    """
    scenario, judgement = result.scenario, result.judgement
    return {
        "id": scenario.id,
        "mode": scenario.mode,
        "params": dict(scenario.params),
        "repeat": scenario.repeat,
        "verdict": str(result.verdict),
        "reason": wording.reason(result) or None,
        "duration_s": as_stored(result.duration_s),
        "run_dir": None if result.run_dir is None else str(result.run_dir),
        "host": result.host or None,
        "notes": [_finding(note) for note in judgement.notes],
        "findings": [_finding(finding) for finding in judgement.findings],
        "units": [_unit(end, result.started_ns) for end in result.ends],
        "circuits": [_mirrored(circuit) for circuit in judgement.circuits],
        "required": {
            "completed": [_mirrored(place) for place in judgement.completed],
            "missing": [_mirrored(place) for place in judgement.missing],
        },
        "tests": [_test(test) for test in result.tests],
        "checks": [_check(check) for check in result.checks],
        "tries": [_try(one) for one in result.tries],
        "title": scenario.group.title,
        "tags": list(scenario.group.tags),
        "mask": list(scenario.group.rules.mask),
        "env_names": list(scenario.env_names),
        "folder": str(scenario.group.folder),
        "replays": scenario.replays,
        "started_ns": result.started_ns,
        "average_latency_s": result.average_latency_s,
        "ai": {"answer": result.answer, "verified": False} if result.answer else None,
        "faults": [_fault(event, result.started_ns) for event in result.faults],
        "metrics": [_mirrored(measure) for measure in judgement.measures],
        "metric_results": [_mirrored(metric) for metric in judgement.metrics],
        "events": [_mirrored(result.witnesses[id_]) for id_ in sorted(result.witnesses)],
    }


def _try(earlier: FailedTry) -> TryReport:
    return {
        "verdict": str(earlier.verdict),
        "duration_s": as_stored(earlier.duration_s),
        "run_dir": None if earlier.run_dir is None else str(earlier.run_dir),
        "finding": None if earlier.finding is None else _finding(earlier.finding),
    }


def _finding(finding: Finding) -> FindingReport:
    return {
        "code": str(finding.code),
        "where": finding.where,
        "circuit": finding.circuit,
        "key": finding.key,
        "keys": list(finding.keys),
        "key_count": finding.number_of_keys,
        "message": finding.message,
        "events": list(finding.events),
        "explained_by": finding.explained_by,
        "unit": finding.unit,
        "hints": list(finding.hints),
        "t_ns": finding.t_ns,
        "declared_as": finding.declared_as,
    }


def _unit(end: End, started_ns: int | None) -> UnitReport:
    return {
        "name": end.unit,
        "state": str(end.state),
        "pid": end.pid,
        "exit_code": end.exit_code,
        "signal": end.signal,
        "starts": end.starts,
        "started_s": since_start_s(end.started_ns, started_ns),
        "ready_s": since_start_s(end.ready_ns, started_ns),
        "ended_s": since_start_s(end.ended_ns, started_ns),
        "cause": str(end.cause),
        "attempt": end.attempt,
        "was_ready": end.was_ready,
        "message": end.message,
        "blocked_by": end.blocked_by,
        "leaks": [{"pid": leak.pid, "command_line": leak.command_line} for leak in end.leaks],
        "last_lines": list(end.last_lines),
        "threads": list(end.threads),
        "fault": end.fault or None,
        "cpu_s": end.use.cpu_s,
        "max_rss": end.use.max_rss,
        "peak_cpu": end.use.peak_cpu,
        "peak_threads": end.use.peak_threads,
        "peak_fds": end.use.peak_fds,
        "peak_children": end.use.peak_children,
    }


def _test(test: Test) -> TestReport:
    return {
        "name": test.name,
        "verdict": str(test.verdict),
        "passed": test.passed and not test.unanswered,
        "duration_s": as_stored(test.duration_s),
        "message": test.message,
        "traceback": test.traceback,
        "unit": test.unit,
        "file": test.file or None,
        "line": test.line,
        "notes": [{"code": code, "message": text} for code, text in test.remarks],
        "output": test.output,
        "attachments": list(test.attachments),
        "verification": test.verification,
    }


def _check(check: CheckResult) -> CheckReport:
    return {
        "name": check.name,
        "passed": check.passed,
        "verdict": str(Verdict.PASS if check.passed else Verdict.FAIL),
        "duration_s": as_stored(check.duration_s),
        "message": check.message,
        "details": list(check.details),
        "unit": check.unit,
        "owed": check.owed,
    }


def _fault(event: Event, started_ns: int | None) -> FaultReport:
    """A planned fault that has happened; `at_s` counts from the group's start."""
    return {
        "id": event.id,
        "name": event.step,
        "do": event.meta.get("do"),
        "phase": event.meta.get("phase"),
        "unit": event.meta.get("unit"),
        "key": event.key,
        "pid": event.pid if event.pid > 0 else None,
        "start": event.start or None,
        "attempt": event.attempt,
        "at_s": since_start_s(event.here_ns, started_ns),
        "t_ns": event.t_ns,
        "domain": event.domain,
        "meta": _plain(event.meta),
    }


def _mirrored(record: Any) -> Any:
    """A tuple whose report has the same fields, in the same order."""
    return _plain(record._asdict())


def _plain(value: Any) -> Any:
    """What JSON can hold: no proxies, no tuples, no members of enumerations, no NaN."""
    if isinstance(value, Metric):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, str) else value


def _dump(data: Mapping[str, Any]) -> str:
    return json_text(data, indent=1) + "\n"


class StreamWriter(Writer):
    """One object a line, each flushed: a reader can follow the run.

    Every line has `event` and `time` (seconds since 1970). Raises InfraError where the file cannot
    be opened or written.
    """

    needs_target = True

    def __init__(self, target: str | None, cwd: Path) -> None:
        super().__init__(target, cwd)
        self._file: FileIO | None = None

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """`run_started`: the run, and the results that there will be."""
        self._tell("run_started", {"run": run, "groups": [_named(one) for one in scenarios]})

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """`group_started`: with the folder of its run."""
        self._tell("group_started", {**_named(scenario), "run_dir": str(run_dir)})

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """`unit_changed`: the unit and its new state."""
        self._tell("unit_changed", {**_named(scenario), "unit": unit, "state": str(state)})

    def notice(self, text: str | Problem) -> None:
        """`notice`: its text."""
        self._tell("notice", {"message": str(text)})

    def group_ended(self, result: GroupResult) -> None:
        """A `finding` for each of its findings, then `group_ended` with the group's report."""
        group = group_json(result)
        for finding in group["findings"]:
            self._tell("finding", {**_named(result.scenario), "finding": finding})
        self._tell("group_ended", {**_named(result.scenario), "group": group})

    def run_ended(self, result: RunResult) -> None:
        """`run_ended`: the run's report without its groups; nothing follows."""
        report = run_json(result._replace(groups=()))
        without = {name: value for name, value in report.items() if name != "groups"}
        self._tell("run_ended", without)
        self._close()

    def _tell(self, event: str, fields: Mapping[str, Any]) -> None:
        line = json_text({"event": event, "time": round(time.time(), 3), **fields}) + "\n"
        if self.target in STDOUT_FILES:
            write_stdout(line)
            return
        try:
            if self._file is None:
                assert self.target is not None
                self._file = open_new(self.cwd / self.target)
            self._file.write(line.encode())
        except OSError as error:
            self._close()
            reason = error.strerror or error
            raise InfraError(f"cannot write {self.target}: {reason}") from error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def _named(scenario: Scenario) -> dict[str, Any]:
    """The fields that name a result, as in the report."""
    return {
        "id": scenario.id,
        "mode": scenario.mode,
        "params": dict(scenario.params),
        "repeat": scenario.repeat,
    }
