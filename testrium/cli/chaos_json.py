"""A campaign of `testrium chaos` as JSON, in the manner of `run --json`."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from testrium import __version__
from testrium.chaos.pasted import as_table, as_toml
from testrium.errors import ConfigError, Problem, TestriumError

if TYPE_CHECKING:
    from testrium.campaign import Break, Campaign, Trial
    from testrium.chaos.draw import Plan, Target


class CampaignRecord:
    """Watches a campaign, and tells all of it in the end."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._calm: dict[str, Any] | None = None
        self._plans: list[dict[str, Any]] = []
        self._breaks: list[dict[str, Any]] = []

    def began(self, calm: Trial, found: tuple[Target, ...], seed: int) -> None:  # noqa: ARG002 - known
        self._calm = {
            "group": calm.result.scenario.id,
            "duration_s": round(calm.result.duration_s, 6),
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
            "errors": [problem._asdict() for problem in _problems(error)],
            "calm": self._calm,
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
        "finding": None
        if finding is None
        else {
            "code": str(finding.code),
            "where": finding.where,
            "key": finding.key,
            "message": finding.message,
        },
        "duration_s": round(trial.result.duration_s, 6),
        "run_dir": None if run_dir is None else str(run_dir),
    }


def _faults(plan: Plan) -> list[dict[str, Any]]:
    return [as_table(fault) for fault in plan]


def _problems(error: TestriumError | None) -> tuple[Problem, ...]:
    if error is None:
        return ()
    if isinstance(error, ConfigError):
        return error.problems
    return (Problem("", None, "", str(error)),)
