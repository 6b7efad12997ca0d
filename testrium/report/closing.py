"""The last lines of a run that had many groups: what did not pass, and what took long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from testrium.model import BAD_VERDICTS, GroupResult, RunResult, Verdict
from testrium.report import blocks, wording
from testrium.report.lines import Line, Span, line, table
from testrium.report.marks import STYLES, Marks
from testrium.report.view import rerun_command

#: What took long is told of runs with so many results, that lasted so long.
LEAST_RESULTS = 5
LEAST_S = 5.0
_MOST_GROUPS = 3


class Leg(NamedTuple):
    """A part of the way of `keys` keys in a group, and how long it took in the median."""

    label: str
    start: str
    end: str
    median_ms: float
    keys: int


def is_long(result: RunResult) -> bool:
    """Whether it helps to know what took long."""
    ran = [group for group in result.groups if group.verdict is not Verdict.SKIP]
    return len(ran) >= LEAST_RESULTS and result.duration_s >= LEAST_S


def failures(
    result: RunResult, marks: Marks, *, cwd: Path | None, width: int | None
) -> Iterator[Line]:
    """A line for each result that did not pass, and the command that runs all of them again.

    Nothing where it is one: it has just been told. `cwd` is where the command is going to be typed;
    None: there is no such command.
    """
    failed = [group for group in result.groups if group.verdict in BAD_VERDICTS]
    if len(failed) < 2:
        return
    yield line()
    ran = len(result.groups)
    yield line(Span(f"{len(failed)} of {wording.plural(ran, 'result')} did not pass", "strong"))
    rows = [
        [
            Span(marks.verdicts[group.verdict], STYLES[group.verdict]),
            Span(wording.label(group.scenario)),
            Span(blocks.outcome(group), STYLES[group.verdict]),
        ]
        for group in failed
    ]
    room = None if width is None else width - 2
    yield from (row.indented(2) for row in table(rows, width=room))
    if cwd is None:
        return
    yield line()
    yield line("  ", Span("rerun", "dim"), f"  {_rerun(failed, cwd)}", whole=True)


def _rerun(failed: Sequence[GroupResult], cwd: Path) -> str:
    """`--failed` looks for groups below the current folder."""
    folders = list(dict.fromkeys(group.scenario.group.folder for group in failed))
    if all(folder.is_relative_to(cwd) for folder in folders):
        return "testrium run --failed"
    paths = (rerun_command(folder, cwd).removeprefix("testrium run ") for folder in folders)
    return f"testrium run --failed {' '.join(paths)}"


def slowest(
    result: RunResult, legs: Sequence[Leg], marks: Marks, *, width: int | None
) -> Iterator[Line]:
    """The groups that took longest, and the legs of their circuits."""
    ran = [group for group in result.groups if group.verdict is not Verdict.SKIP]
    groups = sorted(ran, key=lambda group: -group.duration_s)[:_MOST_GROUPS]
    yield line()
    rows = [
        [Span(wording.duration(group.duration_s)), Span(wording.label(group.scenario))]
        for group in groups
    ]
    yield line(Span("slowest", "dim"))
    yield from (row.indented(2) for row in table(rows, width=width, right=(0,)))
    if legs:
        yield line(Span("slowest on their way, in the median", "dim"))
        rows = [
            [
                Span(wording.milliseconds(leg.median_ms, legs[0].median_ms)),
                Span(f"{leg.start} {marks.arrow} {leg.end}"),
                Span(leg.label, "dim"),
                Span(wording.plural(leg.keys, "time"), "dim"),
            ]
            for leg in legs
        ]
        yield from (row.indented(2) for row in table(rows, width=width, right=(0,)))
