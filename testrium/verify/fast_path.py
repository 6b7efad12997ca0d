"""The instances of a circuit that are surely right: one event at each hop, in order.

In a long run nearly all instances are so, and looking at them one by one would take most of the
time. So they are told apart by columns: a column holds one hop's events of all instances. What is
not surely right is left to the full check; this one only ever says "nothing wrong here".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, product
from operator import attrgetter, eq, gt

from testrium.evidence import Event
from testrium.verify.instances import Instances, Route

Column = Sequence[Event]

_ABSENT = object()

_time: Callable[[Event], int] = attrgetter("t_ns")

_low: Callable[[Event], int | None] = attrgetter("t_low_ns")

_domain: Callable[[Event], str] = attrgetter("domain")

_pid: Callable[[Event], int] = attrgetter("pid")


def fast_latencies(route: Route, instances: Instances, same: Sequence[str]) -> dict[str, int]:
    """The plain instances, each with its latency (ns).

    Args:
        same: the metadata fields that must be equal.
    """
    rules = [(rule.least, rule.most) for rule in route.hops]
    stages = [
        present
        for stage in route.stages
        if (present := [hop for hop, least in stage if least or instances.columns[hop]])
    ]
    hops = [hop for stage in stages for hop in stage]
    if not route.last or any(rules[hop][0] > 1 or rules[hop][1] == 0 for hop in hops):
        return {}
    names = _with_one_event(instances, hops)
    columns = {hop: _in_order(instances.columns[hop].alone, names) for hop in hops}
    if not names or not _on_one_clock(columns.values()):
        return {}
    times = {hop: list(map(_time, column)) for hop, column in columns.items()}
    pids = {hop: set(map(_pid, column)) for hop, column in columns.items()}
    wrong: set[int] = set()
    for before, stage in pairwise(stages):
        for prior, hop in product(before, stage):
            if any(map(gt, times[prior], times[hop])):
                backwards = enumerate(map(gt, times[prior], times[hop]))
                wrong.update(number for number, is_wrong in backwards if is_wrong)
            if not pids[prior].isdisjoint(pids[hop]):
                wrong.update(_numbered_backwards(columns[prior], columns[hop]))
    for field in same:
        wrong.update(_different(list(columns.values()), field))
    begins = _each(min, [times[hop] for hop in stages[0]])
    ends = _each(max, [times[hop] for hop, _ in route.last])
    return {
        name: end - begin
        for number, (name, begin, end) in enumerate(zip(names, begins, ends, strict=True))
        if number not in wrong
    }


def _with_one_event(instances: Instances, hops: Iterable[int]) -> list[str]:
    """The instances that have exactly one event at each of `hops`."""
    names = list(instances)
    for hop in hops:
        alone = instances.columns[hop].alone
        if len(alone) < len(instances):
            names = [name for name in names if name in alone]
    return names


def _in_order(alone: dict[str, Event], names: list[str]) -> Column:
    """The events of `names`."""
    if len(alone) == len(names) and all(map(eq, alone, names)):
        return list(alone.values())
    return list(map(alone.__getitem__, names))


def _on_one_clock(columns: Iterable[Column]) -> bool:
    """Whether all times were taken in the units, and can be compared."""
    domains: set[str] = set()
    for column in columns:
        domains.update(map(_domain, column))
        if set(map(_low, column)) != {None}:
            return False
    return len(domains) == 1


def _numbered_backwards(before: Column, after: Column) -> Iterator[int]:
    """Where two events of one process are numbered in the wrong order."""
    for number, (a, b) in enumerate(zip(before, after, strict=True)):
        if a.pid == b.pid and a.seq is not None and b.seq is not None and a.seq >= b.seq:
            yield number


def _different(columns: Sequence[Column], field: str) -> Iterable[int]:
    """Where a field is not plainly the same on every event of the columns that have it."""
    values = [[event.meta.get(field, _ABSENT) for event in column] for column in columns]
    having = [column for column in values if any(value is not _ABSENT for value in column)]
    for one, other in pairwise(having):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if a is not b and not same_value(a, b):
                yield i


def _each(choose: Callable[..., int], columns: Sequence[Sequence[int]]) -> Iterable[int]:
    """`min` or `max` of each row."""
    return columns[0] if len(columns) == 1 else map(choose, *columns)


def same_value(one: object, other: object) -> bool:
    """Equal as JSON values, and of one type: `true`, 1 and 1.0 are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return one == other
