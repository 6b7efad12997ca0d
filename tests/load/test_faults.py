"""`[[faults]]`: what is read, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.faults import Fault
from testrium.declared.units import Unit
from testrium.load import validate
from testrium.load.circuits import KnownPlaces
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.load.faults import read_faults
from testrium.load.units import UnitFile
from testrium.words import Place

if TYPE_CHECKING:
    from typing import Any

UNITS: dict[str, dict[str, Any]] = {
    "host": {"entrypoint": "m:f", "events": ["received"]},
    "api": {"entrypoint": "m:f", "ports": ["http", "admin"]},
    "sh.py": {
        "command": ["sh", "-c", "x"],
        "ports": ["in.1"],
        "probes": [{"log": "l", "step": "seen"}],
    },
    "script": {"command": ["/usr/bin/python3.12", "a.py"]},
    "logs": {"entrypoint": "m:f", "probes": [{"log": "l", "step": "seen"}]},
    "off": {"enabled": False, "ports": ["p"]},
}


def read(*tables: Any) -> tuple[tuple[Fault, ...], list[str], list[str]]:
    """The faults, the problems and the notices."""
    collector = ProblemCollector()
    data: dict[str, Any] = {"faults": list(tables)}
    spot = Spot(Document("f", "", data), ("faults",), collector)
    units = {name: {"init": init, **keys} for init, (name, keys) in enumerate(UNITS.items())}
    place = Spot(Document("u", "", units), (), collector)
    files = [
        UnitFile(name, f"{name}.toml", validate.read(Unit, {"init": init, **keys}, place.at(name)))
        for init, (name, keys) in enumerate(UNITS.items())
    ]
    places = KnownPlaces({name: frozenset(unit.get("events", ())) for name, unit in UNITS.items()})
    faults = read_faults(spot, places, files)
    return faults, list(map(str, collector.problems)), list(map(str, collector.notices))


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (
            {"at": "host:received", "do": "kill", "on": 2, "key": "k1"},
            Fault(
                "kill at host:received",
                "kill",
                "host",
                at=Place("host", "received"),
                on=2,
                key="k1",
            ),
        ),
        (
            {"at": "host:received", "do": "delay", "for": "700ms", "name": "slow"},
            Fault("slow", "delay", "host", at=Place("host", "received"), for_ns=700_000_000),
        ),
        (
            {"at": "host:received", "do": "delay"},
            Fault("delay at host:received", "delay", "host", at=Place("host", "received")),
        ),
        (
            {
                "link": "api.http",
                "do": "latency",
                "value": "100ms",
                "after": "host:received",
                "for": "2s",
            },
            Fault(
                "latency on api.http",
                "latency",
                "api",
                port="http",
                after=Place("host", "received"),
                for_ns=2_000_000_000,
                value_ns=100_000_000,
            ),
        ),
        (
            {"link": "sh.py.in.1", "do": "throttle", "value": "64kB/s"},
            Fault("throttle on sh.py.in.1", "throttle", "sh.py", port="in.1", bytes_per_s=64_000),
        ),
        (
            {"link": "api.http", "do": "latency", "value": "100ms", "jitter": "20ms"},
            Fault(
                "latency on api.http",
                "latency",
                "api",
                port="http",
                value_ns=100_000_000,
                jitter_ns=20_000_000,
            ),
        ),
        (
            {"link": "api.http", "do": "reset", "value": "10kB"},
            Fault("reset on api.http", "reset", "api", port="http", first_bytes=10_000),
        ),
        (
            {"link": "api.http", "do": "blackhole"},
            Fault("blackhole on api.http", "blackhole", "api", port="http"),
        ),
        (
            {"link": "api.http", "do": "half-open", "for": "1s"},
            Fault("half-open on api.http", "half-open", "api", port="http", for_ns=10**9),
        ),
        (
            {"unit": "host", "do": "clock", "value": "-1.5h"},
            Fault("clock of host", "clock", "host", value_ns=-5_400_000_000_000),
        ),
        (
            {"unit": "host", "do": "clock", "value": "+1h", "after": "*:received"},
            Fault(
                "clock of host",
                "clock",
                "host",
                after=Place("*", "received"),
                value_ns=3_600_000_000_000,
            ),
        ),
        (
            {"at": "sh.py:seen", "do": "pause"},
            Fault("pause at sh.py:seen", "pause", "sh.py", at=Place("sh.py", "seen")),
        ),
        (
            {"at": "script:done", "do": "raise"},
            Fault("raise at script:done", "raise", "script", at=Place("script", "done")),
        ),
    ],
)
def test_a_fault(table: dict[str, Any], fault: Fault) -> None:
    assert read(table) == ((fault,), [], [])


def test_names_are_unique() -> None:
    faults, problems, _ = read(
        {"at": "host:received", "do": "kill"},
        {"at": "host:received", "do": "kill", "on": 2},
        {"at": "host:received", "do": "kill", "on": 3, "name": "third"},
        {"at": "host:received", "do": "kill", "on": 4, "name": "third"},
    )
    assert [fault.name for fault in faults] == [
        "kill at host:received",
        "kill at host:received (2)",
        "third",
    ]
    assert problems == ["f: faults[4].name: another fault has the name 'third'"]


PLACES = "at (a probe), link (a port), unit (its clock)"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"do": "kill"}, f"faults[1]: must have one of: {PLACES}"),
        ({"at": "host:received"}, "faults[1].do: is required"),
        (
            {"at": "host:received", "do": "kil"},
            (
                "faults[1].do: must be one of: kill, exit, raise, delay, hang, pause, signal,"
                " restart, latency, reset, blackhole, throttle, cut, half-open, clock; got"
                " 'kil'; did you mean 'kill'?"
            ),
        ),
        (
            {"at": "host:received", "do": "cut"},
            (
                "faults[1].do: must be one of: kill, exit, raise, delay, hang, pause, signal,"
                " restart (a fault with 'at'); got 'cut'"
            ),
        ),
        (
            {"link": "api.http", "do": "kill"},
            (
                "faults[1].do: must be one of: latency, reset, blackhole, throttle, cut, half-open"
                " (a fault with 'link'); got 'kill'"
            ),
        ),
        (
            {"unit": "api", "do": "kill"},
            "faults[1].do: must be one of: clock (a fault with 'unit'); got 'kill'",
        ),
        (
            {"at": "host:received", "unit": "host", "do": "kill"},
            "faults[1].unit: conflicts with 'at': remove one of them",
        ),
        (
            {"at": "hots:received", "do": "kill"},
            "faults[1].at: 'hots:received', column 1: unknown unit 'hots'; did you mean 'host'?",
        ),
        (
            {"at": "setup:ready", "do": "kill"},
            "faults[1].at: 'setup:ready', column 1: unknown unit 'setup'",
        ),
        (
            {"at": "host:*", "do": "kill"},
            "faults[1].at: 'host:*': a failpoint is one probe of one unit, without '*'",
        ),
        (
            {"at": "host:received", "do": "kill", "on": 0},
            "faults[1].on: must be a positive integer, got 0",
        ),
        (
            {"at": "host:received", "do": "kill", "for": "1s"},
            "faults[1].for: does not apply to do = 'kill': remove it",
        ),
        (
            {"at": "host:received", "do": "delay", "for": "0s"},
            "faults[1].for: must be longer than 0 s, got '0s'",
        ),
        (
            {"at": "host:received", "do": "delay", "for": "1 hours"},
            "faults[1].for: invalid duration '1 hours': use 1h, 60m or seconds",
        ),
        (
            {"at": "host:received", "do": "hang", "value": "1s"},
            "faults[1].value: does not apply to do = 'hang': remove it",
        ),
        (
            {"at": "host:received", "do": "kill", "after": "api:x"},
            "faults[1].after: belongs to a fault with 'link' or 'unit'",
        ),
        (
            {"link": "api.http", "do": "cut", "on": 2},
            "faults[1].on: belongs to a fault with 'at'",
        ),
        (
            {"link": "api.htp", "do": "cut"},
            (
                "faults[1].link: 'api.htp' names no port of a unit (UNIT.PORT); did you mean"
                " 'api.http'?"
            ),
        ),
        (
            {"link": "host", "do": "cut"},
            "faults[1].link: 'host' names no port of a unit (UNIT.PORT)",
        ),
        ({"link": "off.p", "do": "cut"}, "faults[1].link: unit 'off' is not enabled"),
        ({"at": "off:x", "do": "kill"}, "faults[1].at: unit 'off' is not enabled"),
        (
            {"unit": "off", "do": "clock", "value": "+1s"},
            "faults[1].unit: unit 'off' is not enabled",
        ),
        (
            {"unit": "ap1", "do": "clock", "value": "+1s"},
            "faults[1].unit: unknown unit 'ap1'; did you mean 'api'?",
        ),
        (
            {"link": "api.http", "do": "latency"},
            (
                "faults[1].value: is required with do = 'latency': a duration such as"
                ' "100ms" (us, ms, s, m, h, d)'
            ),
        ),
        (
            {"link": "api.http", "do": "throttle", "value": "fast"},
            """faults[1].value: must be a rate such as "64kB/s", got 'fast'""",
        ),
        (
            {"link": "api.http", "do": "reset", "value": "100ms"},
            (
                'faults[1].value: must be a number of bytes that pass first, such as "10kB",'
                " got '100ms'"
            ),
        ),
        (
            {"link": "api.http", "do": "cut", "value": "10kB"},
            "faults[1].value: does not apply to do = 'cut': remove it",
        ),
        (
            {"link": "api.http", "do": "throttle", "value": "1kB/s", "jitter": "1ms"},
            "faults[1].jitter: does not apply to do = 'throttle': remove it",
        ),
        (
            {"at": "host:received", "do": "hang", "jitter": "1ms"},
            "faults[1].jitter: belongs to a fault with 'link'",
        ),
        (
            {"unit": "api", "do": "clock", "value": "1h"},
            (
                'faults[1].value: must be a shift such as "+1h" or "-30s" (ms, s, m, h or d),'
                " got '1h'"
            ),
        ),
        (
            {"at": "sh.py:x", "do": "raise"},
            (
                "faults[1].do: only kill, pause, signal and restart can be done to 'sh.py': 'sh' is"
                " not Python"
            ),
        ),
        (
            {"at": "logs:seen", "do": "hang"},
            (
                "faults[1].do: only kill, pause, signal and restart can be done at 'logs:seen': it"
                " is read from a log"
            ),
        ),
        ({"att": "host:received", "do": "kill"}, "faults[1].att: unknown key; did you mean 'at'?"),
    ],
)
def test_what_is_refused(table: dict[str, Any], problem: str) -> None:
    faults, problems, _ = read(table)
    assert f"f: {problem}" in problems
    assert faults == () or problem.startswith(("faults[1].on", "faults[1].for", "faults[1].att"))


def test_all_mistakes_of_a_fault_are_told_at_once() -> None:
    _, problems, _ = read(
        {"at": "hots:received", "do": "kil"},
        {"link": "api.htp", "after": "host", "do": "kill"},
    )
    assert {problem.split(" ")[1] for problem in problems} == {
        "faults[1].at:",
        "faults[1].do:",
        "faults[2].after:",
        "faults[2].do:",
        "faults[2].link:",
    }


def test_two_faults_cannot_strike_at_one_moment() -> None:
    _, problems, _ = read(
        {"at": "host:received", "do": "kill", "on": 2},
        {"at": "host:received", "do": "delay", "for": "1s", "on": 2},
        {"at": "host:received", "do": "delay", "for": "1s", "on": 2, "key": "k1"},
    )
    assert problems == ["f: faults[2]: acts at the same moment as 'kill at host:received'"]


def test_a_step_that_looks_misspelled_is_a_notice() -> None:
    _, problems, notices = read({"at": "host:recieved", "do": "kill"})
    assert problems == []
    assert notices == [
        "f: faults[1].at: no file mentions the step 'host:recieved'; did you mean 'received'?"
    ]


@pytest.mark.parametrize(
    ("value", "got"), [({"at": "host:received"}, ""), (["kill"], ""), (3, ", got 3")]
)
def test_anything_but_a_list_of_tables_is_refused(value: object, got: str) -> None:
    collector = ProblemCollector()
    spot = Spot(Document("f", "", {"faults": value}), ("faults",), collector)
    assert read_faults(spot, KnownPlaces({}), ()) == ()
    assert list(map(str, collector.problems)) == [
        f"f: faults: must be a list of tables: [[faults]]{got}"
    ]
