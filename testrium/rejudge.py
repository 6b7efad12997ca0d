"""Runs that are over: judged again with the rules as they are now, merged, asked what failed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from testrium.declared.groups import Scenario
from testrium.errors import ExitCode, InfraError, NoGroupsError, TestriumError, UsageError
from testrium.history import database
from testrium.history.rows import revision_of
from testrium.judging.group import after_tries, judged, quarantined, tried_again
from testrium.load import load_groups
from testrium.load.project import (
    find_project,
    given_properties,
    properties_given,
    state_folder,
)
from testrium.plan.scenarios import plan_scenarios, shard_of
from testrium.plan.selection import ResultKey, Selection
from testrium.record.runs import FOLDER, claimed, is_claimed, make_state_folder, new_run_id
from testrium.record.scenario import FILE, read_scenario, restored_scenario
from testrium.record.store import recover, recover_unread
from testrium.report.json_report import RUN_FILE
from testrium.report.stored import StoredReportError, read_report, read_run
from testrium.report.wording import label
from testrium.results import EXIT_CODES, GroupResult, RunResult, run_verdict
from testrium.retention import record_run
from testrium.session import DATABASE
from testrium.system.files import regular_text
from testrium.variables import env_names
from testrium.words import BAD_VERDICTS, Code, Verdict

#: The name of the folder of a further try: that of the first one, and its number.
_TRY = re.compile(r"(.*)~try([0-9]+)")


def verify_again(
    folder: Path, cwd: Path, *, stored_rules: Callable[[str], None] | None = None
) -> RunResult:
    """Judge a stored run with the rules of its groups as they are now.

    No unit is started: checks are made again, and tests marked `testing.verification` repeated.

    Args:
        folder: the run's.
        cwd: where the user is.
        stored_rules: where it is given, a group that is not here is judged with the rules that it
            had, and the report says so.

    Raises:
        ConfigError, UsageError: its groups are wrong or gone, or the run continues.
        InfraError: a store cannot be read, or the runner was killed before there was one.
    """
    finished = is_finished(folder)
    stored = read_run(folder) if finished else _unfinished(folder)
    assert stored.folder is not None
    results = []
    for old in stored.groups:
        if old.verdict is Verdict.SKIP or old.run_dir is None or not old.run_dir.is_dir():
            results.append(old)
            continue
        recover_unread(old.run_dir)
        if stored_rules is not None and not old.scenario.group.folder.is_dir():
            stored_rules(
                f"{old.scenario.id}: judged with the rules of that run;"
                f" {old.scenario.group.folder} is not on this machine"
            )
            scenario = restored_scenario(old.run_dir / FILE)
            result = judged(scenario, old.run_dir / DATABASE, stored.folder)
        else:
            with _as_if_set(old.run_dir / FILE), _with_its_properties(old.run_dir / FILE, cwd):
                now = _declared_now(old.scenario, cwd)
            scenario = now._replace(
                id=old.scenario.id,
                repeat=old.scenario.repeat,
                strict=_was_strict(old.run_dir / FILE),
            )
            result = judged(scenario, old.run_dir / DATABASE, stored.folder, anew=True)
        result = result._replace(duration_s=old.duration_s, run_dir=old.run_dir)
        result = after_tries(result, old.tries, fails=_was_failed_as_flaky(old))
        results.append(quarantined(result, find_project(cwd).quarantine))
    if not finished:
        results = _with_their_tries(results)
    verdicts = [result.verdict for result in results]
    if not finished:  # what else it would have run is unknown
        verdicts.append(Verdict.ERROR)
    verdict = run_verdict(tuple(verdicts))
    return stored._replace(groups=tuple(results), verdict=verdict, exit_code=EXIT_CODES[verdict])


def is_finished(folder: Path) -> bool:
    """Whether the runner has finished this run: it was not killed and is not running."""
    return (folder / RUN_FILE).exists()


def incomplete(folder: Path) -> str:
    """What is missing of an unfinished run, in words; "" for a finished one."""
    if is_finished(folder):
        return ""
    if is_claimed(folder):
        return f"run {folder.name} is still running: these are the results so far"
    return "the runner was killed: results that it had not started are missing here"


def _unfinished(folder: Path) -> RunResult:
    """A run whose runner was killed: what its units had emitted by then is recovered.

    Raises UsageError: it is still running. InfraError: no group had been begun.
    """
    if is_claimed(folder):
        raise UsageError(f"run {folder.name} is still running")
    groups = []
    for path in sorted(folder.rglob(FILE)):
        recover(path.parent)
        groups.append(GroupResult(read_scenario(path), Verdict.ERROR, run_dir=path.parent))
    if not groups:
        raise InfraError(f"run {folder.name} ended before any group was begun")
    return RunResult(
        run=folder.name,
        verdict=Verdict.ERROR,
        exit_code=EXIT_CODES[Verdict.ERROR],
        duration_s=0.0,
        groups=tuple(groups),
        folder=folder,
    )


def _with_their_tries(results: Iterable[GroupResult]) -> list[GroupResult]:
    """Results of an unfinished run: tries of one, which have folders of their own, are one result.

    Whether the last of them would have been tried again is unknown.
    """
    tries: dict[Path | None, list[tuple[int, GroupResult]]] = {}
    for result in results:
        folder, number = result.run_dir, 1
        if folder is not None and (found := _TRY.fullmatch(folder.name)) is not None:
            folder, number = folder.with_name(found[1]), int(found[2])
        tries.setdefault(folder, []).append((number, result))
    ordered = (sorted(several, key=itemgetter(0)) for several in tries.values())
    return [tried_again(last, [one for _, one in before]) for *before, (_, last) in ordered]


def _was_failed_as_flaky(old: GroupResult) -> bool:
    """Whether the run was started with --fail-on-flaky, as far as that matters."""
    return any(finding.code is Code.FLAKY for finding in old.judgement.findings)


def _was_strict(scenario_file: Path) -> bool:
    with suppress(InfraError):
        return read_scenario(scenario_file).strict
    return False


@contextmanager
def _as_if_set(scenario_file: Path) -> Iterator[None]:
    """Let a group be loaded whose run had variables that are not set here, nor needed to judge."""
    try:
        asked_for = env_names(regular_text(scenario_file))
    except (OSError, ValueError):  # the run's rules cannot be read: all that is missing is reported
        asked_for = frozenset()
    unset = asked_for - os.environ.keys()
    os.environ.update(dict.fromkeys(unset, ""))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


@contextmanager
def _with_its_properties(scenario_file: Path, cwd: Path) -> Iterator[None]:
    """Let a group be loaded with the properties of its run, but for those given anew by `-X`."""
    known = find_project(cwd).properties.keys()
    values = read_scenario(scenario_file).values
    stored = {
        name: text
        for whole, text in values.items()
        if (name := whole.removeprefix("property.")) != whole and name in known
    }
    with properties_given({**stored, **given_properties()}):
        yield


def _declared_now(old: Scenario, cwd: Path) -> Scenario:
    """What the files of a stored scenario say today."""
    project = find_project(cwd)._replace(lacks=())  # nothing is run
    groups = load_groups((old.group.folder,), cwd=cwd, project=project)
    for scenario in plan_scenarios(groups, Selection(all_modes=True), repeat=0):
        if scenario.mode == old.mode and scenario.params == old.params:
            return scenario
    raise UsageError(
        f"{old.id} in mode {old.mode} cannot be judged again: the group no longer has it"
    )


def failed_results(cwd: Path) -> frozenset[ResultKey]:
    """What did not pass when it was last run, for each result of the history.

    Raises:
        NoGroupsError: nothing failed in it, or there is none.
        InfraError: the history cannot be read.
    """
    state = state_folder(cwd)
    if not (state / database.FILE).exists():
        raise NoGroupsError("--failed: no earlier run is kept")
    with database.History(state) as history:
        last = history.last_run()
        if last is None:
            raise NoGroupsError("; ".join(("--failed: no earlier run is kept", *history.notices)))
        rows = history.latest_results()
    failed = {
        ResultKey.of((state.parent / row.folder).resolve(), row.mode, row.params)
        for row in rows
        if row.verdict in BAD_VERDICTS
    }
    with suppress(StoredReportError):  # removed. Groups without save-metrics are only in there
        failed |= {
            ResultKey.of(one.scenario.group.folder, one.scenario.mode, one.scenario.params)
            for one in read_report(state / FOLDER / last.run / RUN_FILE).groups
            if one.verdict in BAD_VERDICTS
        }
    if not failed:
        raise NoGroupsError("--failed: everything passed when it was last run")
    return frozenset(failed)


def merge_runs(
    folders: Sequence[Path],
    cwd: Path,
    *,
    command_line: tuple[str, ...],
    notice: Callable[[str], None],
) -> RunResult:
    """Make one run of several that had a part of the groups each, as if they had been run at once.

    The folders of groups are copied into the new run, its report is written, and it is appended to
    the history. Durations of groups are theirs; that of the run is the sum of the runs'.

    Raises:
        UsageError: a part is missing, a result is in two of them, or a run is not over.
        StoredReportError: a report cannot be read.
        InfraError: the new run's folder cannot be written.
    """
    runs = [_ended_run(folder) for folder in folders]
    _check_parts(runs)
    state = state_folder(cwd)
    folder = state / FOLDER / new_run_id()
    try:
        make_state_folder(state)
        folder.mkdir(mode=0o700, parents=True)
        with claimed(folder):
            groups = [_copied(one, run, folder, state.parent) for run in runs for one in run.groups]
    except OSError as error:
        raise InfraError(f"cannot make the run folder {folder}: {error}") from error
    # A group is in one part as a whole: its modes and combinations keep their declared order.
    groups.sort(key=lambda one: (one.scenario.group.order, one.scenario.id.partition("[")[0]))
    verdict = run_verdict(tuple(run.verdict for run in runs))
    ended_by = next((run.exit_code for run in runs if run.exit_code in _INTERRUPTED), None)
    result = RunResult(
        run=folder.name,
        verdict=verdict,
        exit_code=ended_by or EXIT_CODES[verdict],
        duration_s=sum(run.duration_s for run in runs),
        groups=tuple(groups),
        folder=folder,
        started_wall=min(run.started_wall for run in runs),
    )
    record_run(result, state, command_line=command_line, revision=revision_of(cwd), notice=notice)
    return result


_INTERRUPTED = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


def _ended_run(folder: Path) -> RunResult:
    if not is_finished(folder):
        raise UsageError(f"run {folder.name} has not finished: see testrium verify")
    return read_run(folder)


def _check_parts(runs: Sequence[RunResult]) -> None:
    """Raise UsageError where these are not the parts of one run."""
    if twice := [run.run for run in runs if sum(one.run == run.run for one in runs) > 1]:
        raise UsageError(f"run {twice[0]} is named twice")
    seen: dict[tuple[object, ...], str] = {}
    for run in runs:
        for one in run.groups:
            params = frozenset(one.scenario.params.items())
            key = (one.scenario.id, one.scenario.mode, params, one.scenario.repeat)
            if (first := seen.setdefault(key, run.run)) != run.run:
                raise UsageError(f"{label(one.scenario)} is in run {first} and in run {run.run}")
    try:
        shards = sorted({shard_of(run.shard) for run in runs if run.shard})
    except ValueError as error:
        raise UsageError(f"shard of a run: {error}") from error
    if len({shard.total for shard in shards}) > 1:
        raise UsageError(f"these are shards of different runs: {', '.join(map(str, shards))}")
    if shards:
        total = shards[0].total
        parts = set(range(1, total + 1)) - {shard.part for shard in shards}
        if missing := ", ".join(f"{part}/{total}" for part in sorted(parts)):
            raise UsageError(f"shard {missing} is missing: merge all shards of a run at once")


def _copied(one: GroupResult, run: RunResult, folder: Path, base: Path) -> GroupResult:
    """The result with a copy of its folder in the merged run, and with its group as it is here."""
    scenario = one.scenario
    group_folder = scenario.group.folder
    here = base / scenario.id.partition("[")[0]
    if not group_folder.is_dir() and here.is_dir():  # it was run on another machine
        group_folder = here
    group = replace(scenario.group, folder=group_folder)
    place = one.run_dir
    if place is None or run.folder is None or not place.is_dir():
        return one._replace(scenario=scenario._replace(group=group), run_dir=None)
    with suppress(OSError, ValueError, TestriumError):
        group = replace(group, order=read_scenario(place / FILE).group.order)
    name, number = place.relative_to(run.folder), 1
    target = folder / name
    while target.exists():
        number += 1
        target = folder / name.with_name(f"{name.name}~{number}")
    for above in reversed(target.relative_to(folder).parents[:-1]):
        (folder / above).mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(place, target, symlinks=True)
    return one._replace(scenario=scenario._replace(group=group), run_dir=target)
