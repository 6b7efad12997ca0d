"""The way of every key through its circuit, for reports: nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from testrium.declared.circuits import Circuit
from testrium.evidence import Evidence
from testrium.results import CircuitPaths, KeyPath, MissedHop
from testrium.verify.drafts import flat
from testrium.verify.index import EventIndex
from testrium.verify.instances import Instances
from testrium.verify.order import Row
from testrium.verify.route import Route


def ways_of(circuits: Sequence[Circuit], evidence: Evidence) -> tuple[CircuitPaths, ...]:
    """The ways of all instances of these circuits, as they were judged."""
    index = EventIndex(evidence)
    return tuple(
        CircuitPaths(circuit, tuple(_ways(Route(circuit), Instances(circuit, index))))
        for circuit in circuits
    )


def _ways(route: Route, instances: Instances) -> Iterator[KeyPath]:
    for name in instances:
        row = instances.row(name)
        way = KeyPath(name, tuple(flat(row)))
        if not route.is_orphan(row):  # of effects without a cause nothing more is asked
            if route.last:
                low_ns, high_ns = route.latency(row)
                way = way._replace(low_ns=low_ns, high_ns=high_ns)
            way = way._replace(lacks=tuple(_lacks(route, row)))
        yield way


def _lacks(route: Route, row: Row) -> Iterator[MissedHop]:
    for number, hop in enumerate(route.hops):
        if len(row[number]) < hop.least:
            reached = route.last_reached(row, number)
            yield MissedHop(hop.text, None if reached is None else reached.id)
