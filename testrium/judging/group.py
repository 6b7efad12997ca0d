"""From the evidence of a group to its result: the verdict, and where it is computed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from testrium.checks.patterns import TookTooLongError
from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.evidence import CheckResult, End, Evidence, Finding, UnitState
from testrium.judging.workers import GivenUpError, Worker
from testrium.load.project import KnownFailure
from testrium.record.reader import earlier_runs, gather_evidence, stderr_files
from testrium.results import FailedTry, GroupResult, Judgement
from testrium.run.supervisor.protocol import signal_number
from testrium.variables import EnvValues, env_names
from testrium.verify.correlations import average_latency_s, classic_correlations
from testrium.verify.instances import earlier_causes
from testrium.verify.judge import judge
from testrium.words import Code, Verdict

#: How many keys of one finding are kept: a report of a million lost keys can be opened.
MOST_KEYS = 8_000
MOST_CHARACTERS = 160_000


def judged(
    scenario: Scenario, database: Path, run_folder: Path, *, anew: bool = False
) -> GroupResult:
    """Verify one stored run; `anew` makes its checks again, as they are declared now,
    and repeats the tests that look at the stored run only.

    Raises InfraError if the store cannot be read.
    """
    evidence = gather_evidence(scenario, database)
    notes: tuple[Finding, ...] = ()
    if anew:
        from testrium.judging.checks import make_checks, repeat_verifications

        stored, notes = _checks_that_stay(scenario, evidence.checks)
        made = make_checks(scenario, database, stored=stored) if scenario.group.checks else None
        evidence = evidence._replace(
            checks=() if made is None else made.results,
            tests=repeat_verifications(scenario, database, evidence.tests),
        )
    if compares(scenario):
        from testrium.history.database import read_baseline

        baseline = read_baseline(run_folder.parent.parent, scenario, run_folder.name)
        evidence = evidence._replace(baseline=baseline)
    if evidence.ended_ns is None:
        evidence = evidence._replace(infra="the runner ended before the group did")
    evidence = _with_histories(scenario, evidence)
    judgement = judge(scenario, evidence)
    if any(finding.code is Code.PHANTOM for finding in judgement.findings):
        # Only a phantom can be a stale key; other findings need no old runs.
        causes = earlier_causes(scenario.group.circuits, earlier_runs(run_folder, database))
        judgement = judge(scenario, evidence._replace(earlier_causes=causes))
    judgement = judgement._replace(
        findings=tuple(map(_bounded, judgement.findings)),
        notes=(*map(_bounded, judgement.notes), *notes),
    )
    findings = judgement.findings + judgement.notes
    shown = {number for finding in findings for number in finding.events}
    return GroupResult(
        scenario,
        judgement.verdict,
        judgement=judgement,
        ends=evidence.ends,
        tests=evidence.tests,
        checks=evidence.checks,
        witnesses={event.id: event for event in evidence.events if event.id in shown},
        started_ns=evidence.started_ns,
        average_latency_s=average_latency_s(evidence.events),
        faults=evidence.faults,
    )


def _with_histories(scenario: Scenario, evidence: Evidence) -> Evidence:
    """The evidence, and what is wrong with the histories of the group."""
    if not scenario.group.histories:
        return evidence
    from testrium.judging.histories import judge_histories

    found = judge_histories(scenario, evidence.events)
    return evidence._replace(findings=(*evidence.findings, *found))


def _bounded(finding: Finding) -> Finding:
    """The finding with as many of its keys as a report holds, and their number."""
    kept, characters = 0, 0
    for key in finding.keys[:MOST_KEYS]:
        characters += len(key)
        if characters > MOST_CHARACTERS and kept:
            break
        kept += 1
    if kept == len(finding.keys):
        return finding
    return finding._replace(keys=finding.keys[:kept], key_count=len(finding.keys))


def _checks_that_stay(
    scenario: Scenario, stored: tuple[CheckResult, ...]
) -> tuple[dict[str, CheckResult], tuple[Finding, ...]]:
    """The stored results of checks that ask for variables which are not set here; and notes."""
    by_name = {result.name: result for result in stored}
    staying, notes = {}, []
    for check in scenario.group.checks:
        unset = sorted(env_names(check) - os.environ.keys())
        if unset and check.name in by_name:
            staying[check.name] = by_name[check.name]
            missing = ", ".join(f"${{env.{name}}}" for name in unset)
            message = f"not made again, its stored result stays: {missing} is not set here"
            notes.append(Finding(Code.CHECK, check.name, message))
    return staying, tuple(notes)


def compares(scenario: Scenario) -> bool:
    """Whether figures are compared with those of earlier runs."""
    return scenario.max_regression is not None or any(
        metric.max_regression is not None for metric in scenario.group.metrics
    )


def failed_runner(scenario: Scenario, error: InfraError) -> Judgement:
    """The judgement of a group that could not be run or judged."""
    return Judgement(
        Verdict.ERROR, (Finding(Code.INFRA, scenario.id, EnvValues(scenario).hidden(str(error))),)
    )


def tried_again(
    result: GroupResult, tries: Sequence[GroupResult], *, fails: bool = False
) -> GroupResult:
    """The last of several tries, with what is to be said of those before it: none has passed."""
    roots = [one.judgement.root for one in tries]
    earlier = tuple(
        FailedTry(one.verdict, one.duration_s, one.run_dir, root)
        for one, root in zip(tries, roots, strict=True)
    )
    return after_tries(result, earlier, fails=fails)


def after_tries(
    result: GroupResult, earlier: tuple[FailedTry, ...], *, fails: bool = False
) -> GroupResult:
    """A result before which others of the same failed.

    Where it passed it is `flaky`: a note, or with `fails` a finding.
    """
    result = result._replace(tries=earlier)
    if result.verdict is not Verdict.PASS or not earlier:
        return result
    first = earlier[0].finding
    why = f": {first.title}: {first.message}" if first else ""
    message = f"passed at try {len(earlier) + 1}; the first was {earlier[0].verdict}{why}"
    flaky = Finding(Code.FLAKY, result.scenario.id, message)
    judgement = result.judgement
    if not fails:
        return result._replace(judgement=judgement._replace(notes=(*judgement.notes, flaky)))
    judgement = judgement._replace(verdict=Verdict.FAIL, findings=(flaky,))
    return result._replace(verdict=Verdict.FAIL, judgement=judgement)


def quarantined(
    result: GroupResult, entries: Sequence[KnownFailure], today: date | None = None
) -> GroupResult:
    """The result, as an expected failure where each of its root causes is known until today."""
    if result.verdict is not Verdict.FAIL or not entries:
        return result
    counting = [one for one in entries if not _is_outdated(one, today)]
    roots = [one for one in result.judgement.findings if one.explained_by is None]
    known = [next((one for one in counting if _knows(one, result, root)), None) for root in roots]
    reasons = [one.rule.reason for one in known if one is not None]
    if not roots or len(reasons) < len(roots):
        return result
    first = roots[0]
    reason = f"quarantined, {first.title}: {'; '.join(dict.fromkeys(reasons))}"
    judgement = result.judgement._replace(verdict=Verdict.XFAIL)
    return result._replace(verdict=Verdict.XFAIL, judgement=judgement, reason=reason)


def idle_entries(
    entries: Sequence[KnownFailure], results: Sequence[GroupResult], today: date | None = None
) -> Iterator[str]:
    """What to say of entries of `[[quarantine]]` that do not count any more, or were not needed.

    Nothing of those whose group was not run.
    """
    for entry in entries:
        rule = entry.rule
        run = [one for one in results if _is_of(entry, one) and one.verdict is not Verdict.SKIP]
        about = f"{entry.place}: quarantine: {rule.code} of {rule.group}"
        if _is_outdated(entry, today):
            yield f"{about}: outdated, until = {rule.until} is over: it does not count; remove it"
        elif run and not any(
            _knows(entry, one, finding) for one in run for finding in _all_findings(one)
        ):
            yield f"{about}: unused, no such finding in this run; remove it if the fault is gone"


#: Findings about events, which no end of a unit has to come before.
_OF_EVENTS = (
    *(Code.UNKEYED, Code.CAUSALITY, Code.MISROUTED, Code.PHANTOM, Code.COLLISION, Code.DUPLICATE),
    *(Code.LOST, Code.MISSING, Code.MISMATCH, Code.ORDER, Code.REORDER, Code.FORBIDDEN),
    *(Code.LATE, Code.BUDGET, Code.STALE, Code.VACUOUS),
)


def _breaks_a_rule(scenario: Scenario, database: Path, _: None) -> bool:
    findings = judge(scenario, gather_evidence(scenario, database)).findings
    return any(finding.code in _OF_EVENTS for finding in findings)


def _all_findings(result: GroupResult) -> Iterator[Finding]:
    yield from result.judgement.findings
    yield from (one.finding for one in result.tries if one.finding is not None)


def _is_outdated(entry: KnownFailure, today: date | None) -> bool:
    until = entry.rule.until
    return until is not None and until < (today or datetime.now().astimezone().date())


def _is_of(entry: KnownFailure, result: GroupResult) -> bool:
    pattern, ids = entry.rule.group, {result.scenario.id, result.scenario.group.id}
    return pattern in ids or any(fnmatchcase(id_, pattern) for id_ in ids)


def _knows(entry: KnownFailure, result: GroupResult, finding: Finding) -> bool:
    place = entry.rule.where
    return (
        entry.rule.code == finding.code
        and (place is None or place == finding.where or fnmatchcase(finding.where, place))
        and _is_of(entry, result)
    )


def judging_weight(scenario: Scenario, database: Path) -> int:
    """The bytes that have to be read to judge a group: how long it takes depends on it."""
    files = [database]
    if scenario.group.rules.stderr == "forbid":
        files += stderr_files(scenario, database.parent).values()
    return sum(os.stat(file).st_size for file in files)  # noqa: PTH116 - takes no time


def classic_results(scenario: Scenario, database: Path, duration_s: float) -> Mapping[str, Any]:
    """The dictionary that a group's `tests_results` callback gets. Raises InfraError."""
    evidence = _with_histories(scenario, gather_evidence(scenario, database))
    judgement = judge(scenario, evidence)
    tests = [
        {"name": test.name, "passed": test.passed, "total_time": test.duration_s}
        for test in evidence.tests
    ]
    if details := _unit_processes(scenario, evidence.ends):
        unit_processes = {
            "name": "unit_processes",
            "passed": not judgement.missing and all(one["passed"] for one in details),
            "total_time": duration_s - sum(test.duration_s for test in evidence.tests),
            "details": details,
        }
        tests.insert(0, unit_processes)
    return {
        "duration": duration_s,
        "passed": judgement.verdict is Verdict.PASS,
        "tests_results": tests,
        "events_completed": [place._asdict() for place in judgement.completed],
        "events_missing": [place._asdict() for place in judgement.missing],
        "correlations": classic_correlations(evidence.events),
    }


def _unit_processes(scenario: Scenario, ends: tuple[End, ...]) -> list[dict[str, Any]]:
    """How the processes of the units ended, as 0.3.0 told its callbacks."""
    by_unit = {end.unit: end for end in ends}
    found = [by_unit[unit.name] for unit in scenario.units if unit.name in by_unit]
    return [
        {
            "name": end.unit,
            "passed": end.state in (UnitState.FINISHED, UnitState.STOPPED),
            "status": end.state.value,
            "exitcode": -signal_number(end.signal) if end.signal else end.exit_code,
        }
        for end in found
        if end.pid is not None or end.state is UnitState.FAILED
    ]


#: What has fewer bytes to read is judged in the runner's own loop: a process costs more.
INLINE_LIMIT = 2_000_000

#: What has fewer bytes to read is judged in some milliseconds. An empty Data.db has 86 000.
QUICK_LIMIT = 150_000

#: How long one check may hold up the loop (seconds of CPU time); then it is made beside it.
HURRY_S = 0.05

_T = TypeVar("_T")


def _is_judged_here(scenario: Scenario, database: Path, limit: int) -> bool:
    """Whether a group is judged in the runner's own loop: there are fewer bytes to read."""
    light = judging_weight(scenario, database) < limit
    return light and not scenario.group.histories  # whose search takes long, or runs user code


class GroupJudge:
    """Judges groups without holding up the runner's loop.

    Args:
        update_golden: whether checks rewrite the reference files that differ.
        notice: gets what to tell the user about that.
    """

    def __init__(self, *, update_golden: bool, notice: Callable[[str], None]) -> None:
        self._update_golden = update_golden
        self._notice = notice
        self._apart = Worker()
        self._idle: list[Worker] = []  # of those that make checks

    async def judge(self, scenario: Scenario, database: Path, folder: Path) -> GroupResult:
        """Verify what was recorded. Raises InfraError."""
        return await self._computed(scenario, database, judged, folder)

    def is_quick(self, scenario: Scenario, database: Path) -> bool:
        """Whether judging a group takes some milliseconds, as long as a process starts."""
        return _is_judged_here(scenario, database, QUICK_LIMIT)

    async def broken_so_far(self, scenario: Scenario, database: Path) -> bool:
        """Whether what was recorded breaks a rule about events, while the units are alive."""
        return await self._computed(scenario, database, _breaks_a_rule, None)

    async def results_so_far(
        self, scenario: Scenario, database: Path, duration_s: float
    ) -> Mapping[str, Any]:
        """What a group's `tests_results` callback gets. Raises InfraError."""
        return await self._computed(scenario, database, classic_results, duration_s)

    async def check(
        self, scenario: Scenario, database: Path, *, may_rewrite: bool, given_up: asyncio.Event
    ) -> tuple[CheckResult, ...] | None:
        """Make the checks of a group; None once `given_up` is set. Raises InfraError.

        Those of other groups go on beside it: a plugin may wait for long.
        `may_rewrite`: nothing else has failed, so what came out may become a reference.
        """
        from testrium.judging.checks import make_checks, weight

        rewrite = self._update_golden and any(one.golden for one in scenario.group.checks)
        if rewrite and not may_rewrite:
            rewrite = False
            self._notice(f"{scenario.id}: it failed: its reference files are not rewritten")
        foreign = any(check.calls_plugin for check in scenario.group.checks)
        if not rewrite and not foreign and weight(scenario, database) < INLINE_LIMIT:
            with suppress(TookTooLongError):
                return make_checks(scenario, database, limit_s=HURRY_S, hurried=True).results
        apart = self._idle.pop() if self._idle else Worker()
        try:
            made = await apart.run(
                partial(make_checks, scenario, database, update_golden=rewrite),
                f"makes the checks of {scenario.id}",
                given_up,
            )
        except GivenUpError:
            return None
        finally:
            self._idle.append(apart)
        for notice in made.notices:
            self._notice(notice)
        return made.results

    async def _computed(
        self,
        scenario: Scenario,
        database: Path,
        judge: Callable[[Scenario, Path, Any], _T],
        argument: Any,
    ) -> _T:
        if _is_judged_here(scenario, database, INLINE_LIMIT):
            return judge(scenario, database, argument)
        work = partial(judge, scenario, database, argument)
        return await self._apart.run(work, f"judges {scenario.id}")
