"""`[otlp]`: what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.declared.keys import as_written
from testrium.declared.telemetry import Telemetry
from testrium.load import telemetry
from testrium.load.circuits import KnownPlaces
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.load.telemetry import read_telemetry
from testrium.words import Place

SPAN = {"span": "publish", "at": "shop:ordered"}


def read(table: Any) -> tuple[Telemetry, list[str], list[str]]:
    """The table, the problems and the notices."""
    collector = ProblemCollector()
    spot = Spot(Document("f", "", {"otlp": table}), ("otlp",), collector)
    found = read_telemetry(spot, KnownPlaces({"shop": frozenset(("ordered",))}))
    return found, list(map(str, collector.problems)), list(map(str, collector.notices))


def test_rules_are_read_and_written_again() -> None:
    table = {
        "key": "${attributes.order.id}",
        "linger": "2s",
        "spans": [
            {**SPAN, "type": "Send", "when": "end", "attributes": {"http": {"method": "GET"}}},
            {"span": "(?P<id>.*)", "at": "done", "key": "${id}", "meta": {"a": "${kind}"}},
        ],
        "logs": [{"log": "x", "at": "*:done", "key": "${body.id}", "severity": "ERROR"}],
    }
    telemetry, problems, notices = read(table)
    assert (problems, notices) == ([], [])
    assert [rule.at for rule in telemetry.rules] == [
        Place("shop", "ordered"), Place("", "done"), Place("", "done"),
    ]  # fmt: skip
    assert telemetry.spans[0].attributes == {"http.method": "GET"}  # dotted names are meant
    assert read(as_written(telemetry))[0] == telemetry


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "has no rules"),
        ({"spans": 3}, "f: otlp.spans: must be"),
        ({"spans": [{"at": "shop:x"}]}, "span: is required"),
        ({"spans": [{**SPAN, "span": "a("}]}, "invalid regular expression: missing )"),
        ({"spans": [{**SPAN, "attributes": {"a": "("}}]}, "invalid regular expression"),
        ({"spans": [{**SPAN, "at": "shp:x"}]}, "unknown unit 'shp'; did you mean 'shop'?"),
        ({"spans": [{**SPAN, "at": "shop:*"}]}, "names one step, without *"),
        ({"spans": [{**SPAN, "kind": "servr"}]}, "did you mean 'server'?"),
        ({"spans": [{**SPAN, "when": "middle"}]}, "when: must be one of"),
        ({"spans": [{**SPAN, "type": "Send"}]}, "a Send needs a key: here, or in [otlp]"),
        ({"spans": [{**SPAN, "key": "${attribute.id}"}]}, "did you mean ${attributes.id}?"),
        ({"spans": [{**SPAN, "key": "${body.id}"}]}, "unknown variable ${body.id}"),
        ({"spans": [{**SPAN, "key": "${attributes.}"}]}, "unknown variable ${attributes.}"),
        ({"spans": [{**SPAN, "meta": {"a": "${b"}}]}, "'${' without '}'"),
        ({"logs": [{"log": "x", "at": "a", "when": "end"}]}, "when: unknown key"),
        ({"key": "${nope}", "spans": [SPAN]}, "unknown variable ${nope}"),
    ],
)
def test_wrong_tables_are_refused(table: Any, problem: str) -> None:
    _, problems, _ = read(table)
    assert any(problem in one for one in problems), problems


def test_missing_packages_are_named_with_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "find_spec", lambda _: None)
    _, problems, _ = read({"spans": [{"span": "s", "at": "shop:done"}]})
    [problem] = problems
    assert problem.endswith(
        "spans are received with h11 and opentelemetry-proto, which are not installed:"
        " pip install 'testrium[otlp]'"
    )


def test_service_that_is_nearly_a_unit_is_noticed() -> None:
    _, problems, notices = read({"spans": [{**SPAN, "service": "shpo"}]})
    assert problems == []
    assert "did you mean 'shop'?" in notices[0]
