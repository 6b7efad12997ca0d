"""How units ended, what they raised, and what they left behind.

One death is one finding: `exception` where the exception that ended a Python unit is known, else
`crash`. A death after which the unit was started again within its restarts is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from operator import attrgetter

from testrium.model import (
    RESERVED_UNITS,
    Code,
    End,
    EndCause,
    Event,
    EventType,
    Evidence,
    Finding,
    Scenario,
    Unit,
)
from testrium.verify.drafts import place_of
from testrium.verify.index import EventIndex
from testrium.verify.places import any_matches
from testrium.verify.tracebacks import raised_types
from testrium.verify.wording import close_to, shown, times

#: The runner ended it: what it says of its own end then is no finding.
_STOPPED = frozenset(
    {EndCause.STOPPED, EndCause.ABANDONED, EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY}
)


class ProcessFacts:
    """Everything about the processes of a run. `notes` decide nothing."""

    def __init__(self, scenario: Scenario, evidence: Evidence, index: EventIndex) -> None:
        self._scenario = scenario
        self._rules = scenario.group.rules
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
        self._exceptions = index.of_type(EventType.EXCEPTION)
        self._uncaught = {
            (event.owner, event.start, event.step)
            for event in self._exceptions
            if "uncaught" in event.meta
        }
        for end in self.ends.values():
            self._check_end(end)
        self._check_exceptions(evidence)

    # Ends -------------------------------------------------------------------------------------

    def _check_end(self, end: End) -> None:
        match end.cause:
            case EndCause.SELF:
                self._check_own_end(end)
            case EndCause.STOPPED:
                self._check_silent(end)
            case EndCause.UNREADY:
                self._add_end(Code.UNREADY, end, f"{end.unit} did not become ready")
            case EndCause.OVERDUE:
                limit = f"the group's deadline ({self._scenario.group.timeout_s:g} s)"
                self._add_end(Code.HANG, end, f"{end.unit} was still alive at {limit}")
            case EndCause.TIMEOUT:
                self._add_end(Code.HANG, end, f"{end.unit} was still alive at its own timeout")
            case EndCause.NOTRUN:
                because = f" because of {end.blocked_by}" if end.blocked_by else ""
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
                self._add_end(Code.UNREADY, end, f"{end.unit} ended before it was ready")
            else:
                self._check_silent(end)
        elif self._death_of(end) is None:
            how = f"by {end.signal}" if end.signal else f"with exit code {end.exit_code}"
            again = f" (started {times(end.starts)})" if end.starts > 1 else ""
            self._add_end(Code.CRASH, end, f"{end.unit} ended {how}{again}")

    def _never_ready(self, end: End) -> bool:
        unit = self._units.get(end.unit)
        waits = unit is not None and (unit.ready_event is not None or unit.ready is not None)
        return waits and not end.was_ready

    def _death_of(self, end: End) -> Event | None:
        """The uncaught exception that ended the unit's last process, if it is known."""
        for event in self._exceptions:
            if (
                event.meta.get("uncaught") == "main"
                and event.owner == end.unit
                and (event.start == end.starts or end.unit in RESERVED_UNITS)
                and (end.pid is None or event.pid == end.pid)
            ):
                return event
        return None

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
        if end.message and end.message not in message:
            hints.append(end.message)
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
                explained_by=f"fault {end.fault}" if end.fault else None,
            )
        )

    def _note_end(self, code: Code, where: str, end: End, t_ns: int | None) -> None:
        unit = self._units.get(end.unit)
        init = -1 if unit is None else unit.init
        self.end_times[code, where] = (inf if t_ns is None else t_ns, init)

    def _ready_hints(self, end: End) -> list[str]:
        unit = self._units.get(end.unit)
        if unit is None or unit.ready_event is None:
            return []
        near = close_to(unit.ready_event, self._index.steps_of(unit.name))
        return [f"it did emit {near}: is {unit.ready_event} misspelled?"] if near else []

    # Exceptions -------------------------------------------------------------------------------

    def _check_exceptions(self, evidence: Evidence) -> None:
        """Exception events, and under `stderr = "forbid"` tracebacks, one finding for a place."""
        places: dict[str, list[Event]] = {}
        for event in self._exceptions:
            if self._counts(event):
                places.setdefault(place_of(event), []).append(event)
        for events in places.values():
            self._add_exception(events)
        if self._rules.stderr != "forbid":
            return
        replaced = {
            (owner, step)
            for owner, start, step in self._uncaught
            if self._was_replaced(owner, start)
        }
        for unit, text in evidence.stderr.items():
            for step, first_line in raised_types(text).items():
                where = f"{unit}:{step}"
                known = where in places or (unit, step) in replaced
                if not known and not any_matches(self._rules.allow, unit, step):
                    self._add_bad_behavior(
                        Finding(
                            Code.EXCEPTION,
                            where,
                            f"{unit} wrote a traceback to stderr: {shown(first_line)}",
                            unit=unit,
                        )
                    )

    def _counts(self, event: Event) -> bool:
        """Whether an Exception event is worth a word."""
        if any_matches(self._rules.allow, event.unit, event.step):
            return False
        if self._was_replaced(event.owner, event.start):
            # Reported and raised again: one exception, and the unit has recovered from it.
            return (event.owner, event.start, event.step) not in self._uncaught
        end = self.ends.get(event.owner)
        stopped = end is not None and end.cause in _STOPPED and end.starts == event.start
        return not (stopped and event.step == "KeyboardInterrupt" and "uncaught" in event.meta)

    def _was_replaced(self, owner: str, start: int) -> bool:
        end = self.ends.get(owner)
        return end is not None and owner not in RESERVED_UNITS and start < end.starts

    def _add_exception(self, events: Sequence[Event]) -> None:
        first = events[0]
        end = self.ends.get(first.owner)
        died = end is not None and self._is_death(end, events)
        outside = all("uncaught" in event.meta for event in events)
        if outside and not died and self._rules.stderr == "allow":
            return
        said = str(first.meta.get("message") or "")
        how = {
            "main": "died of",
            "thread": "lost a thread to",
            "task": "lost a task to",
        }.get(str(first.meta.get("uncaught")), "reported")
        more = f" ({times(len(events))})" if len(events) > 1 else ""
        message = f"{first.unit} {how} {first.step}" + (f": {shown(said)}" if said else "") + more
        where_in_code = _raised_at(str(first.meta.get("traceback") or ""))
        hints = [f"raised at {where_in_code}"] if where_in_code else []
        keys = tuple(dict.fromkeys(event.key for event in events if event.key is not None))
        finding = Finding(
            Code.EXCEPTION,
            place_of(first),
            message,
            key=keys[0] if keys else None,
            keys=keys,
            events=tuple(event.id for event in events[:20]),
            hints=tuple(hints),
            unit=first.unit,
            t_ns=first.t_ns,
            explained_by=f"fault {end.fault}" if died and end is not None and end.fault else None,
        )
        if died and end is not None:
            self._note_end(Code.EXCEPTION, finding.where, end, first.t_ns)
        if outside and not died:
            self._add_bad_behavior(finding)
        else:
            self.findings.append(finding)

    def _is_death(self, end: End, events: Sequence[Event]) -> bool:
        bad = end.cause is EndCause.SELF and not accepted_exit(end, self._units.get(end.unit))
        return bad and self._death_of(end) in events

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


def _raised_at(traceback: str) -> str:
    """The last `File ..., line ...` of a Python traceback: where it was raised."""
    lines = [line.strip() for line in traceback.splitlines()]
    return next((line for line in reversed(lines) if line.startswith("File ")), "")
