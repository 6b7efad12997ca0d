"""What a circuit's findings say to people: one sentence, then the evidence.

Nothing is decided here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import nlargest
from math import inf

from testrium.declared.circuits import Hop
from testrium.evidence import Event, Finding
from testrium.host_clocks import KnownClock
from testrium.phrases import close_to, listed, plural, shown, time_span, times
from testrium.verify.circuits import CircuitFacts
from testrium.verify.findings import Draft, distinct, place_of
from testrium.verify.index import EventIndex
from testrium.verify.matching import ANY
from testrium.verify.timing import LEAST_SAMPLES, low_ns
from testrium.words import Code

#: A story of more events than this is told by its first and its last ones.
MOST_EVENTS = 40

Told = tuple[str, list[str]]


def word_findings(facts: CircuitFacts, drafts: Sequence[Draft], index: EventIndex) -> list[Finding]:
    """The findings of a circuit in words."""
    witnesses = {draft.key for draft in drafts if draft.key is not None}
    wording = _Wording(facts, index, index.with_keys(witnesses) if witnesses else {})
    return [wording.finding(draft) for draft in drafts]


class _Wording:
    def __init__(
        self, facts: CircuitFacts, index: EventIndex, by_key: dict[str, list[Event]]
    ) -> None:
        self._facts = facts
        self._circuit = facts.circuit
        self._index = index
        self._by_key = by_key
        self._words: dict[Code, Callable[[Draft], Told]] = {
            Code.VACUOUS: self._vacuous,
            Code.UNKEYED: self._unkeyed,
            Code.STALE: self._orphan,
            Code.PHANTOM: self._orphan,
            Code.CAUSALITY: self._causality,
            Code.MISROUTED: self._misrouted,
            Code.COLLISION: self._collision,
            Code.DUPLICATE: self._duplicate,
            Code.LOST: self._lost,
            Code.MISMATCH: self._mismatch,
            Code.ORDER: self._order,
            Code.REORDER: self._reorder,
            Code.FORBIDDEN: self._forbidden,
            Code.LATE: self._late,
            Code.BUDGET: self._budget,
            Code.CLOCK: self._clock,
            Code.SAMPLES: self._samples,
        }

    def finding(self, draft: Draft) -> Finding:
        message, hints = self._words[draft.code](draft)
        story = draft.witnesses()
        if len(story) > MOST_EVENTS:
            story = story[: MOST_EVENTS // 2] + story[-MOST_EVENTS // 2 :]
        return Finding(
            code=draft.code,
            where=draft.where,
            message=message,
            circuit=self._circuit.name,
            key=draft.key,
            keys=draft.keys,
            events=tuple(event.id for event in story),
            hints=tuple(hints),
            unit=draft.unit,
            t_ns=draft.t_ns,
        )

    # What is not there ------------------------------------------------------------------------

    def _vacuous(self, _: Draft) -> Told:
        hints = [
            hint
            for hop in self._circuit.hops
            for place in hop.places
            if (hint := self._similar(place.unit, place.step))
        ]
        route = " -> ".join(
            hop.text if len(stage) == 1 else f"[{', '.join(one.text for one in stage)}]"
            for stage in self._circuit.stages
            for hop in stage[:1]
        )
        return f"no event matched any hop of the route {route}: nothing was proved", hints

    def _lost(self, draft: Draft) -> Told:
        if draft.hop is None or draft.position is None or not draft.row:
            return f"{draft.text} instances of this circuit began at {draft.where}", []
        whose = listed(draft.keys) if draft.keys else "the run"
        seen = f"; last seen at {place_of(draft.other)}" if draft.other is not None else ""
        hints = []
        if len(draft.keys) > 1 or self._facts.number > 1:
            there = self._facts.number - self._facts.lost_at(draft.position)
            hints.append(f"{there} of {plural(self._facts.number, 'key')} got there")
        hints += self._elsewhere(draft)
        hints += [
            hint for place in draft.hop.places if (hint := self._similar(place.unit, place.step))
        ]
        return f"{whose} {self._did_not_reach(draft, draft.hop, draft.position)}{seen}", hints

    def _did_not_reach(self, draft: Draft, hop: Hop, position: int) -> str:
        """What happened at the hop instead of what should have."""
        count = len(draft.row[position])
        required = "1 is required" if hop.least == 1 else f"{hop.least} are required"
        before = [one.text for one in self._circuit.hops[:position]]
        if hop.text in before:  # the route passes it several times
            return (
                f"came back to {draft.where} {times(count)}, {required}"
                if count
                else f"never came back to {draft.where}"
            )
        if count:
            return f"reached {draft.where} {times(count)}, {required}"
        return f"never reached {draft.where}"

    def _orphan(self, draft: Draft) -> Told:
        cause = " or ".join(hop.text for hop in self._circuit.stages[0])
        message = f"{self._whose(draft)} reached {draft.where} without {cause}"
        if draft.code is Code.STALE:
            return f"{message} in this run: the key is left over from an earlier run", []
        hints = self._elsewhere(draft)
        hints += [
            hint
            for hop in self._circuit.stages[0]
            for place in hop.places
            if (hint := self._similar(place.unit, place.step))
        ]
        return message, hints

    # What is there too often, or in the wrong place ---------------------------------------------

    def _duplicate(self, draft: Draft) -> Told:
        if draft.text:
            return f"{draft.text} instances of this circuit began at {draft.where}", []
        assert draft.hop is not None
        assert draft.position is not None
        events = draft.row[draft.position]
        whose = listed(draft.keys) if draft.keys else "the run"
        most = draft.hop.most or 0
        allowed = "once is allowed" if most == 1 else f"at most {most} are allowed"
        fewest = min(draft.sizes.values(), default=len(events))
        often = times(len(events)) if fewest == len(events) else f"{times(int(fewest))} or more"
        message = f"{whose} reached {draft.where} {often}, {allowed}"
        pids = Counter(event.pid for event in events)
        by_process = ", ".join(f"{times(n)} in {_process(pid)}" for pid, n in pids.most_common(4))
        after = time_span(events[most].t_ns - events[0].t_ns)
        too_many = len(events) - most
        if too_many == 1:
            return message, [by_process, f"the one too many came {after} after the first"]
        first = f"the first of {too_many} too many came {after} after the first of all"
        return message, [by_process, first]

    def _collision(self, draft: Draft) -> Told:
        assert draft.event is not None
        assert draft.other is not None
        one, other = draft.other.unit, draft.event.unit
        return f"{one} and {other} both sent {self._whose(draft)}", [
            f"a key names one instance: begin its text with the unit ({one}-1, {other}-1)"
        ]

    def _misrouted(self, draft: Draft) -> Told:
        assert draft.event is not None
        verb = "sent" if draft.event.type == "Send" else "received"
        message = f"{self._whose(draft)} was {verb} at {draft.where}, which is not on the route"
        hint = self._similar_hop(draft.event)
        return message, [hint] if hint else []

    def _unkeyed(self, draft: Draft) -> Told:
        message = (
            f"{draft.where} happened {times(draft.count)} without a key:"
            " it cannot be assigned to an instance"
        )
        return message, ['give the probe its key, or declare the circuit with per = "run"']

    def _forbidden(self, draft: Draft) -> Told:
        whose = f" for {listed(draft.keys)}" if draft.keys else ""
        return f"{draft.where} happened {times(draft.count)}{whose}, which must never happen", []

    # What is different, or in the wrong order -----------------------------------------------------

    def _mismatch(self, draft: Draft) -> Told:
        assert draft.event is not None
        assert draft.other is not None
        here = shown(_as_json(draft.event.meta[draft.text]))
        there = shown(_as_json(draft.other.meta[draft.text]))
        return (
            f"{draft.text} of {self._whose(draft)} is {here} at {draft.where},"
            f" and {there} at {place_of(draft.other)}"
        ), []

    def _causality(self, draft: Draft) -> Told:
        assert draft.other is not None
        message = f"{self._whose(draft)} was received {self._before(draft)} it was sent"
        return f"{message} at {place_of(draft.other)}", self._also(draft)

    def _order(self, draft: Draft) -> Told:
        assert draft.other is not None
        whose = f" for {self._whose(draft)}" if draft.keys else ""
        should = place_of(draft.other)
        message = f"{draft.where} happened {self._before(draft)} {should}{whose}"
        return f"{message}, and should come after it", self._also(draft)

    def _reorder(self, draft: Draft) -> Told:
        assert draft.other is not None
        message = (
            f"{self._whose(draft)} overtook {shown(draft.text)} at {draft.where}:"
            f" sent after it, arrived {self._before(draft)} it"
        )
        return message, self._also(draft)

    # What took too long, or cannot be known -------------------------------------------------------

    def _late(self, draft: Draft) -> Told:
        limit, taken = self._circuit.within_ns or 0, draft.sizes[draft.key]
        message = (
            f"{self._whose(draft)} took {time_span(taken)} to {draft.where},"
            f" {time_span(taken - limit)} over the limit of {time_span(limit)}"
        )
        hints = []
        if self._facts.number > 1:
            hints.append(f"late: {len(draft.keys)} of {self._facts.number} keys")
        if len(draft.keys) > 1:
            hints.append(f"slowest: {_slowest(draft)}")
        return message, hints

    def _budget(self, draft: Draft) -> Told:
        latencies = self._facts.latencies
        over = [
            f"p{percentile} is {_finite(latencies.percentile(percentile).low)},"
            f" over its budget of {time_span(budget)}"
            for percentile, budget in sorted(self._circuit.budgets.items())
            if latencies.enough(percentile) and latencies.percentile(percentile).low > budget
        ]
        return "; ".join(over), [
            f"over the budget: {len(draft.keys)} of {plural(latencies.count, 'key')}",
            f"slowest: {_slowest(draft)}",
        ]

    def _clock(self, draft: Draft) -> Told:
        message = (
            f"the clocks cannot decide whether {self._whose(draft)} was in time at {draft.where}"
        )
        if draft.event is None:
            return message, ["emit t_ns (CLOCK_MONOTONIC) with the probes of this route"]
        one, other = draft.event, draft.other
        vague = next((e for e in draft.witnesses() if e.t_low_ns is not None), None)
        if other is None or (one.domain == other.domain and vague is None):
            other = next((e for e in draft.witnesses() if e.domain != one.domain), other)
        known = next((e for e in (one, other) if e and isinstance(e.domain, KnownClock)), None)
        if other is not None and one.domain != other.domain and known is not None:
            assert isinstance(known.domain, KnownClock)
            bound = time_span(known.domain.bound_ns)
            return f"{message}: it and {place_of(other)} were on two hosts", [
                f"the clock of {known.domain.host} is known within {bound} of the runner's",
                "the limit lies within that: a wider one, or a faster connection, decides",
            ]
        if other is not None and one.domain != other.domain:
            return f"{message}: it and {place_of(other)} have two clocks with unknown offset", [
                f"{place_of(one)}: clock {shown(one.domain)}",
                f"{place_of(other)}: clock {shown(other.domain)}",
                "measure both ends on one host, or declare no time limit across hosts",
            ]
        vague = vague or one
        return f"{message}: {place_of(vague)} has only the time at which its line was read", [
            f"it may have happened up to {time_span(vague.t_ns - low_ns(vague))} earlier",
            "emit t_ns (CLOCK_MONOTONIC) with the probe, or use `testrium probe`",
        ]

    def _samples(self, _: Draft) -> Told:
        have = self._facts.latencies.count
        short = [
            f"p{percentile} needs {LEAST_SAMPLES[percentile]} keys"
            for percentile in sorted(self._circuit.budgets)
            if have < LEAST_SAMPLES[percentile]
        ]
        return f"{' and '.join(short)}, this run has {have}", [
            "send more keys, or limit every single one with `within`"
        ]

    # Evidence -------------------------------------------------------------------------------------

    def _whose(self, draft: Draft) -> str:
        if draft.key is None:
            return "the run"
        more = len(draft.keys) - 1
        return shown(draft.key) + (f" (and {more} more)" if more else "")

    def _before(self, draft: Draft) -> str:
        """`1.2 ms before`, or by the numbers of the process where its clock is too coarse."""
        assert draft.event is not None
        assert draft.other is not None
        gap = low_ns(draft.other) - draft.event.t_ns
        return f"{time_span(gap)} before" if gap > 0 else "before"

    def _also(self, draft: Draft) -> list[str]:
        if draft.event is None or draft.other is None or draft.event.pid != draft.other.pid:
            return []
        if draft.event.seq is None or draft.other.seq is None:
            return []
        return [f"probe {draft.event.seq} and probe {draft.other.seq} of process {draft.event.pid}"]

    def _elsewhere(self, draft: Draft) -> list[str]:
        """Where else the witness's key occurred."""
        own = {event.id for events in draft.row for event in events}
        others = [
            place_of(event)
            for event in self._by_key.get(draft.key or "", ())
            if event.id not in own
        ]
        places = distinct(others)
        if draft.key is None or not places:
            return []
        return [f"{shown(draft.key)} also occurred at {listed(places)}, outside of this route"]

    def _similar(self, unit: str, step: str) -> str | None:
        """A step that did occur, where the declared one did not and looks like it."""
        emitted = self._index.steps_of(unit)
        if step == ANY or step in emitted:
            return None
        near = close_to(step, emitted, likeness=0.75)
        if near is None:
            return None
        count = sum(
            len(events)
            for place, events in self._index.by_place.items()
            if place[1] == near and unit in (ANY, place[0])
        )
        return f"{unit}:{near} happened {times(count)}: is {step} misspelled?"

    def _similar_hop(self, event: Event) -> str | None:
        for hop in self._circuit.hops:
            for place in hop.places:
                if place.unit == event.unit and close_to(event.step, [place.step], likeness=0.75):
                    return f"the route has {place}: is one of the two misspelled?"
        return None


def _process(pid: int) -> str:
    return f"process {pid}" if pid > 0 else "a process that did not say its pid"


def _slowest(draft: Draft) -> str:
    most = nlargest(3, draft.sizes.items(), key=lambda item: item[1])
    return ", ".join(f"{shown(key or '')} {_finite(size)}" for key, size in most)


def _finite(span_ns: float) -> str:
    return "unanswered" if span_ns == inf else time_span(span_ns)


def _as_json(value: object) -> str:
    """A value of metadata, as its probe wrote it: `true`, `null`, `[1.0]`; a text in quotes."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
