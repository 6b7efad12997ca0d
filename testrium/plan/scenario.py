"""From groups to scenarios: one result to be for every mode and repeat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from testrium.model import Group, Scenario
from testrium.plan.order import start_order
from testrium.plan.selection import Selection, select

_PYTHON = "python:"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
#: Leaves room for the mode, the repeat and a number in a file name of at most 255 bytes.
_NAME_LENGTH = 100


def _program_exists(name: str) -> bool:
    import shutil

    return shutil.which(name) is not None


def _module_exists(name: str) -> bool:
    """Look a module up without importing the packages around it, as `find_spec` alone would do."""
    import importlib.util
    from importlib.machinery import PathFinder

    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # loaded in an unusual way: it is there
        return True
    path = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        path = f"{path}.{part}"
        spec = PathFinder.find_spec(path, spec.submodule_search_locations)
    return spec is not None


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine offers: which programs are on PATH, which Python modules can be found."""

    has_program: Callable[[str], bool] = _program_exists
    has_module: Callable[[str], bool] = _module_exists


def plan_scenarios(
    groups: Iterable[Group],
    selection: Selection = Selection(),  # noqa: B008 - frozen, so it can be shared
    *,
    repeat: int | None = None,
    machine: Machine = Machine(),
) -> tuple[Scenario, ...]:
    """All results to be, by order and id of their groups, then by mode and repeat.

    Args:
        groups: the loaded groups.
        selection: which of them are run.
        repeat: how many extra runs of each, in place of `Configs.repeat`.
        machine: where requirements are looked for.

    Raises:
        UsageError: the selection cannot be understood.
    """
    chosen = select(tuple(groups), selection)
    scenarios = [
        scenario
        for group in sorted(chosen, key=lambda group: (group.order, group.id))
        for scenario in _scenarios_of(group, repeat, machine)
    ]
    return _with_unique_folders(scenarios)


def missing_requirement(group: Group, machine: Machine) -> str | None:
    """Why this machine cannot run the group, naming the first thing that `requires` lacks."""
    for name in group.requires:
        if name.startswith(_PYTHON):
            module = name.removeprefix(_PYTHON).strip()
            if not machine.has_module(module):
                return f"requires {name}: no such Python module"
        elif not machine.has_program(name):
            return f"requires {name}: not found on PATH"
    return None


def _scenarios_of(group: Group, repeat: int | None, machine: Machine) -> Sequence[Scenario]:
    skip = _skip_reason(group, machine)
    units = start_order(group.units)
    extra = group.repeat if repeat is None else repeat
    several = len(group.test_modes) > 1
    return [
        Scenario(
            id=group.id,
            group=group,
            units=units,
            mode=mode,
            repeat=number,
            skip=skip,
            folder_name=(
                _safe(group.id) + (f"@{mode}" if several else "") + (f"+{number}" if number else "")
            ),
        )
        for mode in group.test_modes
        for number in range(extra + 1)
    ]


def _skip_reason(group: Group, machine: Machine) -> str:
    if not group.enabled:
        return "disabled (enabled = false)"
    return group.skip or missing_requirement(group, machine) or ""


def _safe(name: str) -> str:
    """`name` as a file name on any system: no path, no hidden file."""
    return _UNSAFE.sub("-", name).lstrip(".-")[:_NAME_LENGTH] or "group"


def _with_unique_folders(scenarios: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Number the folder names that several scenarios would share (`a/b` and `a-b`)."""
    taken: set[str] = set()
    unique = []
    for scenario in scenarios:
        name, number = scenario.folder_name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{scenario.folder_name}~{number}"
        taken.add(name.casefold())
        unique.append(replace(scenario, folder_name=name))
    return tuple(unique)
