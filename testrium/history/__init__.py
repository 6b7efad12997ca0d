"""Earlier runs of a project: their results, and how their figures developed.

    from testrium import history

    for run in history.runs(limit=5):
        print(run.run, run.verdict)
    for point in history.metrics("command.p95"):
        print(point.run, point.median, point.unit)

Every function reads the history of the project around `project` (a folder; by default the current
one). Where there is none yet, it is empty. All raise InfraError where it cannot be read, and
ConfigError where the project file is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testrium.history.queries import (
        accept,
        compare,
        export,
        find_run,
        flaky,
        machine_scores,
        metric_names,
        metrics,
        normalized_s,
        notices,
        results,
        runs,
        slow,
    )
    from testrium.history.rows import ResultRecord, RunRecord
    from testrium.history.trends import Change, Flaky, Point, Slow

__all__ = [
    "Change",
    "Flaky",
    "Point",
    "ResultRecord",
    "RunRecord",
    "Slow",
    "accept",
    "compare",
    "export",
    "find_run",
    "flaky",
    "machine_scores",
    "metric_names",
    "metrics",
    "normalized_s",
    "notices",
    "results",
    "runs",
    "slow",
]


def __getattr__(name: str) -> object:
    """Import the functions when one is used: a run only appends, and starts 10 ms earlier."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testrium.history import queries

    return getattr(queries, name)
