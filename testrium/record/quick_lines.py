"""Read many lines of a probe file at once: as probes of Python write them, or with pydantic's core.

What it reads is what `probe_file.parse_line` reads; what it cannot be sure of it leaves to that. No
process of a unit makes a `QuickReader`: importing pydantic's core takes a ms or two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from operator import itemgetter
from typing import Any

from testrium.loaded_by_name import compiled_core
from testrium.probe.event import (
    KEYED,
    MAX_DEPTH,
    MAX_KEY,
    MAX_STEP,
    TYPES,
    check_key,
    check_step,
    check_unit,
)
from testrium.tuples import NamedTuple

#: SQLite's largest integer.
MAX_NUMBER = (1 << 63) - 1

#: From how many lines at once on pydantic's core reads them: making its validator takes a ms.
QUICK_FROM = 50
#: What it reads in another way than `probe_file.parse_line`, or does not tell of.
NOT_QUICK = (b"\\u", b"NaN", b"Infinity")
#: Names that are known to be right, at most.
_MOST_NAMES = 10_000


@cache
def _validator() -> Callable[[bytes], dict[str, Any]]:
    """Read a line: all its fields, None for what it leaves out. It raises ValueError."""
    text = {"type": "str", "strict": True}
    number = {"type": "int", "strict": True, "ge": 0, "le": MAX_NUMBER}
    kinds: dict[str, Mapping[str, Any]] = {
        **dict.fromkeys(("type", "key", "domain", "unit"), text),
        **dict.fromkeys(("t_ns", "t_low_ns", "wall_ns", "pid"), number),
        "seq": {**number, "ge": 1},
        "cause": {"type": "list", "items_schema": text, "strict": True},
        "meta": {
            "type": "dict",
            "keys_schema": text,
            "values_schema": {"type": "any"},
            "strict": True,
        },
    }
    fields = {
        name: {"type": "default", "schema": {"type": "nullable", "schema": kind}, "default": None}
        for name, kind in kinds.items()
    }
    schema = {
        "type": "typed-dict",
        "fields": {
            name: {"type": "typed-dict-field", "schema": kind}
            for name, kind in {**fields, "step": text}.items()
        },
        "extra_behavior": "forbid",
    }
    settings = {"strict": True, "cache_strings": "keys"}
    validate: Callable[[bytes], dict[str, Any]]
    validate = compiled_core().SchemaValidator(schema, settings).validate_json
    return validate


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


#: Fewer lines are not read by their form, which takes 1 ms to compile.
FORM_FROM = 4


@cache
def _emitted_form() -> re.Pattern[str]:
    """A line as `probe.emitter` and taps write it where it has neither a cause nor metadata."""
    text, number = r"[ !#-\[\]-~]", r"([1-9][0-9]{0,17})"
    return re.compile(
        rf'^{{"step":"({text}{{1,{MAX_STEP}}})"'
        r'(?:,"type":"(Default|Exception|Send|Receive)")?'
        rf'(?:,"key":"({text}{{1,{MAX_KEY}}})")?'
        r'(?:,"unit":"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})")?'
        rf',"t_ns":{number}(?:,"wall_ns":([1-8][0-9]{{0,18}}))?,"pid":{number},"seq":{number}}}$',
        re.ASCII | re.MULTILINE,
    )


def read_emitted(lines: Sequence[bytes]) -> Columns | None:
    """Read lines by their form alone, in a sixth of the time of `probe_file.parse_line`.

    None where one of them has another form, or where they are too few for that.
    """
    if len(lines) < FORM_FROM:
        return None
    try:
        text = b"\n".join(lines).decode("ascii")
    except UnicodeDecodeError:
        return None
    form = _emitted_form()
    if form.match(text) is None:  # before all are searched for nothing
        return None
    found = form.findall(text)
    if len(found) != len(lines):
        return None
    step, kinds, keys, units, t_ns, wall_ns, pid, seq = zip(*found, strict=True)
    if not _KEYED.isdisjoint(kinds) and any(
        kind in _KEYED and not key for kind, key in zip(kinds, keys, strict=True)
    ):
        return None
    nothing = [None] * len(found)
    return Columns(
        step,
        [kind or "Default" for kind in kinds],
        [key or None for key in keys],
        [()] * len(found),
        list(map(int, t_ns)),
        nothing,
        [int(wall) if wall else None for wall in wall_ns],
        list(map(int, pid)),
        list(map(int, seq)),
        nothing,
        [unit or None for unit in units],
        [{} for _ in found],
        nothing,
        nothing,
    )


class QuickReader:
    """Reads many lines at once, in a third of the time of `probe_file.parse_line`.

    What is true of each line is asked of whole columns: a loop over lines would take most of the
    time.
    """

    def __init__(self) -> None:
        self._validate = _validator()
        self._to_json = compiled_core().to_json
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
