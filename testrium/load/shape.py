"""The shape of a TOML table: its keys with their kinds and defaults, and how it is read.

Written here and not with a validation library: importing one and building its models took 0.2 s
where the whole `testrium run` of a small group has 0.24 s, and its messages had to be translated.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from testrium.load.document import Spot, did_you_mean
from testrium.load.kinds import WRONG, Kind


class Key(NamedTuple):
    """One key of a table.

    `field` is what the value is called where it is used (`timeout_s` for `timeout`); by default
    the key itself with `_`. `old` is a spelling that still works, with a notice.
    """

    name: str
    kind: Kind
    default: Any = None
    required: bool = False
    field: str = ""
    old: str | None = None


class Reading:
    """A table that was read: the value of every field, and where the given ones stand."""

    __slots__ = ("spot", "spots", "values")

    def __init__(self, values: Mapping[str, Any], spot: Spot, spots: Mapping[str, Spot]) -> None:
        self.values = values
        self.spot = spot
        self.spots = spots

    def __getitem__(self, field: str) -> Any:
        return self.values[field]

    def at(self, field: str) -> Spot:
        """Where the field was given; the table's own place where it was not."""
        return self.spots.get(field, self.spot)


class Shape:
    """A table with known keys, each spelled with `-` or `_`.

    Args:
        keys: what may stand in it.
        exclusive: names of keys of which at most one may be given.
    """

    def __init__(self, *keys: Key, exclusive: tuple[tuple[str, ...], ...] = ()) -> None:
        self.keys = keys
        self.exclusive = exclusive
        self._by_name = {_folded(key.name): key for key in keys}
        self._by_old_name = {_folded(key.old): key for key in keys if key.old}

    def read(
        self, table: Mapping[str, Any], spot: Spot, defaults: Mapping[str, Any] | None = None
    ) -> Reading:
        """All fields of the table: what is given, else what `defaults` or the key says.

        What is wrong is noted at its place, and the field has its default.

        Args:
            table: what tomllib made of it.
            spot: where it stands.
            defaults: fields that stand in for missing keys, as read from a project file.
        """
        given = self.read_given(table, spot)
        defaults = defaults or {}
        values = {field_of(key): key.default for key in self.keys}
        values |= self.undisputed(defaults, given.spots)
        values |= given.values
        for key in self.keys:
            field = field_of(key)
            if key.required and field not in given.spots and field not in defaults:
                spot.at(key.name).wrong("is required")
        return Reading(values, spot, given.spots)

    def read_given(self, table: Mapping[str, Any], spot: Spot) -> Reading:
        """Only the fields whose keys stand in the table and can be read."""
        values: dict[str, Any] = {}
        spots: dict[str, Spot] = {}
        for spelling, value in table.items():
            place = spot.at(spelling)
            key = self._find(spelling, place)
            if key is None:
                continue
            field = field_of(key)
            if field in spots:
                place.wrong(f"is the same key as {spots[field].path[-1]!r}, which is given too")
                continue
            spots[field] = place
            if (read_value := key.kind.read(value, place)) is not WRONG:
                values[field] = read_value
        for names in self.exclusive:
            both = [name for name in map(_folded, names) if name in spots]
            if len(both) > 1:
                spots[both[1]].wrong(f"cannot stand beside {both[0]!r}")
        return Reading(values, spot, spots)

    def _find(self, spelling: str, place: Spot) -> Key | None:
        folded = _folded(spelling)
        if key := self._by_name.get(folded):
            return key
        if key := self._by_old_name.get(folded):
            place.notice(f"is an old spelling of {key.name!r}")
            return key
        place.wrong(f"unknown key{did_you_mean(spelling, [key.name for key in self.keys])}")
        return None

    def undisputed(self, defaults: Mapping[str, Any], given: Container[str]) -> Mapping[str, Any]:
        """The defaults without those that exclude a given key."""
        beaten = {
            _folded(name)
            for names in self.exclusive
            if any(_folded(name) in given for name in names)
            for name in names
        }
        return {field: value for field, value in defaults.items() if field not in beaten}

    def canonical(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """A valid table with every key as the contract spells it."""
        keys = self._by_old_name | self._by_name
        return {keys[_folded(spelling)].name: value for spelling, value in table.items()}

    def kind(self) -> Kind:
        """The kind of a value that is such a table; it becomes a Reading."""

        def read(value: Any, spot: Spot) -> Any:
            if isinstance(value, dict):
                return self.read(value, spot)
            spot.wrong("must be a table")
            return WRONG

        return Kind(read, self.schema())

    def schema(self, *, partial: bool = False) -> dict[str, Any]:
        """The shape as a JSON Schema, with every spelling of every key.

        Args:
            partial: whether keys that are required may be missing, as in defaults.
        """
        properties: dict[str, Any] = {}
        for key in self.keys:
            for spelling in (key.name, _folded(key.name), _dashed(key.name)):
                properties[spelling] = dict(key.kind.schema)
            if key.old is not None:
                for spelling in (key.old, _folded(key.old), _dashed(key.old)):
                    properties[spelling] = {**key.kind.schema, "deprecated": True}
        required = [] if partial else [key.name for key in self.keys if key.required]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return schema | ({"required": required} if required else {})


def field_of(key: Key) -> str:
    """What the value of a key is called where it is used."""
    return key.field or _folded(key.name)


def _folded(name: str) -> str:
    return name.replace("-", "_")


def _dashed(name: str) -> str:
    return name.replace("_", "-")
