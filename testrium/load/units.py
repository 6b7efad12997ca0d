"""The units of a group: the files in `units/`, and what they mean together.

Suites of tests, checks by hand and plugins are units too.
"""

from __future__ import annotations

import contextlib
import graphlib
import os
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any, Final

from testrium.declared.groups import Configs, Group, Scenario
from testrium.declared.keys import field_named
from testrium.declared.units import (
    FIXTURE_PREFIX,
    KINDS,
    READY_KINDS,
    ManualStep,
    Unit,
)
from testrium.errors import Problem, UsageError
from testrium.load.discover import UNITS_FOLDER
from testrium.load.document import Document, ProblemCollector, Spot, read_document, shown_path
from testrium.load.python_code import PythonCode
from testrium.load.validate import Table, read
from testrium.loaded_by_name import PLUGIN_UNIT, SUITES
from testrium.phrases import did_you_mean
from testrium.plugins.in_unit import ready_command, unit_variables
from testrium.plugins.registry import Plugin, find_plugin, installed_plugins
from testrium.words import RESERVED_UNITS

#: How `Configs.requires` names a Python module.
PYTHON_REQUIREMENT = "python:"

#: Means every name of a port that cannot be read.
UNREAD: Final = "*"

_RESTARTING = ("Reload", "Resume-ALL")


#: Kind -> the key that it needs.
_NEEDED: Final = {"pytest": "paths", "unittest": "paths", "doctest": "paths", "manual": "steps"}
#: Key -> the kinds that have it.
_OWNERS: Final = {
    "paths": ("pytest", "unittest", "doctest"),
    "args": ("pytest",),
    "steps": ("manual",),
}
#: How long a group with a check by hand may take where nothing is said: people are slow.
_MANUAL_TIMEOUT_S: Final = 3600.0
_PYTEST: Final = "python:pytest"


class UnitFile(Table[Unit]):
    """A unit as its file says, before the other units are looked at."""

    __slots__ = ("file", "name")

    def __init__(self, name: str, file: str, reading: Table[Unit]) -> None:
        places = (reading.spot, reading.spots, reading.inherited)
        super().__init__(reading.value, *places, reading.wrong, reading.kept)
        self.name = name
        self.file = file

    def is_unread(self, field: str) -> bool:
        """Whether its file gives it unreadably: what follows from that is not reported."""
        return field in self.wrong

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of its ports, `UNREAD` where these are not known."""
        return (UNREAD,) if self.is_unread("ports") else self["ports"]


def read_unit_files(
    folder: Path,
    configs: Table[Configs],
    defaults: Mapping[str, Spot],
    cwd: Path,
    fill: Callable[[Document], Document] = lambda document: document,
) -> tuple[UnitFile, ...]:
    """The units of a group, in the order of `Configs.units`; what is wrong is noted.

    Args:
        folder: the group's folder.
        configs: the group's [Configs], which lists them.
        defaults: where a file says what holds for all units, by field.
        cwd: what file names in messages are relative to.
        fill: fills in what texts name before they are validated.
    """
    collector, names = configs.spot.collector, configs.value.unit_names
    try:
        present = _files_in(folder / UNITS_FOLDER)
    except OSError as error:
        shown = shown_path(folder / UNITS_FOLDER, cwd)
        collector.problem(shown, None, "", f"cannot be read: {error.strerror}")
        return ()
    if not is_listing(configs):
        names = tuple(sorted(present))
    for name in present.keys() - set(names):
        guess = did_you_mean(name, set(names) - present.keys())
        collector.problem(
            shown_path(present[name], cwd),
            None,
            "",
            f"is not listed in Configs.units{guess or f': add {name!r} to the list'}",
        )
    units = []
    for index, name in enumerate(names):
        if name in RESERVED_UNITS:
            configs.item("unit_names", index).wrong(
                f"{name!r} is reserved for Testrium's own unit of this name"
            )
        elif name not in present:
            guess = did_you_mean(name, present.keys() - set(names))
            configs.item("unit_names", index).wrong(
                f"the file {UNITS_FOLDER}/{name}.toml is missing"
                f"{guess or f': write it, or take {name!r} out of the list'}"
            )
        else:
            shown = shown_path(present[name], cwd)
            document = read_document(present[name], shown, collector)
            document = document and fill(document)
            if document and (found := read_only_table(document, name, collector)):
                table, spot = found
                units.append(UnitFile(name, document.name, read(Unit, table, spot, defaults)))
    return tuple(units)


def check_units_alone(
    folder: Path, defaults: Mapping[str, Spot], cwd: Path, collector: ProblemCollector
) -> None:
    """Note what is wrong in the unit files of a group whose config.toml cannot be read.

    Values with what config.toml may declare, `${param.size}`, are not looked at.
    """
    written: dict[str, list[str]] = {}

    def noted(document: Document) -> Document:
        written[document.name] = document.text.splitlines()
        return document

    own = ProblemCollector()
    configs = Table(Configs(), Spot(Document("", "", {}), (), own), {})
    check_units(read_unit_files(folder, configs, defaults, cwd, noted), unlisted_units(folder, ()))
    for problem in own.problems:
        line = "".join(written.get(problem.file, [])[(problem.line or 0) - 1 : problem.line])
        if "${param." not in line and "${property." not in line:
            collector.problem(*problem)


def is_listing(configs: Table[Configs]) -> bool:
    """Whether the group lists its units; where it does not, or wrongly, all files count."""
    return configs.gives("unit_names") or "unit_names" in configs.inherited


def unlisted_units(folder: Path, names: Collection[str]) -> tuple[str, ...]:
    """The units whose file is there and which `names` do not have."""
    try:
        return tuple(name for name in _files_in(folder / UNITS_FOLDER) if name not in names)
    except OSError:
        return ()


def _files_in(units: Path) -> dict[str, Path]:
    """The file of each unit by name, sorted. Raises OSError."""
    return {
        path.stem: path
        for path in sorted(units.iterdir())
        if path.suffix == ".toml" and not path.name.startswith(".")
    }


def read_only_table(
    document: Document, name: str, collector: ProblemCollector
) -> tuple[dict[str, Any], Spot] | None:
    """The one table of a unit's file, and its place; problems around it are noted.

    It is found even where its name is wrong, to find all mistakes.
    """
    whole = Spot(document, (), collector)
    tables = [key for key, value in document.data.items() if isinstance(value, dict)]
    title = name if name in tables else tables[0] if len(tables) == 1 else None
    if title is None:
        collector.problem(document.name, None, "", f'the table ["{name}"] is missing')
    elif title != name:
        whole.at(title).wrong(f'the table must be named like the file: ["{name}"]')
    for key in document.data:
        if key != title:
            whole.at(key).wrong(_unexpected(key, document.data[key], name))
    if title is None:
        return None
    document.main = (title,)
    return document.data[title], whole.at(title)


def _unexpected(key: str, value: Any, unit: str) -> str:
    """What is wrong with a second table in a unit's file, or with a key before the first one."""
    message = f'unexpected: ["{unit}"] is the only table of this file'
    field = field_named(Unit, key)
    if field is None:
        return message
    if not isinstance(value, dict | list):
        return f'unexpected here: write it below ["{unit}"]'
    header = f'["{unit}".{key}]'
    return f"{message}: write {f'[{header}]' if key == 'probes' else header}"


def make_units(files: Sequence[UnitFile]) -> tuple[Unit, ...]:
    """The units with the defaults that depend on others, in the order of `Configs.units`."""
    needed = {name for file in files if file["enabled"] for name in file["dependencies"]}
    return tuple(
        _make_unit(file, place, is_needed=file.name in needed) for place, file in enumerate(files)
    )


def _make_unit(file: UnitFile, place: int, *, is_needed: bool) -> Unit:
    unit = file.value
    decided: dict[str, Any] = {"name": file.name, "file": file.file, "steps": manual_steps(file)}
    given = {*file.spots, *file.inherited}
    if unit.kind is not None:
        decided["entrypoint"] = SUITES.get(unit.kind)  # else a plugin's
    if "init" not in given:
        decided["init"] = place
    if "stop" not in given:
        ends = any(ready.ended for ready in file["ready"])
        decided["stop"] = "runner" if is_needed and not ends else "self"
    if "quiet" not in given:
        decided["quiet"] = unit.command is not None
    if "restarts" not in given:
        decided["restarts"] = 1 if unit.in_except in _RESTARTING else 0
    return replace(unit, **decided)


def check_units(files: Sequence[UnitFile], listed: Iterable[str]) -> None:
    """Note what is wrong with each unit and between them; `listed` are all of `Configs.units`."""
    known = tuple(listed)
    by_name = {file.name: file for file in files}
    inits: dict[int, str] = {}
    for file in files:
        first = inits.setdefault(file["init"], file.name) if file.gives("init") else file.name
        if first != file.name:
            file.at("init").wrong(
                f"duplicate unit init index {file['init']}: {first} and {file.name}"
            )
        _check_dependencies(file, known, by_name)
        _check_restarts(file)
        _check_readiness(file)
        _check_probes(file)
        check_suite(file)
    _check_cycles(by_name)
    _check_port_variables(files)


def _check_dependencies(
    file: UnitFile, known: tuple[str, ...], by_name: Mapping[str, UnitFile]
) -> None:
    for index, name in enumerate(file["dependencies"]):
        spot = file.item("dependencies", index)
        if name == file.name:
            spot.wrong(f"unit {name} depends on itself")
        elif name not in known and name.startswith(FIXTURE_PREFIX):
            spot.wrong(
                f"{name!r} is a fixture: list it in Configs.fixtures, all units start after these"
            )
        elif name not in known:
            guess = did_you_mean(name, [each for each in known if each != file.name])
            spot.wrong(f"unit {file.name} depends on unknown unit {name}{guess}")
        elif file["enabled"] and name in by_name and not by_name[name]["enabled"]:
            spot.wrong(f"unit {file.name} depends on disabled unit {name}")


def _check_cycles(by_name: Mapping[str, UnitFile]) -> None:
    graph = {
        name: [each for each in file["dependencies"] if each in by_name and each != name]
        for name, file in by_name.items()
    }
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            # graphlib lists a cycle as each node before those that depend on it, the first again
            # at the end; turned round, it reads "a needs b".
            members = list(reversed(error.args[1]))[:-1]
            first = min(members, key=list(by_name).index)
            turn = members.index(first)
            members = [*members[turn:], *members[:turn], first]
            by_name[first].at("dependencies").wrong(f"cycle: {' -> '.join(members)}")
            graph[first] = [name for name in graph[first] if name != members[1]]
        else:
            return


def check_entrypoints(
    files: Sequence[UnitFile], code: PythonCode, env: Container[str], requires: Iterable[str]
) -> None:
    """Note every entrypoint that cannot be there.

    Args:
        files: the units of the group.
        code: the group's Python files.
        env: the variables that `[env]` sets; with PYTHONPATH modules may come from anywhere.
        requires: `Configs.requires`; what it names may be missing, and the group is skipped then.
    """
    required = {
        name.removeprefix(PYTHON_REQUIREMENT).partition(".")[0]
        for name in requires
        if name.startswith(PYTHON_REQUIREMENT)
    }
    for file in files:
        entrypoint = file["entrypoint"]
        if entrypoint is None:
            continue
        package = entrypoint.partition(":")[0].partition(".")[0]
        elsewhere = "PYTHONPATH" in env or "PYTHONPATH" in file["env"] or package in required
        elsewhere = elsewhere or file["host"] is not None
        if error := code.entrypoint_error(entrypoint, elsewhere=elsewhere):
            file.at("entrypoint").wrong(error)


def what_is_missing(group: Group, cwd: Path) -> Iterator[Problem]:
    """Programs and working folders of a group's units that are not on this machine."""
    if group.skip or not group.enabled:
        return
    for unit in group.units:
        if not unit.enabled or unit.host is not None:
            continue
        if problem := _lack_of_folder(unit, group, cwd):
            yield problem
            continue
        folder = group.folder / (unit.cwd or "")
        known = "${" not in (unit.cwd or "") and os.path.isdir(folder)  # noqa: PTH112
        program = unit.command[0] if unit.command else ""
        if not program or "${" in program or program in group.requires:
            continue
        if "/" in program:
            is_there = not known or os.path.exists(folder / program)  # noqa: PTH110
        else:
            paths = (unit.env.get("PATH") or group.env.get("PATH"), None)
            is_there = any(which(program, path=path) for path in paths) or "${" in (paths[0] or "")
        if not is_there:
            why = "no such program"
            if "/" not in program:
                guess = did_you_mean(program, _programs(), 0.8)
                why += f" on PATH{guess or ': install it, or name it in Configs.requires'}"
            yield _missing(unit, cwd, "command", f"{program!r}: {why}")


def _lack_of_folder(unit: Unit, group: Group, cwd: Path) -> Problem | None:
    """That the working folder of a unit is not there, and nothing in its group can make it."""
    if not unit.cwd or "${" in unit.cwd:
        return None
    # Path.is_dir raises for a name that is too long.
    if os.path.isdir(group.folder / unit.cwd):  # noqa: PTH112
        return None
    if group.has_setup or group.fixture_units or unit.dependencies:  # these may make it
        return None
    why = f"{unit.cwd!r}: no such folder: make it, or give a path below the group's folder"
    return _missing(unit, cwd, "cwd", why)


def folders_never_made(scenarios: Sequence[Scenario], cwd: Path) -> Iterator[Problem]:
    """Working folders in a group's own that are not there, and that will not be when it runs.

    What lies elsewhere, another group may make, and one of a lower order may make any.
    """
    first = min((one.group.order for one in scenarios), default=0)
    for scenario in scenarios:
        group = scenario.group
        if scenario.skip or scenario.unmet or group.order > first:
            continue
        for unit in group.units:
            if unit.enabled and unit.host is None and unit.cwd and ".." not in Path(unit.cwd).parts:
                is_inside = not Path(unit.cwd).is_absolute()
                if is_inside and (problem := _lack_of_folder(unit, group, cwd)):
                    yield problem


def _missing(unit: Unit, cwd: Path, key: str, message: str) -> Problem:
    """A problem at a key of a unit's file."""
    document = read_document(cwd / unit.file, unit.file, ProblemCollector())
    tables = document.data if document else ()
    lines = (document.line((table, key)) for table in tables if document)
    return Problem(unit.file, next(filter(None, lines), None), key, message)


def _programs() -> set[str]:
    found: set[str] = set()
    for folder in os.get_exec_path():
        with contextlib.suppress(OSError):
            found.update(each.name for each in Path(folder).iterdir())
    return found


def check_hosts(files: Sequence[UnitFile], known: Collection[str]) -> tuple[str, ...]:
    """The hosts that enabled units name; what does not work on another host is noted."""
    used: dict[str, None] = {}
    for file in files:
        host = file["host"]
        if host is None:
            continue
        where = f"a unit on another host (host = {host!r})"
        if host not in known:
            guess = did_you_mean(host, known)
            file.at("host").wrong(
                f"unknown host {host!r}{guess or f': add [hosts.{host}] to config.toml'}"
            )
        elif file["enabled"]:
            used[host] = None
        if not has_process(file):
            file.at("host").wrong("this unit has no process: it has neither entrypoint nor command")
        if file["kind"] is not None:
            file.at("kind").wrong(f"does not work for {where}: give it an entrypoint or a command")
        for ready in file.inners("ready"):
            if "plugin" in ready.spots:
                ready.at("plugin").wrong(f"does not work for {where}: use another kind of ready")
    return tuple(used)


def check_setup(files: Sequence[UnitFile], *, has_setup: bool) -> None:
    """Note every unit that waits for a setup.py which is not there."""
    for file in files:
        given = "use_setup" in file.spots  # else it is a default, for groups that have one
        if given and file["use_setup"] and file["enabled"] and not has_setup:
            file.at("use_setup").notice(
                "waits for setup.py, which is missing in the group's folder"
            )


def _check_restarts(file: UnitFile) -> None:
    if file["restarts"] and file["in_except"] not in _RESTARTING:
        file.at("restarts").notice(f"has no effect with in-except = {file['in_except']!r}")


def _check_readiness(file: UnitFile) -> None:
    for ready in file.inners("ready"):
        kinds = [kind for kind in READY_KINDS if kind in ready.spots]
        if not kinds:
            ready.spot.wrong(f"must have one of: {', '.join(READY_KINDS)}")
        if "status" in ready.spots and "http" not in kinds:
            ready.at("status").wrong("belongs to 'http'")
        if not has_process(file):
            lacks = "has neither entrypoint nor command"
            for key in ("log", "error"):
                if key in ready.spots:
                    ready.at(key).wrong(f"this unit has no output: it {lacks}")
            if "ended" in ready.spots:
                ready.at("ended").wrong(f"this unit has no process: it {lacks}")


def _check_probes(file: UnitFile) -> None:
    for probe in file.inners("probes"):
        if probe["type"] in ("Send", "Receive") and "key" not in probe.spots:
            probe.at("type").wrong(f"a {probe['type']} needs a key")
        if "${" in (probe["step"] or ""):
            probe.at("step").wrong("must not hold '${': the step is one for all lines; use meta")
    if file["probes"] and not has_process(file):
        file.at("probes").wrong("this unit has no output: it has neither entrypoint nor command")


def has_process(file: UnitFile) -> bool:
    """Whether a unit has a process of its own, as far as its file can be read."""
    fields = ("entrypoint", "command", "kind")
    return any(file[field] is not None or file.is_unread(field) for field in fields)


def _check_port_variables(files: Sequence[UnitFile]) -> None:
    """Two ports must not share the environment variable that tells them."""
    taken: dict[str, str] = {}
    for file in files:
        for index, port in enumerate(file["ports"]):
            variable = re.sub(r"[^A-Z0-9]", "_", f"{file.name}_{port}".upper())
            place = f"{file.name}:{port}"
            if (first := taken.setdefault(variable, place)) != place:
                file.item("ports", index).wrong(
                    f"shares the variable TESTRIUM_PORT_{variable} with the port {first!r}"
                )


def check_suite(file: UnitFile) -> None:
    """Note what is wrong with the keys of a unit that have to do with its kind.

    Of a kind that may be a plugin only its steps are looked at: if it is none, the kind is what is
    wrong, and not the other keys.
    """
    kind = file["kind"]
    if (kind is None and not file.is_unread("kind")) or kind in SUITES:
        check_keys_of_kind(file)
    if kind in _NEEDED and _NEEDED[kind] not in file.spots:
        file.at("kind").wrong(f"a unit of kind {kind!r} needs {_NEEDED[kind]!r}")
    names = [step.name for step in manual_steps(file)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        file.at("steps").wrong(f"contains duplicate names: {', '.join(twice)}")


def check_keys_of_kind(file: UnitFile) -> None:
    """Note every key of a unit that belongs to another kind."""
    for key, owners in _OWNERS.items():
        if key in file.spots and file["kind"] not in owners:
            kinds = " or ".join(f"'{owner}'" for owner in owners)
            file.at(key).wrong(f"belongs to a unit of kind {kinds}")


def manual_steps(file: UnitFile) -> tuple[ManualStep, ...]:
    """The steps of a check by hand; one without a name has its number."""
    return tuple(
        step if step.name else replace(step, name=f"step-{number}")
        for number, step in enumerate(file["steps"], start=1)
    )


def check_suite_paths(files: Sequence[UnitFile], folder: Path) -> None:
    """Note every path of a suite that is not there; one with `${...}` is known only later."""
    for file in files:
        for index, text in enumerate(file["paths"] if file["kind"] in _OWNERS["paths"] else ()):
            # pytest takes a test's own name behind the file.
            path = text.partition("::")[0] if file["kind"] == "pytest" else text
            if "${" not in text and not (folder / path).exists():
                file.item("paths", index).wrong(f"{text!r}: no such file or folder")


def suite_settings(fields: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What settings of a group become where it has suites; `given` are those that a file says."""
    units: tuple[Unit, ...] = fields["units"]
    kinds = {unit.kind for unit in units if unit.enabled}
    changed: dict[str, Any] = {}
    if "pytest" in kinds and _PYTEST not in fields["requires"]:
        changed["requires"] = (*fields["requires"], _PYTEST)
    if "manual" in kinds:
        changed["exclusive"] = True  # nothing is written to the terminal between the questions
        if "timeout_s" not in given:
            changed["timeout_s"] = _MANUAL_TIMEOUT_S
    return changed


def plug_in(
    units: tuple[Unit, ...], files: Sequence[UnitFile], own: tuple[Plugin, ...]
) -> tuple[Unit, ...]:
    """The units of these files, those that use a plugin with what calls it.

    What is wrong is noted. `own` are the plugins of the project.
    """
    return tuple(_plugged(unit, file, own) for unit, file in zip(units, files, strict=True))


def _plugged(unit: Unit, file: UnitFile, own: tuple[Plugin, ...]) -> Unit:
    kind: str | None = file["kind"]
    if kind is not None and kind not in KINDS:
        plugin = found_plugin("units", kind, file.at("kind"), own, KINDS)
        if plugin is not None:
            check_keys_of_kind(file)
            env = {**unit.env, **unit_variables(plugin, unit.settings)}
            unit = replace(unit, kind=None, entrypoint=PLUGIN_UNIT, env=env)
    elif "settings" in file.spots:
        file.at("settings").wrong("belongs to a unit whose kind is a plugin")
    conditions = []
    for ready in file.inners("ready"):
        condition = ready.value
        if ready["plugin"] is not None:
            plugin = found_plugin("readiness", ready["plugin"], ready.at("plugin"), own, ())
            if plugin is not None:
                condition = replace(condition, command=ready_command(plugin, ready["settings"]))
        elif "settings" in ready.spots:
            ready.at("settings").wrong("belongs to 'plugin'")
        conditions.append(condition)
    return replace(unit, ready=tuple(conditions)) if conditions else unit


def found_plugin(
    kind: str, name: str, spot: Spot, own: tuple[Plugin, ...], builtin: Iterable[str]
) -> Plugin | None:
    """The plugin of this name; without one, note a problem and return None."""
    known = [*builtin, *(p.name for p in (*own, *installed_plugins(kind)) if p.kind == kind)]
    if name not in known:
        spot.wrong(f"must be one of: {', '.join(known) or 'no plugin'}{did_you_mean(name, known)}")
        return None
    try:
        return find_plugin(kind, name, own)
    except UsageError as error:  # two packages have one of this name
        spot.wrong(str(error))
        return None
