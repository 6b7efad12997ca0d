"""From groups to scenarios: one result to be for every combination, mode and repeat."""

from __future__ import annotations

import contextlib
import graphlib
import heapq
import itertools
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

from testrium.declared.groups import HOST_REQUIREMENT, Combination, Group, Scenario
from testrium.declared.units import Unit, exit_code_of
from testrium.errors import TestriumError
from testrium.plan.selection import Selection, combinations_of, select
from testrium.statistics import median
from testrium.tuples import NamedTuple
from testrium.variables import VariableError, as_text, env_names, substitute


class CycleError(TestriumError):
    """Units depend on each other in a circle; `members` are those that cannot start."""

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__(f"these units wait for each other: {', '.join(members)}")
        self.members = members


def start_order(units: Iterable[Unit]) -> tuple[Unit, ...]:
    """The enabled units, every one behind all that it depends on; ties by `init`, then as given.

    Of the units that could start next, the one with the lowest `init` does. Dependencies on units
    that are not among them do not count.

    Raises:
        CycleError: some units wait for each other.
    """
    entries = {  # the index makes every entry comparable
        unit.name: (unit.init, index, unit) for index, unit in enumerate(units) if unit.enabled
    }
    sorter = graphlib.TopologicalSorter(
        {name: entries.keys() & unit.dependencies for name, (_, _, unit) in entries.items()}
    )
    with contextlib.suppress(graphlib.CycleError):  # all that are in no circle come nevertheless
        sorter.prepare()
    free: list[tuple[int, int, Unit]] = []
    order: dict[str, Unit] = {}
    while True:
        for name in sorter.get_ready():
            heapq.heappush(free, entries[name])
        if not free:
            break
        unit = heapq.heappop(free)[2]
        order[unit.name] = unit
        sorter.done(unit.name)
    if members := [name for name in entries if name not in order]:
        raise CycleError(tuple(members))
    return tuple(order.values())


_PYTHON = "python:"

_NODE = "node:"

_UNSAFE = r"[^A-Za-z0-9_.-]+"

_UNSAFE_IN_SUFFIX = r"[^A-Za-z0-9_.,=\[\]-]+"

#: With the suffix of a combination, the mode and numbers it stays a file name (255 bytes).
_NAME_LENGTH = 100

#: The run's own files, which no group's folder may be.
_NAMES_OF_THE_RUN = frozenset({"report.json", "coverage", "fixtures"})


def _program_exists(name: str, folders: Sequence[str] = ()) -> bool:
    """Whether a program is on PATH, or in one of the folders where given."""
    return shutil.which(name, path=os.pathsep.join(folders) if folders else None) is not None


def _module_exists(name: str, folders: Sequence[str] = ()) -> bool:
    """Look a module up without importing the packages around it, as `find_spec` alone would do.

    It is looked for in the folders where some are given, else where Python looks.
    """
    import importlib.util

    if name in sys.modules:  # `os.path` is a module in no package
        return True
    top, *rest = name.split(".")
    try:
        spec = PathFinder.find_spec(top, folders) if folders else importlib.util.find_spec(top)
    except ValueError:  # loaded in an unusual way: it is there
        return True
    path = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        path = f"{path}.{part}"
        spec = PathFinder.find_spec(path, spec.submodule_search_locations)
    # A folder of data beside the group's code is not a package, though Python takes it for one.
    return spec is not None and not (folders and spec.origin is None)


def _own_folders(group: Group, variable: str) -> list[str]:
    """The folders in a variable of `[env]`, of the group or the project; those that are known."""
    folders = []
    for text in group.env.get(variable, "").split(os.pathsep):
        with contextlib.suppress(VariableError):
            folders.append(substitute(text, {"group.dir": str(group.folder)}.__getitem__))
    return [folder for folder in folders if folder]


def _package_exists(name: str, folder: Path) -> bool:
    """Whether Node finds a package from a folder: in a `node_modules` there, above, or elsewhere.

    Source: https://nodejs.org/api/modules.html#loading-from-node_modules-folders
    """
    places = [above / "node_modules" for above in (folder, *folder.parents)]
    places += [Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path]
    return any((place / name / "package.json").is_file() for place in places)


class Machine(NamedTuple):
    """What the machine offers: which programs are on PATH, which Python modules can be found."""

    has_program: Callable[[str], bool] = _program_exists
    has_module: Callable[[str], bool] = _module_exists


THIS_MACHINE = Machine()


def plan_scenarios(
    groups: Iterable[Group],
    selection: Selection = Selection(),  # noqa: B008 - frozen, so it can be shared
    *,
    repeat: int | None = None,
    strict: bool = False,
    machine: Machine = THIS_MACHINE,
) -> tuple[Scenario, ...]:
    """All results to be, by order and id of their groups, then by combination, mode and repeat.

    Args:
        groups: the loaded groups.
        selection: which of them are run.
        repeat: how many extra runs of each, in place of `Configs.repeat`.
        strict: whether a missing requirement is an error and not a reason to skip.
        machine: where requirements are looked for.

    Raises:
        UsageError: the selection cannot be understood.
    """
    chosen = select(tuple(groups), selection)
    scenarios = [
        scenario
        for group in sorted(chosen, key=lambda group: (group.order, group.id))
        for scenario in _scenarios_of(group, repeat, machine, strict=strict)
        if selection.wants(scenario)
    ]
    return _with_unique_folders(scenarios)


def missing(name: str, machine: Machine, group: Group) -> str | None:
    """Why an entry of `requires` is not met, or None: no such program, module or package.

    What the group's processes find by their PATH and PYTHONPATH is there. Packages of Node are
    looked for as Node does from the group's folder. Whether a host is reached is known only once
    the group runs.
    """
    if name.startswith(HOST_REQUIREMENT):
        return None
    if name.startswith(_NODE):
        there = _package_exists(name.removeprefix(_NODE).strip(), group.folder)
        return None if there else "no such package of Node"
    if name.startswith(_PYTHON):
        module = name.removeprefix(_PYTHON).strip()
        folders = [str(group.folder), *_own_folders(group, "PYTHONPATH")]
        there = machine.has_module(module) or _module_exists(module, folders)
        return None if there else "no such Python module"
    folders = _own_folders(group, "PATH")
    there = machine.has_program(name) or bool(folders and _program_exists(name, folders))
    return None if there else "not found on PATH"


def missing_requirement(group: Group, machine: Machine) -> str | None:
    """Why this machine cannot run the group, naming the first thing that `requires` lacks."""
    for name in group.requires:
        if reason := missing(name, machine, group):
            return f"requires {name}: {reason}"
    return None


def _scenarios_of(
    group: Group, repeat: int | None, machine: Machine, *, strict: bool
) -> Iterator[Scenario]:
    skip = group.skip if group.enabled else "disabled (enabled = false)"
    if not skip and not group.test_modules and not any(unit.enabled for unit in group.units):
        skip = "all of its units are disabled"
    unmet = "" if skip else missing_requirement(group, machine) or ""
    units = start_order(_with_fixtures(group))
    hidden = tuple(sorted(env_names((group, units))))
    for combination in combinations_of(group):
        variant = group.variants.get(combination.suffix)
        if variant is not None:
            yield from _scenarios_of(
                replace(variant, matrix=(combination,)), repeat, machine, strict=strict
            )
            continue
        extra = group.repeat if repeat is None else repeat
        values = {f"property.{name}": text for name, text in group.properties.items()}
        values |= {f"param.{name}": as_text(each) for name, each in combination.values.items()}
        own = tuple(_with_exit_codes(unit, values) for unit in units)
        for mode in group.test_modes:
            for number in range(extra + 1):
                yield Scenario(
                    id=group.id + combination.suffix,
                    group=group,
                    units=own,
                    mode=mode,
                    params=combination.params,
                    repeat=number,
                    skip=skip or ("" if strict else unmet),
                    folder_name=_folder_name(group, combination, mode, number),
                    unmet=unmet if strict else "",
                    strict=strict,
                    values=values,
                    env_names=hidden,
                )


def _with_exit_codes(unit: Unit, values: Mapping[str, str]) -> Unit:
    """The unit with numbers where its `exit` names parameters of the matrix, or properties."""
    if not any(isinstance(code, str) and "${" in code for code in unit.exit):
        return unit
    codes = (
        exit_code_of(substitute(code, values.__getitem__)) if isinstance(code, str) else code
        for code in unit.exit
    )
    return replace(unit, exit=tuple(codes))


def _with_fixtures(group: Group) -> tuple[Unit, ...]:
    """The group's units and its fixtures, on which each of them depends."""
    if not group.fixture_units:
        return group.units
    names = tuple(fixture.name for fixture in group.fixture_units)
    return (
        *group.fixture_units,
        *(replace(unit, dependencies=(*unit.dependencies, *names)) for unit in group.units),
    )


def _folder_name(group: Group, combination: Combination, mode: str, repeat: int) -> str:
    """The id as a path of safe names; mode and repeat as in `report.wording.label`."""
    suffix = re.sub(_UNSAFE_IN_SUFFIX, "-", combination.suffix)[:_NAME_LENGTH]
    if len(group.test_modes) > 1:
        suffix += f"@{mode}"
    if repeat:
        suffix += f"+{repeat}"
    return "/".join(map(_safe, group.id.split("/"))) + suffix


def _safe(name: str) -> str:
    """`name` as a file name on any system: no path, no hidden file."""
    return re.sub(_UNSAFE, "-", name).lstrip(".-")[:_NAME_LENGTH] or "group"


def _with_unique_folders(scenarios: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Number the folders that are the same, or that would lie in one another.

    Names that differ only in their case count as the same. The number follows the first name of
    the path, so it helps in both cases.
    """
    leaves, inner = set(_NAMES_OF_THE_RUN), set[str]()
    unique = []
    for scenario in scenarios:
        first, slash, rest = scenario.folder_name.partition("/")
        name, number = scenario.folder_name, 1
        while True:
            folded = name.casefold()
            above = {folded[:end] for end, char in enumerate(folded) if char == "/"}
            if folded not in leaves and folded not in inner and not above & leaves:
                break
            number += 1
            name = f"{first}~{number}{slash}{rest}"
        leaves.add(folded)
        inner |= above
        unique.append(scenario._replace(folder_name=name))
    return tuple(unique)


class Shard(NamedTuple):
    """Part `part` of `total`, from 1."""

    part: int
    total: int

    def __str__(self) -> str:
        return f"{self.part}/{self.total}"


def shard_of(text: str) -> Shard:
    """What `2/4` says. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.part <= shard.total:
        raise ValueError(f"expected I/N, as 1/4, with I from 1 to N, got {text[:40]!r}")
    return shard


def sharded(
    scenarios: Sequence[Scenario], shard: Shard, durations: Mapping[str, float]
) -> tuple[Scenario, ...]:
    """The part of a plan that one of several machines runs, in the plan's order.

    Results of one group stay together, as they share its folder. The longest group is given out
    first, to the shard that has least to do: each comes to the same parts if it knows the same.

    Args:
        durations: id -> seconds that it took before; what is unknown counts as the median.
    """
    usual_s = median(list(durations.values())) if durations else 1.0
    costs: dict[str, float] = {}
    for one in scenarios:
        cost_s = 0.0 if one.skip else durations.get(one.id, usual_s)
        costs[one.group.id] = costs.get(one.group.id, 0.0) + cost_s
    loads = [(0.0, 0, part) for part in range(1, shard.total + 1)]  # seconds, groups, shard
    mine = set()
    for id_ in sorted(costs, key=lambda id_: (-costs[id_], id_)):
        load_s, count, part = heapq.heappop(loads)
        heapq.heappush(loads, (load_s + costs[id_], count + 1, part))
        if part == shard.part:
            mine.add(id_)
    return tuple(one for one in scenarios if one.group.id in mine)


def longest_first(
    scenarios: Sequence[Scenario], durations: Mapping[str, float]
) -> tuple[Scenario, ...]:
    """Among those of one `order` the longest first, so side by side they end soonest.

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17 (1969).

    Args:
        scenarios: in their order; ties keep it.
        durations: id -> expected duration in seconds. What is not in it could take long, and is
            started first.
    """
    return tuple(
        sorted(
            scenarios,
            key=lambda each: (each.group.order, -durations.get(each.id, math.inf)),
        )
    )


def shuffled(scenarios: Sequence[Scenario], random: Callable[[], float]) -> tuple[Scenario, ...]:
    """In random order among those of one `order`; `random` is drawn from once for each."""
    return tuple(sorted(scenarios, key=lambda each: (each.group.order, random())))


def rounds(scenarios: tuple[Scenario, ...], most: int | None) -> Iterator[tuple[Scenario, ...]]:
    """The scenarios again and again, `most` times (None: without end), as repeats 0, 1, 2 …"""
    numbers = itertools.count() if most is None else range(most)
    for number in numbers:
        yield scenarios if number == 0 else tuple(_repeated(each, number) for each in scenarios)


def _repeated(scenario: Scenario, number: int) -> Scenario:
    return scenario._replace(repeat=number, folder_name=f"{scenario.folder_name}+{number}")
