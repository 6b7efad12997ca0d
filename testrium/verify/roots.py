"""Which finding is the root cause, and what the others follow from.

A finding has at most one explanation, and explanations never go in a circle. A finding that lists
several keys is explained only if all of its keys are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.groups import Scenario
from testrium.evidence import CheckResult, End, EndCause, Finding
from testrium.measures import OF_HOP, hop_measure
from testrium.verify.index import EventIndex
from testrium.verify.matching import ANY, any_matches
from testrium.words import UNKNOWN_CODES, Code, EventType, Place

_RANK = {code: rank for rank, code in enumerate(Code)}

#: The ends of a unit, as causes.
_ENDS = (Code.INFRA, Code.CRASH, Code.EXCEPTION, Code.UNREADY, Code.HANG, Code.NOTRUN)
#: What a unit can owe.
_OWED = (Code.LOST, Code.MISSING, Code.CHECK)
#: What cannot be expected of a group that the runner or the user ended.
_UNFINISHED = (*_OWED, Code.VACUOUS, Code.NOTRUN, Code.UNREADY, Code.SILENT)

#: When each true end of a unit happened: time (ns), then the unit's `init`.
EndTimes = Mapping[tuple[Code, str], tuple[float, int]]


class Explanations:
    """The findings of a run, related to each other."""

    def __init__(
        self,
        scenario: Scenario,
        findings: Sequence[Finding],
        ends: Mapping[str, End],
        end_times: EndTimes,
        index: EventIndex,
        checks: Iterable[CheckResult] = (),
    ) -> None:
        self._owed_checks = {check.name: check.owed for check in checks if check.owed}
        self._scenario = scenario
        self._findings = findings
        self._ends = ends
        self._end_times = end_times
        self._index = index
        self._circuits = {circuit.name: circuit for circuit in scenario.group.circuits}
        self._cause: list[int | None] = [None] * len(findings)
        self._by_code: dict[Code, list[int]] = {}
        self._of_unit: dict[tuple[Code, str | None], list[int]] = {}
        for number, finding in enumerate(findings):
            self._by_code.setdefault(finding.code, []).append(number)
            self._of_unit.setdefault((finding.code, finding.unit), []).append(number)
        self._ended = self._ends_by_time()
        self._ends_of: dict[str | None, list[int]] = {}
        for number in self._ended:
            self._ends_of.setdefault(findings[number].unit, []).append(number)
        # The order of the rules is the order in which they win.
        self._by_the_runner()
        self._by_ends_of_units()
        self._by_blocking()
        self._by_losses()
        self._faults_that_never_happened()
        self._by_misrouting()
        self._by_collisions()
        self._by_gaps()
        self._by_abandoning()
        self._by_earlier_ends()
        self._by_unanswered_keys()
        self._by_slow_hops()

    def ranked(self) -> list[tuple[Finding, bool]]:
        """The findings, each root followed by what it explains.

        The flag tells whether the finding, or what explains it in the end, means "unknown".
        """
        order = sorted(range(len(self._findings)), key=self._position)
        children: dict[int | None, list[int]] = {}
        for number in order:
            children.setdefault(self._cause[number], []).append(number)
        ranked: list[tuple[Finding, bool]] = []
        pending = [(number, False) for number in reversed(children.get(None, []))]
        while pending:
            number, excused = pending.pop()
            finding, cause = self._findings[number], self._cause[number]
            excused = excused or (cause is None and finding.code in UNKNOWN_CODES)
            if cause is not None:
                because = self._findings[cause]
                finding = finding._replace(explained_by=f"{because.code} {because.where}")
            ranked.append((finding, excused))
            pending += [(child, excused) for child in reversed(children.get(number, []))]
        return ranked

    def _position(self, number: int) -> tuple[int, float, int]:
        finding = self._findings[number]
        return (_RANK[finding.code], inf if finding.t_ns is None else finding.t_ns, number)

    # Rules ------------------------------------------------------------------------------------

    def _by_the_runner(self) -> None:
        """A group that was ended from outside owes nothing."""
        for cause in self._with_codes(Code.INFRA):
            if self._findings[cause].unit is None:
                for number in self._with_codes(*_UNFINISHED):
                    self._explain(number, cause)

    def _by_ends_of_units(self) -> None:
        """The end of a unit: what it owed, circuits through it that saw nothing, its leaks."""
        for cause in self._ended:
            unit = self._findings[cause].unit
            if unit is None:
                continue
            for number in self._owed_by(unit):
                self._explain(number, cause)
            for number in self._with_codes(Code.VACUOUS):
                if self._runs_through(number, unit):
                    self._explain(number, cause)
            for number in self._of_unit.get((Code.LEAK, unit), ()):
                self._explain(number, cause)

    def _by_blocking(self) -> None:
        """A unit was not started because of the end of another one."""
        for number in self._with_codes(Code.NOTRUN):
            end = self._ends.get(self._findings[number].unit or "")
            if end is not None and end.blocked_by is not None:
                for cause in self._ends_of.get(end.blocked_by, ()):
                    self._explain(number, cause)

    def _by_losses(self) -> None:
        """A loss: those behind it, hangs of units behind it, the same place as required probe."""
        losses = [
            (circuit, stage, hop, number)
            for number in self._with_codes(Code.LOST)
            if (circuit := self._circuit_of(number)) is not None
            for stage, hop in _hop_in(circuit, self._findings[number].where)
        ]
        losses.sort(key=lambda loss: loss[1])
        for circuit, stage, _, number in losses:
            before = [
                other
                for other_circuit, other_stage, _, other in losses
                if other_circuit is circuit and other_stage < stage
            ]
            self._explain_keys(number, before, same_instance=circuit.per == "run")
        for circuit, stage, hop, number in losses:
            if self._cause[number] is not None and self._code_of_cause(number) is Code.LOST:
                continue  # the first loss on the way explains the rest
            own = {place.unit for place in hop.places}
            behind = {
                place.unit
                for later in circuit.stages[stage + 1 :]
                for hop_behind in later
                for place in hop_behind.places
            }
            for hang in self._with_codes(Code.HANG):
                unit = self._findings[hang].unit
                if unit in behind and unit not in own:
                    self._explain(hang, number)
        for _, _, hop, number in losses:
            for missing in self._with_codes(Code.MISSING):
                unit, _, step = self._findings[missing].where.partition(":")
                if any_matches(hop.places, unit, step):
                    self._explain(missing, number)

    def _faults_that_never_happened(self) -> None:
        """A fault whose probe was not reached: a unit had ended, or what it needs was lost."""
        faults = {fault.name: fault for fault in self._scenario.group.faults}
        for number in self._with_codes(Code.VACUOUS):
            fault = faults.get(self._findings[number].where)
            if fault is None or self._findings[number].circuit is not None:
                continue
            for cause in self._ended[:1]:
                self._explain(number, cause)
            place = fault.at or fault.after
            for cause in self._with_codes(*_OWED):
                if place is not None and self._is_at_or_before(cause, place):
                    self._explain(number, cause)
            for cause in self._with_codes(Code.GAP):
                if self._findings[cause].unit == fault.unit:
                    self._explain(number, cause)

    def _is_at_or_before(self, loss: int, place: Place) -> bool:
        """Whether what was lost or missing comes no later than `place` on the way to it."""
        finding = self._findings[loss]
        circuit = self._circuit_of(loss)
        if circuit is None:
            return finding.where == str(place)
        stages = [stage for stage, _ in _hop_in(circuit, finding.where)]
        return any(
            any_matches(hop.places, place.unit, place.step)
            for stage in stages
            for later in circuit.stages[stage:]
            for hop in later
        )

    def _by_misrouting(self) -> None:
        for number in self._with_codes(Code.LOST):
            self._explain_keys(number, self._with_codes(Code.MISROUTED))

    def _by_collisions(self) -> None:
        for number in self._with_codes(Code.DUPLICATE):
            self._explain_keys(number, self._with_codes(Code.COLLISION))

    def _by_gaps(self) -> None:
        """A gap: what the unit owed; also effects whose cause it may have emitted."""
        for cause in self._with_codes(Code.GAP):
            unit = self._findings[cause].unit or ""
            for number in self._owed_by(unit):
                if self._is_told_by_probes(number):
                    self._explain(number, cause)
            for number in self._with_codes(Code.PHANTOM, Code.STALE):
                if self._may_have_caused(unit, number):
                    self._explain(number, cause)

    def _by_abandoning(self) -> None:
        """What a unit owed that was stopped because another one had ended."""
        ended = [end for end in self._ended if self._cause[end] is None]
        for end in self._ends.values():
            if end.cause not in (EndCause.ABANDONED, EndCause.NOTRUN) or not ended:
                continue
            for number in self._owed_by(end.unit):
                self._explain(number, ended[0])
            for number in self._with_codes(Code.VACUOUS):
                if self._runs_through(number, end.unit):
                    self._explain(number, ended[0])
        if ended and self._stopped_by(ended[0]):
            for number in self._with_codes(Code.CHECK):
                finding = self._findings[number]
                if finding.unit is None and finding.where in self._owed_checks:
                    self._explain(number, ended[0])

    def _by_earlier_ends(self) -> None:
        """Of two ends the earlier one; it takes no detours over ends that are explained."""
        ended = [end for end in self._ended if self._cause[end] is None]
        for place, number in enumerate(ended):
            if place and self._name(number) in self._end_times:
                self._explain(number, ended[0])

    def _by_unanswered_keys(self) -> None:
        """A percentile that is over its budget or limit only because keys were lost."""
        for number in self._with_codes(Code.BUDGET, Code.METRIC):
            same = self._findings[number].circuit
            lost = [n for n in self._with_codes(Code.LOST) if self._findings[n].circuit == same]
            self._explain_keys(number, lost)

    def _by_slow_hops(self) -> None:
        """A slow hop: the percentiles of its circuit."""
        hops = {
            hop_measure(circuit.name, hop.text, measure)
            for circuit in self._circuits.values()
            for hop in circuit.hops
            for measure in OF_HOP
        }
        slow = [n for n in self._with_codes(Code.METRIC) if self._findings[n].where in hops]
        for number in self._with_codes(Code.METRIC, Code.BUDGET):
            finding = self._findings[number]
            if finding.where not in hops and finding.circuit is not None:
                same = (hop for hop in slow if self._findings[hop].circuit == finding.circuit)
                self._explain_by_first(number, same, lambda _: True)

    @cached_property
    def _receivers(self) -> set[str]:
        return {event.unit for event in self._index.of_type(EventType.RECEIVE)}

    @cached_property
    def _senders(self) -> set[str]:
        return {event.unit for event in self._index.of_type(EventType.SEND)}

    # Relations --------------------------------------------------------------------------------

    def _owed_by(self, unit: str) -> Iterator[int]:
        """What is lost or missing and was to come from `unit`."""
        yield from self._of_unit.get((Code.MISSING, unit), ())
        yield from (
            number
            for number in self._of_unit.get((Code.CHECK, unit), ())
            if self._findings[number].where in self._owed_checks
        )
        yield from (n for n in self._with_codes(Code.LOST) if self._owes_loss(unit, n))

    def _owes_loss(self, unit: str, number: int) -> bool:
        """Whether what was lost was to come from `unit`."""
        finding = self._findings[number]
        circuit = self._circuit_of(number)
        if circuit is None:  # an orphan: whoever receives may owe it, but for the sender
            return unit != finding.unit and (not self._receivers or unit in self._receivers)
        return any(
            place.unit in (unit, ANY)
            for _, hop in _hop_in(circuit, finding.where)
            for place in hop.places
        )

    def _is_told_by_probes(self, number: int) -> bool:
        """Whether a damaged probe file can have told it; the lines of a log are no probes."""
        finding = self._findings[number]
        return finding.code is not Code.CHECK or self._owed_checks[finding.where] == "probe"

    def _stopped_by(self, end: int) -> bool:
        """Whether the end of a unit ended the group, which had no time for the rest then."""
        name = self._findings[end].unit
        return name == "setup" or any(
            unit.name == name and unit.in_except == "Stop" for unit in self._scenario.units
        )

    def _may_have_caused(self, unit: str, number: int) -> bool:
        """Whether the cause of an orphan may have come from `unit`."""
        circuit = self._circuit_of(number)
        if circuit is None:
            return unit != self._findings[number].unit and (
                not self._senders or unit in self._senders
            )
        return any(place.unit in (unit, ANY) for hop in circuit.stages[0] for place in hop.places)

    def _runs_through(self, number: int, unit: str) -> bool:
        """Whether the circuit that saw nothing goes through `unit`; a fault is no circuit."""
        circuit = self._circuit_of(number)
        return circuit is not None and any(
            place.unit in (unit, ANY) for hop in circuit.hops for place in hop.places
        )

    def _explain_keys(
        self, number: int, causes: Sequence[int], *, same_instance: bool = False
    ) -> None:
        """Explain a finding if all of its keys occur in `causes`; by the first that has its key."""
        finding = self._findings[number]
        known = {key for cause in causes for key in self._findings[cause].keys}
        if same_instance:
            self._explain_by_first(number, causes, lambda _: True)
        elif finding.keys and known.issuperset(finding.keys):
            self._explain_by_first(number, causes, lambda cause: finding.key in cause.keys)

    def _explain_by_first(
        self, number: int, causes: Iterable[int], fits: Callable[[Finding], bool]
    ) -> None:
        for cause in causes:
            if fits(self._findings[cause]):
                self._explain(number, cause)

    def _explain(self, number: int, cause: int) -> None:
        """`cause` explains the finding, unless something does already or the circle would close."""
        if self._cause[number] is not None or self._findings[number].explained_by is not None:
            return
        above: int | None = cause
        while above is not None:
            if above == number:
                return
            above = self._cause[above]
        self._cause[number] = cause

    def _with_codes(self, *codes: Code) -> list[int]:
        return [number for code in codes for number in self._by_code.get(code, ())]

    def _ends_by_time(self) -> list[int]:
        """The ends of units, the earliest first."""

        def key(number: int) -> tuple[float, int, int]:
            finding = self._findings[number]
            t_ns = inf if finding.t_ns is None else float(finding.t_ns)
            t_ns, init = self._end_times.get(self._name(number), (t_ns, 0))
            return (t_ns, init, _RANK[finding.code])

        return sorted(self._with_codes(*_ENDS), key=key)

    def _name(self, number: int) -> tuple[Code, str]:
        return self._findings[number].code, self._findings[number].where

    def _circuit_of(self, number: int) -> Circuit | None:
        return self._circuits.get(self._findings[number].circuit or "")

    def _code_of_cause(self, number: int) -> Code | None:
        cause = self._cause[number]
        return None if cause is None else self._findings[cause].code


def _hop_in(circuit: Circuit, text: str) -> list[tuple[int, Hop]]:
    """The hop of this text and the number of its stage; the first, if the route has it twice."""
    return [
        (number, hop)
        for number, stage in enumerate(circuit.stages)
        for hop in stage
        if hop.text == text
    ][:1]
