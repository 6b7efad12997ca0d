"""The order in which units start."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from testrium.declared.units import Unit
from testrium.errors import TestriumError


class CycleError(TestriumError):
    """Units depend on each other in a circle; `members` are those that cannot start."""

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__(f"these units wait for each other: {', '.join(members)}")
        self.members = members


def start_order(units: Iterable[Unit]) -> tuple[Unit, ...]:
    """The enabled units, every one behind all that it depends on; ties by `init`, then as given.

    Of the units that could start next, the one with the lowest `init` does. Dependencies on units
    that are not among them do not count.

    Raises:
        CycleError: some units wait for each other.
    """
    enabled = [unit for unit in units if unit.enabled]
    names = {unit.name for unit in enabled}
    missing = {unit.name: set(unit.dependencies) & names for unit in enabled}
    dependants: dict[str, list[tuple[int, int, Unit]]] = {name: [] for name in names}
    free: list[tuple[int, int, Unit]] = []  # the index makes every entry comparable
    for index, unit in enumerate(enabled):
        entry = (unit.init, index, unit)
        for dependency in missing[unit.name]:
            dependants[dependency].append(entry)
        if not missing[unit.name]:
            free.append(entry)
    heapq.heapify(free)
    order: list[Unit] = []
    while free:
        unit = heapq.heappop(free)[2]
        order.append(unit)
        for entry in dependants[unit.name]:
            waiting = missing[entry[2].name]
            waiting.discard(unit.name)
            if not waiting:
                heapq.heappush(free, entry)
    if len(order) < len(enabled):
        raise CycleError(tuple(unit.name for unit in enabled if missing[unit.name]))
    return tuple(order)
