"""`testrium report`: a stored run as a file to read or to hand on."""

from __future__ import annotations

from pathlib import Path

import click

from testrium.cli.reports import chosen, make_writers, report_options
from testrium.cli.stored_run import as_shown, run_folder
from testrium.report.writer import ReportChoice

DEFAULT_FILE = "report.html"


@click.command(name="report")
@click.argument("run", default="", metavar="[RUN]")
@report_options
def command(run: str) -> int:
    """Write the report of RUN into files. RUN is the beginning of its id, or an archive;
    default: the last run.

    The same files as `testrium run` writes; report.html, an HTML page, where nothing is asked for.
    """
    from testrium.report.stored import read_run
    from testrium.report.writer import Writers

    cwd = Path.cwd()
    reports = chosen() or (ReportChoice("--html", "html", DEFAULT_FILE),)
    writers = make_writers(reports, cwd)
    with run_folder(run, cwd) as folder:
        result = as_shown(run, cwd, read_run(folder))
        Writers(writers, lambda text: click.echo(f"notice: {text}", err=True)).replay(result)
    on_stdout = any(report.on_stdout for report in reports)
    for report in reports:
        if report.target is not None and not report.on_stdout:
            click.echo(f"run {result.run}: {report.target}", err=on_stdout)
    return 0
