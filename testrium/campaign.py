"""`testrium chaos`: break a group by plans that are drawn, and find the smallest that breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from testrium.chaos import Plan, contains, moments, plans, smallest, targets
from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, UsageError
from testrium.evidence import Finding
from testrium.exploration import DrawnRuns
from testrium.record.reader import load_evidence
from testrium.results import GroupResult
from testrium.session import DATABASE, run_scenario
from testrium.words import Verdict

if TYPE_CHECKING:
    from testrium.chaos import Target
    from testrium.declared.faults import Chaos
    from testrium.load.project import Project
    from testrium.words import Place

#: Runs of a campaign are kept apart, in this folder of the state folder, outside the history.
FOLDER = "chaos"
#: How many plans are tried at most to find the smallest of one that broke the circuit.
TRIES = 40


class Trial(NamedTuple):
    """A plan that was tried. `number` counts from 1; 0 is the run with nothing broken."""

    number: int
    plan: Plan
    result: GroupResult

    @property
    def finding(self) -> Finding | None:
        """What is wrong first, apart from faults that never happened."""
        return self.result.judgement.first_besides({fault.name for fault in self.plan})

    @property
    def broke(self) -> bool:
        """Whether the circuit is broken, and not only the plan beside it."""
        return self.result.verdict is Verdict.FAIL and self.finding is not None

    @property
    def idle(self) -> bool:
        """Whether its faults are all still to happen."""
        return not self.result.faults


class Break(NamedTuple):
    """A plan that broke the circuit, and the smallest one that was found to do so.

    `smallest` is the last trial of it; None where the plan did not break it a second time.
    """

    trial: Trial
    smallest: Trial | None
    tries: int


class Watcher(Protocol):
    """Observes a campaign."""

    def began(self, baseline: Trial, found: tuple[Target, ...], seed: int) -> None: ...

    def tried(self, trial: Trial, known: Break | None) -> None: ...

    def broke(self, one: Break) -> None: ...


class Outcome(NamedTuple):
    """The result of a campaign. `tried` counts plans, without those of the search for smallest."""

    tried: int
    broken: int
    breaks: tuple[Break, ...]
    exit_code: ExitCode


class _InterruptedError(Exception):
    """The user has asked to stop."""

    def __init__(self, code: ExitCode) -> None:
        self.code = code


def run_campaign(asked: DrawnRuns, watcher: Watcher) -> Outcome:
    """Try plans, and shrink each that breaks the circuit in a new way.

    Raises:
        ConfigError, UsageError, NoGroupsError: nothing was started, or nothing can be broken.
        InfraError: the state folder cannot be written.
    """
    project, scenario, chaos = _scenario_of(asked)
    trials = _Trials(asked, project, scenario)
    breaks: list[Break] = []
    tried = broken = 0
    code: ExitCode | None = None
    try:
        found, afters = _prepared(trials, chaos, asked, watcher)
        drawn = plans(chaos, scenario.units, found, afters, asked.seed)
        for number, faults in zip(range(1, asked.number + 1), drawn, strict=False):
            trial = trials.run(faults, number)
            tried += 1
            broken += trial.broke
            known = next((one for one in breaks if _is_known(trial, one)), None)
            watcher.tried(trial, known)
            if trial.broke and known is None:
                breaks.append(trials.shrunk(trial))
                watcher.broke(breaks[-1])
            if trial.broke and asked.fail_fast:
                break
    except _InterruptedError as interrupted:
        code = interrupted.code
    code = code or (ExitCode.FAILURE if broken else ExitCode.SUCCESS)
    return Outcome(tried, broken, tuple(breaks), code)


def _scenario_of(asked: DrawnRuns) -> tuple[Project, Scenario, Chaos]:
    project, scenario = asked.scenario("a campaign is for")
    chaos = scenario.group.chaos
    if chaos is None:
        raise UsageError(
            f"{scenario.id} does not say what may be broken: config.toml needs a table [chaos]"
            ' with units = ["NAME"] or links = ["UNIT.PORT"]'
        )
    group = replace(scenario.group, faults=())
    apart = project._replace(state_folder=project.state_folder / FOLDER)
    return apart, scenario._replace(group=group), chaos


def _prepared(
    trials: _Trials, chaos: Chaos, asked: DrawnRuns, watcher: Watcher
) -> tuple[tuple[Target, ...], tuple[Place, ...]]:
    """Run the group with nothing broken; what can be broken then, and when."""
    baseline = trials.run((), 0)
    if baseline.result.verdict is not Verdict.PASS:
        finding = baseline.finding
        why = f": {finding.title}" if finding is not None else ""
        raise UsageError(
            f"{baseline.result.scenario.id} does not pass even with nothing broken{why}"
            f" (see: testrium run {asked.path})"
        )

    assert baseline.result.run_dir is not None
    events = load_evidence(baseline.result.run_dir / DATABASE).events
    found = targets(chaos, trials.scenario.units, events)
    if not found:
        raise UsageError(
            f"{baseline.result.scenario.id}: [chaos] allows nothing that could be broken:"
            f" {' and '.join(chaos.units)} emitted no probe at which something may be done"
        )
    watcher.began(baseline, found, asked.seed)
    return found, moments(events)


def _is_known(trial: Trial, one: Break) -> bool:
    """Whether a plan broke the circuit as the smallest of an earlier one does."""
    if not trial.broke or one.smallest is None or not contains(trial.plan, one.smallest.plan):
        return False
    ours, theirs = trial.finding, one.smallest.finding
    return ours is not None and theirs is not None and ours.code is theirs.code


class _Trials:
    """Runs plans, one after the other: they share the group's folder."""

    def __init__(self, asked: DrawnRuns, project: Project, scenario: Scenario) -> None:
        self.scenario = scenario
        self._project = project
        self._request = asked.request

    def run(self, faults: Plan, number: int) -> Trial:
        """Run the group under a plan. Raises _InterruptedError, InfraError."""
        group = replace(self.scenario.group, faults=faults)
        scenario = self.scenario._replace(group=group)
        result = run_scenario(self._request, self._project, scenario)
        if result.exit_code.is_interruption:
            raise _InterruptedError(result.exit_code)
        return Trial(number, faults, result.groups[0])

    def shrunk(self, trial: Trial) -> Break:
        """Search for the smallest plan that breaks the circuit, if the plan does so again."""
        last: dict[Plan, Trial] = {}
        count = 0

        def breaks(faults: Plan) -> bool:
            nonlocal count
            count += 1
            last[faults] = self.run(faults, trial.number)
            return last[faults].broke

        if not breaks(trial.plan):
            return Break(trial, None, count)
        found = smallest(trial.plan, breaks, tries=TRIES)
        return Break(trial, last[found], count)
