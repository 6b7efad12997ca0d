"""How long each hop took: from the stage before it to the hop, over all instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from testrium.evidence import Event
from testrium.statistics import nearest_rank
from testrium.verify.instances import Instances
from testrium.verify.order import Row
from testrium.verify.route import Route, Stage

#: So many instances, spread evenly, give the median of a long run: looking at all of a million
#: would cost as much as the checks.
MOST_INSTANCES = 5_000


class HopTimes(NamedTuple):
    """Percentiles of a hop in ms, by nearest rank; the fields are `measures.OF_HOP`."""

    p10: float
    p50: float


def hop_times(route: Route, instances: Instances) -> Mapping[str, HopTimes]:
    """The times of each hop behind the first stage, by its text.

    The time begins when the nearest stage before that has any event is reached (with the first
    events of all its hops), and ends with the first event of the hop. What the clocks do not tell
    exactly is left out. A hop that stands twice in the route counts once, at its first place.
    """
    if not route.stages[1:]:
        return {}
    step = -(-len(instances) // MOST_INSTANCES) or 1
    rows = [instances.row(name) for name in islice(instances, 0, None, step)]
    times: dict[str, HopTimes] = {}
    for number, stage in enumerate(route.stages[1:], 1):
        before = route.stages[:number]
        for hop, _ in stage:
            text = route.hops[hop].text
            taken = sorted(_times_ns(rows, before, hop))
            if taken and text not in times:
                p10, p50 = nearest_rank(taken, 10), nearest_rank(taken, 50)
                times[text] = HopTimes(p10 / 1e6, p50 / 1e6)
    return times


def _times_ns(rows: Sequence[Row], before: Sequence[Stage], hop: int) -> Iterable[int]:
    for row in rows:
        prior = _reached(row, before)
        if prior is None or not row[hop]:
            continue
        first = row[hop][0]
        exact = prior.t_low_ns is None and first.t_low_ns is None
        if exact and prior.domain == first.domain:
            yield first.t_ns - prior.t_ns


def _reached(row: Row, before: Sequence[Stage]) -> Event | None:
    """The event with which the nearest stage that has any was reached."""
    for stage in reversed(before):
        firsts = [row[hop][0] for hop, _ in stage if row[hop]]
        if firsts:
            return max(firsts, key=lambda event: event.t_ns)
    return None
