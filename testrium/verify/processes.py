"""How units ended, what they raised, and what they left behind.

One death is one finding: `exception` where the exception that ended a Python unit is known, else
`crash`. A death after which the unit was started again within its restarts is none.
"""

from __future__ import annotations

from math import inf
from operator import attrgetter

from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.errors import InjectedFault
from testrium.evidence import End, EndCause, Event, Evidence, Finding
from testrium.verify.exceptions import Exceptions, exception_finding, is_uncaught
from testrium.verify.index import EventIndex
from testrium.verify.wording import close_to, shown, times
from testrium.words import RESERVED_UNITS, Code


class ProcessFacts:
    """Everything about the processes of a run. `notes` decide nothing."""

    def __init__(self, scenario: Scenario, evidence: Evidence, index: EventIndex) -> None:
        self._scenario = scenario
        self._index = index
        self._units = {unit.name: unit for unit in scenario.units}
        self.ends = current_ends(evidence)
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        #: When the units ended whose end is a finding: time (ns), then `init`.
        self.end_times: dict[tuple[Code, str], tuple[float, int]] = {}
        # All that hang at the deadline hang at one time, however long it takes to stop them.
        self._deadline_ns = min(
            (e.ended_ns for e in self.ends.values() if _at_deadline(e) and e.ended_ns), default=None
        )
        self._emitters = {unit for unit, _ in index.by_place}
        self._emitters.update(map(attrgetter("owner"), index.events))
        self._emitters.update(damage.unit for damage in evidence.damages)
        self._exceptions = Exceptions(scenario.group.rules, self.ends, index)
        for end in self.ends.values():
            self._check_end(end)
        self._add_exceptions(evidence)

    # Ends -------------------------------------------------------------------------------------

    def _check_end(self, end: End) -> None:
        match end.cause:
            case EndCause.SELF:
                self._check_own_end(end)
            case EndCause.STOPPED:
                self._check_silent(end)
            case EndCause.UNREADY:
                self._add_end(Code.UNREADY, end, _unready_message(end))
            case EndCause.OVERDUE:
                limit = f"the group's deadline ({self._scenario.group.timeout_s:g} s)"
                self._add_end(Code.HANG, end, f"{end.unit} was still alive at {limit}")
            case EndCause.TIMEOUT:
                self._add_end(Code.HANG, end, f"{end.unit} was still alive at its own timeout")
            case EndCause.NOTRUN:
                because = f" because of {end.blocked_by}" if end.blocked_by else f": {end.message}"
                self._add_end(Code.NOTRUN, end, f"{end.unit} was not started{because}")
            case EndCause.INFRA:
                self._add_end(Code.INFRA, end, end.message or f"the runner failed {end.unit}")
            case EndCause.ABANDONED:
                pass
        if end.leaks:
            self._add_leak(end)

    def _check_own_end(self, end: End) -> None:
        if accepted_exit(end, self._units.get(end.unit)):
            if self._never_ready(end):
                said = end.message or "ended before it was ready"
                self._add_end(Code.UNREADY, end, f"{end.unit} {said}")
            else:
                self._check_silent(end)
        elif self._exceptions.death_of(end) is None:
            how = f"by {end.signal}" if end.signal else f"with exit code {end.exit_code}"
            if end.pid is None and end.message:  # it could not even be started
                self._add_end(Code.CRASH, end, f"{end.unit}: {end.message}")
                return
            again = f" (started {times(end.starts)})" if end.starts > 1 else ""
            self._add_end(Code.CRASH, end, f"{end.unit} ended {how}{again}")

    def _never_ready(self, end: End) -> bool:
        unit = self._units.get(end.unit)
        waits = unit is not None and (unit.ready_event is not None or unit.ready is not None)
        return waits and not end.was_ready

    def _check_silent(self, end: End) -> None:
        unit = self._units.get(end.unit)
        if unit is None or unit.quiet or not unit.has_process or unit.name in self._emitters:
            return
        how = "was stopped" if end.cause is EndCause.STOPPED else "ended well"
        self._add_bad_behavior(
            Finding(
                Code.SILENT,
                unit.name,
                f"{unit.name} {how} without a single probe: nothing shows what it did",
                hints=("emit a probe, or set quiet = true if none is expected",),
                unit=unit.name,
                t_ns=end.ended_ns,
            )
        )

    def _add_leak(self, end: End) -> None:
        left = [f"pid {leak.pid}: {shown(leak.command_line)}" for leak in end.leaks]
        count = f"{len(left)} processes" if len(left) > 1 else "a process"
        self._add_bad_behavior(
            Finding(
                Code.LEAK,
                end.unit,
                f"{end.unit} left {count} behind ({left[0]})",
                hints=tuple(left[:10]),
                unit=end.unit,
                t_ns=end.ended_ns,
            )
        )

    def _add_end(self, code: Code, end: End, message: str) -> None:
        t_ns = self._deadline_ns if _at_deadline(end) else end.ended_ns
        self._note_end(code, end.unit, end, t_ns)
        last = self._index.last_of(end.unit)
        hints = []
        if last is not None:
            hints.append(f"its last probe was {shown(last.step)}")
        if end.message and end.message not in message and code is not Code.UNREADY:
            hints.append(end.message)
        hints += end.threads
        hints += self._planned_hints(end)
        if code is Code.UNREADY:
            hints += self._ready_hints(end)
        self.findings.append(
            Finding(
                code,
                end.unit,
                message,
                events=() if last is None else (last.id,),
                hints=tuple(hints),
                unit=end.unit,
                t_ns=t_ns,
                explained_by=_planned(end.fault),
            )
        )

    def _planned_hints(self, end: End) -> list[str]:
        """That it was planned, and what `in-except` made of it."""
        if not end.fault:
            return []
        unit = self._units.get(end.unit)
        planned = f"planned by [[faults]]: {shown(end.fault)}"
        if unit is not None and unit.in_except in ("Stop", "Resume"):
            planned += f'; with in-except = "{unit.in_except}" it is not started again'
        return [planned]

    def _note_end(self, code: Code, where: str, end: End, t_ns: int | None) -> None:
        unit = self._units.get(end.unit)
        init = -1 if unit is None else unit.init
        if code is Code.NOTRUN:  # because of what ended, whenever that was told
            t_ns = None
        self.end_times[code, where] = (inf if t_ns is None else t_ns, init)

    def _ready_hints(self, end: End) -> list[str]:
        unit = self._units.get(end.unit)
        if unit is None or unit.ready_event is None:
            return []
        near = close_to(unit.ready_event, self._index.steps_of(unit.name))
        return [f"it did emit {near}: is {unit.ready_event} misspelled?"] if near else []

    def _add_exceptions(self, evidence: Evidence) -> None:
        """Exception events, and under `stderr = "forbid"` tracebacks; a finding for each place."""
        mode = self._scenario.group.rules.stderr
        for events in self._exceptions.by_place():
            finding = exception_finding(events)
            end = self.ends.get(events[0].owner)
            if end is not None and self._died_of(end, events):
                self._note_end(Code.EXCEPTION, finding.where, end, finding.t_ns)
                hints = (*finding.hints, *self._planned_hints(end))
                finding = finding._replace(hints=hints, explained_by=_planned(end.fault))
                self.findings.append(finding)
                continue
            finding = finding._replace(explained_by=_raised(events, evidence))
            if not all(map(is_uncaught, events)):
                self.findings.append(finding)
            elif mode != "allow":
                self._add_bad_behavior(finding)
        if mode == "forbid":
            for finding in self._exceptions.in_logs(evidence.stderr):
                self._add_bad_behavior(finding)

    def _died_of(self, end: End, events: list[Event]) -> bool:
        bad = end.cause is EndCause.SELF and not accepted_exit(end, self._units.get(end.unit))
        return bad and self._exceptions.death_of(end) in events

    def _add_bad_behavior(self, finding: Finding) -> None:
        detect = self._scenario.group.detect_bad_behavior
        (self.findings if detect else self.notes).append(finding)


def current_ends(evidence: Evidence) -> dict[str, End]:
    """The ends that count: of the last attempt, and of setup, tests and teardown."""
    return {
        end.unit: end
        for end in evidence.ends
        if end.attempt == evidence.attempt or end.unit in RESERVED_UNITS
    }


def accepted_exit(end: End, unit: Unit | None) -> bool:
    """Whether a unit (None: setup, tests or teardown) may end by itself like this."""
    if end.pid is None and end.exit_code is None and end.signal is None:
        return True  # it has no process of its own
    return end.signal is None and end.exit_code in (unit.exit if unit is not None else (0,))


def _at_deadline(end: End) -> bool:
    return end.cause is EndCause.OVERDUE


def _unready_message(end: End) -> str:
    """What the runner says of it, as a sentence ("not ready after 3 s: no probe 'ready'")."""
    late = end.message.removeprefix("not ready")
    if late != end.message:
        return f"{end.unit} did not become ready{late}"
    return f"{end.unit} did not become ready" + (f": {end.message}" if end.message else "")


def _raised(events: list[Event], evidence: Evidence) -> str | None:
    """The planned fault that an exception is, and that its unit did not die of."""
    messages = {event.meta.get("message") for event in events}
    if events[0].step != InjectedFault.__name__:
        return None
    return next((_planned(one.step) for one in evidence.faults if one.step in messages), None)


def _planned(fault: str) -> str | None:
    """The planned fault that explains an end, as `Finding.explained_by` says it."""
    return f"fault {fault}" if fault else None
