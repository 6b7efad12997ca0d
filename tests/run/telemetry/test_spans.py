"""What rules make of spans and log records: key, cause, time. Tables only, no processes."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.run.telemetry.spans import (
    HOLD_NS,
    Collector,
    EventLine,
    LogRecord,
    Rule,
    Sender,
    SpanRecord,
    WallClock,
)

SHOP = Sender("shop", 1, "shop", {"host.name": "h1"})
TRACE = "0" * 31 + "1"
#: The wall clock is so far ahead of CLOCK_MONOTONIC.
AHEAD = 1_000_000


def span(number: int = 1, parent: int = 0, **fields: Any) -> SpanRecord:
    given = {"attributes": {"order.id": f"o-{number}"}, "start_ns": 0, "end_ns": 0, **fields}
    trace, name, kind = given.pop("trace", TRACE), given.pop("name", "s"), given.pop("kind", "")
    sender, scope = given.pop("sender", SHOP), given.pop("scope", "lib")
    above = f"{parent:016x}" if parent else ""
    start_ns, end_ns = given.pop("start_ns"), given.pop("end_ns")
    return SpanRecord(
        sender, scope, trace, f"{number:016x}", above, name, kind, start_ns, end_ns, **given
    )


def log(text: Any = "stored o-1", number: int = 0, **fields: Any) -> LogRecord:
    in_span = f"{number:016x}" if number else ""
    given = {"severity": "INFO", "event": "", "time_ns": 0, **fields}
    return LogRecord(
        SHOP, "app", TRACE, in_span, given["time_ns"], given["severity"], given["event"], text
    )


def rule(**fields: Any) -> Rule:
    given = {"is_span": True, "pattern": "s", "unit": "", "step": "done", "type": "Default"}
    return Rule(**{**given, "key": "${attributes.order.id}", **fields})


def calm_clock() -> WallClock:
    clock = WallClock()
    for now in (100, 10_000_000_000):
        clock.measured(now, now + AHEAD, now)
    return clock


def collected(*records: Any, rules: Any = None, clock: WallClock | None = None) -> list[EventLine]:
    collector = Collector(rules or [rule()], clock or calm_clock())
    return [*collector.add(records, 5_000_000_000), *collector.rest()]


@pytest.mark.parametrize(
    ("record", "fields", "matches"),
    [
        (span(), {}, True),
        (span(name="sp"), {}, False),  # the whole name
        (span(name="GET /a?b=*"), {"pattern": "GET /a?b=*"}, True),  # no expression, but the name
        (span(name="GET /orders/{id}"), {"pattern": "GET /orders/{id}"}, True),
        (span(name="publish x"), {"pattern": "publish .*"}, True),
        (span(kind="client"), {"kind": "client"}, True),
        (span(kind="client"), {"kind": "server"}, False),
        (span(), {"service": "shop"}, True),
        (span(), {"service": "sho"}, False),
        (span(scope="redis"), {"scope": "redis|amqp"}, True),
        (span(attributes={"n": 1}), {"attributes": {"n": 1}}, True),
        (span(attributes={"n": True}), {"attributes": {"n": 1}}, False),
        (span(attributes={"n": 12}), {"attributes": {"n": "1."}}, True),
        (span(attributes={"http.method": "GET"}), {"attributes": {"http.method": "GET"}}, True),
        (span(attributes={}), {"attributes": {"http.method": "GET"}}, False),
        (span(), {"is_span": False}, False),
        (log(), {"is_span": False, "pattern": "stored"}, True),  # searched
        (log(), {"is_span": False, "pattern": "stored", "severity": "ERROR"}, False),
        (log({"a": {"b": 1}}), {"is_span": False, "pattern": '"b": 1'}, True),
    ],
)
def test_rule_matches_record(record: Any, fields: dict[str, Any], matches: bool) -> None:
    assert (rule(**fields).groups(record) is not None) is matches


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${attributes.order.id}", "o-1"),
        ("${trace_id}/${span_id}", f"{TRACE}/{1:016x}"),
        ("${service}: ${resource.host.name}", "shop: h1"),
        ("${attributes.size}", 3),  # one reference alone keeps its type
        ("n${attributes.size}", "n3"),
        ("${attributes.list.1}", "b"),
        ("${attributes.deep.a.b}", True),
        ("${attributes.nothing}", None),
    ],
)
def test_references_of_a_span(text: str, value: object) -> None:
    attributes = {"order.id": "o-1", "size": 3, "list": ["a", "b"], "deep": {"a": {"b": True}}}
    (line,) = collected(span(attributes=attributes), rules=[rule(meta={"m": text})])
    assert line.fields.get("meta", {}).get("m") == value


@pytest.mark.parametrize(
    ("body", "text", "value"),
    [
        ("stored o-1", "${id}", "o-1"),
        ({"id": "o-1", "stored": 2}, "${body.stored}", 2),
        ('{"stored": {"by": "me"}}', "${body.stored.by}", "me"),
        ("stored it", "${body.id}", None),
    ],
)
def test_references_of_a_log_record(body: Any, text: str, value: object) -> None:
    pattern = r"stored (?P<id>\S+)" if isinstance(body, str) and "{" not in body else "stored"
    (line,) = collected(log(body), rules=[rule(is_span=False, pattern=pattern, meta={"m": text})])
    assert line.fields.get("meta", {}).get("m") == value


def test_unit_of_an_event_is_that_of_its_rule_else_the_sender() -> None:
    other = Sender("", 1, "stranger", {})
    rules = [rule(), rule(unit="db", step="named")]
    lines = collected(span(), span(2, sender=other), rules=rules)
    assert [(line.unit, line.fields.get("unit"), line.fields["step"]) for line in lines] == [
        ("shop", None, "done"),
        ("shop", "db", "named"),
        ("db", None, "named"),  # who is no unit can only be spoken for
    ]


def test_cause_is_the_nearest_ancestor_that_is_an_event() -> None:
    named = rule(pattern="sent|got")
    sent, between = span(1, name="sent"), span(2, 1, name="other")
    got = span(3, 2, name="got", attributes={"order.id": "o-3"})
    collector = Collector([named], calm_clock())
    assert collector.add([got], 0) == []  # its parent is not there yet
    assert collector.add([between], 0) == []
    lines = collector.add([sent], 0)
    assert [line.fields.get("cause") for line in lines] == [["o-1"], None]


def test_linked_span_is_a_cause_too() -> None:
    batch = span(
        9, attributes={"order.id": "b"}, links=((TRACE, f"{1:016x}"), (TRACE, f"{2:016x}"))
    )
    lines = collected(batch, span(1), span(2))
    assert {line.fields["key"]: line.fields.get("cause") for line in lines}["b"] == ["o-1", "o-2"]


def test_log_record_is_caused_by_the_span_around_it() -> None:
    rules = [rule(), rule(is_span=False, pattern="(?P<id>x)", key="${id}")]
    lines = collected(span(1), log("x", 1), rules=rules)
    assert lines[1].fields["cause"] == ["o-1"]


def test_ancestor_that_does_not_come_is_waited_for_no_longer_than_the_limit() -> None:
    collector = Collector([rule()], calm_clock())
    assert collector.add([span(2, 1)], 1000) == []
    assert collector.overdue(1000 + HOLD_NS - 1) == []
    (line,) = collector.overdue(1000 + HOLD_NS)
    assert "cause" not in line.fields


def test_span_that_the_runner_gave_as_a_parent_is_not_waited_for() -> None:
    collector = Collector([rule()], calm_clock(), outer={(TRACE, f"{7:016x}")})
    assert len(collector.add([span(2, 7)], 0)) == 1


def test_circle_of_parents_ends() -> None:
    lines = collected(span(1, 2, name="x"), span(2, 1, name="x"), span(3, 1))
    assert len(lines) == 1


def test_what_an_exporter_sends_twice_counts_once() -> None:
    rules = [rule(), rule(is_span=False, pattern="stored")]
    assert len(collected(span(), log(), span(), log(), rules=rules)) == 2


def test_record_without_the_attribute_of_its_key_has_no_key() -> None:
    (line,) = collected(span(attributes={}))
    assert "key" not in line.fields


# Time -------------------------------------------------------------------------------------------


def bounds(
    clock: WallClock, mono_ns: int, offset_ns: int, resolution_ns: int = 1
) -> tuple[int, int]:
    return clock.bounds(mono_ns + offset_ns, resolution_ns, 9_000_000_000)


def test_time_is_known_to_the_precision_of_the_clock() -> None:
    low, high = bounds(calm_clock(), 5_000, AHEAD)
    assert low <= 5_000 <= high
    assert high - low <= 2


@pytest.mark.parametrize("step_ns", [3_600_000_000_000, -40_000_000])
def test_step_of_the_wall_clock_widens_and_never_shifts(step_ns: int) -> None:
    clock = WallClock()
    for now, offset in ((0, AHEAD), (10**9, AHEAD), (2 * 10**9, AHEAD + step_ns)):
        clock.measured(now, now + offset, now)
    clock.measured(3 * 10**9, 3 * 10**9 + AHEAD + step_ns, 3 * 10**9)
    for mono, offset in (
        (5 * 10**8, AHEAD),
        (15 * 10**8, AHEAD),  # between the measurements the step may have come before or after
        (15 * 10**8, AHEAD + step_ns),
        (25 * 10**8, AHEAD + step_ns),
    ):
        low, high = bounds(clock, mono, offset)
        assert low <= mono <= high


def test_time_that_was_not_is_anywhere_before_its_arrival() -> None:
    assert calm_clock().bounds(10**18, 1, 7_000) == (100, 7_000)


def test_span_of_another_host_has_times_of_the_clock_there() -> None:
    there = WallClock("there")
    for now in (10**12, 10**12 + 10**9):  # later than the runner's clock, which is not asked
        there.measured(now, now + AHEAD, now + 1)
    wall_ns = 10**12 + 500_000_123 + AHEAD
    collector = Collector([rule(key="k")], calm_clock())
    [line] = collector.add([span(start_ns=wall_ns, end_ns=wall_ns)], 5_000_000_000, there)
    assert line.fields["domain"] == "there"
    low_ns, high_ns = line.fields["t_low_ns"], line.fields["t_ns"]
    assert low_ns <= wall_ns - AHEAD <= high_ns <= low_ns + 10


def test_clock_that_counts_milliseconds_has_times_as_wide() -> None:
    coarse = span(start_ns=5_000_000_000, end_ns=5_000_123_456)
    (line,) = collected(coarse)
    assert line.fields["t_ns"] - line.fields["t_low_ns"] >= 1_000_000
