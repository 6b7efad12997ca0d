"""Reads a kept report back into the types that every renderer takes.

What a report does not hold (the declaration of units and circuits) is empty in what comes back; so
is what an older version did not write yet.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from testrium.declared.checks import Metric
from testrium.declared.circuits import Rules
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, InfraError, Problem, TestriumError
from testrium.evidence import CheckResult, End, EndCause, Event, Finding, Leak, UnitState, Use
from testrium.evidence import TestResult as Test
from testrium.record.reader import load_evidence, load_logs, load_moments
from testrium.record.scenario import read_circuits
from testrium.report.console import HopTime
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
    RunResult,
)
from testrium.run.folder import RunFolder
from testrium.statistics import median
from testrium.system.files import regular_text
from testrium.verify.instances import key_paths
from testrium.words import FAULTS, RESERVED_UNITS, Code, EventType, Place, Verdict

T = TypeVar("T")

#: A report may come from elsewhere. A million lost keys take a few of these bytes.
MOST_BYTES = 256_000_000

_MOST_DIGITS = 20

_MOST_DEPTH = 200

_TOO_DEEP = f"it is nested more than {_MOST_DEPTH} deep"

#: The types of fields as they are annotated. Others are read by functions of their own.
_FIELD_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
}


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
    Folders of groups are below it, whatever its report says, which may come from elsewhere.
    Raises StoredReportError where nothing was kept or nothing can be read.
    """
    if (folder / RUN_FILE).exists():
        result = read_report(folder / RUN_FILE)
        return result._replace(groups=tuple(_kept_in(folder, group) for group in result.groups))
    summaries = [(path, _load(path)) for path in sorted(folder.rglob(GROUP_FILE))]
    if not summaries:
        raise StoredReportError(
            f"no report was kept in {folder}: the run did not finish"
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
        _check_size(path.stat().st_size)
        data = json.loads(
            regular_text(path),
            parse_int=_whole_number,
            parse_float=_finite_number,
            parse_constant=_finite_number,
        )
        _check_depth(data)
    except RecursionError as error:
        raise _unreadable(path, ValueError(_TOO_DEEP)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return data


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"it has {size / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}")


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


def _unreadable(path: Path, error: Exception) -> StoredReportError:
    return StoredReportError(f"{path} cannot be read as a report: {type(error).__name__}: {error}")


def _run(data: Mapping[str, Any], folder: Path) -> RunResult:
    modes: dict[str, dict[str, None]] = {}
    for group in data["groups"]:
        modes.setdefault(group["id"], {})[group["mode"]] = None
    return RunResult(
        run=data["run"],
        verdict=Verdict(data["verdict"]),
        exit_code=ExitCode(data["exit_code"]),
        duration_s=_number(data, "duration_s"),
        groups=tuple(
            _group(group, _moved(group["run_dir"], data["run"], folder), tuple(modes[group["id"]]))
            for group in data["groups"]
        ),
        errors=_all(Problem, data.get("errors", ())),
        folder=folder,
        started_wall=_number(data, "started", 0.0),
        shard=data.get("shard") or "",
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


def _group(data: Mapping[str, Any], run_dir: Path | None, modes: tuple[Any, ...]) -> GroupResult:
    group = Group(
        id=data["id"],
        folder=Path(data.get("folder", data["id"])),
        units=(),
        title=data.get("title", ""),
        test_modes=modes,
        rules=Rules(mask=_patterns(data.get("mask", ()))),
    )
    required = data.get("required", {})
    ai = data.get("ai") or {}
    scenario = Scenario(
        id=data["id"],
        group=group,
        units=(),
        mode=data["mode"],
        params=data.get("params", {}),
        repeat=data.get("repeat", 0),
        skip=data.get("reason") or "",
    )
    started_ns = data.get("started_ns")
    _check_type("started_ns", started_ns, "int | None")
    return GroupResult(
        scenario=scenario,
        verdict=Verdict(data["verdict"]),
        duration_s=_number(data, "duration_s"),
        run_dir=run_dir,
        reason=data.get("reason") or "",
        judgement=Judgement(
            verdict=Verdict(data["verdict"]),
            findings=tuple(map(_finding, data.get("findings", ()))),
            notes=tuple(map(_finding, data.get("notes", ()))),
            circuits=tuple(map(_circuit, data.get("circuits", ()))),
            completed=_all(Place, required.get("completed", ())),
            missing=_all(Place, required.get("missing", ())),
            measures=_all(Measure, data.get("metrics", ())),
            metrics=tuple(map(_metric, data.get("metric_results", ()))),
        ),
        ends=tuple(_end(unit, started_ns) for unit in data.get("units", ())),
        tests=tuple(
            _made(
                Test,
                each,
                skipped=each.get("verdict") == "skip",
                aborted=each.get("verdict") == "error",
                file=each.get("file") or "",
                remarks=tuple((n["code"], n["message"]) for n in each.get("notes", ())),
            )
            for each in data.get("tests", ())
        ),
        checks=_all(CheckResult, data.get("checks", ())),
        witnesses={event["id"]: _event(event) for event in data.get("events", ())},
        started_ns=started_ns,
        average_latency_s=data.get("average_latency_s"),
        answer=ai.get("answer", ""),
        faults=tuple(map(_fault, data.get("faults", ()))),
        tries=tuple(map(_try, data.get("tries", ()))),
    )


def _patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """Of what is masked; ValueError where one is no regular expression."""
    for text in texts:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"mask: {error}") from error
    return tuple(texts)


def _made(kind: Callable[..., T], data: Mapping[str, Any], **converted: object) -> T:
    """A tuple or dataclass of `data`: what is missing has its default, what is unknown is left out.

    Other versions of Testrium have written fields that are not ours, and not all of ours.
    """
    fields = _fields(kind)
    known = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name in fields
    }
    for name in known.keys() - converted.keys():
        _check_type(name, known[name], fields[name])
    return kind(**known | converted)


@functools.cache
def _fields(kind: Callable[..., object]) -> Mapping[str, str]:
    """The fields and their types, as they are annotated."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        one.name: str(getattr(one.annotation, "__forward_arg__", one.annotation))
        for one in parameters
    }


def _check_type(name: str, value: object, annotated: str) -> None:
    """Raise TypeError where a text stands for a number or the reverse."""
    wanted, _, optional = annotated.partition(" | ")
    expected = _FIELD_TYPES.get(wanted)
    if expected is None or (value is None and optional == "None"):
        return
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise TypeError(f"{name}: expected {wanted}, got {str(value)[:40]!r}")


def _number(data: Mapping[str, Any], name: str, default: Any = None) -> Any:
    value = data[name] if default is None else data.get(name, default)
    _check_type(name, value, "float")
    return value


def _all(kind: Callable[..., T], data: Iterable[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(_made(kind, each) for each in data)


def _finding(data: Mapping[str, Any]) -> Finding:
    finding = _made(Finding, data, code=Code(data["code"]))
    return finding._replace(key_count=0) if finding.key_count == len(finding.keys) else finding


def _try(data: Mapping[str, Any]) -> FailedTry:
    folder, finding = data.get("run_dir"), data.get("finding")
    return FailedTry(
        Verdict(data["verdict"]),
        _number(data, "duration_s", 0.0),
        None if folder is None else Path(folder),
        None if finding is None else _finding(finding),
    )


def _circuit(data: Mapping[str, Any]) -> CircuitResult:
    return _made(CircuitResult, data, verdict=Verdict(data["verdict"]))


def _metric(data: Mapping[str, Any]) -> MetricResult:
    rule = data.get("rule")
    return _made(MetricResult, data, rule=None if rule is None else _made(Metric, rule))


def _end(data: Mapping[str, Any], started_ns: int | None) -> End:
    def moment(seconds: float | None) -> int | None:
        if seconds is None or started_ns is None:
            return None
        return started_ns + round(seconds * 1e9)

    return _made(
        End,
        data,
        unit=data["name"],
        cause=EndCause(data.get("cause", EndCause.SELF)),
        state=UnitState(data["state"]),
        started_ns=moment(data.get("started_s")),
        ready_ns=moment(data.get("ready_s")),
        ended_ns=moment(data.get("ended_s")),
        leaks=_all(Leak, data.get("leaks", ())),
        fault=data.get("fault") or "",
        use=_made(Use, data),
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
    return _made(Event, data)


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


def slowest_legs(results: Iterable[GroupResult], most: int = 3) -> tuple[HopTime, ...]:
    """The legs, from one event of a key to its next, with the longest medians."""
    legs = [leg for result in results for leg in _legs_of(result)]
    return tuple(sorted(legs, key=lambda leg: -leg.median_ms)[:most])


def _legs_of(result: GroupResult) -> list[HopTime]:
    if result.files is None or not result.judgement.circuits:
        return []
    folder = RunFolder(result.files)
    times: dict[tuple[str, str], list[float]] = {}
    with suppress(InfraError, OSError):
        if folder.database.stat().st_size > _MOST_BYTES:
            return []
        evidence = load_evidence(folder.database)
        for circuit in key_paths(read_circuits(folder.scenario), evidence):
            for way in circuit.ways:
                for one, other in pairwise(sorted(way.events, key=lambda event: event.t_ns)):
                    if one.domain == other.domain:  # times of two clocks do not compare
                        leg = (_place(one), _place(other))
                        times.setdefault(leg, []).append((other.t_ns - one.t_ns) / 1e6)
    name = label(result.scenario)
    return [
        HopTime(name, start, end, median(taken), len(taken))
        for (start, end), taken in times.items()
    ]


def _place(event: Event) -> str:
    return f"{event.unit}:{event.step}"
