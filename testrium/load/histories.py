"""Operations whose answers must fit one order of them: the tables `[[histories]]`."""

from __future__ import annotations

from typing import Any

from testrium.declared.circuits import ANY
from testrium.declared.histories import MODELS, OperationHistory
from testrium.load.circuits import Stations
from testrium.load.document import Spot
from testrium.load.python_code import PythonCode
from testrium.load.validate import Table, read_list
from testrium.phrases import did_you_mean


def read_histories(
    value: Any, spot: Spot, stations: Stations, code: PythonCode
) -> tuple[OperationHistory, ...]:
    """The `[[histories]]` tables; what is wrong is noted.

    Args:
        value: the list of tables.
        spot: where it stands.
        stations: the units that they may name.
        code: the Python files of the group, for models in it.
    """
    histories: dict[str, OperationHistory] = {}
    for reading in read_list(OperationHistory, value, spot, "histories"):
        history = reading.value
        for name in ("invoke", "answer"):
            if name in reading.spots:
                _check_place(reading, name, stations)
        own = "model" in reading.spots and history.model not in MODELS
        if own and (error := code.reference_error(history.model, "group")):
            reading.at("model").wrong(error)
        if history.invoke == history.answer and history.invoke.unit:
            reading.at("answer").wrong("must differ from invoke")
        if history.name and history.name in histories:
            reading.at("name").wrong(f"another history has the name {history.name!r}")
        histories[history.name] = history
    return tuple(histories.values())


def _check_place(reading: Table[OperationHistory], name: str, stations: Stations) -> None:
    unit = getattr(reading.value, name).unit
    if unit and unit != ANY and unit not in stations.units:
        guess = did_you_mean(unit, stations.units)
        reading.at(name).wrong(f"{reading.at(name).raw!r}: unknown unit {unit!r}{guess}")
