"""Tables of files against their declaration: pydantic decides, and its errors become messages.

Each message stands at its file, line and key. What is wrong is noted and left out, so the
rest of the group can be checked too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from testrium.declared.keys import (
    UNKNOWN,
    Key,
    field_named,
    folded,
    key_name,
    key_of,
    keys_of,
    tuples,
)
from testrium.load.document import Spot
from testrium.loaded_by_name import compiled_core
from testrium.phrases import did_you_mean, nearest_word
from testrium.words import EMPTY

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator, ValidationError
else:
    _CORE = compiled_core()
    SchemaValidator, ValidationError = _CORE.SchemaValidator, _CORE.ValidationError

T = TypeVar("T")


#: TOML's integers have 64 bits; Python would read any number of digits.
_MOST: Final = (1 << 63) - 1
_QUOTED: Final = r"'([^']*)'"


class Table(Generic[T]):
    """A table that was read: its value, and the places of the keys from it or from defaults."""

    __slots__ = ("inherited", "kept", "spot", "spots", "value", "wrong")

    def __init__(
        self,
        value: T,
        spot: Spot,
        spots: Mapping[str, Spot],
        inherited: Mapping[str, Spot] = EMPTY,
        wrong: Collection[str] = (),
        kept: Mapping[str, list[int]] = EMPTY,
    ) -> None:
        self.value = value
        self.wrong = wrong  # fields that were given, and could not be read
        self.kept = kept  # of lists from which items were left out, the numbers of the others
        self.spot = spot
        self.spots = spots
        self.inherited = inherited

    def __getitem__(self, field: str) -> Any:
        return getattr(self.value, field)

    def at(self, field: str) -> Spot:
        """Where the field was given; the table's own place where it was not."""
        return self.spots.get(field, self.spot)

    def item(self, field: str, index: int) -> Spot:
        """The place of an item of a list; a single table counts as a list."""
        if isinstance(self.at(field).raw, dict):
            return self.at(field)
        return self.at(field).at(self.kept[field][index] if field in self.kept else index)

    def gives(self, field: str) -> bool:
        """Whether the table gives the field, and it could be read."""
        return field in self.spots and field not in self.wrong

    def texts(self, field: str) -> Iterator[tuple[Spot, str]]:
        """The texts that a field holds, one, several or by name, each with its place."""
        value, spot = getattr(self.value, field), self.at(field)
        if isinstance(value, str):
            yield spot, value
        elif isinstance(value, Mapping):
            yield from ((spot.at(name), text) for name, text in value.items())
        else:
            for index, text in enumerate(value or ()):
                if isinstance(text, str):
                    yield self.item(field, index) if isinstance(spot.raw, list) else spot, text

    def inner(self, field: str) -> Table[Any] | None:
        """The table that a field holds."""
        value = getattr(self.value, field)
        return None if value is None else _nested(value, self.at(field))

    def inners(self, field: str) -> Iterator[Table[Any]]:
        """The tables that a field holds a list of."""
        for index, value in enumerate(getattr(self.value, field)):
            yield _nested(value, self.item(field, index))


def _nested(value: Any, spot: Spot) -> Table[Any]:
    raw = spot.raw
    return Table(value, spot, spots_of(type(value), raw if isinstance(raw, dict) else {}, spot))


def validator(kind: Any) -> SchemaValidator:
    """What validates a kind of value; made when the first one is read."""
    if kind not in _VALIDATORS:
        _VALIDATORS[kind] = SchemaValidator(core_schema(kind), CONFIG)
    return _VALIDATORS[kind]


_VALIDATORS: dict[Any, SchemaValidator] = {}


def core_schema(kind: Any) -> Any:
    """What pydantic's core is to ask of a kind of value, as `TypeAdapter` makes it too.

    The declaration has few sorts of types, and its annotations make their part themselves.
    Importing the rest of pydantic for that takes a quarter of a short command.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        return kind.__get_pydantic_core_schema__(kind, _OfTable())  # type: ignore[attr-defined]
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    of = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return _annotated(kind, list(kind.__metadata__))
        case origin if origin is Literal:
            return {"type": "literal", "expected": list(of)}
        case origin if origin in (Union, UnionType) and len(of) == 2 and of[1] is type(None):
            return {"type": "nullable", "schema": core_schema(of[0])}
        case origin if origin is tuple and of[1:] == (Ellipsis,):
            items = [core_schema(of[0])]
            return {"type": "tuple", "items_schema": items, "variadic_item_index": 0}
        case origin if origin is Mapping:
            keys, values = map(core_schema, of)
            return {"type": "dict", "keys_schema": keys, "values_schema": values, "strict": False}
    raise TypeError(f"the declaration has no such types: {kind}")


#: What holds where a table does not say otherwise.
CONFIG: Final[Any] = {"strict": True, "allow_inf_nan": False}
_PLAIN: Final[Mapping[Any, str]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    Any: "any",
}


def _annotated(kind: Any, notes: list[Any]) -> Any:
    """The schema of a type with annotations: each wraps what the ones before it have made."""
    while notes:
        note = notes.pop()
        if hasattr(note, "__get_pydantic_core_schema__"):
            return note.__get_pydantic_core_schema__(kind, partial(_before, notes))
    return core_schema(kind.__origin__)


def _before(notes: list[Any], kind: Any) -> Any:
    return _annotated(kind, notes)


class _OfTable:
    """Makes the schema of a table; what `declared.keys` adds to it asks as pydantic's does."""

    def __call__(self, kind: Any) -> Any:
        each = fields(kind)
        return {
            "type": "dataclass",
            "cls": kind,
            "fields": [field.name for field in each],
            "schema": {
                "type": "dataclass-args",
                "dataclass_name": kind.__name__,
                "fields": [
                    {
                        "type": "dataclass-field",
                        "name": field.name,
                        "schema": _with_default(field),
                    }
                    # As pydantic orders them, for tables that share keys with another.
                    for field in sorted(each, key=lambda field: field.kw_only is True)
                ],
            },
            "config": {"extra_fields_behavior": "forbid", **CONFIG},
        }

    def resolve_ref_schema(self, schema: Any) -> Any:
        return schema


def _with_default(field: Field[Any]) -> Any:
    schema = core_schema(field.type)
    if field.default is not MISSING:
        return {"type": "default", "schema": schema, "default": field.default}
    if field.default_factory is not MISSING:
        return {"type": "default", "schema": schema, "default_factory": field.default_factory}
    return schema


def read(
    kind: type[T], table: Any, spot: Spot, defaults: Mapping[str, Spot] | None = None
) -> Table[T]:
    """A table with all its fields: what is given, else what `defaults` or the declaration says.

    What is wrong is noted at its place, and the field has its default. `defaults` tell where a file
    says what holds for keys that the table leaves out, by field.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return Table(kind(), spot, {})
    given = spots_of(kind, table, spot)
    inherited = undisputed(kind, defaults or {}, given)
    meant = {name for key in table if (name := _field_meant(kind, key))} - given.keys()
    check_keys(kind, table, spot, given.keys() | inherited.keys() | meant)
    values = {key_name(_field(kind, name)): place.raw for name, place in inherited.items()}
    values |= table
    spots = {**inherited, **given}
    noted: set[str] = set()
    kept: dict[str, list[int]] = {}
    while True:
        try:
            value = validator(kind).validate_python(values)
        except ValidationError as error:
            _leave_out(note(error, kind, values, spot, spots, noted), values, kind, noted, kept)
        else:
            return Table(value, spot, given, inherited, (noted - kept.keys()) | meant, kept)


def _leave_out(
    wrong: Mapping[str, set[int]],
    values: dict[str, Any],
    kind: type[Any],
    noted: set[str],
    kept: dict[str, list[int]],
) -> None:
    """Take what is wrong out of a table: of a list only the items that are."""
    for spelling, items in wrong.items():
        field = field_named(kind, spelling)
        name = field.name if field else UNKNOWN + spelling
        value = values.get(spelling)
        if items and isinstance(value, list) and name not in noted and len(items) < len(value):
            kept[name] = [index for index in range(len(value)) if index not in items]
            values[spelling] = [value[index] for index in kept[name]]
        else:
            values.pop(spelling, None)
            kept.pop(name, None)
        noted.add(name)


def read_list(kind: type[T], spot: Spot, header: str) -> list[Table[T]]:
    """The tables of a list such as `[[circuits]]`; none where the list is not there."""
    tables = [] if spot.raw is None else spot.raw  # TOML has no null
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        spot.wrong(f"must be a list of tables: [[{header}]]")
        return []
    return [read(kind, table, spot.at(index)) for index, table in enumerate(tables)]


def read_value(kind: Any, value: Any, spot: Spot) -> Any:
    """What a value means that is not a table of keys; None, with problems noted, where wrong."""
    try:
        return validator(kind).validate_python(tuples(value))
    except ValidationError as error:
        for each in _errors(error):
            _at(spot, None, each["loc"]).wrong(_message(each, kind))
        return None


def check_given(
    kind: type[Any], table: Any, spot: Spot, later: Container[str] = ()
) -> Mapping[str, Spot]:
    """Check a table of defaults, in which nothing is required; where its usable fields stand.

    Only the keys in `later`, which are filled in when a group runs, may name values of groups.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return {}
    for key, value in table.items():
        if key not in later and (name := _named_value(value)):
            place = spot.at(key)
            place.wrong(f"{name} has no value in defaults: name it in the files of groups")
            place.collector.tell_nothing_at(spot.document.name, spot.document.line(place.path))
    given = spots_of(kind, table, spot)
    check_keys(kind, table, spot, None)
    values = dict(table)
    noted: set[str] = set()
    while True:
        try:
            validator(kind).validate_python(values)
        except ValidationError as error:
            for spelling in note(error, kind, values, spot, given, noted):
                values.pop(spelling, None)
        else:
            usable = spots_of(kind, values, spot)
            return {name: place for name, place in given.items() if usable.get(name) == place}


def _named_value(value: Any) -> str:
    """The first `${property.…}` or `${param.…}` in texts of the value, or ""."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, map(_named_value, inner)), "")
    text = value if isinstance(value, str) else ""
    found = re.finditer(r"\$\$|\$\{(?:param|property)\.[^{}]*\}", text)
    return next((one[0] for one in found if one[0] != "$$"), "")


def spots_of(kind: type[Any], table: Mapping[str, Any], spot: Spot) -> dict[str, Spot]:
    """Where each field is given; the first place where it is given twice."""
    spots: dict[str, Spot] = {}
    for spelling in table:
        if field := field_named(kind, spelling):
            spots.setdefault(field.name, spot.at(spelling))
    return spots


def undisputed(
    kind: type[Any], defaults: Mapping[str, Spot], given: Container[str]
) -> dict[str, Spot]:
    """The defaults without the given keys, and without those that exclude a given key."""
    beaten = {
        _field(kind, name).name
        for names in getattr(kind, "EXCLUSIVE", ())
        if any(name in given for name in names)
        for name in names
    }
    return {
        field: place
        for field, place in defaults.items()
        if field not in beaten and field not in given
    }


def check_keys(
    kind: type[Any], table: Mapping[str, Any], spot: Spot, known: Container[str] | None
) -> None:
    """Note keys that are missing, in an old spelling, or conflict; in inner tables too.

    `known` are the fields that are given here or by defaults; None: nothing is required.
    """
    given = spots_of(kind, table, spot)
    for spelling in table:
        field = field_named(kind, spelling)
        if field and folded(spelling) == folded(key_of(field).old):
            spot.at(spelling).notice(f"is an old spelling of {key_name(field)!r}")
    for names in getattr(kind, "EXCLUSIVE", ()):
        both = [name for name in names if name in given]
        if len(both) > 1:
            first = given[both[0]].path[-1]
            given[both[1]].wrong(f"conflicts with {first!r}: remove one of them")
    for field, key in keys_of(kind):
        if known is not None and field.name not in known and key_of(field).required:
            spot.at(key).wrong("is required")
        if field.name not in given or (inner := table_kind(field.type)) is None:
            continue
        place = given[field.name]
        value = place.raw
        if isinstance(value, dict) and not is_mapping(field.type):
            tables = [(place, value)]
        elif isinstance(value, dict):
            tables = [(place.at(name), each) for name, each in value.items()]
        else:
            items = enumerate(value) if isinstance(value, list) else ()
            tables = [(place.at(index), each) for index, each in items]
        for where, each in tables:
            if isinstance(each, dict):
                check_keys(inner, each, where, spots_of(inner, each, where))


def _field(kind: type[Any], name: str) -> Any:
    return kind.__dataclass_fields__[name]


def table_kind(kind: Any) -> Any:
    """The declaration of the tables that a type holds, or None."""
    if isinstance(kind, type) and is_dataclass(kind):
        return kind
    return next((found for each in get_args(kind) if (found := table_kind(each))), None)


def is_mapping(kind: Any) -> bool:
    """Whether a type holds tables by name."""
    if get_origin(kind) is Annotated:
        kind = kind.__origin__
    return get_origin(kind) is Mapping


def note(
    error: ValidationError,
    kind: type[Any],
    values: Mapping[str, Any],
    spot: Spot,
    spots: Mapping[str, Spot],
    noted: Container[str],
) -> dict[str, set[int]]:
    """Note each error of a table at its place.

    Returns the keys at which they stand, with the items of a list that are wrong.
    """
    wrong: dict[str, set[int]] = {}
    for each in _errors(error):
        first, *rest = each["loc"]
        name = str(first)
        if name.startswith(UNKNOWN):
            spelling = name.removeprefix(UNKNOWN)
            _note_unknown(kind, spelling, spot.at(spelling), values)
            wrong.setdefault(spelling, set())
            continue
        field = _field(kind, name)
        key = next(each for each in values if field_named(kind, each) == field)
        items = wrong.setdefault(key, set())
        if rest and isinstance(rest[0], int):
            items.add(rest[0])
        if name in noted:
            continue  # what is left of it is wrong too
        place = spots.get(name, spot)
        inner = table_kind(field.type)
        target = _at(place, inner, tuple(rest))
        last = str(rest[-1]) if rest else ""
        if inner is not None and last.startswith(UNKNOWN):
            spelling = last.removeprefix(UNKNOWN)
            around = target.above.raw
            _note_unknown(inner, spelling, target, around if isinstance(around, dict) else {})
        else:
            target.wrong(_message(each, field.type))
    return wrong


def _errors(error: ValidationError) -> list[Any]:
    """The errors, without those that follow from others: a list is short of its wrong items."""
    errors = error.errors(include_url=False)
    places = [each["loc"] for each in errors]

    def follows(each: Any) -> bool:
        loc = each["loc"]
        inside = (place for place in places if len(place) > len(loc))
        return each["type"] == "too_short" and any(place[: len(loc)] == loc for place in inside)

    return [each for each in errors if not follows(each)]


def _note_unknown(kind: type[Any], spelling: str, spot: Spot, around: Mapping[str, Any]) -> None:
    if field := field_named(kind, spelling):
        first = next(key for key in around if field_named(kind, key) == field)
        spot.wrong(f"is the same key as {first!r}, which is given too")
    else:
        beside = getattr(kind, "BESIDE", EMPTY).get(spelling)
        meant = _meant(kind, spelling)
        if beside:
            spot.wrong(f"unknown key: {beside.format(spelling)} is a table of its own")
        else:
            spot.wrong(f"unknown key{f'; did you mean {meant!r}?' if meant else ''}")


def _meant(kind: type[Any], spelling: str) -> str | None:
    """The key that an unknown one probably means."""
    known = [key for _, key in keys_of(kind)]
    return nearest_word(spelling, known, synonyms=getattr(kind, "SYNONYMS", EMPTY))


def _field_meant(kind: type[Any], spelling: str) -> str | None:
    """The field that an unknown key was probably to give."""
    key = None if field_named(kind, spelling) else _meant(kind, spelling)
    field = field_named(kind, key) if key else None
    return field.name if field else None


def _at(spot: Spot, kind: Any, loc: tuple[int | str, ...]) -> Spot:
    """The place that pydantic's path leads to: fields as they are spelled there."""
    for part in loc:
        value = spot.raw
        if isinstance(value, list) and isinstance(part, int):
            spot = spot.at(part)
        elif isinstance(value, dict) and isinstance(part, int):
            continue  # a single table in place of a list
        elif isinstance(value, dict) and part != "[key]":
            name = str(part) if kind is None else str(part).removeprefix(UNKNOWN)
            field = None
            if kind is not None and name == part:  # of what is unknown the spelling is known
                field = kind.__dataclass_fields__.get(name)
            spelling = name
            if field is not None:
                spelling = next(
                    (key for key in value if field_named(kind, key) == field), key_name(field)
                )
                kind = table_kind(field.type)
            spot = spot.at(spelling)
        else:
            break  # a single value in place of a list
    return spot


def _message(error: Any, kind: Any) -> str:
    """What is wrong, in our words."""
    context = error.get("ctx", {})
    value = error["input"]
    if error["type"] != "value_error" and isinstance(value, int) and abs(value) > _MOST:
        return "must be a number that fits into 64 bits"
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "says":
            return str(error["msg"])
        case "bool_type":
            return "must be a boolean"
        case "string_type":
            return "must be a string"
        case "int_type" | "int_from_float":
            return "must be an integer"
        case "float_type" | "finite_number":
            return "must be a number"
        case "tuple_type":
            message = f"must be a list of {(items := _items(kind))}"
            if isinstance(value, str) and items == "strings":
                message += f": write [{', '.join(map(json.dumps, value.split()))}]"
            return message
        case "dict_type" | "mapping_type" | "dataclass_type" | "dataclass_exact_type":
            return "must be a table"
        case "too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"must have {least} items or more"
        case "less_than_equal":
            return f"must be at most {context['le']:.0f}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:.0f}"
        case "literal_error":
            words = re.findall(_QUOTED, context["expected"])
            if not words:  # True or a number
                return f"must be {context['expected'].lower()}"
            guess = did_you_mean(value, words) if isinstance(value, str) else ""
            return f"must be one of: {', '.join(words)}{guess}"
        case _:
            return str(error["msg"])


def _items(kind: Any) -> str:
    """What a message calls the items of a list."""
    notes = getattr(kind, "__metadata__", ())
    return next((each.items for each in notes if isinstance(each, Key)), Key().items)
