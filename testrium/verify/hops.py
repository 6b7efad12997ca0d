"""How long each hop took: from the stage before it to the hop, as the median of all instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from testrium.model import Event
from testrium.statistics import median
from testrium.verify.instances import Instances
from testrium.verify.order import Row
from testrium.verify.route import Route, Stage

#: So many instances, spread evenly, give the median of a long run: looking at all of a million
#: would cost as much as the checks.
MOST_INSTANCES = 5_000


def hop_medians(route: Route, instances: Instances) -> Mapping[str, float]:
    """The median in ms of each hop behind the first stage, by its text.

    The time begins when the nearest stage before that has any event is reached (with the first
    events of all its hops), and ends with the first event of the hop. What the clocks do not tell
    exactly is left out. A hop that stands twice in the route counts once, at its first place.
    """
    if not route.stages[1:]:
        return {}
    step = -(-len(instances) // MOST_INSTANCES) or 1
    rows = [instances.row(name) for name in islice(instances, 0, None, step)]
    medians: dict[str, float] = {}
    for number, stage in enumerate(route.stages[1:], 1):
        before = route.stages[:number]
        for hop, _ in stage:
            text = route.hops[hop].text
            taken = list(_times_ns(rows, before, hop))
            if taken and text not in medians:
                medians[text] = median(taken) / 1e6
    return medians


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
