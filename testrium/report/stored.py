"""Reads a kept report back into the types that every renderer takes.

What a report does not hold (the declaration of units and circuits) is empty in what comes back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from testrium.errors import ExitCode, Problem, TestriumError
from testrium.model import (
    FAULTS,
    CheckResult,
    CircuitResult,
    Code,
    End,
    EndCause,
    Event,
    EventType,
    Finding,
    Group,
    GroupResult,
    Judgement,
    Leak,
    Measure,
    Place,
    RunResult,
    Scenario,
    UnitState,
    Use,
    Verdict,
)
from testrium.model import TestResult as Test
from testrium.report.json_report import GROUP_FILE, RUN_FILE

_WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.UNKNOWN)


class StoredReportError(TestriumError):
    """A kept report is missing or cannot be read."""


def read_report(path: Path) -> RunResult:
    """Read the report of a run that `json_report.write_report` has written.

    Folders of groups are found again where the whole run was moved together with the report.
    Raises StoredReportError where there is no such file or it is no report.
    """
    data = _load(path)
    try:
        return _run(data, path.parent)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_run(folder: Path) -> RunResult:
    """Read what is known of a run from its folder.

    A run that did not come to its end has no report; its finished groups have theirs.
    Raises StoredReportError where nothing was kept or nothing can be read.
    """
    if (folder / RUN_FILE).exists():
        return read_report(folder / RUN_FILE)
    summaries = [(path, _load(path)) for path in sorted(folder.rglob(GROUP_FILE))]
    if not summaries:
        raise StoredReportError(
            f"no report was kept in {folder}: the run did not come to its end"
            f" (testrium verify {folder.name} judges what is left of it)"
        )
    groups = []
    for path, data in summaries:
        try:
            groups.append(_group(data, path.parent, (data["mode"],)))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _unreadable(path, error) from error
    return RunResult(
        run=folder.name,
        verdict=Verdict.ERROR,
        exit_code=ExitCode.ERROR,
        duration_s=sum(group.duration_s for group in groups),
        groups=tuple(groups),
        folder=folder,
    )


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> StoredReportError:
    return StoredReportError(f"{path} is no readable report: {type(error).__name__}: {error}")


def _run(data: Mapping[str, Any], folder: Path) -> RunResult:
    modes: dict[str, dict[str, None]] = {}
    for group in data["groups"]:
        modes.setdefault(group["id"], {})[group["mode"]] = None
    return RunResult(
        run=data["run"],
        verdict=Verdict(data["verdict"]),
        exit_code=ExitCode(data["exit_code"]),
        duration_s=data["duration_s"],
        groups=tuple(
            _group(group, _moved(group["run_dir"], data["run"], folder), tuple(modes[group["id"]]))
            for group in data["groups"]
        ),
        errors=tuple(Problem(**problem) for problem in data["errors"]),
        folder=folder,
        started_wall=data["started"],
    )


def _moved(run_dir: str | None, run: str, folder: Path) -> Path | None:
    """Where a group's run folder is now: below the run's folder, as it was when it was written."""
    if run_dir is None:
        return None
    parts = Path(run_dir).parts
    if folder.name != run or run not in parts:
        return Path(run_dir)
    return folder.joinpath(*parts[parts.index(run) + 1 :])


def _group(data: Mapping[str, Any], run_dir: Path | None, modes: tuple[str, ...]) -> GroupResult:
    group = Group(
        id=data["id"], folder=Path(data["folder"]), units=(), title=data["title"], test_modes=modes
    )
    scenario = Scenario(
        id=data["id"],
        group=group,
        units=(),
        mode=data["mode"],
        params=data["params"],
        repeat=data["repeat"],
        skip=data["reason"] or "",
    )
    started_ns = data["started_ns"]
    return GroupResult(
        scenario=scenario,
        verdict=Verdict(data["verdict"]),
        duration_s=data["duration_s"],
        run_dir=run_dir,
        reason=data["reason"] or "",
        judgement=Judgement(
            verdict=Verdict(data["verdict"]),
            findings=tuple(map(_finding, data["findings"])),
            notes=tuple(map(_finding, data["notes"])),
            circuits=tuple(map(_circuit, data["circuits"])),
            completed=tuple(Place(**place) for place in data["required"]["completed"]),
            missing=tuple(Place(**place) for place in data["required"]["missing"]),
            measures=tuple(Measure(**measure) for measure in data.get("metrics", ())),
        ),
        ends=tuple(_end(unit, started_ns) for unit in data["units"]),
        tests=tuple(Test(**test) for test in data["tests"]),
        checks=tuple(map(_check, data["checks"])),
        witnesses={event["id"]: _event(event) for event in data["events"]},
        started_ns=started_ns,
        average_latency_s=data["average_latency_s"],
        answer=data["ai"]["answer"] if data["ai"] else "",
        faults=tuple(map(_fault, data.get("faults", ()))),
    )


def _check(data: Mapping[str, Any]) -> CheckResult:
    fields = {name: data[name] for name in CheckResult._fields}
    return CheckResult(**fields | {"details": tuple(data["details"])})


def _finding(data: Mapping[str, Any]) -> Finding:
    return Finding(
        **{
            **data,
            "code": Code(data["code"]),
            "keys": tuple(data["keys"]),
            "events": tuple(data["events"]),
            "hints": tuple(data["hints"]),
        }
    )


def _circuit(data: Mapping[str, Any]) -> CircuitResult:
    return CircuitResult(**{**data, "verdict": Verdict(data["verdict"])})


def _end(data: Mapping[str, Any], started_ns: int | None) -> End:
    def moment(seconds: float | None) -> int | None:
        if seconds is None or started_ns is None:
            return None
        return started_ns + round(seconds * 1e9)

    return End(
        unit=data["name"],
        cause=EndCause(data["cause"]),
        state=UnitState(data["state"]),
        pid=data["pid"],
        exit_code=data["exit_code"],
        signal=data["signal"],
        starts=data["starts"],
        attempt=data["attempt"],
        was_ready=data["was_ready"],
        started_ns=moment(data["started_s"]),
        ready_ns=moment(data["ready_s"]),
        ended_ns=moment(data["ended_s"]),
        message=data["message"],
        blocked_by=data["blocked_by"],
        leaks=tuple(Leak(**leak) for leak in data["leaks"]),
        last_lines=tuple(data["last_lines"]),
        threads=tuple(data["threads"]),
        fault=data.get("fault") or "",
        use=Use(**{field.name: data[field.name] for field in fields(Use)}),
    )


def _fault(data: Mapping[str, Any]) -> Event:
    return Event(
        id=data["id"],
        unit=FAULTS,
        step=data["name"],
        type=EventType.DEFAULT,
        key=data["key"],
        cause=(),
        t_ns=data["t_ns"],
        t_low_ns=None,
        wall_ns=0,  # the report does not tell it
        domain=data["domain"],
        pid=data["pid"] or 0,
        seq=None,
        start=data["start"] or 0,
        attempt=data["attempt"],
        owner="",
        meta=data["meta"],
    )


def _event(data: Mapping[str, Any]) -> Event:
    return Event(**{**data, "cause": tuple(data["cause"])})
