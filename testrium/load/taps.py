"""What is read from the traffic of links: the tables `[[taps]]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

from testrium.declared.taps import CLIENT, PROTOCOLS, SIDES, Tap, TapProbe, WireProtocol
from testrium.load.circuits import KnownPlaces, check_unit
from testrium.load.document import Spot
from testrium.load.faults import find_port
from testrium.load.units import UnitFile, found_plugin
from testrium.load.validate import Table, read_list
from testrium.phrases import did_you_mean
from testrium.plugins.registry import Plugin
from testrium.variables import VariableError, references
from testrium.words import ANY

#: What protocols other than HTTP count their messages' parts from.
_COUNTED: Final = {"args": "args.0 is the first argument", "params": "params.0 is $1"}


def read_taps(
    spot: Spot, places: KnownPlaces, files: Sequence[UnitFile], own: tuple[Plugin, ...]
) -> tuple[Tap, ...]:
    """The `[[taps]]` tables; what is wrong is noted, and left out.

    Args:
        spot: where the list stands.
        places: the units to which probes may belong.
        files: the units that could be read.
        own: the plugins of the project.
    """
    by_name = {file.name: file for file in files}
    taps: dict[str, Tap] = {}
    for reading in read_list(Tap, spot, "taps"):
        tap = reading.value
        plugged: tuple[str, ...] = ()
        if reading.gives("protocol"):
            if tap.protocol in PROTOCOLS:
                _check_installed(reading)
            else:
                plugin = found_plugin(
                    "protocols", tap.protocol, reading.at("protocol"), own, PROTOCOLS
                )
                plugged = tuple(plugin or ())
        protocol = PROTOCOLS.get(tap.protocol)
        for probe in reading.inners("probes"):
            _Rule(probe, tap.protocol, protocol, places).check()
        if not reading.gives("link"):
            continue
        try:
            unit, port = find_port(tap.link, by_name)
        except LookupError as error:
            reading.at("link").wrong(str(error.args[0]))
            continue
        if tap.link in taps:
            reading.at("link").wrong(
                f"{tap.link!r} has another [[taps]] table: add the probes there"
            )
        taps[tap.link] = replace(tap, unit=unit, port=port, plugged=plugged, keeps=not tap.probes)
    return tuple(taps.values())


def with_taps(places: KnownPlaces, taps: Iterable[Tap]) -> KnownPlaces:
    """The same, with the steps that probes of taps emit."""
    steps = dict(places.steps)
    for tap in taps:
        for probe in tap.probes:
            names = places.steps if probe.at.unit == CLIENT else (probe.at.unit,)
            steps |= {name: steps[name] | {probe.at.step} for name in names if name in steps}
    return places._replace(steps=steps)


def _check_installed(reading: Table[Tap]) -> None:
    """Note what reads the protocol, and is not there."""
    missing = [name for name in PROTOCOLS[reading["protocol"]].packages if find_spec(name) is None]
    if missing:
        packages = " and ".join(missing)
        is_or_are = "is" if len(missing) == 1 else "are"
        reading.at("protocol").wrong(
            f"{reading['protocol']!r} is read with {packages}, which {is_or_are} not installed:"
            " pip install 'testrium[taps]'"
        )


class _Rule:
    """One `[[taps.probes]]` table: the problems in it."""

    def __init__(
        self,
        reading: Table[TapProbe],
        name: str,
        protocol: WireProtocol | None,
        places: KnownPlaces,
    ) -> None:
        self._reading = reading
        self._name = name
        self._protocol = protocol  # None: only a plugin knows its fields
        self._places = places
        self._side = reading.value.on or SIDES[0]

    def check(self) -> None:
        """Note what is wrong with it."""
        reading, probe = self._reading, self._reading.value
        if reading.gives("at"):
            at = reading.at("at")
            if probe.at.unit == ANY:
                at.wrong(f"{at.raw!r}: name a unit, or ${{client}} for the client's unit")
            elif probe.at.unit != CLIENT:
                check_unit(probe.at, at, self._places)
            if probe.at.step == ANY:
                at.wrong(f"{at.raw!r}: name one step in place of '*'")
        if probe.type in ("Send", "Receive") and "key" not in reading.spots:
            reading.at("type").wrong(f"a {probe.type} needs a key")
        for name, pattern in probe.match.items():
            self._check_match(name, pattern)
        for spot, text in (*reading.texts("key"), *reading.texts("meta")):
            self._check_text(text, spot)

    def _check_match(self, name: str, pattern: str) -> None:
        spot = self._reading.at("match")
        if isinstance(spot.raw, dict) and name in spot.raw:
            spot = spot.at(name)
        try:
            compiled = re.compile(pattern, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            spot.wrong(f"invalid regular expression {pattern!r}: {error}")
            return
        if not self._check_field(name, spot) or self._protocol is None:
            return
        words = self._protocol.words.get(name)
        if words is None:
            return
        found = [side for word, side in words.items() if compiled.search(word)]
        if not found:
            spot.wrong(
                f"{pattern!r} matches no {name} of {self._name}, which are: {', '.join(words)}"
                f"{did_you_mean(pattern, words)}"
            )
        elif self._reading.gives("on") and not {None, self._side} & set(found):
            sender = "a client" if self._side == SIDES[0] else "the unit"
            spot.wrong(f"{pattern!r} is never sent by {sender}: leave out on = {self._side!r}")

    def _check_text(self, text: str, spot: Spot) -> None:
        try:
            names = references(text)
        except VariableError as error:
            spot.wrong(str(error))
            return
        for name in names:
            self._check_field(name, spot)

    def _check_field(self, name: str, spot: Spot) -> bool:
        """Whether messages of this protocol and this side have a field."""
        protocol = self._protocol
        if protocol is None:
            return True
        head, _, rest = name.partition(".")
        if head not in protocol.fields:
            shown = ", ".join(
                f"{each}.NAME"
                if each in protocol.inner - _COUNTED.keys()
                else f"{each}.N"
                if each in _COUNTED
                else each
                for each in protocol.fields
            )
            guess = did_you_mean(head, protocol.fields)
            spot.wrong(f"{self._name} messages have no field {name!r}{guess}; they have: {shown}")
            return False
        if head in protocol.inner and not rest:
            how = _COUNTED.get(head, f"{head}.NAME")
            spot.wrong(f"{head!r} holds several values, name one of them: {how}")
            return False
        if head in _COUNTED and not rest.partition(".")[0].isdecimal():
            spot.wrong(f"{name!r}: expected a number, {_COUNTED[head]}")
            return False
        if rest and head not in protocol.inner | protocol.text:
            spot.wrong(f"{head!r} of {self._name} is a single value: {name!r} names a part of it")
            return False
        side = protocol.sides.get(head, self._side)
        if side != self._side:
            spot.wrong(
                f"{head!r} is a field of a {side}, and this probe is on the {self._side}:"
                f' add on = "{side}"'
            )
            return False
        return True
