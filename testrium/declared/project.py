"""The project file: `testrium.toml`, or `[tool.testrium]` in `pyproject.toml`."""

import math
from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

from testrium.declared.groups import UnitHost
from testrium.declared.keys import Key, Prepared, Written, nothing, table
from testrium.declared.quantities import (
    FILLED,
    NAME,
    Count,
    Entrypoint,
    FilledText,
    Named,
    PositiveCount,
    Text,
    Variables,
)
from testrium.phrases import did_you_mean
from testrium.tuples import NamedTuple
from testrium.words import Code

#: Tables of defaults, which may stand in a `testrium.toml` of any folder.
CONFIGS_TABLE: Final = "Configs"
UNIT_TABLE: Final = "unit"


def _any_table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("must be a table")  # noqa: TRY004 - shown
    return value


#: A table that is checked elsewhere.
_TABLE: Final = Written(_any_table, {"type": "object"})
_Plugins = Annotated[Mapping[str, Entrypoint], Named(NAME.pattern, "name of a plugin")]


class Property(NamedTuple):
    """A property of the project: what `${property.NAME}` gives.

    `default` is None where there is none; its type is that of the value. `env` is the variable that
    gives another value, or "".
    """

    default: str | int | float | bool | None = None
    env: str = ""


def _property(value: Any) -> Property:
    if not isinstance(value, dict):
        value = {"default": value}
    default, env = value.get("default"), value.get("env", "")
    if wrong := value.keys() - {"default", "env"}:
        raise ValueError(f"has only the keys 'default' and 'env', not {min(wrong)!r}")
    if not value:
        raise ValueError("must have 'default', 'env', or both")
    if default is not None and not isinstance(default, str | int | float):
        raise ValueError("must be a text, a number or a boolean")
    if isinstance(default, float) and not math.isfinite(default):
        raise ValueError("must be a finite number")
    if not isinstance(env, str) or ("env" in value and not env):
        raise ValueError("must name a variable in 'env'")
    return Property(default, env)


_PROPERTY_SCHEMA: Final = {
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {
            "type": "object",
            "properties": {
                "default": {"type": ["string", "number", "boolean"]},
                "env": {"type": "string"},
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}
_Property = Annotated[Property, Written(_property, _PROPERTY_SCHEMA)]


@table
class AiTable:
    """The table `[ai]`: the command that is asked about failures."""

    command: Annotated[tuple[FilledText, ...], FILLED, Key(required=True)] = ()


@table
class ClusterTable:
    """The table `[cluster]`: what goes with groups that run on other machines."""

    files: tuple[FilledText, ...] = ()
    """patterns of files and folders, below the folder of this file, that groups need"""


@table
class PluginsTable:
    """The table `[plugins]`: the project's own plugins, by kind and name."""

    writers: _Plugins = field(default_factory=nothing)
    checks: _Plugins = field(default_factory=nothing)
    normalizers: _Plugins = field(default_factory=nothing)
    readiness: _Plugins = field(default_factory=nothing)
    units: _Plugins = field(default_factory=nothing)
    protocols: _Plugins = field(default_factory=nothing)


def _code(value: Any) -> str:
    if value in set(Code):
        return str(value)
    raise ValueError(f"must be the code of a finding{did_you_mean(str(value), map(str, Code))}")


def _day(value: Any) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("must be a date: 2027-01-31")


@table
class Quarantine:
    """A table of `[[quarantine]]`: a failure that is known, and does not fail the run."""

    group: Annotated[FilledText, Key(required=True)] = ""
    """The id of the group, or a shell pattern for it."""
    code: Annotated[
        str, Written(_code, {"enum": [str(code) for code in Code]}), Key(required=True)
    ] = ""
    """The code of the finding that is the root cause."""
    where: FilledText | None = None
    """The place of the finding, or a shell pattern for it; without it any place."""
    until: Annotated[
        date | None, Written(_day, {"type": "string", "format": "date"}, date.isoformat)
    ] = None
    """The last day on which the entry counts: `2027-01-31`."""
    reason: Annotated[FilledText, Key(required=True)] = ""
    """Why the failure is known, shown with it."""


def _jobs(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if value == "auto":
        return "auto"
    raise ValueError('must be a number from 1, or "auto"')


def _shuffle(value: Any) -> bool | int:
    if isinstance(value, bool) or (isinstance(value, int) and 0 <= value < 10**18):
        return value
    raise ValueError("must be true, or a seed of at most 18 digits")


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Jobs = Annotated[
    int | str, Written(_jobs, {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]})
]
_Seed = Annotated[
    bool | int,
    Written(_shuffle, {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0}]}),
]
_Texts = Annotated[tuple[FilledText, ...], Prepared(_one_or_more, {})]


@table
class RunTable:
    """The table `[run]`: defaults for the options of `testrium run`, by their long names."""

    less: Annotated[_Texts | None, Key(also=("exclude",))] = None
    """Groups to leave out."""
    tag: FilledText | None = None
    """Select groups whose tags satisfy this expression."""
    grep: FilledText | None = None
    """Select groups whose id or title matches."""
    requirement: _Texts | None = None
    """Select groups that cover one of these."""
    all_modes: bool | None = None
    """Include matrix combinations that are not primary."""
    failed: Annotated[bool | None, Key(also=("lf", "last-failed"))] = None
    """Select what did not pass when it was last run."""
    strict: bool | None = None
    """Treat a missing requirement as an error, and a group that proves nothing as a failure."""
    debug: bool | None = None
    """Give `breakpoint()` the terminal, and suspend deadlines."""
    retries: Count | None = None
    """Run what does not pass N more times."""
    fail_on_flaky: bool | None = None
    """Fail what passes only when it is tried again."""
    hold: bool | None = None
    """Keep everything alive after a failure until Enter."""
    shard: FilledText | None = None
    """Run only this part of the groups: `"1/4"`."""
    repeat: Count | None = None
    """Run each group N more times."""
    until_fail: bool | None = None
    """Repeat the whole run until something does not pass."""
    maxfail: PositiveCount | None = None
    """Stop after N failures; 1 is `-x`."""
    shuffle: _Seed | None = None
    """Start groups in random order; a number is the seed."""
    max_regression: FilledText | None = None
    """Fail if latencies or metrics are this much worse than in earlier runs."""
    update_golden: bool | None = None
    """Rewrite the reference files of checks that differ."""
    jobs: _Jobs | None = None
    """Groups to run side by side."""
    keep: Literal["all", "failed", "none"] | None = None
    """Which groups' folders to keep."""
    archive: FilledText | None = None
    """Pack the folders of failed groups into this file."""
    verbose: bool | None = None
    """Show the output of units while they run."""
    quiet: bool | None = None
    """Print only failures and the last lines."""
    durations: Count | None = None
    """Show the N slowest groups."""
    plain: bool | None = None
    """Print whole lines only."""
    color: Literal["yes", "no", "auto"] | None = None
    """Print colors."""
    on: FilledText | None = None
    """Run groups on a Dask cluster."""
    coverage: bool | None = None
    """Measure which lines Python units run."""
    json: FilledText | None = None
    """Write the report as JSON."""
    junit: Annotated[FilledText | None, Key(also=("junit-xml",))] = None
    """Write the report as JUnit XML."""
    html: FilledText | None = None
    """Write the report as one HTML page."""
    tap: FilledText | None = None
    """Write the report in the Test Anything Protocol."""
    json_stream: FilledText | None = None
    """Write events as lines of JSON during the run."""
    otlp: FilledText | None = None
    """Send the run as traces to this OTLP endpoint."""
    writer: _Texts | None = None
    """Also report through these writers."""


@table
class ProjectTable:
    """All keys of the project file."""

    state: FilledText | None = None
    """the folder for runs and history, below the folder of this file; without it, `.testrium/`"""
    configs: Annotated[Mapping[str, Any] | None, _TABLE, Key(CONFIGS_TABLE)] = None
    """defaults for every key of `[Configs]`"""
    unit: Annotated[Mapping[str, Any] | None, _TABLE, Key(UNIT_TABLE)] = None
    """defaults for every key of a unit"""
    run: RunTable | None = None
    """defaults for the options of `testrium run`: `jobs = 4`, `junit = "out.xml"`"""
    env: Variables = field(default_factory=nothing)
    """environment variables for every process of every group"""
    pythonpath: tuple[FilledText, ...] = ()
    """folders, below the folder of this file, for all Python code of groups; each must exist"""
    hosts: Annotated[Mapping[str, UnitHost], Named(NAME.pattern, "name of a host")] = field(
        default_factory=nothing
    )
    """[hosts](hosts.md) on which units of groups can run, by name"""
    cluster: ClusterTable | None = None
    """what goes with groups to [other machines](command-line.md#groups-on-a-cluster): `files`"""
    properties: Annotated[
        Mapping[str, _Property], Named(r"[A-Za-z_][A-Za-z0-9_-]*", "name of a property")
    ] = field(default_factory=nothing)
    """Values that texts of groups name with `${property.NAME}`: a value, or a table with `default`
    and `env`, a variable that gives another one. `-X NAME=VALUE` wins.
    """
    ai: AiTable | None = None
    """the [command that is asked about failures](groups.md#asking-a-command-about-failures):
    `command`, a list
    """
    plugins: PluginsTable | None = None
    """the project's own [plugins](plugins.md), by kind and name"""
    quarantine: tuple[Quarantine, ...] = ()
    """Known failures, which do not fail the run."""
    templates: FilledText | None = None
    """the folder with the project's own [templates of groups](command-line.md#testrium-gen);
    without it, `testrium-templates` beside this file
    """
    requirements: Annotated[
        Mapping[str, Text] | None, Named(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f]+", "id of a requirement")
    ] = None
    """ids of requirements, each with its text. Groups may then name only these"""
