"""Read a stored group run back: its evidence, and what reports show of how it went."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from testrium.declared.groups import Scenario
from testrium.errors import InfraError, InjectedFault
from testrium.evidence import (
    CheckResult,
    Damage,
    EarlierRun,
    End,
    EndCause,
    Event,
    Evidence,
    Finding,
    LatePort,
    Leak,
    LogPiece,
    Moments,
    OpenWait,
    OutputMark,
    Reported,
    Sample,
    StateChange,
    StoredLog,
    TestResult,
    UnitState,
    Unrecorded,
    Use,
)
from testrium.host_clocks import KnownClock
from testrium.loaded_by_name import compiled_core
from testrium.record.database import (
    collector_paused,
    metric_rows,
    open_reader,
    refuse_code,
)
from testrium.record.runs import list_runs
from testrium.record.store import _SELECT, _events
from testrium.system.files import decoded, read_regular
from testrium.words import Code

#: Ends to which a unit comes because it does not go on.
_STUCK = (EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY)

#: Signals after which a process stands still.
_STANDING = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")


def without_faults(events: Sequence[Event]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """The events of probes, and those that record planned faults: these have no owner."""
    return (
        tuple([event for event in events if event.owner]),
        tuple([event for event in events if not event.owner]),
    )


def with_fault(end: End, events: Sequence[Event], faults: Sequence[Event]) -> End:
    """The end with the planned fault that has caused it, if one has."""
    for fault in faults:
        mine = fault.meta.get("unit") == end.unit and fault.start == end.starts
        if mine and _fault_explains(fault, end, events):
            return end._replace(fault=fault.step)
    return end


def _fault_explains(fault: Event, end: End, events: Sequence[Event]) -> bool:
    if end.cause in _STUCK:
        for_ns = fault.meta.get("for_ns")
        ended_ns = end.ended_ns or 0
        lasts = for_ns is None or (isinstance(for_ns, int) and fault.t_ns + for_ns > ended_ns)
        stands = fault.meta.get("signal") in _STANDING
        return (stands or fault.meta.get("do") in ("hang", "pause", "delay")) and lasts
    if end.cause is not EndCause.SELF:
        return False
    match fault.meta.get("do"):
        case "kill":
            return end.signal == "SIGKILL"
        case "signal":
            name = str(fault.meta.get("signal"))
            number = getattr(signal, name, 0)
            return end.signal == name or (number > 0 and end.exit_code == 128 + number)
        case "exit":
            return end.exit_code == fault.meta.get("code") and end.pid == fault.pid
        case "raise":
            return end.pid == fault.pid and _died_of_it(end, events)
    return False


def _died_of_it(end: End, events: Sequence[Event]) -> bool:
    return any(
        event.step == InjectedFault.__name__
        and event.owner == end.unit
        and event.pid == end.pid
        and event.meta.get("uncaught") == "main"
        for event in events
    )


def _reported(row: tuple[Any, ...]) -> Reported:
    return Reported(*row[:6])._replace(details=json.loads(row[6]) if row[6] else {})


def load_evidence(database: Path) -> Evidence:
    """All that a stored group run can be judged by.

    Raises InfraError: the file does not exist, it is damaged, or of a newer Testrium.
    """
    if not database.is_file():
        raise InfraError(f"{database} does not exist: the group has not stored anything")
    from_json = compiled_core().from_json  # in half the time of json's

    with _reading(database) as connection, collector_paused():
        connection.execute("BEGIN")  # all is of one moment, and each query locks nothing anew
        meta = {
            name: json.loads(value)
            for name, value in connection.execute("SELECT Name, Value FROM Meta")
        }
        rows = connection.execute(f"{_SELECT} ORDER BY ID")
        clocks = known_clocks(meta)
        events = tuple(_events(rows, partial(from_json, cache_strings="keys"), clocks))
        ends = tuple(map(_end, connection.execute("SELECT * FROM Ends ORDER BY ID")))
        faults: tuple[Event, ...] = ()
        if meta.get("faults"):
            events, faults = without_faults(events)
            ends = tuple(with_fault(end, events, faults) for end in ends)
        return Evidence(
            events=events,
            ends=ends,
            faults=faults,
            damages=tuple(
                Damage(*row)
                for row in connection.execute(
                    "SELECT Unit, Reason, Line, Attempt FROM Damages ORDER BY ID"
                )
            ),
            tests=tuple(
                _test(row) for row in connection.execute("SELECT * FROM Tests ORDER BY ID")
            ),
            checks=tuple(map(_check, meta.get("checks", ()))),
            waits=tuple(map(_wait, meta.get("waits", ()))),
            late_ports=tuple(LatePort(*port) for port in meta.get("late_ports", ())),
            unrecorded=tuple(
                Unrecorded(unit, reason, tuple(map(tuple, places)))
                for unit, reason, places in meta.get("unrecorded", ())
            ),
            unmatched=tuple(map(tuple, meta.get("unmatched", ()))),
            attempt=meta.get("attempt", 1),
            started_ns=meta.get("started_ns"),
            ended_ns=meta.get("ended_ns"),
            infra=meta.get("infra", ""),
            infra_at=meta.get("infra_at", ""),
            clocks=tuple(clocks.values()),
            interrupted=meta.get("interrupted", False),
            suspended_ns=meta.get("suspended_ns", 0),
            metrics=tuple(map(_reported, metric_rows(connection))),
            findings=tuple(map(_divergence, meta.get("diverged", ()))),
        )


@contextlib.contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A store, open to read. Raises InfraError, for what is damaged in it too."""
    with closing(open_reader(str(database))) as connection:
        try:
            yield connection
        except (sqlite3.Error, ValueError) as error:
            raise InfraError(f"cannot read {database}: {error}") from error


def _stored(connection: sqlite3.Connection, name: str) -> Any:
    """What was stored of the run under a name; None where nothing was."""
    row = connection.execute("SELECT Value FROM Meta WHERE Name = ?", (name,)).fetchone()
    return None if row is None else json.loads(row[0])


def _divergence(told: dict[str, Any]) -> Finding:
    """Where a run could not keep to the schedule that it had to repeat."""
    at, missing = told["at"], " and ".join(told["missing"])
    what = (
        f"{at} was not reached, which the schedule holds until {missing}"
        if told.get("never")
        else f"{at} was held, and {missing} did not come"
    )
    return Finding(Code.UNDECIDED, at, f"the run left its schedule: {what}")


def known_clocks(meta: Mapping[str, Any]) -> dict[str, KnownClock]:
    """The clocks of other hosts that were read in a run, by their names."""
    stored = meta.get("clocks")
    if not stored:
        return {}
    home = meta.get("domain", "")
    return {
        name: KnownClock.of(name, clock["host"], home, clock["readings"])
        for name, clock in stored.items()
        if clock["readings"]
    }


def _check(fields: dict[str, Any]) -> CheckResult:
    return CheckResult(**fields | {"details": tuple(fields["details"])})


def _test(row: tuple[Any, ...]) -> TestResult:
    _, name, passed, duration, message, traceback, skipped, *more = row
    fields = json.loads(more[0]) if more else {}  # stores of before have no such column
    known = {"name": name, "passed": bool(passed), "duration_s": duration, "message": message}
    return TestResult.read({**fields, **known, "traceback": traceback, "skipped": bool(skipped)})


def _end(row: tuple[Any, ...]) -> End:
    _, unit, cause, state, pid, exit_code, signal, starts, attempt, *rest = row
    was_ready, started, ready, ended, message, by, leaks, lines, threads, used, *more = rest
    return End(
        unit=unit,
        cause=EndCause(cause),
        state=UnitState(state),
        pid=pid,
        exit_code=exit_code,
        signal=signal,
        starts=starts,
        attempt=attempt,
        was_ready=bool(was_ready),
        started_ns=started,
        ready_ns=ready,
        ended_ns=ended,
        message=message,
        blocked_by=by,
        leaks=tuple(Leak(*leak) for leak in json.loads(leaks)),
        last_lines=tuple(json.loads(lines)),
        threads=tuple(json.loads(threads)),
        use=Use(**json.loads(used)),
        concluded=bool(more[0]) if more else True,
    )


def with_suites(scenario: Scenario, evidence: Evidence) -> Evidence:
    """The evidence with a result for each test of each suite, and what could not be asked.

    Of a suite that was started again the last result of each test counts.
    """
    told: dict[str, dict[str, Event]] = {unit.name: {} for unit in scenario.units if unit.kind}
    if not told:
        return evidence
    for event in evidence.events:
        if event.unit not in told or event.attempt != evidence.attempt:
            continue
        test = event.meta.get("test")
        if isinstance(test, str) and "outcome" in event.meta:
            told[event.unit][test] = event
    tests = [_test_of(unit, event) for unit, events in told.items() for event in events.values()]
    findings = [
        finding
        for unit, events in told.items()
        if (finding := _undecided_suite(unit, list(events.values()))) is not None
    ]
    return evidence._replace(
        tests=(*evidence.tests, *tests), findings=(*evidence.findings, *findings)
    )


def _test_of(unit: str, event: Event) -> TestResult:
    meta = event.meta
    outcome, test = meta["outcome"], meta["test"]
    message = _text(meta.get("message"))
    if outcome == "unknown":
        message = f"{outcome}: {message}" if message else str(outcome)
    elif outcome == "skipped":
        message = message or "skipped"  # else the reason, as of a test function
    duration, line = meta.get("duration_s"), meta.get("line")
    return TestResult(
        name=f"{unit}::{test}" if test else unit,
        passed=outcome != "failed",
        duration_s=float(duration) if isinstance(duration, int | float) else 0.0,
        message=message,
        traceback=_text(meta.get("traceback")),
        unit=unit,
        skipped=outcome == "skipped",
        unanswered=outcome == "unknown",
        file=_text(meta.get("file")),
        line=line if isinstance(line, int) and not isinstance(line, bool) else None,
    )


def _undecided_suite(unit: str, events: list[Event]) -> Finding | None:
    """What was not answered is not known; where everything was skipped, nothing is."""
    unknown = [event for event in events if event.meta["outcome"] == "unknown"]
    if unknown:
        reasons = dict.fromkeys(_text(event.meta.get("message")) for event in unknown)
        verb = "has" if len(unknown) == 1 else "have"
        message = f"{len(unknown)} of {len(events)} steps of {unit} {verb} no answer"
        return _gap_of_suite(unit, f"{message}: {'; '.join(reasons)}", unknown)
    if events and all(event.meta["outcome"] == "skipped" for event in events):
        return _gap_of_suite(unit, f"every test of {unit} was skipped: nothing was proved", events)
    return None


def _gap_of_suite(unit: str, message: str, events: list[Event]) -> Finding:
    return Finding(
        Code.GAP, unit, message, events=tuple(event.id for event in events[:3]), unit=unit
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


#: Test functions are reported as such, with their tracebacks, and print those too.
_UNITS_BESIDE = ("setup", "teardown")

#: How much of what each unit wrote on stderr is searched for tracebacks (bytes).
MOST_OF_STDERR = 64_000_000


def gather_evidence(scenario: Scenario, database: Path) -> Evidence:
    """`load_evidence`, and what only some rules look at: stderr, use of memory and CPU.

    Raises InfraError if the store cannot be read.
    """
    evidence = load_evidence(database)
    if any(unit.kind for unit in scenario.units):
        evidence = with_suites(scenario, evidence)
    if scenario.group.rules.stderr == "forbid":
        files = stderr_files(scenario, database.parent)
        encodings = {unit.name: unit.encoding for unit in scenario.units}
        evidence = evidence._replace(
            stderr={unit: _stderr_text(file, encodings.get(unit)) for unit, file in files.items()}
        )
    limited = [unit.name for unit in scenario.units if unit.max_rss or unit.max_cpu]
    if limited:
        evidence = evidence._replace(samples=load_samples(database, limited))
    return evidence


def stderr_files(scenario: Scenario, run_dir: Path) -> dict[str, Path]:
    """What each unit wrote on stderr, in all its starts: the files that are there."""
    units = (*(unit.name for unit in scenario.units), *_UNITS_BESIDE)
    files = ((unit, run_dir / "units" / unit / "stderr.log") for unit in units)
    return {unit: file for unit, file in files if file.is_file()}


def _stderr_text(file: Path, encoding: str | None) -> str:
    try:
        with read_regular(file) as opened:
            return decoded(opened.read(MOST_OF_STDERR), encoding or "utf-8")
    except OSError as error:
        raise InfraError(f"cannot read {file}: {error.strerror}") from error


_SAMPLES = "SELECT Unit, Start, TimeNs, CpuS, CpuPercent, Rss, Threads, Fds, Children FROM Samples"


def load_samples(database: Path, units: Iterable[str]) -> tuple[Sample, ...]:
    """The samples of these units in the order of time. Raises InfraError."""
    names = tuple(units)
    marks = ", ".join("?" * len(names))
    with _reading(database) as connection:
        rows = connection.execute(f"{_SAMPLES} WHERE Unit IN ({marks}) ORDER BY TimeNs", names)
        return tuple(Sample(*row) for row in rows)


#: Of a log that is longer, this much of its beginning and of its end is read (bytes).
HEAD = 1 << 17

TAIL = 3 << 17


def load_moments(database: Path) -> Moments:
    """What is known; a run of an earlier version has less. Raises InfraError."""
    with _reading(database) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        known = {name for (name,) in tables}
        samples = connection.execute(f"{_SAMPLES} ORDER BY TimeNs")
        return Moments(
            _states(connection) if "UnitStates" in known else (),
            tuple(OutputMark(*mark) for mark in _stored(connection, "outputs") or ()),
            tuple(Sample(*row) for row in samples),
            tuple(map(_wait, _stored(connection, "waits") or ())),
        )


def _states(connection: sqlite3.Connection) -> tuple[StateChange, ...]:
    rows = connection.execute("SELECT Unit, State, TimeNs FROM UnitStates ORDER BY ID")
    return tuple(StateChange(*row) for row in rows)


def _wait(stored: Sequence[Any]) -> OpenWait:
    started_ns, ended_ns, limit, what, left = stored
    return OpenWait(started_ns, ended_ns, limit, tuple(what), tuple(left))


def load_logs(run_dir: Path, units: Mapping[str, str]) -> tuple[StoredLog, ...]:
    """What units wrote, each in its encoding; streams that are empty or gone are left out."""
    logs = []
    for unit, encoding in units.items():
        for stream in ("stdout", "stderr"):
            try:
                path = run_dir / "units" / unit / f"{stream}.log"
                log = _read_log(path, unit, stream, encoding)
            except OSError:
                continue
            if log.size:
                logs.append(log)
    return tuple(logs)


def _read_log(path: Path, unit: str, stream: str, encoding: str) -> StoredLog:
    with read_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= HEAD + TAIL:
            return StoredLog(unit, stream, size, (LogPiece(0, file.read(size)),), encoding)
        head = file.read(HEAD)
        start = (size - TAIL) // 4 * 4  # a character of utf-32 begins there
        file.seek(start)
        tail = file.read(TAIL + 4)
        begin = 0
        if encoding not in ("utf-16", "utf-32"):
            head = head[: head.rfind(b"\n") + 1]
            begin = tail.find(b"\n") + 1
        pieces = (LogPiece(0, head), LogPiece(start + begin, tail[begin:]))
        return StoredLog(unit, stream, size, pieces, encoding)


#: The name of a result's folder: that of the first one, the number of a repeat, that of a try.
_REPEAT = re.compile(r"(.*?)(?:\+([0-9]+))?(?:~try([0-9]+))?")


def earlier_runs(run_folder: Path, database: Path) -> Iterator[EarlierRun]:
    """The keys that the same group, in the same mode, had before: in kept runs, repeats and tries.

    `run_folder` is `<state>/runs/<run>`, `database` the group's store in it. Stores that are
    missing or cannot be read are passed over: they only make the answer poorer.
    """
    for store in _earlier_stores(run_folder, database):
        with (
            contextlib.suppress(sqlite3.Error, InfraError, ValueError, TypeError),
            contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection,
        ):
            refuse_code(connection, str(store))
            yield _earlier_run(connection)


def _earlier_run(connection: sqlite3.Connection) -> EarlierRun:
    keys: dict[tuple[str, str, str], set[str]] = {}
    for unit, step, type_, key in connection.execute(
        "SELECT DISTINCT Unit, StepCompleted, EventType, EventKey FROM Events"
        " WHERE EventKey IS NOT NULL"
    ):
        keys.setdefault((unit, step, type_), set()).add(key)
    caused = connection.execute(
        "SELECT DISTINCT EventKey, Cause FROM Events WHERE Cause IS NOT NULL"
    )
    joined = (tuple(filter(None, (key, *json.loads(cause)))) for key, cause in caused)
    return EarlierRun({place: frozenset(found) for place, found in keys.items()}, tuple(joined))


def _earlier_stores(run_folder: Path, database: Path) -> Iterator[Path]:
    own_name, own_place = _first_and_place(database.parent.name)
    around = database.parent.parent.relative_to(run_folder)
    for run in list_runs(run_folder.parent.parent):
        for store in sorted((run / around).glob(f"*/{database.name}")):
            name, place = _first_and_place(store.parent.name)
            if name == own_name and (run != run_folder or place < own_place):
                yield store
        if run == run_folder:
            break


def _first_and_place(name: str) -> tuple[str, tuple[int, int]]:
    """The folder of a result's first run, and which repeat and try it is."""
    match = _REPEAT.fullmatch(name)
    return (match[1], (int(match[2] or 0), int(match[3] or 1))) if match else (name, (0, 1))


def stored_ports(database: Path) -> Mapping[str, Mapping[str, int]]:
    """The ports that the units of a run had; {} where that was not stored. Raises InfraError."""
    with _reading(database) as connection:
        return _stored(connection, "ports") or {}


def wall_offset_ns(database: Path) -> int | None:
    """How far the wall clock was ahead of CLOCK_MONOTONIC when the store was opened."""
    try:
        with _reading(database) as connection:
            opened: Sequence[int] = _stored(connection, "opened") or ()
            mono_ns, wall_ns = opened
    except InfraError:
        return None
    return int(wall_ns - mono_ns)


def probe_metadata(database: Path, unit: str, step: str) -> Mapping[str, Any] | None:
    """The metadata of the first such event of the last attempt; None without such an event.

    Raises InfraError.
    """
    with _reading(database) as connection:
        row = connection.execute(
            "SELECT Metadata FROM Events"
            " WHERE Unit = ? AND StepCompleted = ? AND coalesce(Attempt, 1)"
            " = coalesce((SELECT CAST(Value AS INTEGER) FROM Meta WHERE Name = 'attempt'), 1)"
            " ORDER BY ID LIMIT 1",
            (unit, step),
        ).fetchone()
        return None if row is None else json.loads(row[0] or "{}")
