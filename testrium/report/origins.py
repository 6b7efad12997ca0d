"""Where each event of a story comes from: what the arrows of a sequence diagram connect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from testrium.model import Circuit, EventType


class Passed(NamedTuple):
    """An event, as far as arrows are concerned. `absent`: it should have happened."""

    unit: str
    step: str
    type: str
    absent: bool = False


class Routes:
    """The routes that say what follows what. Without one, messages do."""

    def __init__(self, circuits: Sequence[Circuit] = ()) -> None:
        self._circuits = circuits
        self._stages: dict[tuple[str, str], tuple[int, int] | None] = {}

    def sources(self, story: Sequence[Passed]) -> list[int | None]:
        """For each event the number of the one that it comes from; None: it begins.

        What stands in a route comes from the nearest stage before it that was passed. Of the rest
        a Receive comes from the Send before it, so that the copies of a broadcast start at their
        sender, the one that never arrived included; anything else from the event before it.
        """
        found: list[int | None] = []
        sent, copies = 0, 0
        last: dict[tuple[int, int], int] = {}
        for index, one in enumerate(story):
            if one.type == EventType.SEND:
                sent, copies = index, 0
            copies += one.type == EventType.RECEIVE
            stage = self._stage(one.unit, one.step)
            if stage is not None:
                circuit, number = stage
                before = [other for other in last if other[0] == circuit and other[1] < number]
                found.append(last[max(before)] if before else None)
                last[stage] = index
            elif index == 0:
                found.append(None)
            else:
                from_send = one.type == EventType.RECEIVE or (one.absent and copies > 1)
                found.append(sent if from_send else index - 1)
        return found

    def _stage(self, unit: str, step: str) -> tuple[int, int] | None:
        """The first circuit, and its stage, in which such an event has a place."""
        place = unit, step
        if place not in self._stages:
            self._stages[place] = next(
                (
                    (number, stage)
                    for number, circuit in enumerate(self._circuits)
                    for stage, hops in enumerate(circuit.stages)
                    for hop in hops
                    for one in hop.places
                    if one.unit in ("*", unit) and one.step in ("*", step)
                ),
                None,
            )
        return self._stages[place]
