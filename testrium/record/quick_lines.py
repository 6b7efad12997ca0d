"""Read many lines of a probe file at once, with pydantic's core.

What it reads is what `probe_file.parse_line` reads; what it cannot be sure of it leaves to that. No
process of a unit comes here: importing pydantic's core takes a few ms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

from testrium.probe.event import (
    KEYED,
    MAX_DEPTH,
    MAX_KEY,
    TYPES,
    check_key,
    check_step,
    check_unit,
)

#: SQLite's largest integer.
MAX_NUMBER = (1 << 63) - 1

#: From so many lines at once on, pydantic's core reads them: importing it takes a few ms.
QUICK_FROM = 50
#: What it reads in another way than `probe_file.parse_line`, or does not tell of.
NOT_QUICK = (b"\\u", b"NaN", b"Infinity")
#: Names that are known to be right, at most.
_MOST_NAMES = 10_000


@cache
def _validator() -> Callable[[bytes], dict[str, Any]]:
    """Read a line: all its fields, None for what it leaves out. It raises ValueError."""
    from pydantic_core import SchemaValidator, core_schema

    text = core_schema.str_schema(strict=True)
    number = core_schema.int_schema(strict=True, ge=0, le=MAX_NUMBER)
    kinds: dict[str, core_schema.CoreSchema] = {
        **dict.fromkeys(("type", "key", "domain", "unit"), text),
        **dict.fromkeys(("t_ns", "t_low_ns", "wall_ns", "pid"), number),
        "seq": core_schema.int_schema(strict=True, ge=1, le=MAX_NUMBER),
        "cause": core_schema.list_schema(text, strict=True),
        "meta": core_schema.dict_schema(text, core_schema.any_schema(), strict=True),
    }
    fields = {
        name: core_schema.typed_dict_field(
            core_schema.with_default_schema(core_schema.nullable_schema(kind), default=None)
        )
        for name, kind in kinds.items()
    }
    fields["step"] = core_schema.typed_dict_field(text)
    schema = core_schema.typed_dict_schema(fields, extra_behavior="forbid")
    settings = core_schema.CoreConfig(strict=True, cache_strings="keys")
    return SchemaValidator(schema, settings).validate_json


class Columns(NamedTuple):
    """The fields of `ProbeLine` for several lines."""

    step: Sequence[str]
    type: Sequence[str]
    key: Sequence[str | None]
    cause: Sequence[tuple[str, ...]]
    t_ns: Sequence[int | None]
    t_low_ns: Sequence[int | None]
    wall_ns: Sequence[int | None]
    pid: Sequence[int | None]
    seq: Sequence[int | None]
    domain: Sequence[str | None]
    unit: Sequence[str | None]
    meta: Sequence[dict[str, Any]]
    cause_json: Sequence[str | None]
    meta_json: Sequence[str | None]


class QuickReader:
    """Reads many lines at once, in a third of the time of `probe_file.parse_line`.

    What is true of each line is asked of whole columns: a loop over lines would take most of the
    time.
    """

    def __init__(self) -> None:
        from pydantic_core import to_json

        self._validate = _validator()
        self._to_json = to_json
        self._known: dict[str, int] = {}  # names that were checked -> their colons

    def read(self, lines: Sequence[bytes]) -> Columns | None:
        """None where `probe_file.parse_line` has to read one of these lines.

        They must hold none of `NOT_QUICK`, and be shorter than `MAX_LINE`.
        """
        try:
            said = _Said._make(zip(*map(_SAID, map(self._validate, lines)), strict=True))
            types = _checked_types(said)
            colons = self._checked_names(said.step) + self._checked_names(said.domain)
            for unit in set(said.unit) - {None}:
                check_unit(unit)
            keys = "".join(filter(None, said.key))
            if not keys.isascii() or "" in said.key or _longest(said.key) > MAX_KEY:
                for key in set(said.key) - {None}:
                    check_key(key)
            if None in said.key and not _KEYED.isdisjoint(said.type):
                for kind, key in zip(said.type, said.key, strict=True):
                    if key is None and kind in _KEYED:
                        return None
            causes_json = self._causes(said.cause)
            metas_json = self._metas(said.meta)
        except ValueError:
            return None
        if metas_json is None or not _are_bounds(said):
            return None
        for column in said:  # the colons behind the names that are given
            colons += len(column) - column.count(None)
        colons += keys.count(":") + _colons(causes_json) + _colons(metas_json)
        # Of a name that is given twice the core takes the last one without a word. Then the line
        # has more colons than what was understood of it, as it escapes none of them.
        if sum(map(bytes.count, lines, repeat(b":"))) != colons:
            return None
        return Columns(
            said.step,
            types,
            said.key,
            [tuple(cause) if cause else () for cause in said.cause],
            said.t_ns,
            said.t_low_ns,
            said.wall_ns,
            said.pid,
            said.seq,
            said.domain,
            said.unit,
            [meta or {} for meta in said.meta],
            causes_json,
            metas_json,
        )

    def _checked_names(self, names: Sequence[str | None]) -> int:
        """The colons in all of these steps or clocks. Raises ValueError."""
        colons = 0
        known = self._known
        for name in set(names):
            if name is None:
                continue
            if name not in known:
                check_step(name)
                if len(known) >= _MOST_NAMES:
                    known.clear()
                known[name] = name.count(":")
            if known[name]:
                colons += known[name] * names.count(name)
        return colons

    def _causes(self, causes: Sequence[list[str] | None]) -> Sequence[str | None]:
        """Raises ValueError."""
        if not any(causes):
            return [None] * len(causes)
        for cause in causes:
            for key in cause or ():
                check_key(key)
        return [json.dumps(cause, ensure_ascii=False) if cause else None for cause in causes]

    def _metas(self, metas: Sequence[dict[str, Any] | None]) -> Sequence[str | None] | None:
        """As JSON; None where `probe_file.parse_line` says what is wrong. Raises ValueError."""
        to_json = self._to_json
        texts = [
            to_json(meta, inf_nan_mode="constants").decode() if meta else None for meta in metas
        ]
        whole = "".join(filter(None, texts))
        if "Infinity" in whole or "NaN" in whole:  # 1e999
            return None
        flat = _longest(texts) <= MAX_DEPTH or all(map(_is_flat, filter(None, texts)))
        return texts if flat else None


class _Said(NamedTuple):
    """The fields of some lines, None where a line leaves them out."""

    step: tuple[str, ...]
    type: tuple[str | None, ...]
    key: tuple[str | None, ...]
    cause: tuple[list[str] | None, ...]
    t_ns: tuple[int | None, ...]
    t_low_ns: tuple[int | None, ...]
    wall_ns: tuple[int | None, ...]
    pid: tuple[int | None, ...]
    seq: tuple[int | None, ...]
    domain: tuple[str | None, ...]
    unit: tuple[str | None, ...]
    meta: tuple[dict[str, Any] | None, ...]


_SAID = itemgetter(*_Said._fields)

_TYPES_OR_NONE = frozenset((*TYPES, None))

_KEYED = frozenset(KEYED)


quick_reader = cache(QuickReader)


def _checked_types(said: _Said) -> Sequence[str]:
    """The types, of lines that name none too. Raises ValueError."""
    kinds = set(said.type)
    if kinds == {None}:
        return ["Default"] * len(said.type)
    if not kinds <= _TYPES_OR_NONE:
        raise ValueError("a type that does not exist")
    return [kind or "Default" for kind in said.type]


def _are_bounds(said: _Said) -> bool:
    """Whether each `t_low_ns` has a `t_ns` that is not smaller."""
    if said.t_low_ns.count(None) == len(said.t_low_ns):
        return True
    pairs = zip(said.t_low_ns, said.t_ns, strict=True)
    return all(low is None or (high is not None and low <= high) for low, high in pairs)


def _is_flat(text: str) -> bool:
    """Whether JSON is surely not nested too deeply."""
    return text.count("[") + text.count("{") <= MAX_DEPTH


def _longest(texts: Iterable[str | None]) -> int:
    return max(map(len, filter(None, texts)), default=0)


def _colons(texts: Iterable[str | None]) -> int:
    return "".join(filter(None, texts)).count(":")
