"""How a table of a TOML file is declared: a frozen dataclass with a field for each key.

A field has its type and constraints in `Annotated`, its default, and a docstring. What is written
otherwise than it is used (a duration as "80ms") has a `Written`; what has another name, an old
spelling or must be given has a `Key`; what no file says, because it is decided while loading, has
`DECIDED`. pydantic takes all of that from here, and nothing here imports pydantic: a core schema
is a dictionary. So every process can use the types, and only the one that loads pays for it.
"""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
from dataclasses import field as dataclass_field
from enum import Enum
from functools import cache, partial
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

from testrium.tuples import NamedTuple
from testrium.words import EMPTY

T = TypeVar("T")

#: The JSON Schema that Testrium's schemas are written in.
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Before the name of a key that its table does not know, which keeps it apart from every field.
UNKNOWN: Final = "\0"
#: In the context of a validation: the table was written by Testrium, decided fields included.
STORED: Final = "stored"


class Key(NamedTuple):
    """What a field's key is called in files, where it is not the field's name with `_` or `-`.

    `old` is a spelling that still works, with a notice; `also` are further names. `default` says in
    words what holds where the key is missing, where that depends on other keys. `items` is what a
    message calls the items of a list.
    """

    name: str = ""
    old: str = ""
    required: bool = False
    default: str = ""
    items: str = "strings"
    also: tuple[str, ...] = ()


_NOTHING_SPECIAL: Final = Key()


class Decided:
    """A field that no file gives: it is decided while the group is loaded."""


DECIDED: Final = Decided()


class Written:
    """A value that is written otherwise than it is used.

    Args:
        read: makes of the written value what is used, or raises ValueError with what is wrong.
        write: the reverse.
        schema: the JSON Schema of the written value.
    """

    def __init__(
        self,
        read: Callable[[Any], Any],
        schema: Mapping[str, Any],
        write: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.read = read
        self.write = write
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "function-plain",
            "function": {"type": "no-info", "function": self.read},
        }

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


class Prepared:
    """Makes something of the written value before the type is asked, as `"a"` becomes `["a"]`."""

    def __init__(self, before: Callable[[Any], Any], schema: Mapping[str, Any]) -> None:
        self.before = before
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "function-before",
            "function": {"type": "no-info", "function": self.before},
            "schema": handler(source),
        }

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        inner = handler(schema)
        return {"anyOf": [inner["items"], inner]} if not self.schema else dict(self.schema)


class Checked:
    """Looks at a value whose type fits: gives it back, or raises ValueError with what is wrong."""

    def __init__(self, check: Callable[[Any], Any], schema: Mapping[str, Any] = EMPTY) -> None:
        self.check = check
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": self.check},
            "schema": handler(source),
        }

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), **self.schema}


class Says:
    """The one message for every value that does not fit the type in front of it."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "custom-error",
            "schema": handler(source),
            "custom_error_type": "says",
            "custom_error_message": self.message,
        }


class Limit:
    """A bound of a number (`ge`, `gt`, `le`), or the least length of a list (`min_length`).

    As those of the package annotated-types, importing which takes a tenth of a short command.
    """

    def __init__(self, name: Literal["ge", "gt", "le", "min_length"], value: int) -> None:
        self.name = name
        self.value = value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return self._bounded(handler(source))

    def _bounded(self, schema: dict[str, Any]) -> dict[str, Any]:
        match schema["type"]:
            case "int" | "float" | "tuple":
                return {**schema, self.name: self.value}
            case "nullable":
                return {**schema, "schema": self._bounded(schema["schema"])}
            case "custom-error":  # behind what `Says` speaks for: this bound has its own message
                inner = self._bounded({"type": schema["schema"]["type"]})
                return {"type": "chain", "steps": [schema, inner]}
            case "chain":
                *before, last = schema["steps"]
                return {**schema, "steps": [*before, self._bounded(last)]}
        raise TypeError(f"{schema['type']} has no bounds")

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found: dict[str, Any] = handler(schema)
        if schema["type"] == "chain":  # of which pydantic describes the first step
            word = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}[self.name]
            found = {**found, word: self.value}
        return found


@dataclass_transform(frozen_default=True, field_specifiers=(dataclass_field,))
def table(kind: type[T]) -> type[T]:
    """A class decorator: a frozen dataclass whose fields are the keys of a table."""
    return _frozen(dataclass(init=False, repr=False, eq=False)(_validated(kind)))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclass_field,))
def keyword_table(kind: type[T]) -> type[T]:
    """The same, with fields that are given by name only."""
    return _frozen(dataclass(init=False, repr=False, eq=False, kw_only=True)(_validated(kind)))


def _frozen(kind: type[T]) -> type[T]:
    """Give a dataclass the methods that `dataclass(frozen=True)` would write for it.

    Compiling them takes 1 ms for each class, at every start of the program; these are shared.
    """
    for method in (_init, _repr, _eq, _hash, _setattr, _delattr):
        setattr(kind, f"_{method.__name__}__", method)
    return kind


class _Shape(NamedTuple):
    """What making and comparing the instances of a table need to know of its fields."""

    positional: tuple[str, ...]
    values: Mapping[str, Any]  # defaults
    factories: Mapping[str, Callable[[], Any]]
    names: tuple[str, ...]
    compared: tuple[str, ...]


@cache
def _shape(kind: type) -> _Shape:
    each = fields(kind)
    return _Shape(
        positional=tuple(field.name for field in each if not field.kw_only),
        values={field.name: field.default for field in each if field.default is not MISSING},
        factories={
            field.name: field.default_factory
            for field in each
            if field.default_factory is not MISSING
        },
        names=tuple(field.name for field in each),
        compared=tuple(field.name for field in each if field.compare),
    )


def _init(self: Any, /, *values: Any, **named: Any) -> None:
    kind: type = type(self)
    shape = _shape(kind)
    if len(values) > len(shape.positional):
        most = len(shape.positional)
        raise TypeError(f"{kind.__name__} takes {most} values by position, got {len(values)}")
    given = dict(zip(shape.positional, values, strict=False))
    if twice := given.keys() & named.keys():
        raise TypeError(f"{kind.__name__} got two values for {', '.join(sorted(twice))}")
    given |= named
    if unknown := given.keys() - shape.names:
        raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    for name in shape.names:
        if name not in given:
            if name in shape.values:
                given[name] = shape.values[name]
            elif name in shape.factories:
                given[name] = shape.factories[name]()
            else:
                raise TypeError(f"{kind.__name__} needs a value for {name}")
    self.__dict__.update((name, given[name]) for name in shape.names)


def _repr(self: Any) -> str:
    kind: type = type(self)
    values = (f"{name}={getattr(self, name)!r}" for name in _shape(kind).names)
    return f"{kind.__qualname__}({', '.join(values)})"


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in _shape(self.__class__).compared)


def _eq(self: Any, other: object) -> Any:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _setattr(_: Any, name: str, __: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(_: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _validated(kind: type[T]) -> type[T]:
    kind.__pydantic_config__ = {  # type: ignore[attr-defined]
        "strict": True,  # 1 is not true, "5" not a number
        "extra": "forbid",
        "allow_inf_nan": False,
    }
    kind.__get_pydantic_core_schema__ = classmethod(_core_schema)  # type: ignore[attr-defined]
    return kind


def _core_schema(kind: type, source: Any, handler: Any) -> dict[str, Any]:
    # Strict are the fields: a dataclass that is strict itself would take no dictionary.
    schema: dict[str, Any] = handler(source)
    made = handler.resolve_ref_schema(schema)
    if made["schema"]["type"] == "dataclass-args":
        made["strict"] = False
        made["schema"] = {
            "type": "function-before",
            "function": {"type": "with-info", "function": partial(_fields_of, kind)},
            "schema": made["schema"],
        }
    return schema


def _fields_of(kind: type, value: Any, info: Any) -> Any:
    """The table with the names of fields in place of keys, and tuples in place of lists."""
    if not isinstance(value, dict):
        return value
    stored = info.context is not None and STORED in info.context
    names = _fields_by_spelling(kind, stored)
    found: dict[str, Any] = {}
    for spelling, inner in value.items():
        name = names.get(folded(spelling))
        if name is None or name in found:  # unknown, or the same key in another spelling
            name = UNKNOWN + spelling
        found[name] = tuples(inner)
    if stored:  # nothing in a list: as where it is not given
        optional = {field.name for field in fields(kind) if field.default is not MISSING}
        return {name: inner for name, inner in found.items() if inner or name not in optional}
    return found


def tuples(value: Any) -> Any:
    """Lists as tuples, which is what fields hold."""
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


@cache
def _fields_by_spelling(kind: type, stored: bool) -> Mapping[str, str]:
    names = {folded(key): field.name for field, key in keys_of(kind)}
    for field, key in keys_of(kind):
        for other in (key_of(field).old, *key_of(field).also):
            if other:
                names.setdefault(folded(other), field.name)
        names.setdefault(folded(key), field.name)
    if stored:
        names |= {field.name: field.name for field in fields(kind) if is_decided(field)}
    return names


def folded(spelling: str) -> str:
    """One spelling for `-` and `_`."""
    return spelling.replace("-", "_")


def field_named(kind: type, spelling: str) -> Field[Any] | None:
    """The field that a key of a table gives, in any spelling."""
    name = _fields_by_spelling(kind, stored=False).get(folded(spelling))
    return None if name is None else kind.__dataclass_fields__[name]  # type: ignore[attr-defined]


def keys_of(kind: type) -> tuple[tuple[Field[Any], str], ...]:
    """The fields that files may give, each with its key."""
    return _keys_of(kind)


@cache  # each table of a file asks for them, and there may be hundreds of files
def _keys_of(kind: type) -> tuple[tuple[Field[Any], str], ...]:
    return tuple((field, key_name(field)) for field in fields(kind) if not is_decided(field))


def key_name(field: Field[Any]) -> str:
    """The key of a field as the reference spells it."""
    return key_of(field).name or field.name


def key_of(field: Field[Any]) -> Key:
    """What is special about a field's key."""
    return next((each for each in _notes(field) if isinstance(each, Key)), _NOTHING_SPECIAL)


def is_decided(field: Field[Any]) -> bool:
    """Whether no file gives the field."""
    return any(isinstance(each, Decided) for each in _notes(field))


def _notes(field: Field[Any]) -> tuple[Any, ...]:
    return getattr(field.type, "__metadata__", ())


def default_of(field: Field[Any]) -> Any:
    """What the field is where nothing is said."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def nothing() -> Mapping[Any, Any]:
    """The default of a field that is a mapping; dataclasses take no value that has no hash."""
    return EMPTY


#: Parts of a dotted key in a TOML file.
DEPTH_LIMIT: Final = 100
_STRING = re.compile(r'"""(?s:.*?)"""|"(?:[^"\\\n]|\\.)*"' + r"|'''(?s:.*?)'''|'[^'\n]*'")


def toml_tables(text: str) -> dict[str, Any]:
    """The tables of a TOML text, in a time that grows with its length.

    Raises:
        ValueError: it is not TOML.
        RecursionError: it is nested too deeply.
    """
    if text.count(".") > DEPTH_LIMIT:
        # For a dotted key tomllib takes a time that grows with the square of its parts.
        pieces = re.split(r"[,={}\[\]#\n]", _STRING.sub("", text))
        if any(piece.count(".") > DEPTH_LIMIT for piece in pieces):
            raise RecursionError("a key has too many parts")
    return tomllib.loads(text)


def as_written(value: Any, kind: Any = None, *, decided: bool = True) -> Any:
    """`value` as files spell it: what TOML and JSON can hold.

    None is left out of tables, and "" elsewhere.

    Args:
        value: a table, or what a field holds.
        kind: the type of the field, with its annotations.
        decided: whether fields that no file gives are written too, by their own names.
    """
    return _written(value, *unwrapped(kind), decided)


def _written(value: Any, kind: Any, writes: Callable[[Any], Any] | None, decided: bool) -> Any:
    if value is None:
        return ""
    if writes is not None:
        return writes(value)
    made: Any = type(value)
    if made in _AS_IT_IS:
        return value
    if not value and (made is tuple or made is _FROZEN):  # as most fields of a group are
        return [] if made is tuple else {}
    if hasattr(made, "__dataclass_fields__"):
        return {
            key: inner
            if inner_writes is None and type(inner) in _AS_IT_IS
            else _written(inner, inner_kind, inner_writes, decided)
            for name, key, is_decided_, inner_kind, inner_writes in _written_fields(made)
            if (inner := getattr(value, name)) is not None and (decided or not is_decided_)
        }
    if hasattr(value, "_asdict"):
        hints = made.__annotations__
        return {
            name: as_written(inner, hints[name], decided=decided)
            for name, inner in value._asdict().items()
            if inner is not None
        }
    if isinstance(value, tuple | list | frozenset | set):
        of = get_args(kind) if get_origin(kind) is tuple else ()
        if len(of) < 2 or of[-1] is Ellipsis:  # all items are of one kind
            each, each_writes = unwrapped(of[0] if of else None)
            return [_written(inner, each, each_writes, decided) for inner in value]
        return [
            as_written(inner, each, decided=decided) for inner, each in zip(value, of, strict=False)
        ]
    if isinstance(value, Mapping):
        inner_kind, inner_writes = unwrapped((get_args(kind) or (None, None))[-1])
        return {
            str(name): _written(inner, inner_kind, inner_writes, decided)
            for name, inner in value.items()
        }
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool) else str(value)


_FROZEN: Final = type(EMPTY)
_AS_IT_IS: Final = frozenset((str, int, float, bool))


@cache
def _written_fields(
    kind: type,
) -> tuple[tuple[str, str, bool, Any, Callable[[Any], Any] | None], ...]:
    """Of each field its name, what it is written as, whether no file gives it, and its kind."""
    return tuple(
        (
            field.name,
            field.name if is_decided(field) else key_name(field),
            is_decided(field),
            *unwrapped(field.type),
        )
        for field in fields(kind)
    )


def unwrapped(kind: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    """The type without annotations and None, and how a value of it is written."""
    while True:
        if get_origin(kind) is Annotated:
            for note in kind.__metadata__:
                if isinstance(note, Written):
                    return kind, note.write
            kind = kind.__origin__
        elif get_origin(kind) in (Union, types.UnionType):
            arms = [each for each in get_args(kind) if each is not type(None)]
            if len(arms) != 1:
                return None, None
            kind = arms[0]
        else:
            return kind, None
