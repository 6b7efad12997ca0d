"""What can be wrong with one instance of a circuit, looked at by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from testrium.declared.circuits import Circuit, Hop
from testrium.evidence import Event
from testrium.verify.drafts import Drafts, flat
from testrium.verify.order import Row, misplaced
from testrium.verify.route import Route
from testrium.words import Code, EventType


class InstanceChecks:
    """The checks of one circuit's instances; what they find goes to `drafts`."""

    def __init__(
        self, circuit: Circuit, route: Route, drafts: Drafts, earlier_keys: Collection[str]
    ) -> None:
        self._circuit = circuit
        self._route = route
        self._drafts = drafts
        self._earlier_keys = earlier_keys

    def check(self, name: str, row: Row) -> None:
        """Check that one instance passed each hop, as often as declared, in order."""
        orphan = self._route.is_orphan(row)
        if orphan:
            self._add_orphan(name, row)
        for number, hop in enumerate(self._route.hops):
            count = len(row[number])
            if count < hop.least and not orphan:
                self._add_lost(name, row, number)
            elif count > 1 or hop.most == 0:
                self._check_repeated(name, row, number)
        for event, prior, foreign in misplaced(self._route.stages, row):
            code = Code.CLOCK if foreign else _order_code(event, prior)
            self._drafts.add_event(code, event, name=name, row=row, other=prior)
        if self._circuit.same:
            self._check_same(name, row)

    def _add_orphan(self, name: str, row: Row) -> None:
        event = self._route.first_events(row)[0]
        stale = event.key in self._earlier_keys
        code = Code.STALE if stale else Code.PHANTOM
        self._drafts.add_event(code, event, name=name, row=row)

    def _add_lost(self, name: str, row: Row, number: int) -> None:
        hop = self._route.hops[number]
        reached = self._route.last_reached(row, number)
        self._drafts.add(
            Code.LOST,
            hop.text,
            t_ns=None if reached is None else reached.t_ns,
            key=name,
            row=row,
            other=reached,
            hop=hop,
        )

    def _check_repeated(self, name: str, row: Row, number: int) -> None:
        """Several events at one hop: more than allowed, or sent by two units?"""
        hop, events = self._route.hops[number], row[number]
        too_many = hop.most is not None and len(events) > hop.most
        if too_many and hop.most is not None:
            self._drafts.add(
                Code.DUPLICATE,
                hop.text,
                t_ns=events[hop.most].t_ns,
                key=name,
                row=row,
                event=events[hop.most],
                hop=hop,
                size=len(events),
            )
        # Where a hop of the way allows several, answers of several units are what was declared.
        if self._circuit.per == "key" and (too_many or number in dict(self._route.stages[0])):
            self._check_senders(row, hop, events)

    def _check_senders(self, row: Row, hop: Hop, events: Sequence[Event]) -> None:
        first: dict[str, Event] = {}
        for event in events:
            if event.type != EventType.SEND or event.key is None:
                continue
            other = first.setdefault(event.key, event)
            if other.unit != event.unit:
                self._drafts.add(
                    Code.COLLISION,
                    hop.text,
                    t_ns=event.t_ns,
                    key=event.key,
                    row=row,
                    event=event,
                    other=other,
                    hop=hop,
                )

    def _check_same(self, name: str, row: Row) -> None:
        for field in self._circuit.same:
            first: Event | None = None
            for event in flat(row):
                if field not in event.meta:
                    continue
                if first is None:
                    first = event
                elif not _equal(first.meta[field], event.meta[field]):
                    self._drafts.add_event(
                        Code.MISMATCH, event, name=name, row=row, other=first, text=field
                    )


def _order_code(event: Event, prior: Event) -> Code:
    received = event.type == EventType.RECEIVE and prior.type == EventType.SEND
    return Code.CAUSALITY if received else Code.ORDER


def _equal(one: object, other: object) -> bool:
    """Equal as JSON values: `true` is not 1, but 1 is 1.0."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
