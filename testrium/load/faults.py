"""What is broken on purpose, or held: `[[faults]]`, `[chaos]` of a campaign, and `[explore]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from testrium.declared.faults import (
    CLOCK_ACTS,
    FAILPOINT_ACTS,
    LINK_ACTS,
    OUTSIDE_ACTS,
    SIGNALLED,
    Chaos,
    Explore,
    Fault,
)
from testrium.declared.quantities import duration_ns, shift_in_ns, size_in_bytes
from testrium.declared.units import is_python
from testrium.load.circuits import KnownPlaces, check_step, check_unit
from testrium.load.document import Spot
from testrium.load.units import UnitFile
from testrium.load.validate import Table, read, read_list
from testrium.phrases import did_you_mean
from testrium.words import ANY, Place

#: What each key that names a target can do, and which of the other keys belong to it.
_ACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "at": FAILPOINT_ACTS,
    "link": LINK_ACTS,
    "unit": CLOCK_ACTS,
}
_BELONGS: Final[Mapping[str, tuple[str, ...]]] = {
    "on": ("at",),
    "key": ("at",),
    "after": ("link", "unit"),
    "jitter_ns": ("link",),
    "signal": ("at",),
    "to": ("at",),
}
#: Acts that last no time.
_INSTANT: Final = ("kill", "exit", "raise", "signal", "restart")
#: How a value is read, and what it looks like.
_VALUES: Final = {
    "latency": (duration_ns, 'a duration such as "100ms" (us, ms, s, m, h, d)'),
    "throttle": (lambda text: size_in_bytes(text.removesuffix("/s")), 'a rate such as "64kB/s"'),
    "clock": (shift_in_ns, 'a shift such as "+1h" or "-30s" (ms, s, m, h or d)'),
    "reset": (size_in_bytes, 'a number of bytes that pass first, such as "10kB"'),
    "blackhole": (size_in_bytes, 'a number of bytes that pass first, such as "10kB"'),
}
#: Acts that need no value.
_VALUE_MAY_BE_MISSING: Final = ("reset", "blackhole")


def read_faults(spot: Spot, places: KnownPlaces, files: Sequence[UnitFile]) -> tuple[Fault, ...]:
    """The `[[faults]]` tables; what is wrong is noted, and left out.

    `files` are the units that could be read.
    """
    by_name = {file.name: file for file in files}
    faults: dict[str, Fault] = {}
    moments: dict[tuple[str, int, str | None], str] = {}
    for index, reading in enumerate(read_list(Fault, spot, "faults")):
        fault = _Reader(reading, places, by_name).fault()
        if fault is None:
            continue
        if not fault.name:
            fault = replace(fault, name=_unused(fault.default_name, faults))
        elif fault.name in faults:
            reading.at("name").wrong(f"another fault has the name {fault.name!r}")
        if fault.at is not None:
            first = moments.setdefault((fault.target, fault.on, fault.key), fault.name)
            if first != fault.name:
                spot.at(index).wrong(f"acts at the same moment as {first!r}")
        faults[fault.name] = fault
    return tuple(faults.values())


def _unused(name: str, used: Mapping[str, Fault]) -> str:
    number, unique = 1, name
    while unique in used:
        number += 1
        unique = f"{name} ({number})"
    return unique


def read_chaos(spot: Spot, files: Sequence[UnitFile]) -> Chaos:
    """The table `[chaos]`; what is wrong is noted. `files` are the units that could be read."""
    reading = read(Chaos, spot.raw, spot)
    chaos = reading.value
    by_name = {file.name: file for file in files}
    for index, name in enumerate(chaos.units):
        place = reading.item("units", index)
        if name not in by_name:
            place.wrong(f"unknown unit {name!r}{did_you_mean(name, by_name)}")
        elif not by_name[name]["enabled"]:
            place.wrong(f"unit {name!r} is not enabled")
    links = _links(reading, by_name)
    if isinstance(spot.raw, dict) and not chaos.units and not chaos.links:
        spot.wrong("must name what may be broken: units, links or both")
    return replace(chaos, links=links)


def read_explore(spot: Spot, places: KnownPlaces, files: Sequence[UnitFile]) -> Explore:
    """The table `[explore]`; what is wrong is noted. `files` are the units that could be read."""
    reading = read(Explore, spot.raw, spot)
    for index, place in enumerate(reading.value.points if "points" in reading.spots else ()):
        if place.unit != ANY and place.unit not in places.units:
            guess = did_you_mean(place.unit, places.units)
            text = f"{str(place)!r}: unknown unit {place.unit!r}{guess}"
            reading.item("points", index).wrong(text)
    return replace(reading.value, links=_links(reading, {file.name: file for file in files}))


def _links(
    reading: Table[Chaos] | Table[Explore], files: Mapping[str, UnitFile]
) -> tuple[tuple[str, str], ...]:
    """The unit and the port of each link that may be broken; what is wrong is noted."""
    links = []
    for index, link in enumerate(reading["links"]):
        try:
            links.append(find_port(str(link), files))
        except LookupError as error:
            reading.item("links", index).wrong(str(error.args[0]))
    return tuple(links)


def find_port(link: str, files: Mapping[str, UnitFile]) -> tuple[str, str]:
    """The unit and the port that a link (`UNIT.PORT`) leads to.

    Raises LookupError: it does not exist, or no unit listens there; says why.
    """
    ports = {
        f"{file.name}.{port}": (file, port) for file in files.values() for port in file["ports"]
    }
    unit, _, name = link.rpartition(".")
    if unit in files and files[unit].is_unread("ports"):
        return unit, name
    if link not in ports:
        guess = did_you_mean(link, ports)
        raise LookupError(f"{link!r} names no port of a unit (UNIT.PORT){guess}")
    file, port = ports[link]
    if not file["enabled"]:
        raise LookupError(f"unit {file.name!r} is not enabled")
    return file.name, port


class _Reader:
    """One table: what it says, or its problems."""

    def __init__(
        self, reading: Table[Fault], places: KnownPlaces, files: Mapping[str, UnitFile]
    ) -> None:
        self.reading = reading
        self._places = places
        self._files = files
        self._good = True

    def fault(self) -> Fault | None:
        """The fault; its `name` is "" where none is given. None where it cannot be understood."""
        reading = self.reading
        targets = [key for key in _ACTS if key in reading.spots]
        if not targets:
            self._wrong("", "must have one of: at (a probe), link (a port), unit (its clock)")
            return None
        kind = targets[0]
        do: str | None = reading["do"] if reading.gives("do") else None
        if len(targets) > 1:
            return None  # reported already
        if do is not None and do not in _ACTS[kind]:
            self._wrong("do", f"must be one of: {', '.join(_ACTS[kind])} (a fault with {kind!r})")
            do = None
        if do is not None:
            self._check_keys(kind, do)
        at = self._place("at") if kind == "at" else None
        unit, port = at.unit if at else "", None
        if kind == "link":
            unit, port = self._port(reading["link"] or "")
        elif kind == "unit":
            unit = self._unit(reading["unit"] or "")
        if reading["after"]:
            self._place("after")
        if do is None:
            return None  # reported already
        if at is not None:
            self._check_failpoint(at, do)
        amount = self._value(do)
        if not self._good:
            return None
        return replace(
            reading.value,
            unit=unit,
            port=port,
            value_ns=amount if do in ("latency", "clock") else None,
            bytes_per_s=amount if do == "throttle" else None,
            first_bytes=(amount or 0) if do in _VALUE_MAY_BE_MISSING else 0,
            signal=reading["signal"],
            to=reading["to"],
        )

    def _wrong(self, field: str, message: str) -> None:
        self._good = False
        self.reading.at(field).wrong(message)

    def _missing(self, key: str, message: str) -> None:
        self._good = False
        self.reading.spot.at(key).wrong(message)

    def _check_keys(self, kind: str, do: str) -> None:
        """Which of the other keys must or must not be there."""
        given = self.reading.spots
        for key, kinds in _BELONGS.items():
            if key in given and kind not in kinds:
                self._wrong(key, f"belongs to a fault with {' or '.join(map(repr, kinds))}")
        if "for_ns" in given and do in _INSTANT:
            self._wrong("for_ns", f"does not apply to do = {do!r}: remove it")
        if "value" in given and do not in _VALUES:
            self._wrong("value", f"does not apply to do = {do!r}: remove it")
        elif "value" not in given and do in _VALUES and do not in _VALUE_MAY_BE_MISSING:
            self._missing("value", f"is required with do = {do!r}: {_VALUES[do][1]}")
        if "signal" in given and do != "signal":
            self._wrong("signal", f"does not apply to do = {do!r}: remove it")
        elif "signal" not in given and do == "signal":
            self._missing("signal", "is required with do = 'signal': \"TERM\" for example")
        if "to" in given and do not in SIGNALLED:
            self._wrong("to", f"does not apply to do = {do!r}: remove it")
        if "jitter_ns" in given and kind == "link" and do != "latency":
            self._wrong("jitter_ns", f"does not apply to do = {do!r}: remove it")

    def _place(self, field: str) -> Place | None:
        """A probe that exists, as far as this can be checked."""
        place: Place | None = self.reading[field]
        if place is None:
            self._good = False  # reported already
            return None
        spot = self.reading.at(field)
        units = self._places
        if field == "at":  # probes of Testrium's own units are not failpoints
            units = KnownPlaces(units.steps, units.shared)
            if place.unit != ANY and place.unit not in units.steps:
                self._good = False
                if place.unit in units.units:
                    guess = did_you_mean(place.unit, units.steps)
                    spot.wrong(f"{str(spot.raw)!r}, column 1: unknown unit {place.unit!r}{guess}")
                    return None
        if not check_unit(place, spot, units):
            self._good = False
            return None
        if field == "at" and ANY in place:
            text = str(spot.raw)
            self._wrong(field, f"{text!r}: a failpoint is one probe of one unit, without '*'")
            return None
        check_step(place, spot, self._places)
        return place

    def _check_failpoint(self, at: Place, do: str) -> None:
        """Check that the program that emits the probe can do this."""
        file = self._files.get(at.unit)
        if file is None:
            return  # its file could not be read
        self._check_own("at", file)
        if do in OUTSIDE_ACTS:
            return
        can = f"only {', '.join(OUTSIDE_ACTS[:-1])} and {OUTSIDE_ACTS[-1]}"
        command = file["command"]
        if command and not is_python(command[0], self._folder_of(file)):
            self._wrong("do", f"{can} can be done to {at.unit!r}: {command[0]!r} is not Python")
        elif any(probe.step == at.step for probe in file["probes"]):
            self._wrong("do", f"{can} can be done at {str(at)!r}: it is read from a log")

    def _folder_of(self, file: UnitFile) -> Path | None:
        """Where a relative path of its command begins, as far as that is known."""
        folder = self._places.folder
        return folder / (file["cwd"] or "") if folder else None

    def _check_own(self, field: str, file: UnitFile) -> None:
        """The unit runs, and for this group alone."""
        if not file["enabled"]:
            self._wrong(field, f"unit {file.name!r} is not enabled")
        elif file.name in self._places.shared:
            others = "groups share it: break a link to it instead"
            self._wrong(field, f"{file.name!r}: {others}, or one with scope = 'group'")

    def _unit(self, name: str) -> str:
        if name not in self._places.steps:
            self._wrong("unit", f"unknown unit {name!r}{did_you_mean(name, self._places.steps)}")
        elif (file := self._files.get(name)) is not None:
            self._check_own("unit", file)
        return name

    def _port(self, link: str) -> tuple[str, str | None]:
        """The unit and the port that a link leads to."""
        try:
            return find_port(link, self._files)
        except LookupError as error:
            self._wrong("link", str(error.args[0]))
            return "", None

    def _value(self, do: str) -> int | None:
        """In ns, or in bytes per second."""
        text = self.reading["value"]
        if text is None or do not in _VALUES:
            return None
        read_amount, look = _VALUES[do]
        try:
            amount = read_amount(text)
        except ValueError:
            amount = 0
        if amount == 0:
            self._wrong("value", f"must be {look}")
        return amount
