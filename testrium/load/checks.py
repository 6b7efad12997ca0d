"""What must hold beside circuits: the tables `[[checks]]`, `[metrics]` and `[[histories]]`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from testrium.checks import expression, values
from testrium.checks.comparison import check_normalizer
from testrium.checks.patterns import NotationError
from testrium.declared.checks import (
    CHECK_SUBJECTS,
    MODELS,
    NORMALIZERS,
    Check,
    Metric,
    OperationHistory,
    Source,
)
from testrium.declared.circuits import Circuit
from testrium.declared.keys import field_named
from testrium.declared.quantities import SIZE, duration_ns, is_number
from testrium.declared.units import Unit
from testrium.load.circuits import KnownPlaces
from testrium.load.document import Spot
from testrium.load.python_code import PythonCode
from testrium.load.texts import Scope, check_pattern, check_text, check_texts, enabled_ports
from testrium.load.units import UnitFile, found_plugin, has_process
from testrium.load.validate import Table, read, read_list
from testrium.phrases import did_you_mean
from testrium.plugins.registry import Plugin
from testrium.words import ANY, DURATION, OF_CIRCUIT, OF_HOP, OF_UNIT, hop_measure, is_measured

#: Reserved units whose output is complete when checks are made; teardown.py runs after them.
_LOGS_BESIDE = ("setup", "tests")

_PATTERNS = ("contains", "lacks", "sequence", "last")

_CONDITIONS = (*_PATTERNS, "counted", "equals", "equals_json", "extract", "expect", "golden")

_CHOICE = (
    ", ".join(("contains", *_CONDITIONS[1:])).replace("counted", "count").replace("_json", "-json")
)

#: What a key needs beside it, one of these.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "at": ("json",),
    "equals": ("json", "value"),
    "equals_json": ("json", "value"),
    "counted": ("contains",),
    "expect": ("extract", "json", "value"),
    "literal": _PATTERNS,
    "join": (*_PATTERNS, "extract"),
    "ignore": (*_PATTERNS, "extract", "golden"),
    "normalize": ("golden", "equals", "equals_json"),
    "unordered": ("golden",),
    "map": (*_PATTERNS, "extract", "golden"),
    "includes": ("golden",),
    "every": ("extract",),
    "encoding": ("file",),
}


def read_checks(
    spot: Spot,
    files: Sequence[UnitFile],
    environment: Iterable[str],
    params: Iterable[str],
    own: tuple[Plugin, ...] = (),
    fixtures: tuple[Unit, ...] = (),
    code: PythonCode | None = None,
) -> tuple[Check, ...]:
    """The `[[checks]]` tables; what is wrong is noted.

    Args:
        spot: where the list stands.
        files: the units and the fixtures of the group.
        environment: the variables that `${env.NAME}` may name.
        params: the parameters of the matrix.
        own: the plugins of the project.
        fixtures: those of the group.
        code: its Python files, in which `map` is looked up.
    """
    enabled = {file.name for file in files if file["enabled"]}
    scope = Scope(
        enabled_ports(files),
        frozenset(environment),
        frozenset(params),
        needs=lambda: frozenset({*enabled, *_LOGS_BESIDE}),
        fixtures=fixtures,
    )
    checks: dict[str, Check] = {}
    for reading in read_list(Check, spot, "checks"):
        _check_unit(reading, files)
        _check_company(reading)
        _check_notation(reading, scope)
        check = _mapped(_plugged(reading, own), reading, code)
        if check.name and check.name in checks:
            reading.at("name").wrong(f"another check has the name {check.name!r}")
        checks[check.name] = check
    return tuple(checks.values())


def _plugged(reading: Table[Check], own: tuple[Plugin, ...]) -> Check:
    """The check, with the plugins that it names."""
    check = reading.value
    normalize = list(check.normalize)
    for index, one in enumerate(normalize):
        if one.name and one.name not in NORMALIZERS:
            spot = reading.item("normalize", index)
            plugin = found_plugin("normalizers", one.name, spot, own, NORMALIZERS)
            normalize[index] = replace(one, plugged=tuple(plugin or ()))
    plugged: tuple[str, ...] = ()
    if check.kind == "plugin":
        plugin = found_plugin("checks", check.target, reading.at("plugin"), own, ())
        plugged = tuple(plugin or ())
    return replace(check, normalize=tuple(normalize), plugged=plugged)


def _mapped(check: Check, reading: Table[Check], code: PythonCode | None) -> Check:
    """The check, with the place of the function that reads its lines."""
    if check.map is None or code is None:
        return check
    if why := code.reference_error(check.map, "group"):
        reading.at("map").wrong(why)
    document = reading.spot.document.name
    folders = "\n".join(map(str, (code.folder, *code.pythonpath)))
    plugin = Plugin("maps", check.map, check.map, document, folders)
    return replace(check, mapped=tuple(plugin))


def _check_unit(reading: Table[Check], files: Sequence[UnitFile]) -> None:
    """`log` names a unit whose output there will be."""
    name = reading["log"]
    if name is None or name in _LOGS_BESIDE:
        return
    file = next((file for file in files if file.name == name), None)
    spot = reading.at("log")
    if name == "teardown":
        spot.wrong("teardown.py runs only after the checks")
    elif file is None:
        known = [*(file.name for file in files), *_LOGS_BESIDE]
        spot.wrong(f"unknown unit {name!r}{did_you_mean(name, known)}")
    elif not file["enabled"]:
        spot.wrong(f"{name!r} is not enabled, so it writes no log")
    elif not has_process(file):
        spot.wrong(f"{name!r} has no process of its own, so it writes no log")


def _check_company(reading: Table[Check]) -> None:
    """Every key has beside it what it needs, and there is a subject and a condition."""
    given = reading.spots
    subjects = [name for name in CHECK_SUBJECTS if name in given]
    if not subjects:
        reading.spot.wrong(f"has no subject: give one of {', '.join(CHECK_SUBJECTS)}")
        return
    conditions = [name for name in _CONDITIONS if name in given]
    if subjects[0] in ("exists", "absent", "plugin"):
        allowed = ("name", "settings") if subjects[0] == "plugin" else ("name",)
        for name in given:
            if name not in (*allowed, *CHECK_SUBJECTS):
                given[name].wrong(f"does not apply to {subjects[0]!r}: remove it")
        return
    if "settings" in given:
        given["settings"].wrong("belongs to 'plugin'")
    raw = reading.spot.raw
    misspelt = isinstance(raw, dict) and any(not field_named(Check, key) for key in raw)
    if not conditions and subjects[0] != "json" and not misspelt:
        hint = " (to see that the file is there: exists)" if subjects[0] == "file" else ""
        reading.spot.wrong(f"has no condition: give one of {_CHOICE}{hint}")
    for name, needed in _NEEDS.items():
        if name in given and not any(other in given for other in needed):
            given[name].wrong(f"needs {' or '.join(map(repr, needed))} beside it")
    if "counted" in given and len(reading["contains"]) > 1:
        given["counted"].wrong("counts the lines of one pattern: 'contains' must be a single one")


def _check_notation(reading: Table[Check], scope: Scope) -> None:
    """Patterns, paths, expressions and references mean something."""
    fields = ("file", "json", "exists", "absent", "value", "golden", "settings")
    check_texts(reading, fields, scope)
    if reading["equals"] is not None and isinstance(reading["equals"][0], str):
        check_text(reading["equals"][0], reading.at("equals"), scope)
    for name in (*_PATTERNS, "ignore", "includes"):
        for spot, text in reading.texts(name):
            if reading["literal"]:
                check_text(text, spot, scope)
            else:
                check_pattern(text, spot, scope)
    if reading["equals_json"] is not None:
        try:
            json.loads(reading["equals_json"])
        except ValueError as error:
            reading.at("equals_json").wrong(f"must be JSON: {error}")
    if reading["join"] not in ("", "traceback"):
        check_pattern(reading["join"], reading.at("join"), scope)
    _check_expressions(reading, _groups(reading, scope))
    try:
        values.check_path(reading["at"] or "")
    except NotationError as error:
        reading.at("at").wrong(str(error))
    for index, value in enumerate(reading.value.normalize):
        if not value.name and isinstance(reading.item("normalize", index).raw, dict):
            _check_substitution(reading.item("normalize", index))
        try:
            check_normalizer(value)
        except NotationError as error:
            reading.item("normalize", index).wrong(str(error))


def _groups(reading: Table[Check], scope: Scope) -> set[str]:
    """The names of all groups that `extract` finds."""
    names: set[str] = set()
    for spot, text in reading.texts("extract"):
        before = len(spot.collector.problems)
        found = check_pattern(text, spot, scope)
        if not found and len(spot.collector.problems) == before:
            spot.wrong(f"{text!r} has no named group, such as (?P<total>[0-9]+)")
        if twice := sorted(found & names):
            spot.wrong(f"another pattern has the group {twice[0]!r} too")
        names |= found
    return names


def _check_expressions(reading: Table[Check], names: set[str]) -> None:
    known = set(names) if reading["extract"] else {"value"}
    for spot, text in reading.texts("expect"):
        try:
            expression.parse(text, known)
        except NotationError as error:
            spot.wrong(str(error))


def _check_substitution(spot: Spot) -> None:
    for key in ("sub", "by"):
        if key not in spot.raw:
            spot.at(key).wrong("is required")


def _number(value: Any) -> float:
    if not is_number(value):
        raise ValueError("must be a number")
    return float(value)


#: How a limit is written, by the unit of what it limits; and how much of that is one of ours.
_LIMITS: Final[Mapping[str, tuple[Callable[[Any], float], float]]] = {
    "ms": (duration_ns, 1e6),
    "s": (duration_ns, 1e9),
    "B": (SIZE.read, 1),
}


def read_metrics(
    spot: Spot, circuits: Sequence[Circuit], units: Collection[str]
) -> tuple[Metric, ...]:
    """The `[metrics]` table; what is wrong is noted, and left out.

    A name with dots may also stand in it as tables within each other. `units` are the enabled ones.
    """
    if not isinstance(spot.raw, dict):
        spot.wrong("must be a table")
        return ()
    known = _measured(circuits, units)
    metrics: dict[str, Metric] = {}
    for path, value in _flat(spot.raw):
        name, place = ".".join(path), spot.at(*path)
        if not isinstance(value, dict):
            place.wrong('must be a table, such as {max = "80ms"}')
            continue
        metric = known.get(name)
        if metric is None and is_measured(name):
            place.wrong(_unknown(name, known, circuits, units))
            continue
        if name in metrics:
            place.wrong(f"{name!r} is given twice")
        reading = read(Metric, value, place)
        metrics[name] = _limited(metric or Metric(name, "reported"), reading)
    return tuple(metrics.values())


def _measured(circuits: Sequence[Circuit], units: Collection[str]) -> dict[str, Metric]:
    """All that Testrium measures of this group, by name."""
    found = [Metric(DURATION, "group", unit="s")]
    for circuit in circuits:
        for measure, unit in OF_CIRCUIT.items():
            found.append(Metric(f"{circuit.name}.{measure}", "circuit", circuit.name, unit=unit))
        for stage in circuit.stages[1:]:
            for hop in stage:
                for measure, unit in OF_HOP.items():
                    name = hop_measure(circuit.name, hop.text, measure)
                    found.append(Metric(name, "hop", circuit.name, unit=unit))
    for name in units:
        for measure, unit in OF_UNIT.items():
            found.append(Metric(f"{name}.{measure}", "unit", name, unit=unit))
    return {metric.name: metric for metric in found}


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Names and their values; without its quotes a name with dots is several tables."""
    for key, value in table.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            for path, inner in _flat(value):
                yield (key, *path), inner
        else:
            yield (key,), value


def _unknown(
    name: str, known: Collection[str], circuits: Sequence[Circuit], units: Collection[str]
) -> str:
    owner, _, _ = name.rpartition(".")
    guess = did_you_mean(name, known)
    if owner in {circuit.name for circuit in circuits}:
        return f"a circuit has {', '.join(OF_CIRCUIT)}{guess}"
    if owner in units:
        return f"a unit has {', '.join(OF_UNIT)}{guess}"
    whose = (
        "not an enabled unit"
        if name.rpartition(".")[2] in OF_UNIT
        else "neither a circuit nor a hop of one"
    )
    return f"{owner!r} is {whose}{guess}"


def _limited(metric: Metric, reading: Table[Metric]) -> Metric:
    """The metric with its limits, in its unit."""
    source: Source = metric.source
    if source != "reported" and "unit" in reading.spots:
        reading.at("unit").wrong(f"{metric.name} is measured by Testrium, in {metric.unit}")
    most, least = (_limit(reading, field, metric) for field in ("most", "least"))
    if most is not None and least is not None and least > most:
        reading.at("least").wrong("is more than max")
    return replace(
        metric,
        most=most,
        least=least,
        unit=metric.unit or reading["unit"],
        max_regression=reading["max_regression"],
    )


def _limit(reading: Table[Metric], field: str, metric: Metric) -> float | None:
    if field not in reading.spots or reading[field] is None:
        return None
    measured = metric.source != "reported"
    convert, scale = _LIMITS.get(metric.unit, (_number, 1)) if measured else (_number, 1)
    try:
        limit: float = convert(reading[field]) / scale
    except ValueError as error:
        reading.at(field).wrong(str(error))
        return None
    return limit


def read_histories(
    spot: Spot, places: KnownPlaces, code: PythonCode
) -> tuple[OperationHistory, ...]:
    """The `[[histories]]` tables, whose models may be in `code`; what is wrong is noted."""
    histories: dict[str, OperationHistory] = {}
    for reading in read_list(OperationHistory, spot, "histories"):
        history = reading.value
        for name in ("invoke", "answer"):
            if name in reading.spots:
                _check_place(reading, name, places)
        own = "model" in reading.spots and history.model not in MODELS
        if own and (error := code.reference_error(history.model, "group")):
            reading.at("model").wrong(error)
        if history.invoke == history.answer and history.invoke.unit:
            reading.at("answer").wrong("must differ from invoke")
        if history.name and history.name in histories:
            reading.at("name").wrong(f"another history has the name {history.name!r}")
        histories[history.name] = history
    return tuple(histories.values())


def _check_place(reading: Table[OperationHistory], name: str, places: KnownPlaces) -> None:
    unit = getattr(reading.value, name).unit
    if unit and unit != ANY and unit not in places.units:
        guess = did_you_mean(unit, places.units)
        reading.at(name).wrong(f"{reading.at(name).raw!r}: unknown unit {unit!r}{guess}")
