"""Reads a kept report back, by its declaration, into the types that every renderer takes.

What a report does not hold (the declaration of units and circuits) is empty in what comes back; so
is what an older version did not write yet.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from testrium.declared.checks import Metric
from testrium.declared.circuits import Rules
from testrium.declared.faults import Schedule
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, InfraError, Problem, TestriumError
from testrium.evidence import CheckResult, End, Event, Finding, Leak, Use
from testrium.evidence import TestResult as Test
from testrium.record.reader import load_evidence, load_logs, load_moments
from testrium.record.scenario import read_circuits
from testrium.report.console import HopTime
from testrium.report.fields import (
    FaultReport,
    FindingReport,
    GroupReport,
    MetricReport,
    RunReport,
    TestReport,
    TryReport,
    UnitReport,
    group_adapter,
    run_adapter,
)
from testrium.report.json_report import GROUP_FILE, RUN_FILE
from testrium.report.masking import mask_of
from testrium.report.wording import label
from testrium.results import (
    CircuitResult,
    FailedTry,
    GroupResult,
    Judgement,
    Measure,
    MetricResult,
    RunDetail,
    RunOrigin,
    RunResult,
)
from testrium.run.folder import RunFolder
from testrium.statistics import median
from testrium.system.files import regular_text
from testrium.verify.instances import key_paths
from testrium.words import FAULTS, RESERVED_UNITS, EventType, Place, Verdict

T = TypeVar("T")

#: A report may come from elsewhere. A million lost keys take a few of these bytes.
MOST_BYTES = 256_000_000

_MOST_DIGITS = 20

_MOST_DEPTH = 200

_TOO_DEEP = f"it is nested more than {_MOST_DEPTH} deep"


class StoredReportError(TestriumError):
    """A kept report is missing or cannot be read."""


def read_report(path: Path) -> RunResult:
    """Read the report of a run that `json_report.write_report` has written.

    Folders of groups are found again where the whole run was moved together with the report.
    Raises StoredReportError where the file does not exist or is not a report.
    """
    with _readable(path):
        return _run(run_adapter().validate_python(_load(path)), path.parent)


def read_run(folder: Path) -> RunResult:
    """Read what is known of a run from its folder.

    A run that was cut short has no report; its finished groups have theirs.
    Folders of groups are below it, whatever its report says, which may come from elsewhere.
    Raises StoredReportError where nothing was kept or nothing can be read.
    """
    if (folder / RUN_FILE).exists():
        result = read_report(folder / RUN_FILE)
        return result._replace(groups=tuple(_kept_in(folder, group) for group in result.groups))
    groups = []
    for path in sorted(folder.rglob(GROUP_FILE)):
        with _readable(path):
            data = group_adapter().validate_python(_load(path))
            groups.append(_group(data, path.parent, (data["mode"],)))
    if not groups:
        raise StoredReportError(
            f"no report was kept in {folder}: the run did not finish"
            f" (testrium verify {folder.name} judges what is left of it)"
        )
    return RunResult(
        run=folder.name,
        verdict=Verdict.ERROR,
        exit_code=ExitCode.ERROR,
        duration_s=sum(group.duration_s for group in groups),
        groups=tuple(groups),
        folder=folder,
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raises StoredReportError for what the file does not hold, in words."""
    try:
        yield
    except RecursionError as error:
        raise _unreadable(path, _TOO_DEEP) from error
    except ValidationError as error:
        raise _unreadable(path, _first_of(error)) from error
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"invalid JSON: {error}") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, reason: str) -> StoredReportError:
    return StoredReportError(f"{path} cannot be read as a report: {reason}")


#: What pydantic calls a mistake -> what was expected.
_EXPECTED: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "string_type": "a text",
}


def _first_of(error: ValidationError) -> str:
    """`groups.0.duration_s: expected a number, got 'long'`."""
    found = error.errors(include_url=False)[0]
    place = ".".join(map(str, found["loc"]))
    given = str(found["input"])[:40]
    match found["type"]:
        case "missing":
            reason = "is missing"
        case "enum":
            reason = f"expected {found['ctx']['expected']}, got {given!r}"
        case kind if kind in _EXPECTED:
            reason = f"expected {_EXPECTED[kind]}, got {given!r}"
        case _:
            reason = f"{found['msg']}, got {given!r}"
    return f"{place}: {reason}" if place else reason


def _load(path: Path) -> Any:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}")
    data = json.loads(
        regular_text(path),
        parse_int=_whole_number,
        parse_float=_finite_number,
        parse_constant=_finite_number,
    )
    _check_depth(data)
    return data


def _whole_number(text: str) -> int:
    """A number that fits 64 bits: arithmetic and its text take no time, and it is also a float."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits, more than {_MOST_DIGITS}")
    return int(text)


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _check_depth(data: object) -> None:
    """Raise ValueError where it is nested so deeply that what writes it again would fail."""
    level = [data]
    for _ in range(_MOST_DEPTH):
        lists: list[Any] = [value for value in level if isinstance(value, list)]
        tables: list[Any] = [value.values() for value in level if isinstance(value, dict)]
        level = [inner for outer in (*lists, *tables) for inner in outer]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _run(data: RunReport, folder: Path) -> RunResult:
    modes: dict[str, dict[Any, None]] = {}
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
        errors=_all(Problem, data["errors"]),
        folder=folder,
        started_wall=data["started"],
        shard=data["shard"] or "",
        origin=_made(RunOrigin, data["origin"]),
    )


def _moved(run_dir: str | None, run: str, folder: Path) -> Path | None:
    """Where a group's run folder is now: below the run's folder, as it was when it was written."""
    if run_dir is None:
        return None
    parts = Path(run_dir).parts
    if folder.name != run or run not in parts:
        return Path(run_dir)
    return folder.joinpath(*parts[parts.index(run) + 1 :])


def _kept_in(folder: Path, group: GroupResult) -> GroupResult:
    """The same result, without a run folder that is not below `folder`."""
    place = group.run_dir
    if place is None or (place.is_relative_to(folder) and ".." not in place.parts):
        return group
    return group._replace(run_dir=None)


def _group(data: GroupReport, run_dir: Path | None, modes: tuple[Any, ...]) -> GroupResult:
    group = Group(
        id=data["id"],
        folder=Path(data["folder"] or data["id"]),
        units=(),
        title=data["title"],
        tags=tuple(data["tags"]),
        test_modes=modes,
        rules=Rules(mask=_patterns(data["mask"])),
    )
    scenario = Scenario(
        id=data["id"],
        group=group,
        units=(),
        mode=data["mode"],
        params=data["params"],
        repeat=data["repeat"],
        skip=data["reason"] or "",
        schedule=Schedule() if data["replays"] else None,
        env_names=tuple(data["env_names"]),
    )
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
            circuits=_all(CircuitResult, data["circuits"]),
            completed=_all(Place, data["required"]["completed"]),
            missing=_all(Place, data["required"]["missing"]),
            measures=_all(Measure, data["metrics"]),
            metrics=tuple(map(_metric, data["metric_results"])),
        ),
        ends=tuple(_end(unit, data["started_ns"]) for unit in data["units"]),
        tests=tuple(map(_test, data["tests"])),
        checks=_all(CheckResult, data["checks"]),
        witnesses={event["id"]: _made(Event, event) for event in data["events"]},
        started_ns=data["started_ns"],
        average_latency_s=data["average_latency_s"],
        answer=data["ai"]["answer"] if data["ai"] else "",
        faults=tuple(map(_fault, data["faults"])),
        tries=tuple(map(_try, data["tries"])),
        host=data["host"] or "",
    )


def _patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """Compile the patterns of `mask`. Raises ValueError for an invalid regular expression."""
    for text in texts:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"mask: {error}") from error
    return tuple(texts)


def _made(kind: Callable[..., T], data: Mapping[str, Any], **converted: object) -> T:
    """A tuple or dataclass of what the report says: lists are tuples there.

    `converted` are fields that are called or written otherwise in the report.
    """
    known = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name in kind.__annotations__
    }
    return kind(**known | converted)


def _all(kind: Callable[..., T], data: Iterable[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(_made(kind, each) for each in data)


def _finding(data: FindingReport) -> Finding:
    finding = _made(Finding, data)
    return finding._replace(key_count=0) if finding.key_count == len(finding.keys) else finding


def _test(data: TestReport) -> Test:
    return _made(
        Test,
        data,
        skipped=data["verdict"] == Verdict.SKIP,
        aborted=data["verdict"] == Verdict.ERROR,
        unanswered=data["verdict"] == Verdict.UNKNOWN,
        file=data["file"] or "",
        remarks=tuple((note["code"], note["message"]) for note in data["notes"]),
    )


def _try(data: TryReport) -> FailedTry:
    folder, finding = data["run_dir"], data["finding"]
    return FailedTry(
        Verdict(data["verdict"]),
        data["duration_s"],
        None if folder is None else Path(folder),
        None if finding is None else _finding(finding),
    )


def _metric(data: MetricReport) -> MetricResult:
    rule = data["rule"]
    return _made(MetricResult, data, rule=None if rule is None else _made(Metric, rule))


def _end(data: UnitReport, started_ns: int | None) -> End:
    def moment(seconds: float | None) -> int | None:
        if seconds is None or started_ns is None:
            return None
        return started_ns + round(seconds * 1e9)

    return _made(
        End,
        data,
        unit=data["name"],
        started_ns=moment(data["started_s"]),
        ready_ns=moment(data["ready_s"]),
        ended_ns=moment(data["ended_s"]),
        leaks=_all(Leak, data["leaks"]),
        fault=data["fault"] or "",
        use=_made(Use, data),
    )


def _fault(data: FaultReport) -> Event:
    return _made(
        Event,
        data,
        unit=FAULTS,
        step=data["name"],
        type=EventType.DEFAULT,
        cause=(),
        t_low_ns=None,
        wall_ns=0,  # the report does not tell it
        pid=data["pid"] or 0,
        seq=None,
        start=data["start"] or 0,
        owner="",
    )


def details_of(result: GroupResult) -> RunDetail:
    """All that the run's folder holds, masked; what is gone or cannot be read is left out."""
    detail = RunDetail()
    if result.files is None:
        return detail
    folder = RunFolder(result.files)
    units = dict.fromkeys((*(end.unit for end in result.ends), *RESERVED_UNITS))
    declared = {unit.name: unit.encoding for unit in result.scenario.units}
    encodings = {unit: declared.get(unit, "utf-8") for unit in units}
    detail = detail._replace(logs=load_logs(result.files, encodings))
    with suppress(OSError):
        detail = detail._replace(config=regular_text(folder.scenario, "replace"))
    with suppress(InfraError):
        evidence = load_evidence(folder.database)
        detail = detail._replace(
            events=tuple(event for event in evidence.events if event.attempt == evidence.attempt),
            moments=load_moments(folder.database),
        )
        circuits = read_circuits(folder.scenario)
        detail = detail._replace(circuits=key_paths(circuits, evidence))
    mask = mask_of(result.scenario)
    return mask.detail(detail) if mask else detail


#: Stores that are larger (bytes) are not read: a remark is not worth the wait.
_MOST_BYTES = 2_000_000


def slowest_hops(results: Iterable[GroupResult], most: int = 3) -> tuple[HopTime, ...]:
    """The hops, from one event of a key to its next, with the longest medians."""
    hops = [hop for result in results for hop in _hop_times_of(result)]
    return tuple(sorted(hops, key=lambda hop: -hop.median_ms)[:most])


def _hop_times_of(result: GroupResult) -> list[HopTime]:
    if result.files is None or not result.judgement.circuits:
        return []
    folder = RunFolder(result.files)
    times: dict[tuple[str, str], list[float]] = {}
    with suppress(InfraError, OSError):
        if folder.database.stat().st_size > _MOST_BYTES:
            return []
        evidence = load_evidence(folder.database)
        for circuit in key_paths(read_circuits(folder.scenario), evidence):
            for path in circuit.paths:
                for one, other in pairwise(sorted(path.events, key=lambda event: event.here_ns)):
                    if one.domain == other.domain:  # times of two clocks do not compare
                        hop = (one.place, other.place)
                        times.setdefault(hop, []).append((other.t_ns - one.t_ns) / 1e6)
    name = label(result.scenario)
    return [
        HopTime(name, start, end, median(taken), len(taken))
        for (start, end), taken in times.items()
    ]
