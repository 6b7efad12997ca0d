"""What is broken on purpose: the tables `[[faults]]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from testrium.declared.faults import (
    CLOCK_ACTS,
    FAILPOINT_ACTS,
    LINK_ACTS,
    OUTSIDE_ACTS,
    SIGNALLED,
    Fault,
)
from testrium.declared.units import is_python
from testrium.load.document import Spot, did_you_mean
from testrium.load.quantities import nanoseconds, shift_in_ns, size_in_bytes
from testrium.load.routes import ANY, RouteError, Stations, check_step, parse_place
from testrium.load.schema import FAULT
from testrium.load.shape import Reading
from testrium.load.unit_files import UnitFile
from testrium.words import Place

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
#: Acts that last no time, and those that last as long as is said.
_INSTANT: Final = ("kill", "exit", "raise", "signal", "restart")
_TIMED: Final = ("delay",)
#: How a value is read, and what it looks like.
_VALUES: Final = {
    "latency": (nanoseconds, 'a duration such as "100ms" (us, ms, s or m)'),
    "throttle": (lambda text: size_in_bytes(text.removesuffix("/s")), 'a rate such as "64kB/s"'),
    "clock": (shift_in_ns, 'a shift such as "+1h" or "-30s" (ms, s, m, h or d)'),
    "reset": (size_in_bytes, 'a number of bytes that pass first, such as "10kB"'),
    "blackhole": (size_in_bytes, 'a number of bytes that pass first, such as "10kB"'),
}
#: Acts that need no value.
_VALUE_MAY_BE_MISSING: Final = ("reset", "blackhole")


def read_faults(
    value: Any, spot: Spot, stations: Stations, files: Sequence[UnitFile]
) -> tuple[Fault, ...]:
    """The `[[faults]]` tables; what is wrong is noted, and left out.

    Args:
        value: the list of tables.
        spot: where it stands.
        stations: the units, and the steps that their files mention.
        files: the units that could be read.
    """
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        spot.wrong("must be a list of tables: [[faults]]")
        return ()
    by_name = {file.name: file for file in files}
    faults: dict[str, Fault] = {}
    moments: dict[tuple[str, int, str | None], str] = {}
    for index, table in enumerate(value):
        reader = _Reader(FAULT.read(table, spot.at(index)), stations, by_name)
        fault = reader.fault()
        if fault is None:
            continue
        if not fault.name:
            fault = fault._replace(name=_unused(fault.default_name, faults))
        elif fault.name in faults:
            reader.reading.at("name").wrong(f"another fault has the name {fault.name!r}")
        if fault.at is not None:
            first = moments.setdefault((fault.target, fault.on, fault.key), fault.name)
            if first != fault.name:
                spot.at(index).wrong(f"strikes at the same moment as {first!r}")
        faults[fault.name] = fault
    return tuple(faults.values())


def _unused(name: str, used: Mapping[str, Fault]) -> str:
    number, unique = 1, name
    while unique in used:
        number += 1
        unique = f"{name} ({number})"
    return unique


def find_port(link: str, files: Mapping[str, UnitFile]) -> tuple[str, str]:
    """The unit and the port that a link (`UNIT.PORT`) leads to.

    Raises LookupError: there is none, or nobody listens there; says why.
    """
    ports = {
        f"{file.name}.{port}": (file, port) for file in files.values() for port in file["ports"]
    }
    if link not in ports:
        guess = did_you_mean(link, ports)
        raise LookupError(f"{link!r} names no port of a unit (UNIT.PORT){guess}")
    file, port = ports[link]
    if not file["enabled"]:
        raise LookupError(f"unit {file.name!r} is not enabled")
    return file.name, port


class _Reader:
    """One table: what it says, or complaints."""

    def __init__(self, reading: Reading, stations: Stations, files: Mapping[str, UnitFile]) -> None:
        self.reading = reading
        self._stations = stations
        self._files = files
        self._good = True

    def fault(self) -> Fault | None:
        """The fault; its `name` is "" where none is given. None where it cannot be understood."""
        reading = self.reading
        targets = [key for key in _ACTS if key in reading.spots]
        if not targets:
            self._wrong("", "must have one of: at (a probe), link (a port), unit (its clock)")
            return None
        kind, do = targets[0], reading["do"]
        if len(targets) > 1:
            return None  # complained about already
        if do is not None and do not in _ACTS[kind]:
            self._wrong("do", f"must be one of: {', '.join(_ACTS[kind])} (a fault with {kind!r})")
            do = None
        if do is not None:
            self._check_keys(kind, do)
        at = self._place("at", self._stations.steps) if kind == "at" else None
        unit, port = at.unit if at else "", None
        if kind == "link":
            unit, port = self._port(reading["link"] or "")
        elif kind == "unit":
            unit = self._unit(reading["unit"] or "")
        after = self._place("after", self._stations.units) if reading["after"] else None
        if do is None:
            return None  # complained about already
        if at is not None:
            self._check_failpoint(at, do)
        amount = self._value(do)
        if not self._good:
            return None
        return Fault(
            name=reading["name"] or "",
            do=do,
            unit=unit,
            at=at,
            on=reading["on"],
            key=reading["key"],
            port=port,
            after=after,
            for_ns=reading["for_ns"],
            value_ns=amount if do in ("latency", "clock") else None,
            bytes_per_s=amount if do == "throttle" else None,
            jitter_ns=reading["jitter_ns"],
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
            self._wrong("for_ns", f"has no meaning with do = {do!r}")
        elif "for_ns" not in given and do in _TIMED:
            self._missing("for", f"is required with do = {do!r}")
        elif self.reading["for_ns"] == 0:
            self._wrong("for_ns", "must be longer than nothing")
        if "value" in given and do not in _VALUES:
            self._wrong("value", f"has no meaning with do = {do!r}")
        elif "value" not in given and do in _VALUES and do not in _VALUE_MAY_BE_MISSING:
            self._missing("value", f"is required with do = {do!r}: {_VALUES[do][1]}")
        if "signal" in given and do != "signal":
            self._wrong("signal", f"has no meaning with do = {do!r}")
        elif "signal" not in given and do == "signal":
            self._missing("signal", "is required with do = 'signal': \"TERM\" for example")
        if "to" in given and do not in SIGNALLED:
            self._wrong("to", f"has no meaning with do = {do!r}")
        if "jitter_ns" in given and kind == "link" and do != "latency":
            self._wrong("jitter_ns", f"has no meaning with do = {do!r}")

    def _place(self, field: str, units: Sequence[str] | Mapping[str, Any]) -> Place | None:
        """A probe that exists as far as that can be told; its unit one of `units`."""
        text = self.reading[field]
        if text is None:
            self._good = False  # complained about already
            return None
        try:
            place = parse_place(text, units)
        except RouteError as error:
            self._wrong(field, str(error))
            return None
        if field == "at" and ANY in place:
            self._wrong(field, f"{text!r}: a failpoint is one probe of one unit, without '*'")
            return None
        check_step(place, self.reading.at(field), self._stations)
        return place

    def _check_failpoint(self, at: Place, do: str) -> None:
        """Whether who emits the probe can do that."""
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
        elif any(probe["step"] == at.step for probe in file["probes"]):
            self._wrong("do", f"{can} can be done at {str(at)!r}: it is read from a log")

    def _folder_of(self, file: UnitFile) -> Path | None:
        """Where a relative path of its command begins, as far as that is known."""
        folder = self._stations.folder
        return folder / (file["cwd"] or "") if folder else None

    def _check_own(self, field: str, file: UnitFile) -> None:
        """The unit runs, and for this group alone."""
        if not file["enabled"]:
            self._wrong(field, f"unit {file.name!r} is not enabled")
        elif file.name in self._stations.shared:
            others = "groups share it, and all would suffer; a link to it can be broken"
            self._wrong(field, f"{file.name!r}: {others}, or one with scope = 'group'")

    def _unit(self, name: str) -> str:
        if name not in self._stations.steps:
            self._wrong("unit", f"unknown unit {name!r}{did_you_mean(name, self._stations.steps)}")
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
        read, look = _VALUES[do]
        try:
            amount = read(text)
        except ValueError:
            amount = 0
        if amount == 0:
            self._wrong("value", f"must be {look}")
        return amount
