"""`testrium generate`: which units may stay up from one example to the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testrium.declared.faults import Fault
from testrium.declared.groups import Generate, Group, Scenario
from testrium.declared.taps import Tap
from testrium.declared.telemetry import Telemetry
from testrium.declared.units import Unit
from testrium.generation import StayingUp, staying_up
from testrium.words import Place

DB = Unit("db", 0, "db.toml", command=("db",), stop="runner", ports=("sql",))
MIGRATE = Unit("migrate", 1, "m.toml", command=("m",), stop="self", dependencies=("db",))
API = Unit("api", 2, "api.toml", command=("api",), stop="runner", dependencies=("migrate",))
CLIENT = Unit("client", 3, "c.toml", entrypoint="m:f", stop="self", dependencies=("api",))
UNITS = (DB, MIGRATE, API, CLIENT)


def stays(
    *units: Unit, drawn: tuple[str, ...] = ("client",), explore: bool = False, **tables: Any
) -> StayingUp:
    group = Group("g", Path("/g"), units, **{"generate": Generate("m:reset"), **tables})
    return staying_up(Scenario("g", group, units), drawn, explore=explore)


def test_services_stay_up_with_all_that_they_depend_on() -> None:
    assert stays(*UNITS) == StayingUp(("db", "migrate", "api"))


def test_without_a_reset_nothing_stays_up() -> None:
    assert stays(*UNITS, generate=None) == StayingUp()
    assert stays(*UNITS, generate=Generate()) == StayingUp()


def test_a_fault_of_the_link_to_a_service_does_not_matter() -> None:
    fault = Fault("f", "cut", "api", port="http")
    assert stays(*UNITS, faults=(fault,)) == StayingUp(("db", "migrate", "api"))


LINKED = Tap(link="db.sql", unit="db", port="sql")
DIRECT = replace(API, dependencies=("db",))


@pytest.mark.parametrize(
    ("why_not", "units", "options"),
    [
        ("no unit is a service that could stay up", (CLIENT,), {}),
        ("an order of units begins with their start", UNITS, {"explore": True}),
        ("[otlp]: a batch of spans may come after its example", UNITS, {"otlp": Telemetry()}),
        (
            "[[faults]]: api is broken on purpose",
            UNITS,
            {"faults": (Fault("f", "kill", "api", at=Place("api", "x")),)},
        ),
        (
            "a service depends on migrate, whose argument is drawn",
            UNITS,
            {"drawn": ("migrate", "client")},
        ),
        ("db runs on another host", (replace(DB, host="far"), CLIENT), {}),
        ('db has in-except = "Reload"', (replace(DB, in_except="Reload"), CLIENT), {}),
        ("db has a limit, which counts from its start", (replace(DB, max_rss=9), CLIENT), {}),
        ("api reaches db through a link", (DB, DIRECT, CLIENT), {"taps": (LINKED,)}),
    ],
)
def test_why_services_are_started_for_each_example(
    why_not: str, units: tuple[Unit, ...], options: Any
) -> None:
    assert stays(*units, **options) == StayingUp(why_not=why_not)
