"""What a campaign of faults may break: the table `[chaos]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testrium.declared.faults import Chaos
from testrium.load.document import Spot, did_you_mean
from testrium.load.faults import find_port
from testrium.load.schema import CHAOS
from testrium.load.unit_files import UnitFile


def read_chaos(table: Any, spot: Spot, files: Sequence[UnitFile]) -> Chaos | None:
    """The table `[chaos]`; what is wrong is noted.

    Args:
        table: the table.
        spot: where it stands.
        files: the units that could be read.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return None
    reading = CHAOS.read(table, spot)
    by_name = {file.name: file for file in files}
    for index, name in enumerate(reading["units"]):
        place = reading.at("units").at(index)
        if name not in by_name:
            place.wrong(f"unknown unit {name!r}{did_you_mean(name, by_name)}")
        elif not by_name[name]["enabled"]:
            place.wrong(f"unit {name!r} is not enabled")
    links = []
    for index, link in enumerate(reading["links"]):
        try:
            links.append(find_port(link, by_name))
        except LookupError as error:
            reading.at("links").at(index).wrong(str(error.args[0]))
    if not reading["units"] and not reading["links"]:
        spot.wrong("must name what may be broken: units, links or both")
    if reading["longest_ns"] == 0:
        reading.at("longest_ns").wrong("must be longer than nothing")
    return Chaos(
        units=reading["units"],
        links=tuple(links),
        budget=reading["budget"],
        do=reading["do"],
        longest_ns=reading["longest_ns"],
    )
