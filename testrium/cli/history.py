"""`testrium history`: earlier runs of this project."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from testrium import history, phrases
from testrium.cli.completion import GROUP, RUN
from testrium.errors import UsageError
from testrium.history import Change, Flaky, Point, ResultRecord, RunRecord, Slow, normalized_s
from testrium.phrases import did_you_mean, figure
from testrium.report.escape import cut, json_text
from testrium.report.lines import STYLES, Line, Span, Style, line, table
from testrium.results import Measure
from testrium.statistics import median, robust_deviation
from testrium.words import Verdict

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")

_of_group = click.option("--group", metavar="GROUP", help="Show only this group.")


def _limit(what: str) -> Callable[[_Decorated], _Decorated]:
    return click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000),
        metavar="N",
        default=20,
        show_default=True,
        help=f"Show at most N {what}.",
    )


class _History(click.Group):
    """Takes a word that is not a subcommand as the name of a group."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return "group", self.commands["group"], args
        return super().resolve_command(ctx, args)


@click.group(
    name="history",
    cls=_History,
    invoke_without_command=True,
    subcommand_metavar="[GROUP | COMMAND [ARGS]...]",
)
@_limit("runs")
@_as_json
@click.pass_context
def command(ctx: click.Context, limit: int, as_json: bool) -> int:
    """List earlier runs, the latest first; their folders may be gone already.

    With GROUP: its results and figures over time. A group that is called like one of the commands
    is shown with `testrium history group NAME`.
    """
    for notice in history.notices():
        click.echo(f"notice: {notice}", err=True)
    if ctx.invoked_subcommand is None:
        found = history.runs(limit)
        scores = history.machine_scores([run.run for run in found])
        if as_json:
            click.echo(json_text([_scored(run, scores.get(run.run)) for run in found], indent=1))
        else:
            _show(found, False, lambda tables: tables.runs(found, scores), _NO_RUN)
    return 0


@command.command(name="group")
@click.argument("group", type=GROUP)
@_limit("results")
@_as_json
def of_group(group: str, limit: int, as_json: bool) -> int:
    """Results of GROUP, and its figures over time."""
    found = history.results(group, limit=max(limit, 100))
    if not found:
        raise _unknown_group(group)
    shown = found[:limit] if as_json else found
    _show(shown, as_json, lambda tables: tables.group(found, limit), "")
    return 0


@command.command()
@_as_json
def flaky(as_json: bool) -> int:
    """Results that passed and failed on the same code.

    The same code is a commit without changes, or repeats in one run.
    """
    found = history.flaky()
    _show(found, as_json, lambda tables: tables.flaky(found), "no flaky groups")
    return 0


@command.command()
@_limit("groups")
@_as_json
def slow(limit: int, as_json: bool) -> int:
    """Which groups take longest.

    By the median of their latest 20 runs.
    """
    found = history.slow(limit)
    _show(found, as_json, lambda tables: tables.slow(found), _NO_RUN)
    return 0


@command.command()
@click.argument("first", type=RUN, default="", metavar="[RUN")
@click.argument("second", type=RUN, default="", metavar="[RUN]]")
@_as_json
def compare(first: str, second: str, as_json: bool) -> int:
    """The figures of two runs side by side.

    With how sure each difference is. RUN is a beginning of a run's id. With one RUN: compare it
    with the last run; without any: the last two.
    """
    later = history.find_run(second)
    earlier = history.find_run(first, before=None if first else later)
    found = history.compare(earlier, later)
    none = f"{earlier} and {later} have no figure in common"
    _show(found, as_json, lambda tables: tables.changes(found), none)
    return 0


@command.command()
@click.argument("name")
@_of_group
@_limit("points per group")
@_as_json
def metric(name: str, group: str | None, limit: int, as_json: bool) -> int:
    """The figure NAME over the runs.

    Such as "command.p95", "duration", "throughput": the names of [metrics].
    """
    found = history.metrics(name, group=group, limit=None)
    if not found:
        if group is not None and history.metrics(name):
            known = {one.group for one in history.metrics(name, limit=None)}
            raise _unknown(f"figure {name!r} of group", group, known)
        raise _unknown("figure", name, history.metric_names())
    counts: dict[tuple[str, str, str], int] = {}
    shown = []
    for point in found:
        key = (point.group, point.mode, str(point.params))
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= limit:
            shown.append(point)
    _show(shown, as_json, lambda tables: tables.points(name, shown), "")
    return 0


_FORMS: dict[str, Literal["csv", "json"]] = {"": "csv", ".csv": "csv", ".json": "json"}


@command.command()
@click.argument("file", default="-", type=click.Path(path_type=Path), metavar="[FILE]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    help="Write this format; default: by the ending of FILE, else csv.",
)
@_of_group
def export(file: Path, form: Literal["csv", "json"] | None, group: str | None) -> int:
    """Write results with their figures to FILE.

    - is standard output, which is the default.
    """
    from testrium.system.files import write_text

    form = form or _FORMS.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"{file}: unknown ending: use .csv, .json or --format")
    text = history.export(form, group=group)
    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        write_text(file, text)
        click.echo(f"results of {group or 'all groups'}: {file} ({form.upper()})")
    return 0


@command.command()
@click.argument("group", type=GROUP)
def accept(group: str) -> int:
    """Measure regressions of GROUP against later runs only.

    After a change that was meant: for --max-regression and max-regression in [metrics]. Nothing is
    removed.
    """
    if not history.results(group, limit=1):
        raise _unknown_group(group)
    folder = history.accept(group)
    click.echo(f"{folder}: regressions are measured against later runs only")
    return 0


_NO_RUN = "the history is empty: start a run with testrium run"


def _show(
    found: Sequence[Any],
    as_json: bool,
    lines: Callable[[Tables], Iterable[Line]],
    nothing: str,
) -> None:
    """Print records as JSON, or as tables."""
    if as_json:
        click.echo(json_text([_plain(one) for one in found], indent=1, default=dict))
        return
    if not found:
        click.echo(nothing)
        return

    from testrium.report.console import Console

    with Console(sys.stdout, cwd=Path.cwd()) as console:
        console.tell(lines(Tables(console.width(), sys.stdout.encoding or "utf-8")))


def _scored(run: RunRecord, score: float | None) -> dict[str, Any]:
    return _plain(run) | {
        "machine_score": score,
        "normalized_s": None if score is None else normalized_s(run, score),
    }


def _plain(record: Any) -> dict[str, Any]:
    fields: dict[str, Any] = record._asdict()
    if "measures" in fields:
        fields["measures"] = {name: one._asdict() for name, one in record.measures.items()}
    return fields


def _unknown_group(group: str) -> UsageError:
    known = {one.group for one in history.slow(limit=None)}
    return _unknown("group", group, [*known, *command.commands])


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"no {what} {name!r} is in the history{did_you_mean(name, known)}")


_AT_100 = ("at score 100",)

_BARS = "▁▂▃▄▅▆▇█"

_ASCII_BARS = "_.-~=+*#"

_TREND = 24

_NAME_WIDTH = 40


class Tables:
    """Makes lines of what is to be shown.

    `width` is that of the terminal, None where all is shown; `encoding` that of the stream.
    """

    def __init__(self, width: int | None, encoding: str) -> None:
        self._width = width
        try:
            _BARS.encode(encoding)
            self._bars, self._ellipsis = _BARS, "…"
        except (UnicodeEncodeError, LookupError):
            self._bars, self._ellipsis = _ASCII_BARS, "..."

    def runs(self, runs: Sequence[RunRecord], scores: Mapping[str, float]) -> list[Line]:
        """One run a line; with scores of machines, durations also as on one of score 100."""
        heads = ("run", "when", "verdict", "duration", *_AT_100[: bool(scores)], "groups")
        rows = [
            [
                Span(run.run),
                Span(_when(run.started)),
                _verdict(run.verdict),
                Span(phrases.duration(run.duration_s)),
                *((_at_100(run, scores.get(run.run)),) if scores else ()),
                Span(_counts(run)),
            ]
            for run in runs
        ]
        return self._table(heads, rows, right=(3, 4) if scores else (3,))

    def group(self, results: Sequence[ResultRecord], limit: int) -> Iterator[Line]:
        """The latest results of a group, then its figures over time; apart for each mode."""
        kinds = sorted({(one.mode, str(one.params)) for one in results})
        for number, kind in enumerate(kinds):
            same = [one for one in results if (one.mode, str(one.params)) == kind]
            if number:
                yield line()
            count = phrases.plural(len(same), "result")
            yield line(Span(f"{same[0].group} {same[0].mode}", "strong"), Span(f"  {count}", "dim"))
            heads = ("run", "when", "verdict", "duration", "first finding")
            rows = [_result_row(one) for one in same[:limit]]
            yield from self._table(heads, rows, right=(3,), indent=2)
            figures = self._figure_rows(same)
            if figures:
                yield line()
                heads = ("figure", "last", "median", "spread", "from old to new")
                yield from self._table(heads, figures, right=(1, 2, 3), indent=2)

    def points(self, name: str, points: Sequence[Point]) -> Iterator[Line]:
        """A figure over the runs, apart for each group, mode and parameters."""

        def kind(point: Point) -> tuple[str, str, str, str]:
            return point.group, point.mode, str(point.params), point.unit

        ordered = sorted(points, key=lambda point: (kind(point), -point.started))
        for number, (_, group) in enumerate(groupby(ordered, key=kind)):
            same = list(group)
            first = same[0]
            if number:
                yield line()
            trend = self._trend([point.median for point in reversed(same)])
            about = f"  {first.group} {first.mode}, {first.better} is better  {trend}"
            yield line(Span(name, "strong"), Span(about, "dim"))
            heads = ("run", "when", "median", "mean", "deviation", "n")
            rows = [
                [
                    Span(point.run),
                    Span(_when(point.started)),
                    Span(figure(point.median, point.unit)),
                    Span(figure(point.mean, point.unit)),
                    Span("-" if point.deviation is None else figure(point.deviation, point.unit)),
                    Span(str(point.n)),
                ]
                for point in same
            ]
            yield from self._table(heads, rows, right=(2, 3, 4, 5), indent=2)

    def flaky(self, flaky: Sequence[Flaky]) -> list[Line]:
        """One result a line."""
        heads = ("group", "passed", "failed", "rate", "mode", "last failed", "most often")
        rows = [
            [
                self._name(one.group),
                Span(str(one.passed)),
                Span(str(one.failed), "bad"),
                Span(f"{one.rate:.0%}"),
                Span(one.mode),
                Span(one.last_failed),
                self._name(one.causes[0] if one.causes else "-"),
            ]
            for one in flaky
        ]
        return self._table(heads, rows, right=(1, 2, 3))

    def slow(self, slow: Sequence[Slow]) -> list[Line]:
        """One group and mode a line."""
        heads = ("group", "median", "last", "longest", "runs", "mode")
        rows = [
            [
                self._name(one.group),
                Span(phrases.duration(one.median_s)),
                Span(phrases.duration(one.last_s)),
                Span(phrases.duration(one.longest_s)),
                Span(str(one.n)),
                Span(one.mode),
            ]
            for one in slow
        ]
        return self._table(heads, rows, right=(1, 2, 3, 4))

    def changes(self, changes: Sequence[Change]) -> Iterator[Line]:
        """The figures of two runs side by side, by group."""
        name: Callable[[Change], tuple[str, str, str]] = lambda one: (  # noqa: E731 - a key
            one.group,
            one.mode,
            one.because,
        )
        for number, (_, group) in enumerate(groupby(changes, key=name)):
            same = list(group)
            if number:
                yield line()
            about = f"  confidence from {same[0].because}"
            yield line(Span(f"{same[0].group} {same[0].mode}", "strong"), Span(about, "dim"))
            heads = ("figure", "first", "second", "change", "confidence")
            rows = [_change_row(one, self._name(one.name)) for one in same]
            yield from self._table(heads, rows, right=(1, 2, 3, 4), indent=2)

    def _figure_rows(self, results: Sequence[ResultRecord]) -> list[list[Span]]:
        """Each figure of the latest result that has any: now, usually, and over time."""
        latest: dict[str, Measure] = {}
        for one in results:
            for name, measure in one.measures.items():
                latest.setdefault(name, measure)
        order = ("group", "circuit", "hop", "reported", "unit")
        rows = []
        for measure in sorted(latest.values(), key=lambda one: order.index(one.source)):
            values = [
                one.measures[measure.name].value
                for one in reversed(results)
                if measure.name in one.measures
            ]
            unit = measure.unit
            rows.append(
                [
                    self._name(measure.name),
                    Span(figure(measure.value, unit)),
                    Span(figure(median(values), unit)),
                    Span(figure(robust_deviation(values), unit), "dim"),
                    Span(self._trend(values)),
                ]
            )
        return rows

    def _trend(self, values: Sequence[float]) -> str:
        """The latest values as bars, the latest last."""
        shown = values[-_TREND:]
        low, high = min(shown), max(shown)
        if low == high:
            return self._bars[3] * len(shown)
        top = len(self._bars) - 1
        return "".join(self._bars[round((value - low) / (high - low) * top)] for value in shown)

    def _name(self, text: str) -> Span:
        return Span(cut(text, _NAME_WIDTH, self._ellipsis))

    def _table(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[Span]],
        *,
        right: Sequence[int],
        indent: int = 0,
    ) -> list[Line]:
        room = None if self._width is None else self._width - indent
        titled = [[Span(head, "dim") for head in heads], *rows]
        return [row.indented(indent) for row in table(titled, width=room, right=right)]


def _at_100(run: RunRecord, score: float | None) -> Span:
    return Span("-" if score is None else phrases.duration(normalized_s(run, score)))


def _result_row(one: ResultRecord) -> list[Span]:
    finding = f"{one.root_code} {one.root_where}" if one.root_code else "-"
    if one.tries > 1:
        finding += f" ({one.tries} tries)"
    repeat = f" +{one.repeat}" if one.repeat else ""
    return [
        Span(f"{one.run}{repeat}"),
        Span(_when(one.started)),
        _verdict(one.verdict),
        Span(phrases.duration(one.duration_s)),
        Span(finding, "dim"),
    ]


def _change_row(one: Change, name: Span) -> list[Span]:
    styles: dict[str, Style] = {"worse": "bad", "better": "good"}
    style = styles.get(one.trend, "")
    return [
        name,
        Span(figure(one.first, one.unit)),
        Span(figure(one.second, one.unit)),
        Span(one.change_text or "-", style),
        Span(one.confidence_text or "-", style),
    ]


def _verdict(verdict: Verdict) -> Span:
    return Span(str(verdict), STYLES[verdict])


def _when(started: float) -> str:
    return f"{datetime.fromtimestamp(started, UTC).astimezone():%Y-%m-%d %H:%M}"


def _counts(run: RunRecord) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in run.verdicts.items()) or "none"
