"""A circuit's route, with what its checks need to know of it worked out once."""

from __future__ import annotations

from collections.abc import Sequence

from testrium.declared.circuits import Circuit
from testrium.evidence import Event
from testrium.verify.drafts import flat
from testrium.verify.order import Row
from testrium.verify.timing import UNANSWERED, Span, span

Stage = list[tuple[int, int]]


class Route:
    """The stages of a circuit; its hops are known by their index in `hops`.

    `stages` holds for each stage its hops with their least counts. An instance without any event
    in `origin` has no cause. `last` are the hops that complete the last required stage. Both are
    empty where nothing is required.
    """

    def __init__(self, circuit: Circuit) -> None:
        numbers = iter(range(len(circuit.hops)))
        self.hops = circuit.hops
        self.stages: list[Stage] = [
            [(next(numbers), hop.least) for hop in stage] for stage in circuit.stages
        ]
        required = [
            number for number, stage in enumerate(self.stages) if any(least for _, least in stage)
        ]
        begin = self.stages[: required[0] + 1] if required else []
        self.origin = [hop for stage in begin for hop, _ in stage]
        self.last = [hop for hop in self.stages[required[-1]] if hop[1]] if required else []

    def is_orphan(self, row: Row) -> bool:
        """Whether an instance has effects without a cause."""
        return bool(self.origin) and not any(row[hop] for hop in self.origin)

    def first_events(self, row: Row) -> Sequence[Event]:
        """The events of the first stage that has any, by time."""
        for stage in self.stages:
            if len(stage) == 1:
                if row[stage[0][0]]:
                    return row[stage[0][0]]
            elif events := flat([row[hop] for hop, _ in stage]):
                return events
        return ()

    def latency(self, row: Row) -> Span:
        """From the first event of the first stage to what completes the last required stage."""
        ends = [(row[hop], least) for hop, least in self.last]
        if any(len(events) < least for events, least in ends):
            return UNANSWERED
        return span(self.first_events(row), ends)

    def completion(self, row: Row) -> Event:
        """The event that completes the last required stage of an answered instance."""
        return max((row[hop][least - 1] for hop, least in self.last), key=lambda e: e.t_ns)

    def last_reached(self, row: Row, hop: int) -> Event | None:
        """The last event of the nearest stage before `hop` that has any; else the first of all."""
        before: list[Event] = []
        for stage in self.stages:
            if hop in dict(stage):
                break
            before = flat([row[number] for number, _ in stage]) or before
        return before[-1] if before else next(iter(flat(row)), None)
