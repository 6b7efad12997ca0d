"""What stays of a run when it has ended: summaries, the report in its folder, the history.

The verdicts stand already: what cannot be kept is reported, and fails nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from testrium.errors import InfraError
from testrium.record.runs import discard_group, is_state_folder, prune
from testrium.results import GroupResult, RunResult
from testrium.words import BAD_VERDICTS

if TYPE_CHECKING:
    from testrium.history.rows import Revision

#: Runs are kept until there are more than this.
KEPT_RUNS = 50

#: Which groups' folders stay.
Keep = Literal["all", "failed", "none"]


def keep_group(
    result: GroupResult, run_folder: Path, *, keep: Keep, cwd: Path, notice: Callable[[str], None]
) -> GroupResult:
    """Write the summaries into the group's folder, as `save-resume` asks, or remove it."""
    from testrium.report import group_text, json_report
    from testrium.report.masking import without_values

    assert result.run_dir is not None
    if keep == "none" or (keep == "failed" and result.verdict not in BAD_VERDICTS):
        discard_group(run_folder, result.run_dir)
        return result._replace(run_dir=None)
    if not result.scenario.group.save_resume:
        return result
    stored = without_values(result)
    try:
        json_report.write_group(stored, result.run_dir / json_report.GROUP_FILE)
        group_text.write_summary(stored, result.run_dir / group_text.SUMMARY_FILE, cwd=cwd)
    except InfraError as error:
        notice(str(error))
    return result


def record_run(
    result: RunResult,
    state: Path,
    *,
    command_line: tuple[str, ...],
    revision: Revision | None,
    notice: Callable[[str], None],
) -> None:
    """Write the report into the run's folder, append to the history, remove the oldest runs."""
    from testrium.history.database import append_run
    from testrium.report import json_report
    from testrium.report.masking import without_values

    assert result.folder is not None
    place = result.folder / json_report.RUN_FILE
    result = result._replace(groups=tuple(map(without_values, result.groups)))
    try:
        json_report.write_report(result, place)
    except InfraError as error:
        notice(str(error))
    for told in append_run(state, result, command_line=command_line, revision=revision):
        notice(told)
    if any(one.scenario.group.save_scores for one in result.groups):
        from testrium.history.machine import note_score

        with contextlib.suppress(InfraError):  # an append that failed is reported already
            note_score(state, result.run)
    if is_state_folder(state):
        prune(state, keep=KEPT_RUNS)
