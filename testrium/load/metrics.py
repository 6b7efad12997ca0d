"""What figures must be: the table `[metrics]`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from testrium.declared.circuits import Circuit
from testrium.declared.metrics import Metric, Source
from testrium.declared.quantities import SIZE, duration_ns, is_number
from testrium.load.document import Spot
from testrium.load.validate import Table, read
from testrium.phrases import did_you_mean
from testrium.words import DURATION as WHOLE_GROUP
from testrium.words import OF_CIRCUIT, OF_HOP, OF_UNIT, hop_measure, is_measured


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
    table: Any, spot: Spot, circuits: Sequence[Circuit], units: Collection[str]
) -> tuple[Metric, ...]:
    """The `[metrics]` table; what is wrong is noted, and left out.

    Args:
        table: the table; a name with dots may also stand in it as tables within each other.
        spot: where it stands.
        circuits: those of the group.
        units: the names of its enabled units.
    """
    if not isinstance(table, dict):
        spot.wrong("must be a table")
        return ()
    known = _measured(circuits, units)
    metrics: dict[str, Metric] = {}
    for path, value in _flat(table):
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
    found = [Metric(WHOLE_GROUP, "group", unit="s")]
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
    """Names and what stands for them; without its quotes a name with dots is several tables."""
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
        return f"of a circuit there are {', '.join(OF_CIRCUIT)}{guess}"
    if owner in units:
        return f"of a unit there are {', '.join(OF_UNIT)}{guess}"
    whose = "enabled unit" if name.rpartition(".")[2] in OF_UNIT else "circuit and no hop of one"
    return f"{owner!r} is no {whose}{guess}"


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
