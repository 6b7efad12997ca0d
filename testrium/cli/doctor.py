"""`testrium doctor`: what of this machine and project works, and what to do about the rest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.cli.check import counted

if TYPE_CHECKING:
    from testrium.doctor import Check


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="For machines: a list of the checks.")
def command(as_json: bool) -> int:
    """Try all that a run needs on this machine and in this project, and a small run itself.

    Exit code: 0 without a problem (warnings included), 3 where only files of the project are
    wrong, 5 where the machine is.
    """
    from testrium.doctor import exit_code, run_checks

    checks = run_checks(Path.cwd())
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=1))
        return exit_code(checks)
    width = max(len(check.name) for check in checks)
    for check in checks:
        _print(check, width)
    counts = Counter(check.state for check in checks)
    click.echo(
        f"\n{counts['ok']} ok, {counted(counts['warning'], 'warning')},"
        f" {counted(counts['problem'], 'problem')}"
    )
    return exit_code(checks)


def _print(check: Check, width: int) -> None:
    from testrium.report.escape import visible

    first, *rest = check.found.splitlines() or [""]
    indent = " " * (width + 10)
    click.echo(f"{check.state:<7}  {visible(check.name):<{width}} {visible(first)}")
    for line in rest:
        click.echo(f"{indent}{visible(line)}")
    if check.advice:
        click.echo(f"{indent}-> {visible(check.advice)}")
