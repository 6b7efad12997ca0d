"""The smallest plan of faults that still breaks a circuit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from testrium.chaos.plans import (
    LATENCIES_NS,
    LENGTHS_NS,
    RATES,
    Plan,
    have_different_moments,
    planned,
)
from testrium.declared.faults import Fault

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
