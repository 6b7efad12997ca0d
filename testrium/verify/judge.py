"""The judgement of a run: everything that verification finds, ranked, and the verdict."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from testrium.declared.groups import Scenario
from testrium.evidence import Evidence, Finding, OpenWait
from testrium.host_clocks import KnownClock
from testrium.phrases import listed, time_span
from testrium.results import CircuitResult, Judgement
from testrium.verify.circuits import CircuitFacts, Unclaimed, examine
from testrium.verify.findings import Draft
from testrium.verify.index import EventIndex
from testrium.verify.messages import word_findings
from testrium.verify.metrics import (
    find_regressions,
    limit_findings,
    measures_of,
    metric_findings,
    metric_results,
    unreported,
)
from testrium.verify.probes import (
    gaps,
    missing_probes,
    orphan_finding,
    orphans,
    required_places,
    unproved_faults,
    unrecorded_gaps,
)
from testrium.verify.processes import ProcessFacts, early_services
from testrium.verify.roots import Explanations, Node, Part, parts_of
from testrium.words import UNKNOWN_CODES, Code, EventType, Verdict

Ranked = Sequence[tuple[Finding, bool]]


def verdict_of(ranked: Iterable[tuple[Finding, bool]]) -> Verdict:
    """The verdict of findings: error, fail, unknown or pass.

    Args:
        ranked: findings with a flag: it is unknown, or explained by an unknown one. Such a finding
            fails nothing.
    """
    verdict = Verdict.PASS
    for finding, excused in ranked:
        if finding.code is Code.INFRA:
            return Verdict.ERROR
        if not excused and finding.code not in UNKNOWN_CODES:
            verdict = Verdict.FAIL
        elif verdict is Verdict.PASS:
            verdict = Verdict.UNKNOWN
    return verdict


def circuit_verdict(ranked: Ranked, name: str, misrouted: Collection[str]) -> Verdict:
    """The verdict of the findings of one circuit.

    Args:
        ranked: see `verdict_of`.
        name: the circuit's.
        misrouted: places that are so for this circuit too, and told for another one.
    """
    return verdict_of(
        (finding, excused)
        for finding, excused in ranked
        if finding.circuit == name
        or (finding.code is Code.MISROUTED and finding.where in misrouted)
    )


def against_expectation(scenario: Scenario, verdict: Verdict) -> tuple[Verdict, list[Finding]]:
    """Apply `expect-fail`: a failure is expected then, and a pass is the failure."""
    reason = scenario.group.expect_fail
    if reason and verdict is Verdict.FAIL:
        return Verdict.XFAIL, []
    if reason and verdict is Verdict.PASS:
        message = f"expected to fail ({reason}), and it passed: remove expect-fail"
        return Verdict.FAIL, [Finding(Code.UNEXPECTED_PASS, scenario.id, message)]
    return verdict, []


def judge(scenario: Scenario, evidence: Evidence) -> Judgement:
    """Judge a run. A pure function: no clock, no files; the same evidence, the same judgement.

    The first finding is the root cause; what a finding explains follows it. Linear in the number
    of events, but for sorting them once.
    """
    with _no_collector():
        return _judge(scenario, evidence)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Pause the garbage collector: a million events make no cycles, and looking for them again
    and again takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _judge(scenario: Scenario, evidence: Evidence) -> Judgement:
    index = EventIndex(evidence)
    processes = ProcessFacts(scenario, evidence, index)
    completed, missing = required_places(scenario, index)
    facts = _examine_circuits(scenario, evidence, index)
    measures = measures_of(scenario, evidence, facts)
    off_limits = list(metric_findings(scenario, evidence, facts, measures))
    broken = {finding.where for finding in off_limits}
    regressions = find_regressions(scenario, evidence.baseline, measures, broken)
    torn = [*gaps(scenario, evidence, index), *unrecorded_gaps(evidence)]
    remarks = _remarks(evidence)
    to_inspect = [remark for remark in remarks if remark.code is Code.INSPECT and scenario.strict]
    found: list[Node | Part] = [
        *_infra(scenario, evidence),
        *processes.findings,
        *(part for one in facts for part in parts_of(one, processes.ended)),
        *_unpaired_keys(scenario, evidence, index),
        *missing_probes(missing, scenario, index),
        *(gap.finding for gap in torn),
        *unproved_faults(scenario, evidence, index),
        *limit_findings(scenario, evidence),
        *_failed_checks(evidence),
        *_failed_tests(evidence),
        *to_inspect,
        *off_limits,
        *regressions.findings,
        *evidence.findings,
    ]
    owed = (evidence.checks, unreported(scenario, evidence))
    explanations = Explanations(scenario, found, processes, index, torn, *owed)
    ranked = explanations.ranked(_worded(explanations.nodes, facts, index))
    idle = explanations.idle_gaps()
    ranked = [each for each in ranked if id(each[0]) not in idle]
    ranked = processes.with_services(_with_waits(ranked, scenario, evidence.waits))
    unproved = [] if ranked else _unproved(scenario, evidence, index)
    if scenario.strict:
        ranked, unproved = [(finding, False) for finding in unproved] or ranked, []
    notes = [finding for one in facts for finding in word_findings(one, list(one.strays), index)]
    verdict, unexpected = against_expectation(scenario, verdict_of(ranked))
    return Judgement(
        verdict=verdict,
        findings=(*unexpected, *(finding for finding, _ in ranked)),
        notes=(
            *processes.notes,
            *early_services(scenario, processes.ends, (finding for finding, _ in ranked)),
            *notes,
            *regressions.notes,
            *_suspended(scenario, evidence),
            *map(_clock_note, evidence.clocks),
            *unproved,
            *(Finding(Code.VACUOUS, *rule) for rule in evidence.unmatched if ranked),
            *(remark for remark in remarks if remark not in to_inspect),
        ),
        circuits=tuple(_circuit_result(one, ranked, scenario) for one in facts),
        completed=tuple(completed),
        missing=tuple(missing),
        measures=measures,
        metrics=metric_results(scenario, evidence, measures, (*off_limits, *regressions.findings)),
    )


def _examine_circuits(
    scenario: Scenario, evidence: Evidence, index: EventIndex
) -> list[CircuitFacts]:
    circuits = scenario.group.circuits
    if not circuits:
        return []
    unclaimed = Unclaimed(circuits, index)
    with_hops = scenario.group.gen_metrics or any(
        metric.source == "hop" for metric in scenario.group.metrics
    )
    return [
        examine(
            circuit,
            index,
            unclaimed,
            evidence.earlier_causes.get(circuit.name, ()),
            with_hops=with_hops,
        )
        for circuit in circuits
    ]


def _worded(
    nodes: Sequence[Node], facts: Sequence[CircuitFacts], index: EventIndex
) -> list[Finding]:
    """The same, and drafts in words."""
    words: dict[int, Finding] = {}
    for one in facts:
        drafts = [
            node for node in nodes if isinstance(node, Draft) and node.circuit == one.circuit.name
        ]
        for draft, finding in zip(drafts, word_findings(one, drafts, index), strict=True):
            words[id(draft)] = finding
    return [
        (words.get(id(node)) or orphan_finding(node)) if isinstance(node, Draft) else node
        for node in nodes
    ]


def _circuit_result(facts: CircuitFacts, ranked: Ranked, scenario: Scenario) -> CircuitResult:
    name, latencies = facts.circuit.name, facts.latencies
    result = CircuitResult(name, facts.number, circuit_verdict(ranked, name, facts.concerned))
    if not scenario.group.gen_metrics:
        return result
    return result._replace(
        p50_ms=latencies.percentile_ms(50),
        p95_ms=latencies.percentile_ms(95),
        p99_ms=latencies.percentile_ms(99),
        max_ms=latencies.max_ms(),
    )


#: A wait is worth a word from so long on (ns).
_LONG_WAIT_NS = 1_000_000_000


def _with_waits(
    ranked: list[tuple[Finding, bool]], scenario: Scenario, waits: Sequence[OpenWait]
) -> list[tuple[Finding, bool]]:
    """The same, and what was waited for in vain, told at the first thing that never came."""
    vain = [wait for wait in waits if wait.left and wait.ended_ns - wait.started_ns > _LONG_WAIT_NS]
    absent = (n for n, (one, _) in enumerate(ranked) if one.code in (Code.LOST, Code.MISSING))
    if not vain or (first := next(absent, None)) is None:
        return ranked
    wait = vain[-1]
    waited = time_span(wait.ended_ns - wait.started_ns)
    bounded = (
        "as long as `linger` says"
        if wait.limit == "linger"
        else f"until the deadline ({scenario.group.timeout_s:g} s):"
        ' `linger = "2s"` below [verify] ends such a wait sooner'
    )
    hint = f"waited {waited} for {listed(wait.left)}, {bounded}"
    finding, excused = ranked[first]
    finding = finding._replace(hints=(*finding.hints, hint))
    return [*ranked[:first], (finding, excused), *ranked[first + 1 :]]


def _infra(scenario: Scenario, evidence: Evidence) -> list[Finding]:
    messages = [evidence.infra] if evidence.infra else []
    messages += [
        f"aborted by {test.name}: {test.message}" for test in evidence.tests if test.aborted
    ]
    if evidence.interrupted:
        messages.append("the run was interrupted before this group was complete")
    where = evidence.infra_at if evidence.infra and evidence.infra_at else scenario.id
    return [Finding(Code.INFRA, where, message) for message in messages[:1]]


def _unproved(scenario: Scenario, evidence: Evidence, index: EventIndex) -> list[Finding]:
    """Say that a group declares nothing, and that nothing was sent or received in it."""
    messages = (EventType.SEND, EventType.RECEIVE)
    if scenario.proves or evidence.tests or any(event.type in messages for event in index.events):
        return []
    message = (
        "it declares no circuit, event, check, test, metric or suite, and no message was recorded:"
        " nothing but exit codes was checked"
    )
    hint = "declare what must happen: `events` of a unit, a [[circuits]] table, a [[checks]] table"
    return [Finding(Code.VACUOUS, scenario.id, message, hints=(hint,))]


def _clock_note(clock: KnownClock) -> Finding:
    """How well the times of another host compare with those of this one."""
    offset_ns, drift = clock.offset_ns, clock.drift_ppm
    message = (
        f"the clock of {clock.host} is known within {time_span(clock.bound_ns)}: it is"
        f" {time_span(abs(offset_ns))} {'later' if offset_ns >= 0 else 'earlier'} than the"
        " runner's"
    )
    if drift is not None:
        message += f", and drifts by {drift:.1f} ppm"
    return Finding(Code.CLOCK, clock.host, message)


def _suspended(scenario: Scenario, evidence: Evidence) -> list[Finding]:
    if not evidence.suspended_ns:
        return []
    message = (
        f"the machine was suspended for {evidence.suspended_ns / 1e9:.1f} s while the group ran:"
        " measured latencies leave this time out, timeouts and other machines may not"
    )
    return [Finding(Code.CLOCK, scenario.id, message)]


def _unpaired_keys(scenario: Scenario, evidence: Evidence, index: EventIndex) -> Iterable[Draft]:
    """Keys that were received and never sent, or the reverse, where that is forbidden."""
    if scenario.group.rules.orphans == "allow":
        return ()
    return orphans(index, evidence.earlier_causes.get("", ()))


def _failed_checks(evidence: Evidence) -> list[Finding]:
    return [
        Finding(Code.CHECK, check.name, check.message, unit=check.unit)
        for check in evidence.checks
        if not check.passed
    ]


def _failed_tests(evidence: Evidence) -> list[Finding]:
    return [
        Finding(
            Code.TEST,
            test.name,
            f"{test.name} failed" + (f": {test.message}" if test.message else ""),
            unit=test.unit,
        )
        for test in evidence.tests
        if not test.passed and not test.aborted
    ]


def _remarks(evidence: Evidence) -> list[Finding]:
    """The notes of tests: a person must look at them, or they assert nothing."""
    return [
        Finding(Code(code), test.name, text, unit=test.unit)
        for test in evidence.tests
        for code, text in test.remarks
    ]
