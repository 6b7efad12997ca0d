"""From groups to the scenarios that are run, in their order. Nothing is started here."""

from __future__ import annotations

from testrium.plan.scenarios import (
    CycleError,
    Machine,
    longest_first,
    missing_requirement,
    plan_scenarios,
    rounds,
    shuffled,
    start_order,
)
from testrium.plan.selection import ResultKey, Selection, select

__all__ = [
    "CycleError",
    "Machine",
    "ResultKey",
    "Selection",
    "longest_first",
    "missing_requirement",
    "plan_scenarios",
    "rounds",
    "select",
    "shuffled",
    "start_order",
]
