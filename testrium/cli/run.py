"""`testrium run`: run groups and judge them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from testrium.cli.main import Common
from testrium.errors import ConfigError
from testrium.model import RunResult, Verdict


def _jobs(_: click.Context, __: click.Parameter, value: str) -> int:
    if value == "auto":
        return 0
    if not value.isdigit() or int(value) < 1:
        raise click.BadParameter("expected a number from 1, or auto")
    return int(value)


@click.command(name="run")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-v", "--verbose", is_flag=True, help="Stream the output of units, by unit.")
@click.option("--less", multiple=True, metavar="GROUP", help="Leave a group out (repeatable).")
@click.option("--tag", default="", metavar="EXPR", help="Only groups whose tags satisfy EXPR.")
@click.option("--grep", default="", metavar="REGEX", help="Only groups whose id matches.")
@click.option(
    "--repeat",
    type=click.IntRange(0),
    metavar="N",
    help="Run each group N more times, in place of its own `repeat`.",
)
@click.option(
    "-j",
    "--jobs",
    default="auto",
    metavar="N|auto",
    callback=_jobs,
    help="Groups side by side; auto is the number of cores.",
)
@click.option("--plain", is_flag=True, help="Whole lines only: no live display, no colour.")
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the report as JSON; - is standard output."
)
@click.option("--junit", "junit_file", metavar="FILE", help="Write the report as JUnit XML.")
@click.pass_obj
def command(
    common: Common | None,
    *,
    paths: tuple[str, ...] = (),
    verbose: bool = False,
    less: tuple[str, ...] = (),
    tag: str = "",
    grep: str = "",
    repeat: int | None = None,
    jobs: int = 0,
    plain: bool = False,
    json_file: str | None = None,
    junit_file: str | None = None,
) -> int:
    """Run the groups below PATH (default: the current folder) and judge them.

    A PATH is a group, or a folder that is searched for groups. Exit codes: 0 all passed, 1
    something failed, 2 no group, 3 wrong configuration or usage, 4 something is unknown, 5 the
    runner failed.
    """
    from testrium.plan.selection import Selection
    from testrium.report.console import Console
    from testrium.run.schedule import usable_cores
    from testrium.session import Request, run

    common = common or Common()
    verbose = verbose or common.verbose
    stream = sys.stderr if json_file == "-" else sys.stdout
    with Console(stream, cwd=Path.cwd(), plain=plain, verbose=verbose) as console:
        request = Request(
            paths=paths,
            cwd=Path.cwd(),
            selection=Selection(less=common.less + less, tag=tag, grep=grep),
            repeat=repeat,
            observer=console,
            jobs=jobs or usable_cores(),
            verbose=verbose,
            command_line=tuple(sys.argv[1:]),
        )
        try:
            result = run(request)
        except ConfigError as error:
            write_reports(_refused(error), json_file, None)
            raise
        console.finish(result)
        write_reports(result, json_file, junit_file)
    return result.exit_code


def _refused(error: ConfigError) -> RunResult:
    """The report of a run that was not started."""
    return RunResult("", Verdict.ERROR, error.exit_code, 0.0, errors=error.problems)


def write_reports(result: RunResult, json_file: str | None, junit_file: str | None) -> None:
    """Write the reports that were asked for. Raises InfraError."""
    from testrium.report import json_report

    if json_file == "-":
        click.echo(json_report.render(result), nl=False)
    elif json_file is not None:
        json_report.write_report(result, Path(json_file))
    if junit_file is not None:
        from testrium.report import junit

        junit.write_report(result, Path(junit_file), cwd=Path.cwd())
