"""From groups to the scenarios that are run, in their order. Nothing is started here."""

from __future__ import annotations

from testrium.plan.order import CycleError, start_order
from testrium.plan.scenario import Machine, missing_requirement, plan_scenarios
from testrium.plan.selection import Selection, select

__all__ = [
    "CycleError",
    "Machine",
    "Selection",
    "missing_requirement",
    "plan_scenarios",
    "select",
    "start_order",
]
