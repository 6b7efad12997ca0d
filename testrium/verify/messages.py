"""What a circuit's findings say to people: one sentence, then the evidence.

Nothing is decided here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from heapq import nlargest
from itertools import pairwise
from math import inf

from testrium.declared.circuits import Hop
from testrium.declared.faults import ENDING_ACTS
from testrium.evidence import Event, Finding
from testrium.host_clocks import KnownClock
from testrium.phrases import close_to, listed, plural, shown, time_span, times
from testrium.verify.circuits import CircuitFacts
from testrium.verify.findings import Draft, distinct, flat, place_of
from testrium.verify.index import EventIndex
from testrium.verify.timing import LEAST_SAMPLES, low_ns
from testrium.words import ANY, Code, Place

#: Of more events than this a finding names the first and the last ones.
MOST_EVENTS = 40

#: Of two numbers that are about equal the smaller is at least this part of the larger.
_ABOUT_EQUAL = 0.8

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
        events = draft.witnesses()
        if len(events) > MOST_EVENTS:
            events = events[: MOST_EVENTS // 2] + events[-MOST_EVENTS // 2 :]
        return Finding(
            code=draft.code,
            where=draft.where,
            message=message,
            circuit=self._circuit.name,
            key=draft.key,
            keys=draft.keys,
            events=tuple(event.id for event in events),
            hints=tuple(hints),
            unit=draft.unit,
            t_ns=draft.t_ns,
        )

    # What is not there ------------------------------------------------------------------------

    def _vacuous(self, _: Draft) -> Told:
        hints = self._misspelled(self._circuit.hops)
        route = " -> ".join(
            hop.text if len(stage) == 1 else f"[{', '.join(one.text for one in stage)}]"
            for stage in self._circuit.stages
            for hop in stage[:1]
        )
        return f"no event matched any hop of the route {route}: nothing was proved", hints

    def _lost(self, draft: Draft) -> Told:
        hop, position = draft.hop, draft.position
        if hop is None or position is None or not draft.row:
            return self._number(draft)
        whose = listed(draft.keys) if draft.keys else "the run"
        seen = f"; last seen at {place_of(draft.other)}" if draft.other is not None else ""
        hints = []
        if len(draft.keys) > 1 or self._facts.number > 1:
            there = self._facts.number - self._facts.lost_at(position)
            hints.append(f"{there} of {plural(self._facts.number, 'key')} got there")
        hints += self._other_places(draft)
        hints += self._misspelled([hop]) or self._reached_later(draft, hop, position)
        return f"{whose} {self._did_not_reach(draft, hop, position)}{seen}", hints

    def _reached_later(self, draft: Draft, hop: Hop, position: int) -> list[str]:
        """The first later hop that the same keys did reach: the message was there, not the probe.

        Where the route passes a place several times it is not known which passage is missing.
        """
        if sum(one.text == hop.text for one in self._circuit.hops) > 1:
            return []
        rows = [row for key in draft.facts if (row := draft.rows(key)) and not row[position]]
        stages = iter(self._facts.route.stages)
        next(stage for stage in stages if any(number == position for number, _ in stage))
        before = [one.text for one in self._circuit.hops[:position]]
        for number in (number for stage in stages for number, _ in stage):
            if self._circuit.hops[number].text in before:
                continue
            there = sum(1 for row in rows if row[number])
            if there:
                later, all_keys = self._circuit.hops[number].text, len(draft.facts)
                by = "" if there == all_keys else f" by {there} of {plural(all_keys, 'key')}"
                return [f"{later} was reached without it{by}: {_is_probe_missing(hop)}"]
        return []

    def _number(self, draft: Draft) -> Told:
        """There are too few instances, or too many; those without a cause count, and are named."""
        route, instances = self._facts.route, self._facts.instances
        began = sum(not route.is_orphan(instances.row(name)) for name in instances)
        orphans = self._facts.number - began
        message = f"{draft.text} instances of this circuit"
        if not orphans:
            return f"{message} began at {draft.where}", []
        known = f"{orphans} {'is' if orphans == 1 else 'are'} known from later hops only"
        return f"{message}: {began} began at {draft.where}, {known}", self._two_keys

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
        hints = self._other_places(draft) + self._misspelled(self._circuit.stages[0])
        return message, hints + self._two_keys

    @cached_property
    def _two_keys(self) -> list[str]:
        """The hint that two processes may have different keys for one message.

        About as many keys begin and end before a hop as appear there without a cause; and no others
        go all the way, or the text of one key contains the other.
        """
        phantoms = [draft for draft in self._facts.drafts if draft.code is Code.PHANTOM]
        most = max(phantoms, key=lambda draft: len(draft.facts), default=None)
        if most is None or most.key is None or most.event is None:
            return []
        hop = next((number for number, events in enumerate(most.row) if events), None)
        if hop is None or not any(one.least for one in self._circuit.hops[hop:]):
            return []
        stuck = self._stuck_before(hop)
        count = sum(len(draft.facts) for draft in phantoms)
        fewer, more = sorted((len(stuck), count))
        if not _ABOUT_EQUAL * more <= fewer:
            return []
        alike = [name for name in stuck if name in most.key or most.key in name]
        if not alike and len(stuck) + count < self._facts.number:
            return []
        name = max(alike, key=len) if alike else min(stuck, key=lambda one: stuck[one].t_ns)
        there, here = stuck[name], most.event
        if there.unit == here.unit:
            who, one, other = "hops", place_of(there), place_of(here)
        else:
            who, one, other = "processes", there.unit, here.unit
        return [f"do both {who} use the same key? {one}: {shown(name)}, {other}: {shown(most.key)}"]

    def _stuck_before(self, hop: int) -> dict[str, Event]:
        """The instances that began, and reached neither this hop nor a later one: their ends."""
        instances, stuck = self._facts.instances, {}
        for name in instances:
            row = instances.row(name)
            if any(row[:hop]) and not any(row[hop:]):
                stuck[name] = flat(row)[-1]
        return stuck

    # What is there too often, or in the wrong place ---------------------------------------------

    def _duplicate(self, draft: Draft) -> Told:
        if draft.text:
            return self._number(draft)
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
        first = (
            f"the one too many came {after} after the first"
            if too_many == 1
            else f"the first of {too_many} too many came {after} after the first of all"
        )
        return message, [by_process, first, *self._redelivered(draft.hop, events[: most + 1])]

    def _redelivered(self, hop: Hop, events: Sequence[Event]) -> list[str]:
        """That a unit of the hop was started again, or ended as planned, between its events."""
        first, last = events[0].t_ns, events[-1].t_ns
        units = {event.unit for event in events}
        starts = {(event.unit, event.start) for event in events}
        planned = any(
            fault.meta.get("do") in ENDING_ACTS
            and fault.meta.get("unit") in units
            and first <= fault.t_ns <= last
            for fault in self._index.faults
        )
        if len(starts) == len(units) and not planned:
            return []
        allowed = hop._replace(most=None).written
        return [f"a redelivery after a restart is usual: {allowed} allows it"]

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
        return message, hints + self._slowest_step(draft)

    def _slowest_step(self, draft: Draft) -> list[str]:
        """Where the witness was longest between two stages, of more than two, on one clock."""
        route, row = self._facts.route, draft.row
        reached = list(route.first_events(row)[:1])
        begun = False
        for stage in route.stages:
            needed = [(row[number], max(least, 1)) for number, least in stage]
            passed = [events[count - 1] for events, count in needed if len(events) >= count]
            if begun and passed:
                reached.append(max(passed, key=lambda event: event.t_ns))
            begun = begun or any(events for events, _ in needed)
            if route.last[0] in stage:
                break
        exact = all(event.t_low_ns is None for event in reached)
        if len(reached) < 3 or not exact or len({event.domain for event in reached}) > 1:
            return []
        one, other = max(pairwise(reached), key=lambda pair: pair[1].t_ns - pair[0].t_ns)
        longest = time_span(other.t_ns - one.t_ns)
        return [f"{longest} of it between {place_of(one)} and {place_of(other)}"]

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

    def _other_places(self, draft: Draft) -> list[str]:
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

    def _misspelled(self, hops: Iterable[Hop]) -> list[str]:
        """The steps that did occur, where declared ones did not and look like them."""
        hints = []
        for unit, step in (place for hop in hops for place in hop.places):
            if step == ANY or step in self._index.steps_of(unit):
                continue
            if (near := self._index.nearest_step(unit, step)) is not None:
                meant = Place(unit, near)
                places = self._index.by_place.items()
                count = sum(len(events) for place, events in places if meant.matches(*place))
                hints.append(f"{meant} happened {times(count)}: is {step} misspelled?")
        return hints

    def _similar_hop(self, event: Event) -> str | None:
        for hop in self._circuit.hops:
            for place in hop.places:
                if place.unit == event.unit and close_to(event.step, [place.step], likeness=0.75):
                    return f"the route has {place}: is one of the two misspelled?"
        return None


def _is_probe_missing(hop: Hop) -> str:
    if len(hop.places) > 1 or ANY in hop.places[0]:
        return "is its probe missing?"
    unit, step = hop.places[0]
    return f"is the probe {shown(step)!r} missing in {unit}?"


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
