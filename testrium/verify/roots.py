"""Which finding is the root cause, and what the others follow from.

A finding has at most one explanation, and explanations never go in a circle. Keys that were lost
or doubled for different reasons are different findings: they are split here, before anything
is worded. A finding that lists several keys is explained only if all of its keys are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf

from testrium.declared.circuits import Circuit, Hop, any_matches
from testrium.declared.groups import Scenario
from testrium.evidence import CheckResult, EndCause, Event, Finding
from testrium.verify.circuits import CircuitFacts
from testrium.verify.findings import Draft
from testrium.verify.index import EventIndex
from testrium.verify.probes import Gap
from testrium.verify.processes import ENDS, AwaitedEvent, ProcessFacts
from testrium.verify.timing import surely_before
from testrium.words import ANY, OF_HOP, UNKNOWN_CODES, Code, EventType, Place, hop_measure

_RANK = {code: rank for rank, code in enumerate(Code)}

#: What a unit can owe.
_OWED = (Code.LOST, Code.MISSING, Code.CHECK)
#: What cannot be expected of a group that the runner or the user ended.
_UNFINISHED = (*_OWED, Code.VACUOUS, Code.NOTRUN, Code.UNREADY, Code.SILENT)
#: What a probe that was not recorded may have brought about.
_BY_GAPS = (
    Code.LOST,
    Code.MISSING,
    Code.CHECK,
    Code.PHANTOM,
    Code.STALE,
    Code.CAUSALITY,
    Code.ORDER,
    Code.INCONSISTENT,
)

#: Connections break before the death of a process is noticed: so long before (ns) an exception of
#: its peer may follow from it.
NOTICED_BEFORE_NS = 500_000_000

Node = Finding | Draft


class Part:
    """A draft of keys with one explanation.

    `owed_to` are the units whose end explains it; `behind` is what explains it for the same keys.
    """

    def __init__(self, draft: Draft, owed_to: Collection[str], behind: Draft | None) -> None:
        self.draft = draft
        self.owed_to = frozenset(owed_to)
        self.behind = behind


def parts_of(facts: CircuitFacts, ended: Collection[str]) -> Iterator[Part]:
    """The drafts of a circuit; lost and doubled keys apart by what explains them.

    `ended` are the units that ended badly.
    """
    by_code: dict[Code, list[Draft]] = {}
    for draft in facts.drafts:
        if not draft.about:
            by_code.setdefault(draft.code, []).append(draft)
        if draft.about or draft.code not in (Code.LOST, Code.DUPLICATE):
            yield Part(draft, (), None)
    misrouted = _by_instance(facts, by_code.get(Code.MISROUTED, ()))
    collisions = _by_instance(facts, by_code.get(Code.COLLISION, ()))
    past = _Past(facts, ended)
    yield from _split(facts, by_code.get(Code.LOST, ()), past.owed_to, {}, misrouted)
    yield from _split(facts, by_code.get(Code.DUPLICATE, ()), _no_unit, collisions, {})


def _no_unit(_: Draft, __: str | None) -> tuple[str, ...]:
    return ()


def _by_instance(facts: CircuitFacts, drafts: Iterable[Draft]) -> dict[str | None, Draft]:
    """The first draft of each instance."""
    found: dict[str | None, Draft] = {}
    for draft in drafts:
        for key in draft.facts:
            found.setdefault(None if key is None else facts.instances.name_of(key), draft)
    return found


def _split(
    facts: CircuitFacts,
    drafts: Sequence[Draft],
    owed_to: Callable[[Draft, str | None], tuple[str, ...]],
    stronger: Mapping[str | None, Draft],
    weaker: Mapping[str | None, Draft],
) -> Iterator[Part]:
    """Parts whose keys have one explanation: what happened to them at an earlier stage, if it did.

    Args:
        stronger, weaker: what explains an instance before that, and else.
    """
    first: dict[str | None, Draft] = {}
    last = max((draft.position or 0 for draft in drafts), default=-1)
    for stage in facts.route.stages:
        here: list[Draft] = []
        positions = {hop for hop, _ in stage}
        for draft in drafts:
            if draft.position not in positions:
                continue
            groups: dict[tuple[tuple[str, ...], int], tuple[Draft | None, list[str | None]]] = {}
            for key in draft.facts:
                behind = stronger.get(key) or first.get(key) or weaker.get(key)
                name = (owed_to(draft, key), id(behind))
                groups.setdefault(name, (behind, []))[1].append(key)
            for (units, _), (behind, keys) in groups.items():
                part = draft if len(groups) == 1 else draft.part(keys)
                here.append(part)
                yield Part(part, units, behind)
        if last in positions:
            break  # nothing comes behind it
        for part in here:
            for key in part.facts:
                first.setdefault(key, part)


class _Past:
    """The keys that a unit had passed when it ended.

    A key that came to the hop before it later was handled at the hop itself: so the unit had its
    turn at the earlier one too.
    """

    def __init__(self, facts: CircuitFacts, ended: Collection[str]) -> None:
        self._facts = facts
        self._ended = ended
        self._owners: dict[int, list[str]] = {}
        self._latest: dict[tuple[int, str], list[Event]] = {}

    def owed_to(self, draft: Draft, key: str | None) -> tuple[str, ...]:
        """The units that ended and should have emitted what was lost."""
        hop, position = draft.hop, draft.position
        if not self._ended or hop is None or position is None:
            return ()
        owners = self._owners.get(position)
        if owners is None:
            units = {place.unit for place in hop.places}
            owners = [unit for unit in self._ended if unit in units or ANY in units]
            self._owners[position] = owners
        if not owners:
            return ()
        if key is None:
            return tuple(owners)
        came = None
        owed = []
        for unit in owners:
            latest = self._handled(position, unit)
            if latest and came is None:
                came = self._facts.route.came_from(draft.rows(key), position)
            if came is None or not any(surely_before(came, other) for other in latest):
                owed.append(unit)
        return tuple(owed)

    def _handled(self, position: int, unit: str) -> list[Event]:
        """The last key that the unit handled at a hop, for each clock.

        What counts is when a key came to the hop before.
        """
        known = self._latest.get((position, unit))
        if known is not None:
            return known
        latest: dict[str, Event] = {}
        instances, route = self._facts.instances, self._facts.route
        for name in instances.columns[position]:
            row = instances.row(name)
            if any(event.unit == unit for event in row[position]):
                came = route.came_from(row, position)
                if came is not None:
                    other = latest.setdefault(came.domain, came)
                    if surely_before(other, came):
                        latest[came.domain] = came
        found = self._latest[position, unit] = list(latest.values())
        return found


class Explanations:
    """The findings of a run, related to each other; drafts among them are not worded yet."""

    def __init__(
        self,
        scenario: Scenario,
        nodes: Sequence[Node | Part],
        processes: ProcessFacts,
        index: EventIndex,
        gaps: Sequence[Gap] = (),
        checks: Iterable[CheckResult] = (),
        unreported: Collection[str] = (),
    ) -> None:
        """Args: `unreported` are the metrics that no process reported."""
        self._unreported = unreported
        self._owed_checks = {check.name: check.owed for check in checks if check.owed}
        self._scenario = scenario
        self._parts = {n: node for n, node in enumerate(nodes) if isinstance(node, Part)}
        self.nodes: list[Node] = [n.draft if isinstance(n, Part) else n for n in nodes]
        self._numbers = {id(node): number for number, node in enumerate(self.nodes)}
        self._processes = processes
        self._ends = processes.ends
        self._end_times = processes.end_times
        self._index = index
        self._gaps = gaps
        self._circuits = {circuit.name: circuit for circuit in scenario.group.circuits}
        self._cause: list[int | None] = [None] * len(nodes)
        self._by_code: dict[Code, list[int]] = {}
        self._of_unit: dict[tuple[Code, str | None], list[int]] = {}
        for number, node in enumerate(self.nodes):
            self._by_code.setdefault(node.code, []).append(number)
            self._of_unit.setdefault((node.code, node.unit), []).append(number)
        self._ended = self._ends_by_time()
        self._ends_of: dict[str | None, list[int]] = {}
        for number in self._ended:
            self._ends_of.setdefault(self.nodes[number].unit, []).append(number)
        # The order of the rules is the order in which they win.
        self._by_the_runner()
        self._by_crashes()
        self._by_ends_of_units()
        self._by_blocking()
        self._by_waits()
        self._by_losses()
        self._faults_that_never_happened()
        self._by_the_same_keys()
        self._by_gaps()
        self._by_abandoning()
        self._by_earlier_ends()
        self._by_unanswered_keys()
        self._by_slow_hops()
        self._merge()

    def ranked(self, findings: Sequence[Finding]) -> list[tuple[Finding, bool]]:
        """The findings, each root followed by what it explains.

        The flag tells whether the finding, or what explains it in the end, means "unknown".
        `findings` are the `nodes` in words.
        """
        self._explains = set(self._cause)
        order = sorted(range(len(findings)), key=self._position)
        children: dict[int | None, list[int]] = {}
        for number in order:
            children.setdefault(self._cause[number], []).append(number)
        ranked: list[tuple[Finding, bool]] = []
        pending = [(number, False) for number in reversed(children.get(None, []))]
        while pending:
            number, excused = pending.pop()
            finding, cause = findings[number], self._cause[number]
            excused = excused or (cause is None and finding.code in UNKNOWN_CODES)
            if cause is not None:
                because = findings[cause]
                finding = finding._replace(explained_by=f"{because.code} {because.where}")
            ranked.append((finding, excused))
            pending += [(child, excused) for child in reversed(children.get(number, []))]
        return ranked

    def idle_gaps(self) -> set[int]:
        """The ids of gaps at whose places nothing is missing."""
        explain = set(self._cause)
        return {
            id(gap.finding)
            for gap in self._gaps
            if gap.places is not None
            and not gap.certain
            and self._numbers[id(gap.finding)] not in explain
        }

    def _position(self, number: int) -> tuple[int, bool, float, float, int]:
        """Of one code: those that explain others, those of the earlier hop, the earlier ones."""
        node = self.nodes[number]
        position = node.position if isinstance(node, Draft) else None
        return (
            _RANK[node.code],
            number not in self._explains,
            inf if position is None else position,
            inf if node.t_ns is None else node.t_ns,
            number,
        )

    def _merge(self) -> None:
        """One entry for what has one code, one place, one circuit and one explanation."""
        first: dict[tuple[object, ...], int] = {}
        same: dict[int, list[int]] = {}
        for number, node in enumerate(self.nodes):
            if isinstance(node, Draft):
                name = (node.code, node.where, node.circuit, node.about, self._cause[number])
                same.setdefault(first.setdefault(name, number), []).append(number)
        into = list(range(len(self.nodes)))
        for number, numbers in same.items():
            if len(numbers) > 1:
                drafts = [node for n in numbers if isinstance(node := self.nodes[n], Draft)]
                merged = drafts[0].part(drafts[0].facts)
                for draft in drafts[1:]:
                    for key in draft.facts:
                        if key not in merged.facts:
                            merged.take(draft, key)
                merged.count = sum(draft.count for draft in drafts)
                self.nodes[number] = merged
                for other in numbers:
                    into[other] = number
        kept = [number for number, target in enumerate(into) if number == target]
        places = {number: place for place, number in enumerate(kept)}
        causes = [self._cause[number] for number in kept]
        self.nodes = [self.nodes[number] for number in kept]
        self._cause = [None if cause is None else places[into[cause]] for cause in causes]

    # Rules ------------------------------------------------------------------------------------

    def _by_the_runner(self) -> None:
        """Explain what is missing in a group that was ended from outside."""
        for cause in self._with_codes(Code.INFRA):
            if self.nodes[cause].unit is None:
                self._explain_all(self._with_codes(*_UNFINISHED), cause)

    def _by_crashes(self) -> None:
        """A crash: what a peer raised, shortly before the crash was noticed or any time later.

        Of several crashes the earliest.
        """
        crashes = [
            (crash.t_ns, cause, crash.unit)
            for cause in self._with_codes(Code.CRASH)
            if (crash := self.nodes[cause]).unit is not None and crash.t_ns is not None
        ]
        for crashed_ns, cause, unit in sorted(crashes):
            peers = self._depending_on(unit) | self._waiting_at(unit)
            for number in self._with_codes(Code.EXCEPTION):
                raised = self.nodes[number]
                if raised.unit not in peers or raised.t_ns is None:
                    continue
                if raised.t_ns >= crashed_ns - NOTICED_BEFORE_NS:
                    self._explain(number, cause)

    def _by_ends_of_units(self) -> None:
        """The end of a unit: what it did not do, circuits through it that saw nothing, its leaks.

        And checks, metrics and samples that are about this unit alone. So is a metric that no unit
        reported: those that came to a good end had their turn.
        """
        for cause in self._ended:
            unit = self.nodes[cause].unit
            if unit is None:
                continue
            self._explain_all(self._owed_by(unit), cause)
            for code in (Code.LEAK, Code.CHECK, Code.METRIC):
                self._explain_all(self._of_unit.get((code, unit), ()), cause)
            for number in self._with_codes(Code.SAMPLES):
                if self._begins_at(number, unit):
                    self._explain(number, cause)
            for number in self._with_codes(Code.METRIC):
                if self.nodes[number].where in self._unreported:
                    self._explain(number, cause)

    def _by_blocking(self) -> None:
        """A unit was not started because of the end of another one."""
        for number in self._with_codes(Code.NOTRUN):
            end = self._ends.get(self.nodes[number].unit or "")
            if end is not None and end.blocked_by is not None:
                for cause in self._ends_of.get(end.blocked_by, ()):
                    self._explain(number, cause)

    def _by_waits(self) -> None:
        """A wait that gave up: because this event was lost, or its unit had ended."""
        for number in self._with_codes(Code.EXCEPTION):
            causes = [
                self._given_up(wait)
                for wait in self._processes.waits.get(self.nodes[number].where, ())
            ]
            if causes and causes[0] is not None and None not in causes:
                self._explain(number, causes[0])

    def _given_up(self, wait: AwaitedEvent) -> int | None:
        """Why an event that was waited for did not come."""
        for loss, _, _, hop in self._losses:
            node = self.nodes[loss]
            if any_matches(hop.places, wait.unit, wait.step) and (
                wait.key is None or self._is_of(wait.key, node)
            ):
                return loss
        return next(iter(self._ends_of.get(wait.unit, ())), None)

    def _is_of(self, key: str, node: Node) -> bool:
        """Whether a finding is about this key, or one that causes join with it."""
        keys: Collection[str | None] = node.facts if isinstance(node, Draft) else node.keys
        if key in keys:
            return True
        joined = self._index.instances
        if joined is None or key not in joined:
            return False
        return any(joined.get(other) == joined[key] for other in keys if other is not None)

    def _by_losses(self) -> None:
        """A loss: those behind it, hangs of units behind it, the same place as required probe."""
        for number in self._with_codes(Code.LOST):
            part = self._parts.get(number)
            if part is not None and part.behind is not None and part.behind.code is Code.LOST:
                self._explain(number, self._numbers[id(part.behind)])
        for number, circuit, stage, hop in self._losses:
            if self._code_of_cause(number) is Code.LOST:
                continue  # the first loss on the way explains the rest
            own = {place.unit for place in hop.places}
            behind = _units(hop for later in circuit.stages[stage + 1 :] for hop in later)
            for hang in self._with_codes(Code.HANG):
                unit = self.nodes[hang].unit
                if unit in behind and unit not in own:
                    self._explain(hang, number)
        self._by_hangs_behind_losses()
        for number, _, _, hop in self._losses:
            for missing in self._with_codes(Code.MISSING):
                unit, _, step = self.nodes[missing].where.partition(":")
                if any_matches(hop.places, unit, step):
                    self._explain(missing, number)

    def _by_hangs_behind_losses(self) -> None:
        """A unit outside of all routes that hangs as one does that waits for what was lost."""
        inside = _units(hop for circuit in self._circuits.values() for hop in circuit.hops)
        hangs = [number for number in self._ended if self.nodes[number].code is Code.HANG]
        waiting = [number for number in hangs if self._code_of_cause(number) is Code.LOST]
        for number in hangs:
            if self.nodes[number].unit not in inside:
                for cause in waiting[:1]:
                    if self._end_time(cause) <= self._end_time(number):
                        self._explain(number, cause)

    def _faults_that_never_happened(self) -> None:
        """A fault whose probe was not reached: a unit had ended, or what it needs was lost."""
        faults = {fault.name: fault for fault in self._scenario.group.faults}
        for number in self._with_codes(Code.VACUOUS):
            fault = faults.get(self.nodes[number].where)
            if fault is None or self.nodes[number].circuit is not None:
                continue
            for cause in self._ended[:1]:
                self._explain(number, cause)
            place = fault.at or fault.after
            for cause in self._with_codes(*_OWED):
                if place is not None and self._is_at_or_before(cause, place):
                    self._explain(number, cause)
            for cause in self._with_codes(Code.GAP):
                if self.nodes[cause].unit == fault.unit:
                    self._explain(number, cause)

    def _is_at_or_before(self, loss: int, place: Place) -> bool:
        """Whether what was lost or missing comes no later than `place` on the way to it."""
        node = self.nodes[loss]
        circuit = self._circuit_of(loss)
        if circuit is None:
            return node.where == str(place)
        stage = _stage_of(circuit, node)
        return stage is not None and any(
            any_matches(hop.places, place.unit, place.step)
            for later in circuit.stages[stage:]
            for hop in later
        )

    def _by_the_same_keys(self) -> None:
        """Misrouted: the loss of the same key. A collision, a duplicate: the duplicates behind."""
        for number, part in self._parts.items():
            if part.behind is not None:
                self._explain(number, self._numbers[id(part.behind)])
        for number in self._with_codes(Code.DUPLICATE):  # of keys that belong to no circuit
            draft = self.nodes[number]
            if number not in self._parts and isinstance(draft, Draft) and draft.position == 1:
                sent = [
                    cause
                    for cause in self._with_codes(Code.DUPLICATE)
                    if isinstance(one := self.nodes[cause], Draft)
                    and one.position == 0
                    and cause not in self._parts
                ]
                self._explain_keys(number, sent)

    def _by_gaps(self) -> None:
        """A gap: what its process may have emitted, unless more is missing than probes can be.

        What several gaps may explain goes to one that has room for it.
        """
        candidates = self._candidates_of_gaps()
        taken: list[dict[int, frozenset[str]]] = [{} for _ in self._gaps]
        overfull: set[int] = set()
        pending = dict(candidates)
        while pending:
            number = min(pending, key=lambda each: len(pending[each]))
            possible = pending.pop(number)
            chosen = next(
                (gap for gap in possible if self._has_room(gap, taken[gap], number, possible[gap])),
                None,
            )
            if chosen is not None:
                taken[chosen][number] = possible[chosen]
                continue
            overfull.update(possible)
            for gap in possible:  # it explains none of them: another one may
                for other in taken[gap]:
                    pending[other] = candidates[other]
                taken[gap] = {}
            for other in list(pending):
                left = {gap: u for gap, u in pending[other].items() if gap not in overfull}
                pending[other] = candidates[other] = left
                if not left:
                    del pending[other]
        for cause, numbers in zip(self._gaps, taken, strict=True):
            self._explain_all(numbers, self._numbers[id(cause.finding)])

    def _candidates_of_gaps(self) -> dict[int, dict[int, frozenset[str]]]:
        """What is open still: for each finding the gaps that may explain it, with the units.

        An effect without cause follows from a gap where the cause was to come from; only where
        there is none, from one at its own place.
        """
        found: dict[int, dict[int, frozenset[str]]] = {}
        unrecorded = any(gap.places is not None for gap in self._gaps)
        for number in self._with_codes(*_BY_GAPS, *((Code.VACUOUS,) if unrecorded else ())):
            open_still = self._cause[number] is None or (
                self.nodes[number].code is Code.LOST and self._code_of_cause(number) is Code.LOST
            )
            if not open_still:
                continue
            for told_by in (self._told_by, self._told_beside):
                possible = {
                    position: frozenset(units)
                    for position, gap in enumerate(self._gaps)
                    if (units := gap.units & told_by(number, gap.units))
                    and self._is_about(number, gap.places)
                }
                if possible:
                    found[number] = possible
                    break
        return found

    def _is_about(self, number: int, places: Collection[tuple[str, str]] | None) -> bool:
        """Whether what is missing may have been at one of some places."""
        node, circuit = self.nodes[number], self._circuit_of(number)
        if places is None:  # it is not known which
            return node.code is not Code.VACUOUS
        if node.code in (Code.LOST, Code.MISSING):
            texts = node.where.split("|")
        elif node.code in (Code.CAUSALITY, Code.ORDER) or circuit is None:
            return True
        else:
            texts = [hop.text for hop in circuit.hops if hop.text != node.where]
            texts = [text for hop in texts for text in hop.split("|")]
        named = [Place(unit, step) for unit, _, step in (text.partition(":") for text in texts)]
        return any(any_matches(named, unit, step) for unit, step in places)

    def _has_room(
        self, gap: int, taken: Mapping[int, frozenset[str]], number: int, units: frozenset[str]
    ) -> bool:
        """Whether a gap may explain one more finding, beside those that it explains already."""
        whole = self._gaps[gap]
        if self._probes_missing((*taken, number)) > whole.capacity(whole.units):
            return False
        same = (one for one, others in taken.items() if others == units)
        return self._probes_missing((*same, number)) <= whole.capacity(units)

    def _probes_missing(self, numbers: Iterable[int]) -> int:
        """How many probes are not there; of several circuits that miss the same ones the most."""
        counts: Counter[str | None] = Counter()
        for number in numbers:
            node = self.nodes[number]
            counts[node.circuit] += node.missing if isinstance(node, Draft) else 1
        return max(counts.values(), default=0)

    def _told_by(self, number: int, units: Collection[str]) -> set[str]:
        """Of some units those whose probes, had they been recorded, may change this finding."""
        node = self.nodes[number]
        if node.code is Code.CHECK:  # the lines of a log are not probes
            is_probe = self._owed_checks.get(node.where) == "probe"
            return {node.unit} if is_probe and node.unit is not None else set()
        if node.code is Code.MISSING:
            return {node.where.partition(":")[0]}
        if node.code is Code.VACUOUS:
            return {unit for unit in units if self._runs_through(number, unit)}
        if node.code is Code.LOST:
            return {unit for unit in units if self._owes_loss(unit, number, ended=False)}
        if node.code in (Code.PHANTOM, Code.STALE):
            return {unit for unit in units if self._may_have_caused(unit, number)}
        if node.code is Code.INCONSISTENT:
            return {unit for unit in units if self._takes_part(node.where, unit)}
        events = (node.event, node.other) if isinstance(node, Draft) else ()
        return {event.unit for event in events if event is not None}

    def _told_beside(self, number: int, units: Collection[str]) -> set[str]:
        """Of some units the one at whose place an effect without a cause is."""
        node = self.nodes[number]
        if node.code not in (Code.PHANTOM, Code.STALE):
            return set()
        return {unit for unit in units if unit == node.unit}

    def _takes_part(self, history: str, unit: str) -> bool:
        """Whether a unit emits calls or answers of a history."""
        return any(
            each.name == history and {"*", unit} & {each.invoke.unit, each.answer.unit}
            for each in self._scenario.group.histories
        )

    def _by_abandoning(self) -> None:
        """What is missing of a unit that was stopped because another one had ended."""
        if not self._ended:
            return
        first = self._ended[0]
        for end in self._ends.values():
            if end.cause not in (EndCause.ABANDONED, EndCause.NOTRUN):
                continue
            self._explain_all(self._owed_by(end.unit), first)
        if self._stopped_by(first):
            for number in self._with_codes(Code.CHECK):
                node = self.nodes[number]
                if node.unit is None and node.where in self._owed_checks:
                    self._explain(number, first)

    def _by_earlier_ends(self) -> None:
        """Of two ends the earlier one, even if that is explained itself."""
        for number in self._ended[1:]:
            if self._name(number) in self._end_times:
                self._explain(number, self._ended[0])

    def _by_unanswered_keys(self) -> None:
        """A percentile that is over its budget or limit only because keys were lost."""
        for number in self._with_codes(Code.BUDGET, Code.METRIC):
            same = self.nodes[number].circuit
            lost = [n for n in self._with_codes(Code.LOST) if self.nodes[n].circuit == same]
            self._explain_keys(number, lost)

    def _by_slow_hops(self) -> None:
        """A slow hop: the percentiles of its circuit."""
        hops = {
            hop_measure(circuit.name, hop.text, measure)
            for circuit in self._circuits.values()
            for hop in circuit.hops
            for measure in OF_HOP
        }
        slow = [n for n in self._with_codes(Code.METRIC) if self.nodes[n].where in hops]
        for number in self._with_codes(Code.METRIC, Code.BUDGET):
            node = self.nodes[number]
            if node.where not in hops and node.circuit is not None:
                for hop in slow:
                    if self.nodes[hop].circuit == node.circuit:
                        self._explain(number, hop)

    # Relations --------------------------------------------------------------------------------

    @cached_property
    def _losses(self) -> list[tuple[int, Circuit, int, Hop]]:
        """What was lost at the hops of circuits, with its stage, in the order of stages."""
        found = []
        for number in self._with_codes(Code.LOST):
            node, circuit = self.nodes[number], self._circuit_of(number)
            if circuit is not None and isinstance(node, Draft) and node.hop is not None:
                stage = _stage_of(circuit, node)
                if stage is not None:
                    found.append((number, circuit, stage, node.hop))
        return sorted(found, key=lambda loss: loss[2])

    @cached_property
    def _receivers(self) -> set[str]:
        return {event.unit for event in self._index.of_type(EventType.RECEIVE)}

    @cached_property
    def _senders(self) -> set[str]:
        return {event.unit for event in self._index.of_type(EventType.SEND)}

    def _depending_on(self, unit: str) -> set[str]:
        """The units that need `unit` to be ready before they start, or need one that does."""
        found: set[str] = set()
        pending = [unit]
        while pending:
            needed = pending.pop()
            for one in self._scenario.units:
                if needed in one.dependencies and one.name not in found:
                    found.add(one.name)
                    pending.append(one.name)
        return found - {unit}

    def _waiting_at(self, unit: str) -> set[str]:
        """The units that wait for a key that was last seen at `unit`."""
        return {
            place.unit
            for number, _, _, hop in self._losses
            if isinstance(draft := self.nodes[number], Draft)
            and any(
                fact.other is not None and fact.other.unit == unit for fact in draft.facts.values()
            )
            for place in hop.places
        } - {unit}

    def _owed_by(self, unit: str) -> Iterator[int]:
        """What is lost or missing and was to come from `unit`; circuits that run through it."""
        yield from self._of_unit.get((Code.MISSING, unit), ())
        yield from (
            number
            for number in self._of_unit.get((Code.CHECK, unit), ())
            if self.nodes[number].where in self._owed_checks
        )
        yield from (n for n in self._with_codes(Code.LOST) if self._owes_loss(unit, n))
        yield from (n for n in self._with_codes(Code.VACUOUS) if self._runs_through(n, unit))

    def _owes_loss(self, unit: str, number: int, *, ended: bool = True) -> bool:
        """Whether `unit` should have emitted what was lost; `ended`: before it ended."""
        node = self.nodes[number]
        circuit = self._circuit_of(number)
        if circuit is None:  # an orphan: a receiver may be its cause, but for the sender
            return unit != node.unit and (not self._receivers or unit in self._receivers)
        part = self._parts.get(number)
        if ended and part is not None and unit in self._ends_of and not _is_number(node):
            return unit in part.owed_to
        hop = node.hop if isinstance(node, Draft) else None
        return hop is not None and _passes([hop], unit)

    def _stopped_by(self, end: int) -> bool:
        """Whether the end of a unit ended the group, which had no time for the rest then."""
        name = self.nodes[end].unit
        return name == "setup" or any(
            unit.name == name and unit.in_except == "Stop" for unit in self._scenario.units
        )

    def _may_have_caused(self, unit: str, number: int) -> bool:
        """Whether the cause of an orphan may have come from `unit`."""
        circuit = self._circuit_of(number)
        if circuit is None:
            return unit != self.nodes[number].unit and (not self._senders or unit in self._senders)
        return _passes(circuit.stages[0], unit)

    def _runs_through(self, number: int, unit: str) -> bool:
        """Whether the circuit without events runs through `unit`; a fault has no circuit."""
        circuit = self._circuit_of(number)
        return circuit is not None and _passes(circuit.hops, unit)

    def _begins_at(self, number: int, unit: str) -> bool:
        """Whether all keys of a circuit come from `unit`."""
        circuit = self._circuit_of(number)
        return circuit is not None and _units(circuit.stages[0]) == {unit}

    def _explain_keys(self, number: int, causes: Sequence[int]) -> None:
        """Explain a finding if all of its keys occur in `causes`; by the first that has its key."""
        node = self.nodes[number]
        keys = set(node.keys)
        if not keys:
            return
        for cause in causes:
            keys.difference_update(self.nodes[cause].keys)
        if not keys:
            for cause in causes:
                if node.key in self.nodes[cause].keys:
                    self._explain(number, cause)

    def _explain_all(self, numbers: Iterable[int], cause: int) -> None:
        for number in numbers:
            self._explain(number, cause)

    def _explain(self, number: int, cause: int) -> None:
        """`cause` explains the finding, unless something does already or the circle would close."""
        if self._cause[number] is not None or self.nodes[number].explained_by is not None:
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
            t_ns, init = self._end_times.get(self._name(number), (self._end_time(number), 0))
            return (t_ns, init, _RANK[self.nodes[number].code])

        ends = (n for n in self._with_codes(*ENDS) if self._name(n) not in self._processes.no_ends)
        return sorted(ends, key=key)

    def _end_time(self, number: int) -> float:
        t_ns = self.nodes[number].t_ns
        return inf if t_ns is None else float(t_ns)

    def _name(self, number: int) -> tuple[Code, str]:
        return self.nodes[number].code, self.nodes[number].where

    def _circuit_of(self, number: int) -> Circuit | None:
        return self._circuits.get(self.nodes[number].circuit or "")

    def _code_of_cause(self, number: int) -> Code | None:
        cause = self._cause[number]
        return None if cause is None else self.nodes[cause].code


def _is_number(node: Node) -> bool:
    """Whether it is about the number of instances, and not about one of them."""
    return isinstance(node, Draft) and bool(node.about)


def _units(hops: Iterable[Hop]) -> set[str]:
    return {place.unit for hop in hops for place in hop.places}


def _passes(hops: Iterable[Hop], unit: str) -> bool:
    """Whether a key may pass a unit at one of these hops."""
    return not _units(hops).isdisjoint((unit, ANY))


def _stage_of(circuit: Circuit, node: Node) -> int | None:
    """The number of the stage that a finding is about; of a place that comes twice the first."""
    position = node.position if isinstance(node, Draft) else None
    hops = 0
    for number, stage in enumerate(circuit.stages):
        if position is not None and hops <= position < hops + len(stage):
            return number
        if position is None and any(hop.text == node.where for hop in stage):
            return number
        hops += len(stage)
    return None
