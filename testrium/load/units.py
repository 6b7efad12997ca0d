"""The units of a group together: what depends on what, and the defaults that follow from it."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Container, Iterable, Mapping, Sequence

from testrium.declared.units import FIXTURE_PREFIX, LogProbe, Readiness, Unit
from testrium.load.document import did_you_mean
from testrium.load.python_code import PythonCode
from testrium.load.schema import READY_KINDS
from testrium.load.shape import Reading
from testrium.load.suites import check_suite, manual_steps
from testrium.load.unit_files import UnitFile
from testrium.loaded_by_name import SUITES
from testrium.words import EventType

#: How `Configs.requires` names a Python module.
PYTHON_REQUIREMENT = "python:"

_RESTARTING = ("Reload", "Resume-ALL")


def make_units(files: Sequence[UnitFile]) -> tuple[Unit, ...]:
    """The units with the defaults that depend on others, in the order of `Configs.units`."""
    needed = {name for file in files if file["enabled"] for name in file["dependencies"]}
    return tuple(_make_unit(file, is_needed=file.name in needed) for file in files)


def _make_unit(file: UnitFile, *, is_needed: bool) -> Unit:
    given = dict(file.reading.values)
    given["ready"] = _readiness(given["ready"])
    given["probes"] = tuple(map(_log_probe, given["probes"]))
    given["steps"] = manual_steps(file)
    if given["kind"] is not None:
        given["entrypoint"] = SUITES.get(given["kind"])  # else a plugin's
    if given["stop"] is None:
        given["stop"] = "runner" if is_needed else "self"
    if given["quiet"] is None:
        given["quiet"] = given["command"] is not None
    if given["restarts"] is None:
        given["restarts"] = 1 if given["in_except"] in _RESTARTING else 0
    return Unit(name=file.name, file=file.file, **given)


def _readiness(reading: Reading | None) -> Readiness | None:
    if reading is None:
        return None
    kind = next((kind for kind in READY_KINDS if reading[kind] is not None), None)
    match kind:
        case None:
            return None
        case "command" | "plugin":
            return Readiness("command", command=reading["command"] or ())
        case _:
            return Readiness(kind, reading[kind], reading["status"] or 200)


def _log_probe(reading: Reading) -> LogProbe:
    return LogProbe(
        pattern=reading["log"] or "",
        step=reading["step"] or "",
        type=EventType(reading["type"]),
        key=reading["key"],
        meta=reading["meta"],
    )


def check_units(files: Sequence[UnitFile], listed: Iterable[str]) -> None:
    """Note what is wrong with each unit and between them.

    Args:
        files: the units that could be read.
        listed: all names of `Configs.units`.
    """
    known = tuple(listed)
    by_name = {file.name: file for file in files}
    inits: dict[int, str] = {}
    for file in files:
        first = inits.setdefault(file["init"], file.name)
        if first != file.name and file["init"] is not None:
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
        spot = file.at("dependencies").at(index)
        if name == file.name:
            spot.wrong(f"unit {name} depends on itself")
        elif name not in known and name.startswith(FIXTURE_PREFIX):
            spot.wrong(
                f"{name!r} is a fixture, and all units start behind those of Configs.fixtures"
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
        if error := code.entrypoint_error(entrypoint, elsewhere=elsewhere):
            file.at("entrypoint").wrong(error)


def check_setup(files: Sequence[UnitFile], *, has_setup: bool) -> None:
    """Note every unit that waits for a setup.py which is not there."""
    for file in files:
        given = "use_setup" in file.reading.spots  # else it is a default, for groups that have one
        if given and file["use_setup"] and file["enabled"] and not has_setup:
            file.at("use_setup").notice("there is no setup.py to wait for in the group's folder")


def _check_restarts(file: UnitFile) -> None:
    if file["restarts"] and file["in_except"] not in _RESTARTING:
        file.at("restarts").notice(f"has no effect with in-except = {file['in_except']!r}")


def _check_readiness(file: UnitFile) -> None:
    ready = file["ready"]
    if ready is None:
        return
    kinds = [kind for kind in READY_KINDS if kind in ready.spots]
    if not kinds:
        ready.spot.wrong(f"must have one of: {', '.join(READY_KINDS)}")
    if "status" in ready.spots and "http" not in kinds:
        ready.at("status").wrong("belongs to 'http'")
    if kinds == ["log"] and not _has_process(file):
        ready.at("log").wrong("this unit has no output: it has neither entrypoint nor command")


def _check_probes(file: UnitFile) -> None:
    for probe in file["probes"]:
        if probe["type"] in ("Send", "Receive") and "key" not in probe.spots:
            probe.at("type").wrong(f"a {probe['type']} needs a key")
    if file["probes"] and not _has_process(file):
        file.at("probes").wrong("this unit has no output: it has neither entrypoint nor command")


def _has_process(file: UnitFile) -> bool:
    return any(file[field] is not None for field in ("entrypoint", "command", "kind"))


def _check_port_variables(files: Sequence[UnitFile]) -> None:
    """Two ports must not share the environment variable that tells them."""
    taken: dict[str, str] = {}
    for file in files:
        for index, port in enumerate(file["ports"]):
            variable = re.sub(r"[^A-Z0-9]", "_", f"{file.name}_{port}".upper())
            place = f"{file.name}:{port}"
            if (first := taken.setdefault(variable, place)) != place:
                file.at("ports").at(index).wrong(
                    f"shares the variable TESTRIUM_PORT_{variable} with the port {first!r}"
                )
