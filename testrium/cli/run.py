"""`testrium run`: run groups and judge them."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from testrium.cli.main import Common
from testrium.cli.options import chosen, github_writers, make_writers, report_options, selecting
from testrium.errors import TestriumError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testrium.cli.coverage import Measurement
    from testrium.report.console import Console, HopTime
    from testrium.report.writer import ReportChoice, Writer
    from testrium.results import GroupResult


def _jobs(_: click.Context, __: click.Parameter, value: str) -> int:
    if value == "auto":
        return 0
    if not value.isdigit() or int(value) < 1:
        raise click.BadParameter("expected a number from 1, or auto")
    return int(value)


def _percentage(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    from testrium.load.quantities import percentage

    try:
        return percentage(value)
    except ValueError as error:
        raise click.BadParameter('expected a percentage such as "20%"') from error


@click.command(name="run")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-v", "--verbose", is_flag=True, help="Stream the output of units, by unit.")
@selecting
@click.option("--strict", is_flag=True, help="A missing requirement is an error, not a skip.")
@click.option(
    "--repeat",
    type=click.IntRange(0),
    metavar="N",
    help="Run each group N more times, in place of its own `repeat`.",
)
@click.option(
    "--until-fail",
    is_flag=True,
    help="Run everything again and again until something does not pass; at most N more times with"
    " --repeat N.",
)
@click.option("-x", "fail_fast", is_flag=True, help="Start nothing more once one did not pass.")
@click.option(
    "--shuffle",
    is_flag=False,
    flag_value="",
    metavar="[SEED]",
    help="Start groups in random order; the same SEED (a number) gives the same order.",
)
@click.option(
    "--max-regression",
    metavar="20%",
    callback=_percentage,
    help="Fail where latencies or metrics are so much worse than the median of earlier runs, and"
    " outside of their noise.",
)
@click.option(
    "--update-golden",
    is_flag=True,
    help="Rewrite the reference files of checks where they differ; the old ones are kept.",
)
@click.option(
    "-j",
    "--jobs",
    default="auto",
    metavar="N|auto",
    callback=_jobs,
    help="Groups side by side; auto is the number of cores.",
)
@click.option(
    "--keep",
    type=click.Choice(["all", "failed", "none"]),
    default="all",
    show_default=True,
    help="Whose run folders stay. The report of the run always does.",
)
@click.option(
    "--archive",
    metavar="FILE.zip",
    help="Pack the folders of what did not pass, with --keep all every folder: for `show` and"
    " `verify` on another machine.",
)
@click.option("--plain", is_flag=True, help="Whole lines only: no live display, no colour.")
@click.option(
    "--coverage",
    is_flag=True,
    help="Measure which lines Python units go through, with coverage.py; console and HTML.",
)
@report_options
@click.pass_obj
def command(
    common: Common | None,
    *,
    paths: tuple[str, ...] = (),
    verbose: bool = False,
    less: tuple[str, ...] = (),
    tag: str = "",
    grep: str = "",
    requirement: tuple[str, ...] = (),
    all_modes: bool = False,
    failed: bool = False,
    strict: bool = False,
    repeat: int | None = None,
    until_fail: bool = False,
    fail_fast: bool = False,
    shuffle: str | None = None,
    max_regression: float | None = None,
    update_golden: bool = False,
    jobs: int = 0,
    keep: Literal["all", "failed", "none"] = "all",
    archive: str | None = None,
    plain: bool = False,
    coverage: bool = False,
) -> int:
    """Run the groups below PATH (default: the current folder) and judge them.

    A PATH is a group, a folder that is searched for groups, a pattern for such: 'shop/*', a range
    of ids: cart..search, or one combination of a matrix: 'cart[size=1]'.
    Exit codes: 0 all passed, 1 something failed, 2 no group, 3 wrong configuration or usage, 4
    something is unknown, 5 the runner failed.
    """
    from testrium.plan.selection import Selection
    from testrium.probe.environment import UPDATE_GOLDEN
    from testrium.report.console import Console
    from testrium.report.writer import Fanout, Writers
    from testrium.run.schedule import usable_cores
    from testrium.session import Request, run

    if update_golden:
        os.environ[UPDATE_GOLDEN] = "1"  # for the checks that test functions make
    common = common or Common()
    verbose = verbose or common.verbose
    if shuffle and not shuffle.isdecimal():  # `--shuffle PATH`
        paths, shuffle = (shuffle, *paths), ""
    selection = Selection(
        less=common.less + less,
        tag=tag,
        grep=grep,
        requirements=requirement,
        all_modes=all_modes,
    )
    reports = chosen()
    made = make_writers(reports, Path.cwd())
    stream = sys.stderr if any(report.on_stdout for report in reports) else sys.stdout
    made += github_writers(stream, Path.cwd())
    if archive is not None:
        made.append(_archive_writer(archive, keep, reports))
    jobs = jobs or usable_cores()

    def durations() -> Mapping[str, float]:
        from testrium.history.database import expected_durations
        from testrium.load.project import state_folder

        known, notices = expected_durations(state_folder(Path.cwd()))
        for text in notices:
            console.notice(text)
        return known

    measurement: Measurement | None = None
    with (
        Console(
            stream,
            cwd=Path.cwd(),
            plain=plain,
            verbose=verbose,
            durations=durations,
            jobs=jobs,
            slowest_legs=_slowest_legs,
        ) as console,
        ExitStack() as finishing,
    ):
        writers = Writers(made, console.notice)
        try:
            if failed:
                from testrium.rejudge import failed_results

                selection = selection._replace(failed=failed_results(Path.cwd()))
            request = Request(
                paths=paths,
                cwd=Path.cwd(),
                selection=selection,
                repeat=repeat,
                until_fail=until_fail,
                fail_fast=fail_fast,
                strict=strict,
                shuffle=_seed(console, shuffle),
                max_regression=max_regression,
                update_golden=update_golden,
                keep=keep,
                observer=Fanout(console, writers),
                jobs=jobs,
                verbose=verbose,
                command_line=tuple(sys.argv[1:]),
            )
            if coverage:
                from testrium.cli.coverage import Measurement

                measurement = finishing.enter_context(Measurement(Path.cwd()))
            result = run(request)
        except TestriumError as error:
            writers.refuse(error)
            raise
        console.finish(result)
        writers.finish(result)
        if measurement is not None and result.folder is not None:
            click.echo(f"\n{measurement.report(result.folder)}", file=stream)
    return result.exit_code


def _slowest_legs(results: Sequence[GroupResult]) -> Sequence[HopTime]:
    from testrium.report.stored_details import slowest_legs

    return slowest_legs(results)


def _archive_writer(file: str, keep: str, reports: tuple[ReportChoice, ...]) -> Writer:
    """Raises UsageError where there would be nothing to pack, or no place for it."""
    from testrium.report.formats.archive import ArchiveWriter
    from testrium.report.writer import ReportChoice, check_targets

    if keep == "none":
        raise UsageError("--archive has nothing to pack with --keep none")
    choice = ReportChoice("--archive", "archive", file)
    check_targets((*reports, choice), Path.cwd())
    source = click.get_current_context().get_parameter_source("keep")
    everything = keep == "all" and source is ParameterSource.COMMANDLINE
    return ArchiveWriter(choice, Path.cwd(), everything=everything)


def _seed(console: Console, text: str | None) -> int | None:
    """The seed of the order; one that the user did not choose is drawn, and told."""
    if text is None:
        return None
    seed = int(text) if text else int.from_bytes(os.urandom(3))
    console.notice(f"in random order: --shuffle {seed}")
    return seed
