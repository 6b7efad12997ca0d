"""What earlier runs of a group came to: the figures that a regression is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.record.history import FILE, GLANCE_S, History
from testrium.record.machine_class import machine_class

#: So many earlier results are looked at: enough for the noise, and few enough to forget old times.
LATEST = 30

#: Name and unit of a figure -> its earlier values, the latest first.
Baseline = Mapping[tuple[str, str], tuple[float, ...]]


def read_baseline(state_folder: Path, scenario: Scenario, run: str) -> Baseline:
    """Figures of the latest comparable results before `run`.

    Comparable is what passed, of the same group, mode, parameters and class of machine, and later
    than what `testrium history accept` said. {} where there is no history, or it cannot be read:
    that is told when the run is appended.
    """
    if not (state_folder / FILE).exists():
        return {}
    machine = machine_class() if scenario.group.save_scores else None
    try:
        with History(state_folder, wait_s=GLANCE_S) as history:
            rows = history.figures_before(
                run,
                folder=scenario.group.folder,
                mode=scenario.mode,
                params=scenario.params,
                machine=machine,
                latest=LATEST,
            )
    except InfraError:
        return {}
    found: dict[tuple[str, str], list[float]] = {}
    for name, unit, value in rows:
        found.setdefault((name, unit), []).append(value)
    return {figure: tuple(values) for figure, values in found.items()}
