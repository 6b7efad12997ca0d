"""Random histories against an oracle that is written from the rules, and shares no code with them.

Routes pass places several times, have stars, counts and alternatives; causes are told anywhere;
one process emits for several units. What fails is made small and shown, with its seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import NamedTuple

import pytest

from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, Event, Evidence, UnitState
from testrium.results import Judgement
from testrium.run.expectations import Expectations
from testrium.verify.judge import judge
from testrium.words import Place

SHORT, LONG = 20_000, 400_000
#: An instance whose events can be given to hops in more ways is left out: trying takes too long.
MOST_WAYS = 64
UNITS = ("a", "b", "c")
STEPS = ("x", "y")
PLACES = tuple((unit, step) for unit in UNITS for step in STEPS)
COUNTS = {"": (1, 1), "?": (0, 1), "*": (0, None), "+": (1, None), "{2}": (2, 2), "{1,2}": (1, 2)}

UNITS_OF_ALL = tuple(
    Unit(name, init, f"{name}.toml", command=("x",), quiet=True) for init, name in enumerate(UNITS)
)
ENDS = tuple(End(name, EndCause.SELF, UnitState.FINISHED, pid=1, exit_code=0) for name in UNITS)
RULES = Rules(orphans="allow")

Said = tuple[str, str, str | None]


@dataclass(frozen=True)
class History:
    circuit: Circuit
    events: tuple[Event, ...]

    @property
    def circuit_places(self) -> list[Place]:
        return [p for stage in self.circuit.stages for hop in stage for p in hop.places]

    @property
    def scenario(self) -> Scenario:
        group = Group("g", Path("g"), UNITS_OF_ALL, circuits=(self.circuit,), rules=RULES)
        return Scenario("g", group, UNITS_OF_ALL)

    def judged(self) -> Judgement:
        return judge(self.scenario, Evidence(events=self.events, ends=ENDS, ended_ns=1))

    def shown(self) -> str:
        circuit = self.circuit
        stages = (
            ", ".join(f"{hop.text}{{{hop.least},{hop.most}}}" for hop in stage)
            for stage in circuit.stages
        )
        rules = f"keys={circuit.keys} same={circuit.same} open={circuit.open}"
        never = [hop.text for hop in circuit.never]
        lines = [f"{' -> '.join(f'[{stage}]' for stage in stages)} {rules} never={never}"]
        lines += [
            f"{e.t_ns}: {e.unit}:{e.step} {e.type} key={e.key} cause={e.cause} {dict(e.meta)}"
            f" process {e.pid} number {e.seq}"
            for e in self.events
        ]
        return "\n".join(lines)


# Making histories --------------------------------------------------------------------------------


def made_hop(chance: random.Random) -> Hop:
    places = [chance.choice(PLACES)]
    if chance.random() < 0.15:
        places.append(chance.choice(PLACES))
    if chance.random() < 0.12:
        unit, step = places[0]
        places[0] = chance.choice((("*", step), (unit, "*"), ("*", "*")))
    text = "|".join(f"{unit}:{step}" for unit, step in dict.fromkeys(places))
    least, most = COUNTS[chance.choice(("", "", "", "", "?", "*", "+", "{2}", "{1,2}"))]
    return Hop(text, tuple(Place(*place) for place in dict.fromkeys(places)), least, most)


def made_circuit(chance: random.Random) -> Circuit:
    stages = []
    for _ in range(chance.randint(1, 4)):
        width = 2 if chance.random() < 0.15 else 1
        stages.append(tuple(made_hop(chance) for _ in range(width)))
    never = (made_hop(chance),) if chance.random() < 0.15 else ()
    return Circuit(
        "way",
        tuple(stages),
        keys=chance.choice(((1, None), (0, None), (2, 2), (1, 2))),
        same=("n",) if chance.random() < 0.4 else (),
        never=never,
        open=chance.random() < 0.3,
    )


class Draft(NamedTuple):
    unit: str
    step: str
    type: str
    key: str | None
    cause: tuple[str, ...]
    meta: dict[str, object]


def made_history(chance: random.Random) -> History:
    """Keys that mostly follow the route, with a few things that went wrong."""
    circuit = made_circuit(chance)
    drafts: list[Draft] = []
    for number in range(chance.randint(0, 3)):
        key = f"k{number}"
        ways = [one for stage in circuit.stages for one in stage_events(chance, stage, key)]
        place = chance.randint(0, len(drafts))
        mixed = chance.random() < 0.5
        for draft in ways:
            if mixed:
                place = chance.randint(place, len(drafts))
            drafts.insert(place, draft)
            place += 1
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        spoil(chance, drafts)
    return History(circuit, tuple(event_of(n, draft) for n, draft in enumerate(drafts, 1)))


def stage_events(chance: random.Random, stage: Sequence[Hop], key: str) -> Iterator[Draft]:
    for hop in stage:
        most = hop.least + 1 if hop.most is None else hop.most
        for _ in range(chance.randint(hop.least, most)):
            place = chance.choice(hop.places)
            unit = chance.choice(UNITS) if place.unit == "*" else place.unit
            step = chance.choice(STEPS) if place.step == "*" else place.step
            kind = chance.choice(("Default", "Default", "Send", "Receive"))
            meta: dict[str, object] = {"n": 1} if chance.random() < 0.4 else {}
            yield Draft(unit, step, kind, key, (), meta)


def spoil(chance: random.Random, drafts: list[Draft]) -> None:
    place = chance.randint(0, len(drafts))
    kind = chance.choice(("drop", "again", "move", "new", "key", "no key", "cause", "n", "step"))
    if kind == "new" or not drafts:
        unit, step = chance.choice(PLACES)
        key = chance.choice(("k0", "k1", "z", None))
        kind = chance.choice(("Default", "Send", "Receive")) if key else "Default"
        drafts.insert(place, Draft(unit, step, kind, key, (), {}))
        return
    number = chance.randrange(len(drafts))
    draft = drafts[number]
    match kind:
        case "drop":
            del drafts[number]
        case "again":
            drafts.insert(place, draft)
        case "move":
            drafts.insert(min(place, len(drafts) - 1), drafts.pop(number))
        case "key":
            drafts[number] = draft._replace(key=chance.choice(("k0", "k1", "z")))
        case "no key":
            drafts[number] = draft._replace(key=None, type="Default")
        case "cause":
            keys = ("k0", "k1", "z", "o")
            drafts[number] = draft._replace(cause=(chance.choice(keys),))
        case "n":
            drafts[number] = draft._replace(meta={"n": chance.choice((1, 1.0, True, 2))})
        case "step":
            unit, step = chance.choice(PLACES)
            drafts[number] = draft._replace(unit=unit, step=step)


def event_of(number: int, draft: Draft) -> Event:
    return Event(
        id=number,
        unit=draft.unit,
        step=draft.step,
        type=draft.type,
        key=draft.key,
        cause=draft.cause,
        t_ns=number * 1000,
        t_low_ns=None,
        wall_ns=number,
        domain="here",
        pid=ord(draft.unit),
        seq=None,
        start=1,
        attempt=1,
        owner=draft.unit,
        meta=draft.meta,
    )


# What the rules say ------------------------------------------------------------------------------


class TooManyWaysError(Exception):
    """There are too many ways to give the events of an instance to the hops that they match."""


class Oracle:
    """The findings of a history: for each its code, place and key.

    `vague` are the keys of which only the fact is known that their route does not hold: no way to
    give its events to the hops that they match satisfies it.
    """

    def __init__(self, history: History) -> None:
        self.circuit, self.events = history.circuit, history.events
        self.hops = [hop for stage in self.circuit.stages for hop in stage]
        self.said: set[Said] = set()
        self.vague: set[str | None] = set()
        self.several: set[str | None] = set()  # whose route holds, in one way of several
        self._group_keys()
        self._judge()

    def _group_keys(self) -> None:
        groups: list[set[str]] = []
        for event in self.events:
            keys = {*event.cause, *({event.key} if event.key else ())}
            if keys:
                touched = [group for group in groups if group & keys]
                groups = [group for group in groups if not group & keys]
                groups.append(keys.union(*touched))
        self.groups = [frozenset(group) for group in groups]

    def group_of(self, event: Event) -> frozenset[str] | None:
        keys = {*event.cause, *({event.key} if event.key else ())}
        return next((group for group in self.groups if group & keys), None)

    def hops_of(self, event: Event) -> list[int]:
        here = (event.unit, event.step)
        exact = [n for n, hop in enumerate(self.hops) if here in [tuple(p) for p in hop.places]]
        if exact:
            return exact
        if event.key is None:
            return []
        return [
            n
            for n, hop in enumerate(self.hops)
            if any(p.unit in ("*", event.unit) and p.step in ("*", event.step) for p in hop.places)
        ]

    def _judge(self) -> None:
        matched = False
        self.on_route: dict[frozenset[str], list[Event]] = {}
        unkeyed = False
        for event in self.events:
            if self.hops_of(event):
                matched = True
                if event.key is None:
                    unkeyed = True
                    self.said.add(("unkeyed", f"{event.unit}:{event.step}", None))
                group = self.group_of(event)
                if group is not None:
                    self.on_route.setdefault(group, []).append(event)
        self.names = {
            group: events[0].key or self._cause_key(events[0])
            for group, events in self.on_route.items()
        }
        for group, events in self.on_route.items():
            self._judge_instance(self.names[group], events)
            self._judge_fields(group, self.names[group])
        self._judge_strangers()
        self._judge_number(matched, unkeyed)

    @staticmethod
    def _cause_key(event: Event) -> str:
        return event.cause[0]

    def _judge_number(self, matched: bool, unkeyed: bool) -> None:
        least, most = self.circuit.keys
        count = len(self.on_route)
        first = self.hops[0].text
        if not matched:
            if least:
                self.said.add(("vacuous", "way", None))
        elif count < least and not unkeyed:
            self.said.add(("lost", first, None))
        elif most is not None and count > most:
            starts = sorted(self.on_route.items(), key=lambda item: item[1][0].t_ns)
            for group, _ in starts[most:]:
                self.said.add(("duplicate", first, self.names[group]))

    def _judge_instance(self, name: str, events: list[Event]) -> None:
        choices = [self.hops_of(event) for event in events]
        number = prod(map(len, choices))
        if number > MOST_WAYS:
            raise TooManyWaysError
        ways = (dict(zip(map(id, events), way, strict=True)) for way in product(*choices))
        if number == 1:
            self.said |= self._wrong_with(name, events, next(ways))
        elif all(self._wrong_with(name, events, way) for way in ways):
            self.vague.add(name)
        else:
            self.several.add(name)

    def _wrong_with(self, name: str, events: list[Event], way: dict[int, int]) -> set[Said]:
        rows = [[e for e in events if way[id(e)] == hop] for hop in range(len(self.hops))]
        said: set[Said] = set()
        stages: list[list[int]] = []
        for stage in self.circuit.stages:
            begin = sum(map(len, stages))
            stages.append(list(range(begin, begin + len(stage))))
        needed = [n for n, stage in enumerate(stages) if any(self.hops[h].least for h in stage)]
        origin = [h for stage in stages[: needed[0] + 1] for h in stage] if needed else []
        orphan = bool(needed) and not any(rows[h] for h in origin)
        if orphan:
            first = next(e for s in stages for e in sorted(self._of(rows, s), key=time) if e)
            said.add(("phantom", f"{first.unit}:{first.step}", first.key or name))
        for number, hop in enumerate(self.hops):
            if len(rows[number]) < hop.least and not orphan:
                said.add(("lost", hop.text, name))
            if hop.most is not None and len(rows[number]) > hop.most:
                said.add(("duplicate", hop.text, name))
            if number in stages[0] or (hop.most is not None and len(rows[number]) > hop.most):
                said |= self._collisions(hop, rows[number])
        said |= self._disorder(name, rows, stages)
        return said

    @staticmethod
    def _of(rows: list[list[Event]], stage: list[int]) -> list[Event]:
        return [event for hop in stage for event in rows[hop]]

    @staticmethod
    def _collisions(hop: Hop, events: list[Event]) -> set[Said]:
        said: set[Said] = set()
        sent = [e for e in events if e.type == "Send"]
        for key in {e.key for e in sent}:
            if len({e.unit for e in sent if e.key == key}) > 1:
                said.add(("collision", hop.text, key))
        return said

    def _disorder(self, name: str, rows: list[list[Event]], stages: list[list[int]]) -> set[Said]:
        said: set[Said] = set()
        everything = [event for row in rows for event in row]
        for number, stage in enumerate(stages):
            before = next((s for s in reversed(stages[:number]) if self._of(rows, s)), None)
            if before is None:
                continue
            for event in self._of(rows, stage):
                for hop in before:
                    need = min(max(self.hops[hop].least, 1), len(rows[hop]))
                    if sum(e.t_ns <= event.t_ns for e in rows[hop]) < need:
                        sends = [e for e in everything if e.type == "Send" and e.key == event.key]
                        later = bool(sends) and all(e.t_ns > event.t_ns for e in sends)
                        code = "causality" if later and event.type == "Receive" else "order"
                        said.add((code, f"{event.unit}:{event.step}", event.key or name))
        return said

    def _judge_fields(self, group: frozenset[str], name: str) -> None:
        for field in self.circuit.same:
            told = [e for e in self.events if self.group_of(e) == group and field in e.meta]
            for event in told[1:]:
                one, other = told[0].meta[field], event.meta[field]
                if type(one) is not type(other) or one != other:
                    place = f"{event.unit}:{event.step}"
                    self.said.add(("mismatch", place, event.key or name))

    def _judge_strangers(self) -> None:
        forbidden = [place for hop in self.circuit.never for place in hop.places]
        claimed = [*forbidden, *(place for hop in self.hops for place in hop.places)]
        for event in self.events:
            ours = self.group_of(event) in self.on_route if event.key else True
            if fits(forbidden, event) and ours:
                self.said.add(("forbidden", f"{event.unit}:{event.step}", event.key))
            stray = event.key and event.type in ("Send", "Receive") and not fits(claimed, event)
            if stray and ours and not self.circuit.open:
                self.said.add(("misrouted", f"{event.unit}:{event.step}", event.key))


def time(event: Event) -> int:
    return event.t_ns


def fits(places: Sequence[Place], event: Event) -> bool:
    return any(p.unit in ("*", event.unit) and p.step in ("*", event.step) for p in places)


# Comparing ----------------------------------------------------------------------------------------


def difference(history: History) -> str:
    """What the judgement and the oracle do not agree on; "" where they do."""
    try:
        oracle = Oracle(history)
    except TooManyWaysError:
        return ""
    judgement = history.judged()
    found = {
        (str(finding.code), finding.where, key)
        for finding in judgement.findings
        for key in (finding.keys or (None,))
    }
    route = ("lost", "duplicate", "order", "causality", "phantom", "collision")
    for name in oracle.vague:
        if not any(code in route and key in _keys(oracle, name) for code, _, key in found):
            return f"the route of {name} does not hold, and nothing is said"
    vague = {key for name in oracle.vague for key in _keys(oracle, name)}
    several = {key for name in oracle.several for key in _keys(oracle, name)}
    for code, where, key in oracle.said:
        if key is None and any(one[:2] == (code, where) for one in found):
            found.add((code, where, None))  # an entry names those that have a key
    settled, expected = (
        {
            (code, where, key)
            for code, where, key in said
            if not (code in route and key in vague) and not (code == "collision" and key in several)
        }
        for said in (found, oracle.said)
    )
    if settled != expected:
        more, less = sorted(map(str, settled - expected)), sorted(map(str, expected - settled))
        return f"too much: {more}, too little: {less}"
    verdict = "fail" if found else "pass"
    return "" if judgement.verdict == verdict else f"{judgement.verdict} instead of {verdict}"


def _keys(oracle: Oracle, name: str | None) -> set[str]:
    group = next(group for group, known in oracle.names.items() if known == name)
    return set(group)


def smaller(history: History, wrong: Callable[[History], str]) -> History:
    """A part of the events about which they still do not agree."""
    shrinking = True
    while shrinking:
        shrinking = False
        for number in range(len(history.events)):
            events = history.events[:number] + history.events[number + 1 :]
            less = History(history.circuit, events)
            if wrong(less):
                history, shrinking = less, True
                break
    return history


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("TESTRIUM_SEED") or random.randrange(1 << 32))


@pytest.mark.parametrize(
    "number", [SHORT, pytest.param(LONG, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])]
)
def test_the_judgement_is_what_the_rules_say(number: int, seed: int) -> None:
    for each in range(seed, seed + number):
        history = made_history(random.Random(each))
        if difference(history):
            history = smaller(history, difference)
            pytest.fail(f"seed {each}: {difference(history)}\n{history.shown()}")


# What was not recorded ----------------------------------------------------------------------------


def recorded(chance: random.Random) -> tuple[History, set[int], set[int]]:
    """A healthy run of processes that emit for several units, of which some probes are not there.

    Returns with it the numbers of what is not there: those that leave a hole in the numbers of
    their process, and the others, which its last ones were.
    """
    process = {unit: chance.randrange(2) for unit in UNITS}
    stages = [(unit, chance.choice(STEPS)) for unit in UNITS[: chance.randint(2, 3)]]
    hops = [(Hop(":".join(place), (Place(*place),)),) for place in stages]
    circuit = Circuit("way", tuple(hops), keys=(0, None))
    drafts: list[Draft] = []
    for number in range(chance.randint(1, 4)):
        place = 0
        for unit, step in stages:
            place = chance.randint(place, len(drafts))
            drafts.insert(place, Draft(unit, step, "Default", f"k{number}", (), {}))
            place += 1
    counts = [0, 0]
    events = []
    for number, draft in enumerate(drafts, 1):
        whose = process[draft.unit]
        counts[whose] += 1
        owner = next(unit for unit in UNITS if process[unit] == whose)
        event = event_of(number, draft)
        events.append(event._replace(pid=whose + 1, seq=counts[whose], owner=owner))
    gone = set(chance.sample(range(len(events)), chance.randint(0, min(3, len(events)))))
    left = [event for number, event in enumerate(events) if number not in gone]
    last = {event.pid: event.seq or 0 for event in left}
    holes = {n for n in gone if (events[n].seq or 0) < last.get(events[n].pid, 0)}
    return History(circuit, tuple(left)), holes, gone - holes


def test_what_a_hole_may_have_taken_is_unknown_and_nothing_else_is(seed: int) -> None:
    for each in range(seed, seed + SHORT // 5):
        history, holes, others = recorded(random.Random(each))
        said, verdict = Oracle(history).said, history.judged().verdict
        about = f"seed {each}: {verdict}, {len(holes)} holes, {len(others)} others\n"
        about += history.shown()
        if {unit for unit, *_ in history.circuit_places} - {e.unit for e in history.events}:
            continue  # nothing shows which process emits for that unit
        if not holes:
            assert verdict == ("fail" if said else "pass"), about
        elif not others:
            assert verdict == "unknown", about
        else:
            assert verdict in ("unknown", "fail"), about


def test_the_runner_waits_for_what_would_be_lost(seed: int) -> None:
    """It goes on as soon as nothing is open, where each event can be of one hop only."""
    open_codes = {"lost", "phantom", "vacuous"}
    for each in range(seed, seed + SHORT // 5):
        history = made_history(random.Random(each))
        try:
            oracle = Oracle(history)
        except TooManyWaysError:
            continue
        if oracle.vague or oracle.several or any(code == "unkeyed" for code, *_ in oracle.said):
            continue
        expectations = Expectations(history.scenario)
        expectations.feed(history.events)
        met = not any(code in open_codes for code, *_ in oracle.said)
        assert expectations.met() == met, f"seed {each}: {oracle.said}\n{history.shown()}"
