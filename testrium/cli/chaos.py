"""`testrium chaos`: break a group on purpose, again and again, and find out what breaks it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from testrium import __version__
from testrium.chaos import as_table, as_toml, brief
from testrium.cli.options import SearchRequest, finding_fields, search_options
from testrium.errors import ConfigError, ExitCode, Problem, TestriumError
from testrium.results import SilentObserver

if TYPE_CHECKING:
    from testrium.campaign import Break, Campaign, Outcome, Trial
    from testrium.chaos import Plan, Target
    from testrium.report.writer import ReportChoice


@click.command(name="chaos")
@search_options(
    counts="--runs",
    default=50,
    drawn="plans",
    told="campaign",
    stops="Stop after the first plan that breaks the group.",
)
def command(asked: SearchRequest) -> int:
    """Break GROUP (a folder; default: the current one) by random plans of faults.

    The table [chaos] of its config.toml says what may be broken. The group runs once without
    faults, then under N plans. Each breaking plan is reduced to the smallest one that still fails,
    and printed as [[faults]] to paste into config.toml.
    Exit codes: 0 no plan broke it, 1 a plan did, 2 no group, 3 it cannot be tried, 5 the runner
    failed.
    """
    from testrium.campaign import Campaign, run_campaign

    campaign = Campaign(
        asked.path, asked.cwd, asked.seed, asked.number, QuietObserver(), asked.fail_fast
    )
    record = CampaignRecord(campaign)
    printer = _ChaosPrinter(asked.stream, asked.cwd, record, plain=asked.plain, runs=asked.number)
    try:
        outcome = run_campaign(campaign, printer)
    except TestriumError as error:
        write_chosen(asked.choice, record.text(int(error.exit_code), error), asked.cwd)
        raise
    printer.ended(outcome, campaign)
    write_chosen(asked.choice, record.text(int(outcome.exit_code)), asked.cwd)
    return outcome.exit_code


def write_chosen(choice: ReportChoice, text: str, cwd: Path) -> None:
    """Write the report that was asked for, if one was. Raises InfraError."""
    from testrium.report.writer import write_stdout
    from testrium.system.files import write_text

    if choice.on_stdout:
        write_stdout(text)
    elif choice.target is not None:
        write_text(cwd / choice.target, text)


class _ChaosPrinter:
    """Prints a line for each plan, and all of one that breaks the circuit."""

    def __init__(
        self, stream: TextIO, cwd: Path, record: CampaignRecord, *, plain: bool, runs: int
    ) -> None:
        from testrium.report.console import Console, Display

        self._stream = stream
        self._record = record
        self._console = Console(stream, cwd=cwd, display=Display(plain=plain))
        self._width = len(str(runs))
        self._runs = runs

    def _say(self, text: str = "") -> None:
        click.echo(text, file=self._stream)

    def began(self, baseline: Trial, found: tuple[Target, ...], seed: int) -> None:
        from testrium.phrases import plural

        self._record.began(baseline, found, seed)
        probes = sum(1 for target in found if target.at is not None)
        links = len(found) - probes
        self._say(
            f"{baseline.result.scenario.id} passes with nothing broken"
            f" ({baseline.result.duration_s:.2f} s); {plural(probes, 'probe')} and"
            f" {plural(links, 'link')} may be broken; seed {seed}"
        )

    def tried(self, trial: Trial, known: Break | None) -> None:

        self._record.tried(trial, known)
        word = "BROKE" if trial.broke else outcome_of(trial)
        number = f"{trial.number:>{self._width}}/{self._runs}"
        self._say(f"{number}  {word:<7}  {'; '.join(map(brief, trial.plan))}")
        if trial.finding is not None:
            again = f", as plan {known.trial.number} did" if known is not None else ""
            where = f"{trial.finding.code} at {trial.finding.where}{again}"
            self._say(f"{'':{len(number)}}           {where}")

    def broke(self, one: Break) -> None:
        from testrium.phrases import plural

        self._record.broke(one)
        self._say()
        if one.smallest is None:
            self._say(f"plan {one.trial.number} did not break it a second time: a race, perhaps")
            self._console.show_group(one.trial.result)
            self._say()
            return
        runs = plural(one.tries, "more run")
        self._say(f"the smallest plan that breaks it (found with {runs}), for config.toml:")
        self._say()
        for line in as_toml(one.smallest.plan).splitlines():
            self._say(f"    {line}".rstrip())
        self._say()
        self._console.show_group(one.smallest.result)
        self._say()

    def ended(self, outcome: Outcome, campaign: Campaign) -> None:
        from testrium.phrases import plural

        tried, seed = outcome.tried, campaign.seed
        self._say()
        if outcome.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            plans = plural(tried, "plan")
            self._say(
                f"interrupted after {plans}, {outcome.broken} broke the circuit (seed {seed})"
            )
            return
        if tried < campaign.runs and not campaign.fail_fast and outcome.exit_code in (0, 1):
            self._say(f"only {tried} different plans exist")
        plans = plural(tried, "plan")
        self._say(
            f"{outcome.broken} of {plans} broke the circuit (seed {seed})"
            if outcome.broken
            else f"{plans} tried, none broke the circuit (seed {seed})"
        )


class QuietObserver(SilentObserver):
    """Watches the single runs and says nothing but notices."""

    def notice(self, text: str | Problem) -> None:
        click.echo(f"notice: {text}", err=True)


class CampaignRecord:
    """Watches a campaign, and tells all of it in the end."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._baseline: dict[str, Any] | None = None
        self._plans: list[dict[str, Any]] = []
        self._breaks: list[dict[str, Any]] = []

    def began(self, baseline: Trial, found: tuple[Target, ...], seed: int) -> None:  # noqa: ARG002 - known
        self._baseline = {
            "group": baseline.result.scenario.id,
            "duration_s": round(baseline.result.duration_s, 6),
            "probes": [str(target.at) for target in found if target.at is not None],
            "links": [f"{target.unit}.{target.port}" for target in found if target.at is None],
        }

    def tried(self, trial: Trial, known: Break | None) -> None:
        self._plans.append(
            {
                "number": trial.number,
                "outcome": outcome_of(trial),
                "faults": _faults(trial.plan),
                **_result(trial),
                "same_as": None if known is None else known.trial.number,
            }
        )

    def broke(self, one: Break) -> None:
        smallest = one.smallest
        self._breaks.append(
            {
                "plan": one.trial.number,
                "tries": one.tries,
                "faults": None if smallest is None else _faults(smallest.plan),
                "toml": None if smallest is None else as_toml(smallest.plan),
                **_result(smallest or one.trial),
            }
        )

    def text(self, exit_code: int, error: TestriumError | None = None) -> str:
        """The document; `error` is why the campaign ended early."""
        campaign = self._campaign
        verdicts = {0: "pass", 1: "fail"}
        command = ["testrium", "chaos", campaign.path, "--seed", str(campaign.seed)]
        command += ["--runs", str(campaign.runs), *(["-x"] if campaign.fail_fast else [])]
        document = {
            "testrium": __version__,
            "command": shlex.join(command),
            "verdict": verdicts.get(exit_code, "error"),
            "exit_code": exit_code,
            "seed": campaign.seed,
            "runs": campaign.runs,
            "tried": len(self._plans),
            "broken": sum(plan["outcome"] == "broke" for plan in self._plans),
            "errors": [problem._asdict() for problem in problems_of(error)],
            "baseline": self._baseline,
            "plans": self._plans,
            "breaks": self._breaks,
        }
        return json.dumps(document, indent=2) + "\n"


def outcome_of(trial: Trial) -> str:
    """`broke`, `idle`, `ok`; or the verdict of one that could not be decided or run."""
    if trial.broke:
        return "broke"
    if trial.finding is not None:
        return str(trial.result.verdict)
    return "idle" if trial.idle else "ok"


def _result(trial: Trial) -> dict[str, Any]:
    finding, run_dir = trial.finding, trial.result.run_dir
    return {
        "finding": None if finding is None else finding_fields(finding),
        "duration_s": round(trial.result.duration_s, 6),
        "run_dir": None if run_dir is None else str(run_dir),
    }


def _faults(plan: Plan) -> list[dict[str, Any]]:
    return [as_table(fault) for fault in plan]


def problems_of(error: TestriumError | None) -> tuple[Problem, ...]:
    if error is None:
        return ()
    if isinstance(error, ConfigError):
        return error.problems
    return (Problem("", None, "", str(error)),)
