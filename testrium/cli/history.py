"""`testrium history`: earlier runs of this project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from testrium.errors import UsageError

if TYPE_CHECKING:
    from testrium.cli.history_tables import Tables
    from testrium.history import RunRecord
    from testrium.report.lines import Line

_Command = TypeVar("_Command", bound=Callable[..., Any])

_as_json = click.option("--json", "as_json", is_flag=True, help="For machines: a list.")
_of_group = click.option("--group", metavar="GROUP", help="Only of this group.")


def _limit(what: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        help=f"So many {what}.",
    )


class _History(click.Group):
    """What is no subcommand is the name of a group."""

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
    from testrium import history

    for notice in history.notices():
        click.echo(f"notice: {notice}", err=True)
    if ctx.invoked_subcommand is None:
        found = history.runs(limit)
        scores = history.machine_scores([run.run for run in found])
        if as_json:
            click.echo(json.dumps([_scored(run, scores.get(run.run)) for run in found], indent=1))
        else:
            _show(found, False, lambda tables: tables.runs(found, scores), _NO_RUN)
    return 0


@command.command(name="group")
@click.argument("group")
@_limit("results")
@_as_json
def of_group(group: str, limit: int, as_json: bool) -> int:
    """Results of GROUP, and its figures over time."""
    from testrium import history

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
    from testrium import history

    found = history.flaky()
    _show(found, as_json, lambda tables: tables.flaky(found), "nothing both passed and failed")
    return 0


@command.command()
@_limit("groups")
@_as_json
def slow(limit: int, as_json: bool) -> int:
    """Which groups take longest.

    By the median of their latest 20 runs.
    """
    from testrium import history

    found = history.slow(limit)
    _show(found, as_json, lambda tables: tables.slow(found), _NO_RUN)
    return 0


@command.command()
@click.argument("first", default="", metavar="[RUN")
@click.argument("second", default="", metavar="[RUN]]")
@_as_json
def compare(first: str, second: str, as_json: bool) -> int:
    """The figures of two runs side by side.

    With how sure each difference is. RUN is a beginning of a run's id. With one RUN: compare it
    with the last run; without any: the last two.
    """
    from testrium import history

    later = history.find_run(second)
    earlier = history.find_run(first, before=None if first else later)
    found = history.compare(earlier, later)
    none = f"{earlier} and {later} have no figure in common"
    _show(found, as_json, lambda tables: tables.changes(found), none)
    return 0


@command.command()
@click.argument("name")
@_of_group
@_limit("points of each group")
@_as_json
def metric(name: str, group: str | None, limit: int, as_json: bool) -> int:
    """The figure NAME over the runs.

    Such as "command.p95", "duration", "throughput": the names of [metrics].
    """
    from testrium import history

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
    help="Default: as FILE ends, else csv.",
)
@_of_group
def export(file: Path, form: Literal["csv", "json"] | None, group: str | None) -> int:
    """Write results with their figures to FILE.

    - is standard output, which is the default.
    """
    from testrium import history
    from testrium.report.files import write_text

    form = form or _FORMS.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"{file}: ends neither in .csv nor in .json; say which with --format")
    text = history.export(form, group=group)
    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        write_text(file, text)
        click.echo(f"results of {group or 'all groups'}: {file} ({form.upper()})")
    return 0


@command.command()
@click.argument("group")
def accept(group: str) -> int:
    """Measure regressions of GROUP against later runs only.

    After a change that was meant: for --max-regression and max-regression in [metrics]. Nothing is
    removed.
    """
    from testrium import history

    if not history.results(group, limit=1):
        raise _unknown_group(group)
    folder = history.accept(group)
    click.echo(f"{folder}: regressions are measured against later runs only")
    return 0


_NO_RUN = "no run is in the history: start one with testrium run"


def _show(
    found: Sequence[Any],
    as_json: bool,
    lines: Callable[[Tables], Iterable[Line]],
    nothing: str,
) -> None:
    """Print records as JSON, or as tables."""
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=1))
        return
    if not found:
        click.echo(nothing)
        return
    from testrium.cli.history_tables import Tables
    from testrium.report.console import Console

    with Console(sys.stdout, cwd=Path.cwd()) as console:
        console.tell(lines(Tables(console.width(), sys.stdout.encoding or "utf-8")))


def _scored(run: RunRecord, score: float | None) -> dict[str, Any]:
    from testrium.history import normalized_s

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
    from testrium import history

    known = {one.group for one in history.slow(limit=None)}
    return _unknown("group", group, [*known, *command.commands])


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UsageError(f"no {what} {name!r} is in the history{hint}")
