"""How units ended, and why: exceptions, exits, signals, deadlines, limits, processes left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from operator import attrgetter

from testrium.declared.circuits import Rules
from testrium.declared.groups import Scenario
from testrium.declared.units import Unit, is_accepted
from testrium.errors import InjectedFault
from testrium.evidence import End, EndCause, Event, Evidence, Finding, ended_as_told
from testrium.phrases import shown, time_span, times
from testrium.tracebacks import deepest_own, raised_types
from testrium.tuples import NamedTuple
from testrium.verify.findings import place_of
from testrium.verify.index import EventIndex
from testrium.verify.probes import tapped_places
from testrium.verify.timing import surely_before
from testrium.words import RESERVED_UNITS, Code, EventType

#: The runner ended it: what it says of its own end then is not a finding.
_STOPPED = frozenset(
    {EndCause.STOPPED, EndCause.ABANDONED, EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY}
)

_RAISED_IN = re.compile(r'[\s|+]*(?P<frame>File "(?P<file>[^"]*)", line \d+.*)')

_NO_MODULE = re.compile(r"(?:(?P<python>\S*python[\d.]*): )?No module named '?(?P<module>[\w.]+)'?")


class Exceptions:
    """The Exception events of a run, as they count under its rules."""

    def __init__(self, rules: Rules, ends: Mapping[str, End], index: EventIndex) -> None:
        self._rules = rules
        self._ends = ends
        self._all = index.of_type(EventType.EXCEPTION)
        self._uncaught = {
            (event.owner, event.start, event.step) for event in self._all if is_uncaught(event)
        }

    def death_of(self, end: End) -> Event | None:
        """The uncaught exception that ended the unit's last process, if it is known."""
        for event in self._all:
            if (
                event.meta.get("uncaught") == "main"
                and event.owner == end.unit
                and (event.start == end.starts or end.unit in RESERVED_UNITS)
                and (end.pid is None or event.pid == end.pid)
            ):
                return event
        return None

    def by_place(self) -> Iterator[list[Event]]:
        """Those that count, together where they are of one unit and step."""
        places: dict[str, list[Event]] = {}
        for event in self._all:
            if self._counts(event):
                places.setdefault(place_of(event), []).append(event)
        yield from places.values()

    def in_logs(self, stderr: Mapping[str, str]) -> Iterator[Finding]:
        """Findings for tracebacks in what each unit wrote on stderr, of which no event tells."""
        known = {(event.unit, event.step) for event in self._all if self._counts(event)}
        known |= {
            (owner, step) for owner, start, step in self._uncaught if self._replaced(owner, start)
        }
        if not any(stderr.values()):
            return

        for unit, text in stderr.items():
            for step, line in raised_types(text).items():
                if (unit, step) not in known and not self._rules.allows(unit, step):
                    message = f"{unit} wrote a traceback to stderr: {shown(line)}"
                    yield Finding(Code.EXCEPTION, f"{unit}:{step}", message, unit=unit)

    def _counts(self, event: Event) -> bool:
        """Whether an Exception event is worth a word."""
        if self._rules.allows(event.unit, event.step):
            return False
        if self._replaced(event.owner, event.start):
            # Reported and raised again: one exception, and the unit has recovered from it.
            return (event.owner, event.start, event.step) not in self._uncaught
        end = self._ends.get(event.owner)
        stopped = end is not None and end.cause in _STOPPED and end.starts == event.start
        return not (stopped and event.step == "KeyboardInterrupt" and is_uncaught(event))

    def _replaced(self, owner: str, start: int) -> bool:
        """Whether the unit was started again after this start."""
        end = self._ends.get(owner)
        return end is not None and owner not in RESERVED_UNITS and start < end.starts


def is_uncaught(event: Event) -> bool:
    """Whether the interpreter reported it, and no probe of the unit."""
    return "uncaught" in event.meta


def exception_finding(events: list[Event]) -> Finding:
    """The finding for the exceptions of one place."""
    first = events[0]
    said = str(first.meta.get("message") or "")
    how = {
        "main": f"{first.unit} ended with an uncaught",
        "thread": f"a thread of {first.unit} ended with an uncaught",
        "task": f"a task of {first.unit} ended with an uncaught",
    }.get(str(first.meta.get("uncaught")), f"{first.unit} reported")
    more = f" ({times(len(events))})" if len(events) > 1 else ""
    raised_at = _raised_at(str(first.meta.get("traceback") or ""))
    keys = tuple(dict.fromkeys(event.key for event in events if event.key is not None))
    return Finding(
        Code.EXCEPTION,
        place_of(first),
        f"{how} {first.step}" + (f": {shown(said)}" if said else "") + more,
        key=keys[0] if keys else None,
        keys=keys,
        events=tuple(event.id for event in events[:20]),
        hints=(f"raised at {raised_at}",) if raised_at else (),
        unit=first.unit,
        t_ns=first.t_ns,
    )


def _raised_at(traceback: str) -> str:
    """The `File ..., line ...` of the user's deepest frame; of a chain, in the last traceback."""
    last = traceback.rpartition("Traceback (most recent call last):")[2]
    found = [match for line in last.splitlines() if (match := _RAISED_IN.match(line)) is not None]
    index = deepest_own([match["file"] for match in found])
    return "" if index is None else found[index]["frame"]


#: The ends of a unit, as causes; of exceptions only those that ended something.
ENDS = (Code.INFRA, Code.CRASH, Code.EXCEPTION, Code.UNREADY, Code.HANG, Code.NOTRUN)


_BUFFERED = (
    "it wrote nothing: a program that buffers its output shows it late"
    ' (start it with `stdbuf -oL`; of Python, set PYTHONUNBUFFERED = "1")'
)
_DAEMON = (
    "it went on in the background: run it in the foreground (an option such as --foreground),"
    " for Testrium looks after the process that it has started"
)
#: Between two looks whether somebody listens (ns).
_LOOKED_NS = 60_000_000


class AwaitedEvent(NamedTuple):
    """An event that a process waited for, with `key` or with any."""

    unit: str
    step: str
    key: str | None


class ProcessFacts:
    """Everything about the processes of a run. `notes` decide nothing."""

    def __init__(self, scenario: Scenario, evidence: Evidence, index: EventIndex) -> None:
        self._scenario = scenario
        self._index = index
        self._units = {unit.name: unit for unit in scenario.units}
        self.ends = current_ends(evidence)
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        #: Exceptions that ended nothing: their process went on.
        self.no_ends: set[tuple[Code, str]] = set()
        #: What was waited for in vain, by the place of the exception that says so.
        self.waits: dict[str, list[AwaitedEvent]] = {}
        #: When the units ended whose end is a finding: time (ns), then `init`.
        self.end_times: dict[tuple[Code, str], tuple[float, int]] = {}
        # All that hang at the deadline hang at one time, however long it takes to stop them.
        overdue = (end for end in self.ends.values() if end.cause is EndCause.OVERDUE)
        self._deadline_ns = min((end.ended_ns for end in overdue if end.ended_ns), default=None)
        self._late_ports = evidence.late_ports
        self._emitters = {unit for unit, _ in index.by_place}
        self._emitters.update(map(attrgetter("owner"), index.events))
        self._emitters.update(damage.unit for damage in evidence.damages)
        if scenario.group.taps:
            places = tapped_places(scenario)
            self._emitters.update(
                unit for damage in evidence.damages for unit, _ in places.get(damage.unit, ())
            )
        self._exceptions = Exceptions(scenario.group.rules, self.ends, index)
        for end in self.ends.values():
            self._check_end(end)
        self._add_exceptions(evidence)

    @property
    def ended(self) -> frozenset[str]:
        """The units whose end may explain their missing events."""
        return frozenset(
            finding.unit
            for finding in self.findings
            if finding.unit is not None
            and finding.code in ENDS
            and (finding.code, finding.where) not in self.no_ends
        )

    def with_services(self, ranked: list[tuple[Finding, bool]]) -> list[tuple[Finding, bool]]:
        """The same, and how to declare a service, where units that hang are all that is wrong.

        Such a unit has emitted probes, and no other unit depends on it. Where nothing was expected
        of a group, a unit that hangs may have done nothing of its work.
        """
        units = self._scenario.units
        expects = self._scenario.group.circuits or any(unit.events for unit in units)
        if not expects or any(finding.code is not Code.HANG for finding, _ in ranked):
            return ranked
        return [
            (finding._replace(hints=(*finding.hints, *self._service_hints(finding))), excused)
            for finding, excused in ranked
        ]

    def _service_hints(self, hang: Finding) -> list[str]:
        unit = self._units.get(hang.where)
        if unit is None or unit.kind is not None or not self._scenario.is_under_classic_rule(unit):
            return []
        said = 'stop = "runner"' in hang.message
        if said or self.ends[unit.name].fault or self._index.last_of(unit.name) is None:
            return []
        return [f'if {unit.name} is a service, write stop = "runner" in {unit.file}']

    # Ends -------------------------------------------------------------------------------------

    def _check_end(self, end: End) -> None:
        match end.cause:
            case EndCause.SELF:
                self._check_own_end(end)
            case EndCause.STOPPED:
                self._check_stopped(end)
            case EndCause.UNREADY:
                self._add_end(Code.UNREADY, end, _unready_message(end))
            case EndCause.OVERDUE:
                limit = f"the group's deadline ({self._scenario.group.timeout_s:g} s)"
                self._add_hang(end, limit)
            case EndCause.TIMEOUT:
                self._add_hang(end, "its own timeout")
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
                said = f"{end.unit} {end.message or 'ended before it was ready'}"
                if end.message.startswith("it "):  # a sentence of its own
                    said = _unready_message(end)
                self._add_end(Code.UNREADY, end, said)
            else:
                self._check_silent(end)
        elif self._exceptions.death_of(end) is None:
            how = f"by {end.signal}" if end.signal else f"with exit code {end.exit_code}"
            if end.pid is None and end.message:  # it could not even be started
                self._add_end(Code.CRASH, end, f"{end.unit}: {end.message}")
                return
            again = f" (started {times(end.starts)})" if end.starts > 1 else ""
            unit = self._units.get(end.unit)
            if not end.concluded:
                how += " before it was done"
            elif unit is not None and unit.exit != (0,) and end.signal is None:
                how += f", expected {' or '.join(map(str, unit.exit))}"
            self._add_end(Code.CRASH, end, f"{end.unit} ended {how}{again}")

    def _check_stopped(self, end: End) -> None:
        """Told to stop, it may end as it may by itself, by that signal, or be killed at last."""
        unit = self._units.get(end.unit)
        if unit is None or ended_as_told(end, unit):
            if unit is not None and end.signal == "SIGKILL" != f"SIG{unit.stop_signal}":
                self._add_unstopped(end, unit)
            if unit is not None:
                self._note_classic_stop(end, unit)
            self._check_silent(end)
        elif self._exceptions.death_of(end) is None:
            how = f"by {end.signal}" if end.signal else f"with exit code {end.exit_code}"
            message = f"{end.unit} ended {how} when Testrium stopped it ({unit.stop_signal})"
            self._add_end(Code.CRASH, end, message)

    def _add_hang(self, end: End, limit: str) -> None:
        message = f"{end.unit} was still alive at {limit}"
        if end.unit == "setup":
            message = (
                "setup.py neither returned from main() nor emitted setup-ready within"
                f" {self._scenario.group.timeout_s:g} s"
            )
        unit = self._units.get(end.unit)
        if unit is not None and unit.stop == "self" and unit.events and self._is_done(unit):
            classic = self._scenario.is_under_classic_rule(unit)
            rule = ", or classic = true in [Configs]," if classic else ""
            message += (
                f', though all its events are in: with stop = "runner" in {unit.file}{rule} it is'
                " stopped then"
            )
        self._add_end(Code.HANG, end, message)

    def _is_done(self, unit: Unit) -> bool:
        """Whether all events that it declares were emitted."""
        return all((unit.name, step) in self._index.by_place for step in unit.events)

    def _note_classic_stop(self, end: End, unit: Unit) -> None:
        """Say that the end of a unit was not its own, where `classic = true` has made it so."""
        scenario = self._scenario
        if scenario.group.classic and scenario.is_under_classic_rule(unit) and self._is_done(unit):
            message = f"{end.unit} had not ended, and was stopped as all its events were in"
            self.notes.append(_of_end(Code.HANG, end, f"{message} (classic = true)"))

    def _add_unstopped(self, end: End, unit: Unit) -> None:
        """It had to be killed: a finding where the unit says that it stops by itself."""
        message = (
            f"{end.unit} did not stop within {unit.grace_s:g} s of SIG{unit.stop_signal}:"
            " it was killed"
        )
        finding = _of_end(Code.UNSTOPPED, end, message, *end.threads)
        (self.findings if unit.graceful else self.notes).append(finding)

    def _never_ready(self, end: End) -> bool:
        unit = self._units.get(end.unit)
        waits = unit is not None and bool(unit.ready_event or unit.ready)
        return waits and not end.was_ready

    def _check_silent(self, end: End) -> None:
        unit = self._units.get(end.unit)
        if unit is None or unit.quiet or not unit.has_process or unit.name in self._emitters:
            return
        if any(tap.keeps for tap in self._scenario.group.taps):
            return  # its messages are looked at, to make probes of them
        how = "was stopped" if end.cause is EndCause.STOPPED else "ended well"
        message = f"{unit.name} {how} without a single probe: nothing shows what it did"
        hint = "emit a probe, or set quiet = true if none is expected"
        self._add_bad_behavior(_of_end(Code.SILENT, end, message, hint))

    def _add_leak(self, end: End) -> None:
        left = [f"pid {leak.pid}: {shown(leak.command_line)}" for leak in end.leaks]
        count = f"{len(left)} processes" if len(left) > 1 else "a process"
        hints = (*left[:10], *self._foreground_hints(end, self._units.get(end.unit)))
        message = f"{end.unit} left {count} behind ({left[0]})"
        self._add_bad_behavior(_of_end(Code.LEAK, end, message, *hints))

    def _add_end(self, code: Code, end: End, message: str) -> None:
        t_ns = self._deadline_ns if end.cause is EndCause.OVERDUE else end.ended_ns
        self._note_end(code, end.unit, end, t_ns)
        last = self._index.last_of(end.unit)
        hints = []
        if last is not None:
            hints.append(f"its last probe was {shown(last.step)}")
        if end.message and end.message not in message and code is not Code.UNREADY:
            hints.append(end.message)
        hints += end.threads
        hints += self._planned_hints(end)
        hints += self._module_hints(end)
        if code is Code.UNREADY:
            hints += self._ready_hints(end)
        elif code is Code.CRASH and any("refused" in line.lower() for line in end.last_lines):
            hints += self._late_port_hints(end.unit, end.ended_ns)
        self.findings.append(
            _of_end(code, end, message, *hints)._replace(
                events=() if last is None else (last.id,),
                t_ns=t_ns,
                explained_by=_planned(end.fault),
                declared_as=self._declared_as(code, end),
            )
        )

    def _declared_as(self, code: Code, end: End) -> str:
        """The key of the unit that did not come true, where the end is about one."""
        unit = self._units.get(end.unit)
        if unit is None:
            return ""
        if code is Code.UNREADY:
            return "ready_event" if unit.ready_event is not None else "ready" if unit.ready else ""
        if code is Code.HANG and end.cause is EndCause.TIMEOUT:
            return "timeout"
        if code is Code.CRASH and end.pid is None:  # it could not even be started
            return "command" if unit.command is not None else "entrypoint"
        return ""

    def _module_hints(self, end: End) -> list[str]:
        """That a command found another Python than the one that was meant."""
        unit = self._units.get(end.unit)
        if unit is None or unit.command is None:
            return []
        found = next(filter(None, map(_NO_MODULE.search, reversed(end.last_lines))), None)
        if found is None:
            return []
        program = found["python"] or unit.command[0]
        return [
            (
                f"{shown(program)} has no module {shown(found['module'])}: activate the environment"
                " that has it, or use an entrypoint, which runs with Testrium's own Python"
            )
        ]

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
        if code is Code.NOTRUN:  # because of what ended, whenever that was reported
            t_ns = None
        self.end_times[code, where] = (inf if t_ns is None else t_ns, init)

    def _ready_hints(self, end: End) -> list[str]:
        unit = self._units.get(end.unit)
        if unit is None:
            return []
        hints = []
        if unit.ready_event is not None:
            near = self._index.nearest_step(unit.name, unit.ready_event)
            if near:
                hints.append(f"it did emit {near}: is {unit.ready_event} misspelled?")
        lines = {probe.step for probe in unit.probes}
        by_output = unit.ready_event in lines or any(ready.log for ready in unit.ready)
        if by_output and not end.last_lines:
            hints.append(_BUFFERED)
        return hints + self._foreground_hints(end, unit)

    @staticmethod
    def _foreground_hints(end: End, unit: Unit | None) -> list[str]:
        """Hints for a program that continues in the background instead of the started process."""
        if unit is None or not end.leaks or not accepted_exit(end, unit):
            return []
        if end.cause is not EndCause.SELF or (unit.stop != "runner" and not unit.ready):
            return []
        return [_DAEMON]

    def _late_port_hints(self, unit: str, t_ns: int | None) -> list[str]:
        """That a server said that it was ready before it listened, where one was refused then."""
        hints = []
        for late in self._late_ports:
            until_ns = late.listened_ns or late.looked_ns + _LOOKED_NS
            if late.unit == unit or t_ns is None or not late.ready_ns <= t_ns <= until_ns:
                continue
            server = self._units.get(late.unit)
            event = server.ready_event if server else None
            said = f"emitted `{shown(event)}`" if event else "was ready"
            at = f"at its port {late.port}"
            if late.listened_ns is None:
                told = f"{late.unit} {said} before it listened {at}"
            else:
                waited = time_span(late.listened_ns - late.ready_ns)
                told = f"{late.unit} {said} {waited} before it listened {at}"
            hints.append(
                f'{told}: let it say so later, or use ready = {{tcp = "${{port.{late.port}}}"}}'
            )
        return hints

    def _no_readiness_hints(self, name: str) -> list[str]:
        """That a unit which was refused depends on one that is ready once its process runs."""
        unit = self._units.get(name)
        needed = (self._units.get(each) for each in (unit.dependencies if unit else ()))
        return [
            f"{one.name} counts as ready once its process runs: give it ready = {{tcp = PORT}},"
            " or a ready_event"
            for one in needed
            if one is not None and not one.ready and not one.ready_event
        ]

    def _add_exceptions(self, evidence: Evidence) -> None:
        """Exception events, and under `stderr = "forbid"` tracebacks; a finding for each place."""
        mode = self._scenario.group.rules.stderr
        for events in self._exceptions.by_place():
            finding = exception_finding(events)
            if "refused" in f"{events[0].step} {events[0].meta.get('message')}".lower():
                late = self._late_port_hints(events[0].unit, finding.t_ns)
                late = late or self._no_readiness_hints(events[0].unit)
                finding = finding._replace(hints=(*finding.hints, *late))
            waits = [_wait_of(event) for event in events]
            if None not in waits:
                self.waits[finding.where] = [wait for wait in waits if wait is not None]
            end = self.ends.get(events[0].owner)
            if end is not None and self._died_of(end, events):
                self._note_end(Code.EXCEPTION, finding.where, end, finding.t_ns)
                said = [end.message] if end.message else []
                hints = (*finding.hints, *said, *self._planned_hints(end))
                finding = finding._replace(hints=hints, explained_by=_planned(end.fault))
                self.findings.append(finding)
                continue
            self._note_whether_it_ended(finding, events)
            finding = finding._replace(explained_by=_raised(events, evidence))
            if not all(map(is_uncaught, events)):
                self.findings.append(finding)
            elif mode != "allow":
                self._add_bad_behavior(finding)
        if mode == "forbid":
            for finding in self._exceptions.in_logs(evidence.stderr):
                self._add_bad_behavior(finding)

    def _note_whether_it_ended(self, finding: Finding, events: list[Event]) -> None:
        """Note an exception after which its process emitted again: the process did not end."""
        last = self._index.last_of_process(events[-1])
        if surely_before(events[-1], last):
            self.no_ends.add((finding.code, finding.where))

    def _died_of(self, end: End, events: list[Event]) -> bool:
        bad = end.cause is EndCause.SELF and not accepted_exit(end, self._units.get(end.unit))
        return bad and self._exceptions.death_of(end) in events

    def _add_bad_behavior(self, finding: Finding) -> None:
        detect = self._scenario.group.detect_bad_behavior
        (self.findings if detect else self.notes).append(finding)


def _wait_of(event: Event) -> AwaitedEvent | None:
    """What a wait that gave up was for, as the probes' library says it."""
    told = event.meta.get("waited_for")
    if not isinstance(told, dict) or not isinstance(told.get("place"), str):
        return None
    unit, _, step = told["place"].partition(":")
    key = told.get("key")
    return AwaitedEvent(unit, step, key if isinstance(key, str) else None)


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
    if not end.concluded:
        return False
    return end.signal is None and is_accepted(
        end.exit_code, unit.exit if unit is not None else (0,)
    )


def _of_end(code: Code, end: End, message: str, *hints: str) -> Finding:
    """A finding about the end of a unit, at the time of it."""
    return Finding(code, end.unit, message, hints=hints, unit=end.unit, t_ns=end.ended_ns)


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


def early_services(
    scenario: Scenario, ends: Mapping[str, End], findings: Iterable[Finding]
) -> list[Finding]:
    """A note for each service that quit by itself while others still needed it.

    Units that depend on it were alive, or something that it should have done was not done.
    """
    services = [unit for unit in scenario.units if unit.stop == "runner" and not unit.scope]
    quit_by_itself = {
        unit.name: end
        for unit in services
        if unit.has_process
        and (end := ends.get(unit.name)) is not None
        and end.cause is EndCause.SELF
        and accepted_exit(end, unit)
        and end.was_ready
    }
    if not quit_by_itself:
        return []
    owed: dict[str, list[str]] = {}
    for finding in findings:
        if finding.code in (Code.LOST, Code.MISSING):
            for place in finding.where.split("|"):
                owed.setdefault(place.rpartition(":")[0], []).append(finding.where)
    return [
        _early_service(end, needed)
        for name, end in quit_by_itself.items()
        if (needed := _needed_by(name, end, scenario, ends, owed))
    ]


#: Who is alive a little longer has not needed it: ends are reported one after the other (ns).
_TOGETHER_NS = 20_000_000


def _needed_by(
    name: str,
    end: End,
    scenario: Scenario,
    ends: Mapping[str, End],
    owed: Mapping[str, list[str]],
) -> list[str]:
    """Why a service was still needed when it ended, in words."""
    if end.ended_ns is None:
        return []
    needed = []
    for unit in scenario.units:
        other = ends.get(unit.name)
        if name not in unit.dependencies or other is None or other.started_ns is None:
            continue
        longer_ns = (other.ended_ns or 0) - end.ended_ns
        if longer_ns > _TOGETHER_NS:
            needed.append(f"{unit.name} depends on it and was alive {time_span(longer_ns)} longer")
    needed += [f"{place} did not happen" for place in dict.fromkeys(owed.get(name, ()))]
    return needed


def _early_service(end: End, needed: Sequence[str]) -> Finding:
    message = (
        f"{end.unit} is a service and ended by itself (exit code {end.exit_code})"
        f" while it was needed: {needed[0]}"
    )
    hint = 'if that is its job, write stop = "self" or ready = {ended = true} in its unit file'
    return _of_end(Code.CRASH, end, message, *needed[1:10], hint)
