"""`testrium verify`: judge a stored run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(name="verify")
@click.argument("run", default="", metavar="[RUN]")
@click.option("--json", "json_file", metavar="FILE", help="Write the report; - is standard output.")
def command(run: str, json_file: str | None) -> int:
    """Judge a stored run again, with the rules of its groups as they are now.

    RUN is the beginning of a run's id (default: the last run). Nothing is started; exit codes are
    those of `testrium run`.
    """
    from testrium.cli.run import write_reports
    from testrium.earlier_runs import verify_again
    from testrium.report.console import Console

    stream = sys.stderr if json_file == "-" else sys.stdout
    result = verify_again(run, Path.cwd())
    with Console(stream, cwd=Path.cwd()) as console:
        console.show(result)
    write_reports(result, json_file=json_file)
    return result.exit_code
