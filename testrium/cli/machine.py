"""`testrium doctor` and `testrium benchmark`: what this machine can do."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.errors import InfraError
from testrium.phrases import plural
from testrium.report.escape import json_text

if TYPE_CHECKING:
    from testrium.doctor import MachineCheck


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as a JSON list.")
@click.option("--host", metavar="NAME", help="Check a host of units ([hosts.NAME]) instead.")
def doctor_command(as_json: bool, host: str | None) -> int:
    """Try all that a run needs on this machine and in this project, and a small run itself.

    Exit code: 0 without a problem (warnings included), 3 where only files of the project are
    wrong, 5 where the machine is.
    """
    from testrium.doctor import exit_code, run_checks, run_host_checks

    checks = run_checks(Path.cwd()) if host is None else run_host_checks(Path.cwd(), host)
    if as_json:
        click.echo(json_text([check._asdict() for check in checks], indent=1))
        return exit_code(checks)
    width = max(len(check.name) for check in checks)
    for check in checks:
        _print(check, width)
    counts = Counter(check.state for check in checks)
    click.echo(
        f"\n{counts['ok']} ok, {plural(counts['warning'], 'warning')},"
        f" {plural(counts['problem'], 'problem')}"
    )
    return exit_code(checks)


def _print(check: MachineCheck, width: int) -> None:
    from testrium.report.escape import visible

    first, *rest = check.found.splitlines() or [""]
    indent = " " * (width + 10)
    click.echo(f"{check.state:<7}  {visible(check.name):<{width}} {visible(first)}")
    for line in rest:
        click.echo(f"{indent}{visible(line)}")
    if check.advice:
        click.echo(f"{indent}-> {visible(check.advice)}")


@click.command(name="agent")
def agent_command() -> None:
    """Serve a runner at the other end of standard input and output.

    `testrium run` starts it where the units of a [hosts.NAME] table run. It opens no port, and ends
    everything that it started when the pipe ends.
    """
    from testrium.run.hosts.agent import main

    main()


_RESOURCES = (
    ("CPU", "cpu_score", "additions in the interpreter"),
    ("memory", "memory_score", "copies of 1 MiB"),
    ("disk", "disk_score", "writes of 256 KiB that reach the disk"),
    ("I/O", "io_score", "lines written one by one"),
)


@click.command(name="benchmark")
@click.option(
    "--iterations",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=3,
    show_default=True,
    help="Try each resource N times, 0.3 s each; the best counts.",
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the result into this SQLite file instead of the history.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as a JSON object.")
def benchmark_command(iterations: int, database: str | None, as_json: bool) -> int:
    """Measure CPU, memory, disk and I/O of this machine, and keep the score.

    From then on each run of this project on this machine is stored with the score, and `testrium
    history` shows its duration as it would be on a machine of score 100 beside the measured one.
    100 is about one core of a small server of 2023; twice the score is twice as fast.
    """
    from testrium.history.machine import keep_score, measure_machine, save_score
    from testrium.load.project import state_folder

    result = measure_machine(iterations=iterations)
    if database is not None:
        try:
            save_score(database, result)
        except sqlite3.Error as error:
            raise InfraError(f"cannot write {database}: {error}") from error
    else:
        keep_score(state_folder(Path.cwd()), result)
    if as_json:
        click.echo(json_text(result.to_dict()))
        return 0
    for name, field, meaning in _RESOURCES:
        click.echo(f"{name:<8} {getattr(result, field):>8.1f}  {meaning}")
    where = database or "the project's history"
    click.echo(f"{'score':<8} {result.score:>8.1f}  kept in {where}")
    return 0
