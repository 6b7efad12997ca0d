"""Plans of faults, drawn from what a group allows, and the smallest that breaks it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from random import Random
from typing import Any, NamedTuple

from testrium.declared.faults import (
    DRAWN_ACTS,
    LINK_ACTS,
    OUTSIDE_ACTS,
    Chaos,
    FailpointAct,
    Fault,
    LinkAct,
)
from testrium.declared.units import Unit
from testrium.evidence import Event
from testrium.phrases import duration_text
from testrium.words import EventType, Place

#: The faults of one plan, in a fixed order.
Plan = tuple[Fault, ...]

MS = 1_000_000

#: How long faults last; of a group only those up to its `longest`.
LENGTHS_NS = tuple(ms * MS for ms in (20, 50, 100, 200, 500, 1_000, 2_000, 5_000))

LATENCIES_NS = tuple(ms * MS for ms in (5, 20, 100, 300))

RATES = (1_000, 16_000, 256_000)  # bytes per second

#: After which a unit that must not end so is not started again.
_ENDINGS: tuple[FailpointAct, ...] = ("kill", "exit", "raise")

_RESTARTING = ("Reload", "Resume-ALL")

#: A hang that ends is a delay; one that does not breaks every circuit.
_NOT_DRAWN = ("hang",)

#: Plans in a row that were drawn before, after which there are probably no others.
_MOST_REPEATED = 200


class Target(NamedTuple):
    """One thing that can be broken, and what may be done to it.

    A probe has `at`, and how many `times` it was emitted with nothing broken. A link has `port`.
    """

    unit: str
    acts: tuple[FailpointAct | LinkAct, ...]
    at: Place | None = None
    times: int = 1
    port: str | None = None


def targets(chaos: Chaos, units: Sequence[Unit], baseline: Iterable[Event]) -> tuple[Target, ...]:
    """What can be broken: probes that were emitted in a run with nothing broken, and links; sorted.

    Args:
        chaos: what the group allows.
        units: those of the group.
        baseline: the events of a run in which nothing was broken.
    """
    counts = Counter(_places(baseline))
    by_name = {unit.name: unit for unit in units if unit.name in chaos.units}
    probes = [
        Target(place.unit, acts, at=place, times=counts[place])
        for place in sorted(counts)
        if place.unit in by_name and (acts := _acts_at(place, by_name[place.unit], chaos))
    ]
    allowed = chaos.do or LINK_ACTS
    link_acts = tuple(act for act in LINK_ACTS if act in allowed)
    links = [Target(unit, link_acts, port=port) for unit, port in sorted(chaos.links) if link_acts]
    return (*probes, *links)


def moments(baseline: Iterable[Event]) -> tuple[Place, ...]:
    """The probes at which a link may begin to be broken: all of an undisturbed run, sorted."""
    return tuple(sorted(set(_places(baseline))))


def _places(events: Iterable[Event]) -> Iterator[Place]:
    for event in events:
        if event.type != EventType.EXCEPTION:
            yield Place(event.unit, event.step)


def _acts_at(place: Place, unit: Unit, chaos: Chaos) -> tuple[FailpointAct, ...]:
    """What may be done at a probe.

    Unless the group says what to do: nothing that the unit cannot survive.
    """
    from_log = any(probe.step == place.step for probe in unit.probes)
    possible = tuple(
        act for act in DRAWN_ACTS if act in OUTSIDE_ACTS or (unit.is_python and not from_log)
    )
    if chaos.do:
        return tuple(act for act in possible if act in chaos.do)
    left_out = _NOT_DRAWN if unit.in_except in _RESTARTING else (*_NOT_DRAWN, *_ENDINGS)
    return tuple(act for act in possible if act not in left_out)


def plans(
    chaos: Chaos,
    units: Sequence[Unit],
    found: Sequence[Target],
    afters: Sequence[Place],
    seed: int,
) -> Iterator[Plan]:
    """Plans without end, or until none is new, each once.

    Args:
        chaos: what the group allows; a plan has up to `budget` faults.
        units: those of the group: one is ended no oftener than it may be started again.
        found: see `targets`.
        afters: see `moments`.
        seed: the same for the same plans.
    """
    random = Random(seed)  # noqa: S311 - the same seed must give the same plans
    restarts = {unit.name: unit.restarts for unit in units}
    seen: set[Plan] = set()
    repeated = 0
    while found and repeated < _MOST_REPEATED:
        # Every other plan has one fault: what one can break needs no second.
        size = 1 if random.random() < 0.5 else random.randint(1, chaos.budget)
        drawn = [_fault(random, random.choice(found), afters, chaos) for _ in range(size)]
        plan = planned(_possible(drawn, restarts))
        if plan in seen:
            repeated += 1
            continue
        repeated = 0
        seen.add(plan)
        yield plan


def planned(faults: Iterable[Fault]) -> Plan:
    """These faults in a fixed order, named as they would be in a file."""
    ordered = sorted(faults, key=lambda fault: (fault.target, fault.on, fault.do, repr(fault)))
    names: Counter[str] = Counter()
    plan = []
    for fault in ordered:
        name = fault.default_name
        names[name] += 1
        number = names[name]
        plan.append(replace(fault, name=name if number == 1 else f"{name} ({number})"))
    return tuple(plan)


def have_different_moments(faults: Iterable[Fault]) -> bool:
    """Whether no two failpoints are at the same time of the same probe, which is refused."""
    moments = [(fault.at, fault.on) for fault in faults if fault.at is not None]
    return len(set(moments)) == len(moments)


def _fault(random: Random, target: Target, afters: Sequence[Place], chaos: Chaos) -> Fault:
    do = random.choice(target.acts)
    for_ns = _drawn_length(random, chaos)
    if target.at is not None:
        lasts = do not in _ENDINGS
        on = random.randint(1, target.times)
        return Fault("", do, target.unit, at=target.at, on=on, for_ns=for_ns if lasts else None)
    after = random.choice((None, *afters))
    return Fault(
        "",
        do,
        target.unit,
        port=target.port,
        after=after,
        for_ns=for_ns,
        value_ns=random.choice(LATENCIES_NS) if do == "latency" else None,
        bytes_per_s=random.choice(RATES) if do == "throttle" else None,
    )


def _drawn_length(random: Random, chaos: Chaos) -> int:
    lengths = [length for length in LENGTHS_NS if length <= chaos.longest_ns]
    return random.choice(lengths or [chaos.longest_ns])


def _possible(drawn: Iterable[Fault], restarts: dict[str, int]) -> list[Fault]:
    """Without faults at the same moment, and without ends that nothing could recover from."""
    kept: list[Fault] = []
    left = Counter(restarts)
    for fault in drawn:
        if not have_different_moments((*kept, fault)):
            continue
        if fault.do in _ENDINGS:
            if left[fault.unit] == 0 and restarts[fault.unit] > 0:
                continue
            left[fault.unit] -= 1
        kept.append(fault)
    return kept


#: What the name of a fault says already.
_IN_NAME = ("at", "link", "unit", "do")


def as_toml(plan: Plan) -> str:
    """The plan as `[[faults]]` tables."""
    import tomli_w

    return "\n".join(f"[[faults]]\n{tomli_w.dumps(as_table(fault))}" for fault in plan)


def brief(fault: Fault) -> str:
    """The fault in a line: `kill at worker:taken, on = 2`."""
    facts = [f"{name} = {value}" for name, value in as_table(fault).items() if name not in _IN_NAME]
    return ", ".join((fault.default_name, *facts))


def as_table(fault: Fault) -> dict[str, Any]:
    """The keys of the fault's `[[faults]]` table, as a file says them."""
    table: dict[str, Any] = {}
    if fault.at is not None:
        table["at"] = str(fault.at)
    else:
        table["link" if fault.port is not None else "unit"] = fault.target
    table["do"] = fault.do
    if fault.on > 1:
        table["on"] = fault.on
    if fault.key is not None:
        table["key"] = fault.key
    if fault.after is not None:
        table["after"] = str(fault.after)
    if fault.for_ns is not None:
        table["for"] = duration_text(fault.for_ns)
    if fault.value_ns is not None:
        sign = "" if fault.do != "clock" else "-" if fault.value_ns < 0 else "+"
        table["value"] = f"{sign}{duration_text(abs(fault.value_ns))}"
    if fault.bytes_per_s is not None:
        table["value"] = f"{fault.bytes_per_s}B/s"
    return table


#: Whether the circuit breaks under a plan.
Breaks = Callable[[Plan], bool]


def smallest(plan: Plan, breaks: Breaks, *, tries: int) -> Plan:
    """The smallest plan that was found to break the circuit.

    First as few faults as possible, of all subsets; then each fault as simple as possible: at the
    first time, for a short while, from the start.

    Args:
        plan: one that breaks it.
        breaks: tries a plan.
        tries: how many plans are tried at most.
    """
    asked: dict[Plan, bool] = {plan: True}

    def still(candidate: Plan) -> bool:
        nonlocal tries
        if candidate not in asked:
            if tries == 0:
                return False
            tries -= 1
            asked[candidate] = breaks(candidate)
        return asked[candidate]

    plan = _fewest(plan, still)
    while (simplified := _simplified(plan, still)) is not None:
        plan = simplified
    return plan


def _fewest(plan: Plan, still: Breaks) -> Plan:
    for size in range(1, len(plan)):
        for subset in combinations(plan, size):
            if still(candidate := planned(subset)):
                return candidate
    return plan


def _simplified(plan: Plan, still: Breaks) -> Plan | None:
    """The plan with one fault simpler, or None where none can be."""
    for number, fault in enumerate(plan):
        for simpler in simpler_faults(fault):
            candidate = planned((*plan[:number], simpler, *plan[number + 1 :]))
            if have_different_moments(candidate) and still(candidate):
                return candidate
    return None


def simpler_faults(fault: Fault) -> Iterator[Fault]:
    """Faults that do the same at an easier place or time, the easiest first."""
    if fault.after is not None:
        yield replace(fault, after=None)
    for on in sorted({1, fault.on // 2, fault.on - 1}):
        if 0 < on < fault.on:
            yield replace(fault, on=on)
    for for_ns in _lower(fault.for_ns, LENGTHS_NS):
        yield replace(fault, for_ns=for_ns)
    for value_ns in _lower(fault.value_ns, LATENCIES_NS):
        yield replace(fault, value_ns=value_ns)
    higher = [rate for rate in RATES if fault.bytes_per_s is not None and rate > fault.bytes_per_s]
    for rate in higher[-1:]:
        yield replace(fault, bytes_per_s=rate)


def _lower(value: int | None, ladder: Sequence[int]) -> Iterable[int]:
    """The lowest step below `value`, and the next one."""
    lower = [step for step in ladder if value is not None and step < value]
    return dict.fromkeys((*lower[:1], *lower[-1:]))


def contains(plan: Plan, smaller: Plan) -> bool:
    """Whether a plan does all that a smaller one does, be it at other times or for longer."""
    kinds = [(fault.do, fault.target) for fault in plan]
    for fault in smaller:
        kind = (fault.do, fault.target)
        if kind not in kinds:
            return False
        kinds.remove(kind)
    return True
