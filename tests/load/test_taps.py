"""`[[taps]]`: what is read, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.taps import CLIENT, Tap
from testrium.declared.units import Unit
from testrium.load import taps, validate
from testrium.load.circuits import KnownPlaces
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.load.units import UnitFile
from testrium.words import EventType, Place

if TYPE_CHECKING:
    from typing import Any

UNITS: dict[str, dict[str, Any]] = {
    "redis": {"command": ["redis-server"], "ports": ["tcp"]},
    "shop": {"entrypoint": "m:f"},
}


def read(*tables: Any) -> tuple[tuple[Tap, ...], list[str]]:
    """The taps, and the problems."""
    collector = ProblemCollector()
    spot = Spot(Document("f", "", {"taps": list(tables)}), ("taps",), collector)
    units = {name: {"init": init, **keys} for init, (name, keys) in enumerate(UNITS.items())}
    place = Spot(Document("u", "", units), (), collector)
    files = [
        UnitFile(name, f"{name}.toml", validate.read(Unit, units[name], place.at(name)))
        for name in UNITS
    ]
    places = KnownPlaces(dict.fromkeys(UNITS, frozenset()))
    found = taps.read_taps(spot, places, files, ())
    return found, [problem.message for problem in collector.problems]


def tap(protocol: str = "redis", **probe: Any) -> dict[str, Any]:
    probes = [{"at": "shop:queued", **probe}] if probe else []
    return {"link": "redis.tcp", "protocol": protocol, "probes": probes}


def test_a_tap_names_a_port_and_its_probes() -> None:
    match = {"command": "RPUSH", "args": {"0": "orders"}, "fields.n": 3}
    table = tap(match=match, at="${client}:queued", type="Send", key="${args.1.id}")
    (found,), problems = read(table)
    assert not problems
    (probe,) = found.probes
    assert (found.unit, found.port) == ("redis", "tcp")
    assert probe.match == {"command": "RPUSH", "args.0": "orders", "fields.n": "3"}
    assert (probe.at, probe.type) == (Place(CLIENT, "queued"), EventType.SEND)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"protocol": "redis"}, "is required"),
        ({"link": "redis.tpc", "protocol": "redis"}, "names no port of a unit (UNIT.PORT)"),
        ({"link": "redis.tcp"}, "is required"),
        (tap("reddis"), "did you mean 'redis'?"),
        (tap(at="shpo:queued"), "unknown unit 'shpo'"),
        (tap(at="*:queued"), "name a unit, or ${client}"),
        (tap(at="shop:*"), "name one step"),
        (tap(at="queued"), "expected unit:step"),
        (tap(type="Send"), "a Send needs a key"),
        (tap(match={"command": "("}), "invalid regular expression '('"),
        (tap(match={"comand": "GET"}), "have no field 'comand'; did you mean 'command'?; they"),
        (tap(match={"command": ["GET"]}), "expected a text, a number or a boolean"),
        (tap(key="${reply}"), "'reply' is a field of a response, and this probe is on the request"),
        (tap(key="${args}"), "'args' holds several values, name one of them: args.0 is the first"),
        (tap(key="${args.first}"), "expected a number, args.0 is the first argument"),
        (tap(key="${command.x}"), "'command' of redis is a single value"),
        (tap(key="${body"), "'${' without '}'"),
        (tap(meta={"n": "${topic}"}), "redis messages have no field 'topic'"),
        (tap("http", key="${status}"), 'this probe is on the request: add on = "response"'),
        (tap("mqtt", match={"type": "publsh"}), "'publsh' matches no type of mqtt, which are"),
        (tap("amqp", match={"method": "deliver"}, on="request"), "'deliver' is never sent by"),
        (tap("mqtt", match={"type": "publish"}, on="response"), "'publish' is never sent by"),
    ],
)
def test_mistakes_are_told(table: dict[str, Any], problem: str) -> None:
    _, problems = read(table)
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_link_has_one_table() -> None:
    _, problems = read(tap(), tap())
    assert problems == ["'redis.tcp' has another [[taps]] table: add the probes there"]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "find_spec", lambda name: None)
    _, problems = read(tap("redis"), tap("mqtt") | {"link": "redis.tcp"})
    assert problems[0] == (
        "'redis' is read with hiredis, which is not installed: pip install 'testrium[taps]'"
    )
