"""Processes of others that a group wants to have watched: the tables `[[monitor]]`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from testrium.checks.patterns import NotationError, compiled
from testrium.declared.groups import Monitored
from testrium.load.document import Spot
from testrium.load.schema import MONITOR
from testrium.words import RESERVED_UNITS


def read_monitors(tables: Any, spot: Spot, units: Collection[str]) -> tuple[Monitored, ...]:
    """The tables `[[monitor]]`; what is wrong is noted.

    Args:
        tables: the tables.
        spot: where they stand.
        units: the names that units have.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        spot.wrong("must be a list of tables: [[monitor]]")
        return ()
    monitors: dict[str, Monitored] = {}
    for index, table in enumerate(tables):
        place = spot.at(index)
        reading = MONITOR.read(table, place)
        name, pid, pattern = reading["name"], reading["pid"], reading["process"]
        if name in units or name in RESERVED_UNITS:
            reading.at("name").wrong(f"{name!r} is the name of a unit")
        elif name in monitors:
            reading.at("name").wrong(f"{name!r} is the name of another monitor")
        if pid is None and pattern is None:
            place.wrong("needs pid or process")
        if pattern is not None:
            try:
                compiled(pattern, pattern)
            except NotationError as error:
                reading.at("process").wrong(str(error))
        monitors[name] = Monitored(name, pid, pattern)
    return tuple(monitors.values())
