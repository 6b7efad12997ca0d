"""`testrium verify`: judge a stored run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from testrium.cli.reports import chosen, make_writers, report_options
from testrium.cli.stored_run import as_shown, is_archive, run_folder


@click.command(name="verify")
@click.argument("run", default="", metavar="[RUN]")
@report_options
def command(run: str) -> int:
    """Judge a stored run again, with the rules of its groups as they are now.

    RUN is the beginning of a run's id, or an archive (default: the last run); of an archive those
    groups that are not here are judged with the rules that they had. Nothing is started; exit
    codes are those of `testrium run`.
    """
    from testrium.earlier_runs import is_finished, verify_again
    from testrium.report.console import Console
    from testrium.report.writer import Writers

    reports = chosen()
    writers = make_writers(reports, Path.cwd())
    stream = sys.stderr if any(report.on_stdout for report in reports) else sys.stdout
    cwd = Path.cwd()
    with Console(stream, cwd=cwd) as console, run_folder(run, cwd) as folder:
        notice = console.notice if is_archive(run) else None
        if not is_finished(folder):
            console.notice("the runner was killed: what it had not begun is missing here")
        result = as_shown(run, cwd, verify_again(folder, cwd, stored_rules=notice))
        console.show(result)
        Writers(writers, console.notice).replay(result)
    return result.exit_code
