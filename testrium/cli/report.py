"""`testrium report`: a stored run as a file to read or to hand on."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_FILE = "report.html"


@click.command(name="report")
@click.argument("run", default="", metavar="[RUN]")
@click.option(
    "--html", "html_file", metavar="FILE", help=f"Write an HTML page (default: {DEFAULT_FILE})."
)
@click.option("--json", "json_file", metavar="FILE", help="Write JSON; - is standard output.")
@click.option("--junit", "junit_file", metavar="FILE", help="Write JUnit XML.")
def command(run: str, html_file: str | None, json_file: str | None, junit_file: str | None) -> int:
    """Write the report of RUN (the beginning of its id; default: the last run) into files.

    The same files as `testrium run` writes; an HTML page where nothing else is asked for.
    """
    from testrium.cli.run import write_reports
    from testrium.record.runs import find_run
    from testrium.report.stored import read_run
    from testrium.session import state_folder

    result = read_run(find_run(state_folder(Path.cwd()), run))
    if html_file is None and json_file is None and junit_file is None:
        html_file = DEFAULT_FILE
    write_reports(result, json_file=json_file, junit_file=junit_file, html_file=html_file)
    for file in (html_file, json_file, junit_file):
        if file is not None and file != "-":
            click.echo(f"run {result.run}: {file}", err=json_file == "-")
    return 0
