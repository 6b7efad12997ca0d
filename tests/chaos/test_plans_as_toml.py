"""What is printed is what is read."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given

from testrium.chaos import Plan, as_toml, brief, planned
from testrium.declared.faults import Fault
from testrium.declared.quantities import duration_ns
from testrium.declared.units import Unit
from testrium.load import validate
from testrium.load.circuits import KnownPlaces
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.load.faults import read_faults
from testrium.load.units import UnitFile
from testrium.phrases import duration_text
from testrium.words import Place
from tests.chaos.conftest import plans_of

TAKEN = Place("worker", "taken")


def read(text: str) -> tuple[Plan, list[str]]:
    collector = ProblemCollector()
    data = tomllib.loads(text)
    spot = Spot(Document("f", "", data), ("faults",), collector)
    tables = {
        "worker": {"init": 0, "entrypoint": "m:f"},
        "shell": {"init": 1, "command": ["sh"], "ports": ["tcp"]},
    }
    place = Spot(Document("u", "", tables), (), collector)
    files = [
        UnitFile(name, name, validate.read(Unit, table, place.at(name)))
        for name, table in tables.items()
    ]
    places = KnownPlaces({name: frozenset[str]() for name in tables})
    found = read_faults(spot, places, files)
    return found, list(map(str, collector.problems))


@given(plans_of())
def test_a_plan_is_read_as_it_was_drawn(plan: Plan) -> None:
    assert read(as_toml(plan)) == (plan, [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("", "throttle", "shell", port="tcp", bytes_per_s=16_000),
        Fault("", "clock", "worker", value_ns=-90_000_000_000),
        Fault("", "kill", "worker", at=TAKEN, key='a "k"\n'),
    ],
)
def test_other_faults_too(fault: Fault) -> None:
    assert read(as_toml(planned([fault]))) == (planned([fault]), [])


def test_a_fault_in_a_line() -> None:
    assert brief(Fault("", "kill", "worker", at=TAKEN)) == "kill at worker:taken"
    fault = Fault("", "delay", "worker", at=TAKEN, on=2, for_ns=50_000_000)
    assert brief(fault) == "delay at worker:taken, on = 2, for = 50ms"


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [(1_000, "1us"), (50_000_000, "50ms"), (1_500_000_000, "1500ms"), (120_000_000_000, "2m")],
)
def test_durations(span_ns: int, text: str) -> None:
    assert duration_text(span_ns) == text
    assert duration_ns(text) == span_ns
