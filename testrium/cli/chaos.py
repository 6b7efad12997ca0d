"""`testrium chaos`: break a group on purpose, again and again, and find out what breaks it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from testrium.campaign import Break, Trial
    from testrium.chaos.draw import Target
    from testrium.errors import Problem
    from testrium.model import Event, GroupResult, Scenario, UnitState
    from testrium.report.console import Console


@click.command(name="chaos")
@click.argument("group", default=".", metavar="[GROUP]")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="The same number draws the same plans."
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="N",
    help="How many plans are tried.",
)
@click.option("-x", "fail_fast", is_flag=True, help="Stop at the first plan that breaks it.")
@click.option("--plain", is_flag=True, help="No colours, no wrapping.")
def command(group: str, seed: int | None, runs: int, fail_fast: bool, plain: bool) -> int:
    """Break GROUP (a folder; default: the current one) by plans of faults that are drawn.

    What may be broken stands in the table [chaos] of its config.toml. It is run once with nothing
    broken, then under N plans. Of each plan that breaks the circuit the smallest is searched that
    still does, and printed as [[faults]] to paste into config.toml.
    Exit codes: 0 nothing broke it, 1 a plan did, 2 no group, 3 it cannot be tried, 5 the runner
    failed.
    """
    from testrium.campaign import Campaign, run_campaign
    from testrium.report.console import Console
    from testrium.report.wording import plural

    seed = int.from_bytes(os.urandom(3)) if seed is None else seed
    cwd = Path.cwd()
    watcher = _Teller(Console(sys.stdout, cwd=cwd, plain=plain), runs)
    campaign = Campaign(group, cwd, seed, runs, _Quiet(), fail_fast)
    outcome = run_campaign(campaign, watcher)
    click.echo()
    if outcome.tried < runs and not fail_fast and outcome.exit_code in (0, 1):
        click.echo(f"there are no more than {outcome.tried} different plans")
    plans = plural(outcome.tried, "plan")
    click.echo(
        f"{outcome.broken} of {plans} broke the circuit (seed {seed})"
        if outcome.broken
        else f"{plans} tried, none broke the circuit (seed {seed})"
    )
    return outcome.exit_code


class _Teller:
    """Prints a line for each plan, and the whole story of one that breaks the circuit."""

    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._width = len(str(runs))
        self._runs = runs

    def began(self, calm: Trial, found: tuple[Target, ...], seed: int) -> None:
        from testrium.report.wording import plural

        probes = sum(1 for target in found if target.at is not None)
        links = len(found) - probes
        click.echo(
            f"{calm.result.scenario.id} passes with nothing broken"
            f" ({calm.result.duration_s:.2f} s); {plural(probes, 'probe')} and"
            f" {plural(links, 'link')} may be broken; seed {seed}"
        )

    def tried(self, trial: Trial, known: Break | None) -> None:
        from testrium.chaos.pasted import brief

        word = "BROKE" if trial.broke else "ok" if not trial.idle else "idle"
        if not trial.broke and trial.finding is not None:
            word = str(trial.result.verdict)
        number = f"{trial.number:>{self._width}}/{self._runs}"
        click.echo(f"{number}  {word:<7}  {'; '.join(map(brief, trial.plan))}")
        if trial.finding is not None:
            again = f", as plan {known.trial.number} did" if known is not None else ""
            where = f"{trial.finding.code} at {trial.finding.where}{again}"
            click.echo(f"{'':{len(number)}}           {where}")

    def broke(self, one: Break) -> None:
        from testrium.chaos.pasted import as_toml
        from testrium.report.wording import plural

        click.echo()
        if one.smallest is None:
            click.echo(f"plan {one.trial.number} did not break it a second time: a race, perhaps")
            self._console.show_group(one.trial.result)
            click.echo()
            return
        runs = plural(one.tries, "more run")
        click.echo(f"the smallest plan that breaks it (found with {runs}), for config.toml:")
        click.echo()
        for line in as_toml(one.smallest.plan).splitlines():
            click.echo(f"    {line}".rstrip())
        click.echo()
        self._console.show_group(one.smallest.result)
        click.echo()


class _Quiet:
    """Watches the single runs and says nothing but notices."""

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None: ...

    def notice(self, text: str | Problem) -> None:
        click.echo(f"notice: {text}", err=True)

    def group_started(self, scenario: Scenario, run_dir: Path) -> None: ...

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None: ...

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None: ...

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None: ...

    def group_ended(self, result: GroupResult) -> None: ...
