"""What must hold beside circuits: the tables `[[checks]]` and `[metrics]`."""

from dataclasses import field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import MinLen

from testrium.declared.keys import DECIDED, Key, Prepared, Written, nothing, table
from testrium.declared.quantities import (
    COMPARISON,
    DATA,
    PERCENTAGE,
    FilledText,
    Label,
    Name,
    OneOrMore,
    Settings,
    Text,
)

#: What a check looks at.
SubjectKind = Literal["log", "file", "json", "exists", "absent", "value", "plugin"]

CHECK_SUBJECTS: Final[tuple[SubjectKind, ...]] = (
    "log",
    "file",
    "json",
    "exists",
    "absent",
    "value",
    "plugin",
)

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
    sub: FilledText = ""
    by: Text = ""
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


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,)


@table
class Check:
    """What else must hold. Texts may hold `${...}`.

    One of the subjects is given. `counted` is how often `contains` must match: an operator and a
    number. `equals` is a tuple of the one expected value, or None: any value may be expected.
    """

    EXCLUSIVE: ClassVar = (CHECK_SUBJECTS,)

    name: Annotated[Label, Key(required=True)] = ""
    log: Name | None = None
    """what a unit wrote to stdout and stderr, in all its starts. `setup` and `tests` are units
    too
    """
    file: FilledText | None = None
    """a text file"""
    json: FilledText | None = None
    """a JSON document, or what stands in it `at` a place. Without a condition: that it is JSON"""
    exists: FilledText | None = None
    """that there is a file or a folder"""
    absent: FilledText | None = None
    """that there is none"""
    value: Text | None = None
    """a text, mostly a `${...}`: `"${probe.api.ready.port}"`"""
    plugin: Name | None = None
    """a check of [your own](plugins.md#checks) in place of a subject, and what it is told"""
    settings: Settings = field(default_factory=nothing)
    """a check of [your own](plugins.md#checks) in place of a subject, and what it is told"""
    contains: OneOrMore = ()
    """a line matches; of a list, a line for each"""
    lacks: OneOrMore = ()
    """no line matches"""
    sequence: Annotated[tuple[FilledText, ...], MinLen(1)] = ()
    """the patterns of the list match lines in this order, each in a later line than the one
    before
    """
    last: FilledText | None = None
    """the last line that is not empty matches"""
    counted: Annotated[tuple[str, int] | None, COMPARISON, Key("count")] = None
    """so many lines match `contains`: `"== 3"`, `">= 1"`, `"!= 0"`, `3`"""
    literal: bool = False
    """`true`: the patterns of this check are plain text"""
    join: FilledText = ""
    """no condition: several lines are one before anything is searched, see
    [below](#lines-that-belong-together)
    """
    ignore: OneOrMore = ()
    """no condition: lines that match are left out, on both sides"""
    at: Text | None = None
    """no condition: the place in a JSON document. `a.b[0]`, `a["x.y"]`, `[-1]`"""
    equals: Annotated[tuple[Any] | None, DATA] = None
    """the value at `at`, or `value`, is this one: a string, number, boolean, list or table"""
    extract: OneOrMore = ()
    """a line matches: the named groups of the first one that does are the values for `expect`.
    Of a list, each pattern gives its own
    """
    expect: OneOrMore = ()
    """an expression, or each of a list, is true"""
    golden: FilledText | None = None
    """the lines are those of a reference file"""
    normalize: Annotated[
        tuple[NormalizerText, ...],
        MinLen(1),
        Prepared(
            _one_or_more,
            {"anyOf": [_NORMALIZER_SCHEMA, {"type": "array", "items": _NORMALIZER_SCHEMA}]},
        ),
    ] = ()
    """no condition: what is replaced on both sides of `golden` and `equals`"""
    unordered: bool = False
    """`true`: the lines of `golden` may come in another order"""
    #: The fields of the `testrium.plugins.Plugin` that makes the check.
    plugged: Annotated[tuple[str, ...], DECIDED] = ()

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
        """Whether code of somebody else is called to make it."""
        return bool(self.plugged) or any(one.plugged for one in self.normalize)


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
    """a duration (`"80ms"`), a size (`"200MB"`) or a number, depending on the figure; a number
    for what is reported
    """
    least: Annotated[float | None, _ANY_LIMIT, Key("min")] = None
    """a duration (`"80ms"`), a size (`"200MB"`) or a number, depending on the figure; a number
    for what is reported
    """
    unit: Label = ""
    """only for what is reported: the unit in which it must be reported"""
    max_regression: Annotated[float | None, PERCENTAGE, Key("max-regression")] = None
    """a percentage: [how much worse](#regressions) than in earlier runs it may be"""


#: Figures that `--max-regression` compares, of circuits by measure. Others have to be named in
#: `[metrics]`: the longest of all latencies, memory and CPU time say little about a change.
COMPARED = ("p50", "p95")
