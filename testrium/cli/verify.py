"""`testrium verify`: judge a stored run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from testrium.cli.reports import chosen, make_writers, report_options


@click.command(name="verify")
@click.argument("run", default="", metavar="[RUN]")
@report_options
def command(run: str) -> int:
    """Judge a stored run again, with the rules of its groups as they are now.

    RUN is the beginning of a run's id (default: the last run). Nothing is started; exit codes are
    those of `testrium run`.
    """
    from testrium.earlier_runs import verify_again
    from testrium.report.console import Console
    from testrium.writing.fanout import Writers

    reports = chosen()
    writers = make_writers(reports, Path.cwd())
    stream = sys.stderr if any(report.on_stdout for report in reports) else sys.stdout
    result = verify_again(run, Path.cwd())
    with Console(stream, cwd=Path.cwd()) as console:
        console.show(result)
        Writers(writers, console.notice).replay(result)
    return result.exit_code
