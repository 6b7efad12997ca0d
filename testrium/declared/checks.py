"""What must hold beside circuits: the tables `[[checks]]`, `[metrics]` and `[[histories]]`."""

import re
from dataclasses import field
from json import loads
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from testrium.declared.circuits import parse_place
from testrium.declared.keys import DECIDED, Key, Prepared, Written, nothing, table
from testrium.declared.quantities import (
    COMPARISON,
    DATA,
    FILLED,
    PERCENTAGE,
    Encoding,
    Entrypoint,
    FilledText,
    Label,
    Name,
    OneOrMore,
    Settings,
    Text,
    one_or_more,
)
from testrium.tuples import NamedTuple
from testrium.words import ANY

#: What a check looks at.
SubjectKind = Literal["log", "file", "json", "exists", "absent", "value", "plugin"]

CHECK_SUBJECTS: Final[tuple[SubjectKind, ...]] = get_args(SubjectKind)

NORMALIZERS: Final = ("datetime", "number", "port", "path")


def _normalizer(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


@table
class Normalizer:
    """What is replaced in both sides of a comparison.

    `name` is one that Testrium knows ("datetime") or a plugin, or "" for the regular expression
    `sub`, whose matches become `by`. `plugged`, the fields of a `testrium.plugins.Plugin`, does it.
    """

    name: Name = ""
    """one of the [normalisers](checks.md#normalisers), or a plugin"""
    sub: FilledText = ""
    """a regular expression, in place of a name"""
    by: Text = ""
    """what replaces each match of `sub`; `\\1` is its first group"""
    plugged: Annotated[tuple[str, ...], DECIDED] = ()


_NORMALIZER_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"sub": {"type": "string", "minLength": 1}, "by": {"type": "string"}},
            "required": ["sub", "by"],
            "additionalProperties": False,
        },
    ]
}

NormalizerText = Annotated[Normalizer, Prepared(_normalizer, _NORMALIZER_SCHEMA)]


@table
class Check:
    """What else must hold. Texts may hold `${...}`.

    One of the subjects is given. `counted` is how often `contains` must match: an operator and a
    number. `equals` is a tuple of the one expected value, or None: any value may be expected.
    """

    EXCLUSIVE: ClassVar = (CHECK_SUBJECTS, ("equals", "equals_json"))

    name: Annotated[Label, Key(required=True)] = ""
    """the name in reports, and the place of its finding"""
    log: Name | None = None
    """subject: what a unit wrote to stdout and stderr, in all its starts. `setup` and `tests` are
    units too
    """
    file: FilledText | None = None
    """subject: a text file"""
    json: FilledText | None = None
    """subject: a JSON document, or the value `at` a place in it. Without a condition: that it is
    JSON
    """
    exists: FilledText | None = None
    """subject: a path; there must be a file or a folder"""
    absent: FilledText | None = None
    """subject: a path; there must be none"""
    value: Text | None = None
    """subject: a text, mostly with a `${...}`: `"${probe.api.ready.port}"`"""
    plugin: Name | None = None
    """subject: a check of [your own](plugins.md#checks)"""
    settings: Settings = field(default_factory=nothing)
    """settings of the `plugin`: texts by name"""
    contains: OneOrMore = ()
    """condition: a line matches; with a list, a line for each pattern"""
    lacks: OneOrMore = ()
    """condition: no line matches"""
    sequence: Annotated[tuple[FilledText, ...], FILLED] = ()
    """condition: the patterns match lines in this order, each in a later line than the one before
    """
    last: FilledText | None = None
    """condition: the last line that is not empty matches"""
    counted: Annotated[tuple[str, int] | None, COMPARISON, Key("count")] = None
    """condition: how many lines match `contains`: `"== 3"`, `">= 1"`, `"!= 0"`, `3`"""
    map: Entrypoint | None = None
    """`"module:function"` in the group's folder or `pythonpath`: called with each line before
    anything is searched or compared, and returns the line to be read in its place, or `None` to
    leave it out
    """
    includes: OneOrMore = ()
    """patterns: only lines that match are compared with `golden`, on both sides"""
    encoding: Encoding = "utf-8"
    """the encoding of `file`: a name that Python knows, such as `"latin-1"`. That of `log` is the
    unit's
    """
    literal: bool = False
    """`true`: the patterns of this check are plain text, not regular expressions"""
    join: FilledText = ""
    """makes one line of several before anything is searched: `"traceback"`, or a pattern for lines
    that continue the one before, see [below](checks.md#lines-that-belong-together)
    """
    ignore: OneOrMore = ()
    """patterns: lines that match are left out, on both sides of a comparison"""
    at: Text | None = None
    """the place in a JSON document: `a.b[0]`, `a["x.y"]`, `[-1]`, or a [JSONPath
    query](checks.md#places-in-json), which begins with `$`
    """
    equals: Annotated[tuple[Any] | None, DATA] = None
    """condition: the value `at` the place, or `value`, is this one: a string, number, boolean, list
    or table
    """
    equals_json: Annotated[FilledText | None, Key("equals-json")] = None
    """condition: `equals`, written as JSON, which has `null`: `'{"paid": null}'`"""
    extract: OneOrMore = ()
    """condition: a line matches. The named groups of the first match are values for `expect`; with
    a list, each pattern gives its own
    """
    every: bool = False
    """`true`: `extract` takes all lines that match, and each value is a list: `"sum(total) == 10"`
    """
    expect: OneOrMore = ()
    """condition: an [expression](checks.md#expressions), or each of a list, is true"""
    golden: FilledText | None = None
    """condition: the lines are those of a [reference file](checks.md#reference-files)"""
    normalize: Annotated[
        tuple[NormalizerText, ...],
        FILLED,
        Prepared(
            one_or_more,
            {"anyOf": [_NORMALIZER_SCHEMA, {"type": "array", "items": _NORMALIZER_SCHEMA}]},
        ),
    ] = ()
    """what is replaced on both sides of `golden` and `equals`: [normalisers](checks.md#normalisers)
    """
    unordered: bool = False
    """`true`: the lines of `golden` may come in another order"""
    #: The fields of the `testrium.plugins.Plugin` that makes the check.
    plugged: Annotated[tuple[str, ...], DECIDED] = ()
    #: The same of the function that `map` names.
    mapped: Annotated[tuple[str, ...], DECIDED] = ()

    @property
    def expected(self) -> tuple[Any] | None:
        """The value that `equals` or `equals-json` asks for, in a tuple; None: any may be."""
        return self.equals if self.equals_json is None else (loads(self.equals_json),)

    @property
    def kind(self) -> SubjectKind:
        """What it looks at."""
        return next((kind for kind in CHECK_SUBJECTS if getattr(self, kind) is not None), "value")

    @property
    def target(self) -> str:
        """A unit for "log", a path for files, a text for "value", a name for "plugin"."""
        return getattr(self, self.kind) or ""

    @property
    def calls_plugin(self) -> bool:
        """Whether a plugin is called to make it."""
        return bool(self.plugged or self.mapped) or any(one.plugged for one in self.normalize)


Better = Literal["smaller", "larger"]

#: Whose figure it is. "reported": a process gave it to `testrium.metric`.
Source = Literal["group", "circuit", "hop", "unit", "reported"]

#: How a limit is written depends on what it limits, which is known once the circuits are.
_ANY_LIMIT = Written(lambda value: value, {"type": ["number", "string"]})


@table
class Metric:
    """A figure of `[metrics]`, and what must hold for it.

    `owner` is the name of the circuit or unit, "" for the others. `most` and `least` are in `unit`;
    a reported figure without one may come in any. `max_regression` is a fraction: 0.2 is 20 %.
    """

    name: Annotated[str, DECIDED] = ""
    source: Annotated[Source, DECIDED] = "reported"
    owner: Annotated[str, DECIDED] = ""
    most: Annotated[float | None, _ANY_LIMIT, Key("max")] = None
    """the largest allowed value: a duration (`"80ms"`), a size (`"200MB"`) or a number, depending
    on the figure; a number for a reported one
    """
    least: Annotated[float | None, _ANY_LIMIT, Key("min")] = None
    """the smallest allowed value, written as `max`"""
    unit: Label = ""
    """only for a reported figure: the unit in which it must be reported"""
    max_regression: Annotated[float | None, PERCENTAGE, Key("max-regression")] = None
    """a percentage, such as `"20%"`: [how much worse](metrics.md#regressions) than in earlier runs
    it may be
    """


#: Figures that `--max-regression` compares, of circuits by measure. Others have to be named in
#: `[metrics]`: the longest of all latencies, memory and CPU time say little about a change.
COMPARED = ("p50", "p95")


#: The models that Testrium has, each with its operations and their other names.
MODELS: Final = {
    "register": {
        "read": ("read", "get"),
        "write": ("write", "set", "put"),
        "compare-and-set": ("compare-and-set", "cas"),
    },
    "counter": {
        "read": ("read", "get"),
        "add": ("add", "increment", "incr"),
        "subtract": ("subtract", "decrement", "decr"),
    },
    "set": {
        "add": ("add", "insert"),
        "remove": ("remove", "delete"),
        "contains": ("contains", "has"),
        "read": ("read", "get", "members"),
    },
    "queue": {
        "enqueue": ("enqueue", "put", "push"),
        "dequeue": ("dequeue", "get", "take", "pop"),
    },
}

_REFERENCE: Final = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
_FIELD: Final = r"\$\{([^}]*)\}"


class OperationPlace(NamedTuple):
    """Where an operation begins or ends: `unit:step`, `*` for any unit.

    One `*` in the step means the operation's name.
    """

    unit: str
    step: str

    def __str__(self) -> str:
        return f"{self.unit}:{self.step}"

    def operation(self, unit: str, step: str) -> str | None:
        """The operation's name, if an event of this unit and step is one; "" if the step has none.

        None: it is not such an event.
        """
        if self.unit not in (ANY, unit):
            return None
        before, star, after = self.step.partition(ANY)
        if not star:
            return "" if step == self.step else None
        long_enough = len(step) > len(before) + len(after)
        if long_enough and step.startswith(before) and step.endswith(after):
            return step[len(before) : len(step) - len(after)]
        return None


def _read_place(value: Any) -> OperationPlace:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('must be a text such as "client:*-asked"')
    unit, _, step = value.strip().partition(":")
    if step.count(ANY) > 1:
        raise ValueError(f"{value!r}: one '*' in the step is the operation's name")
    parse_place(f"{unit}:{step.replace(ANY, 'x')}" if step else value)
    return OperationPlace(unit.strip(), step.strip())


def _read_model(value: Any) -> str:
    if isinstance(value, str) and (value in MODELS or re.fullmatch(_REFERENCE, value)):
        return value
    known = ", ".join(MODELS)
    raise ValueError(f"expected {known} or module:function, got {value!r}")


def _read_template(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('must be a text such as "${meta.item}"')  # noqa: TRY004 - shown
    for name in re.findall(_FIELD, value):
        if name not in ("key", "unit", "operation") and not name.startswith("meta."):
            raise ValueError(
                f"unknown ${{{name}}}: use ${{meta.FIELD}}, ${{key}}, ${{unit}} or ${{operation}}"
            )
    return value


_TEXT_SCHEMA: Final = {"type": "string", "minLength": 1}
PlaceOfOperation = Annotated[OperationPlace, Written(_read_place, _TEXT_SCHEMA, str)]


@table
class OperationHistory:
    """Operations that must look as if they had happened one after the other."""

    name: Annotated[Label, Key(required=True)] = ""
    """unique in the group"""
    model: Annotated[str, Written(_read_model, _TEXT_SCHEMA), Key(required=True)] = "register"
    """what the operations work on: `"register"`, `"counter"`, `"set"`, `"queue"`, or
    `"module:function"`, which returns an object with `init` and `step`
    """
    invoke: Annotated[PlaceOfOperation, Key(required=True)] = OperationPlace("", "")
    """the probe that is emitted before an operation; `*` in its step is the operation's name.
    The metadata `value` is its argument
    """
    answer: Annotated[PlaceOfOperation, Key(required=True)] = OperationPlace("", "")
    """the probe with the same key that is emitted once its answer is there. The metadata
    `value` is what it returned; `ok = false` says that it did not happen
    """
    key: Annotated[str, Written(_read_template, {"type": "string"})] = ""
    """which of several objects the operation works on: a text with `${meta.FIELD}`, `${unit}`,
    `${operation}` or `${key}`; by default there is one object
    """

    def canonical(self, operation: str) -> str | None:
        """The model's own name of an operation; None if it has none of this name."""
        operations = MODELS.get(self.model)
        if operations is None:
            return operation
        lowered = operation.lower().replace("_", "-")
        return next((name for name, names in operations.items() if lowered in names), None)


def fill(template: str, values: Any) -> str:
    """The text with each `${name}` replaced by `values(name)`."""
    return re.sub(_FIELD, lambda found: str(values(found[1])), template)
