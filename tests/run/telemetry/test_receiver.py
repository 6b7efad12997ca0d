"""The answers of the receiver, without sockets; and a body that the SDK's own encoder made."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service

from testrium.run.telemetry import receiver as receiver_process
from testrium.run.telemetry.receiver import Receiver, ReceiverLimits
from testrium.run.telemetry.spans import Collector, EventLine, Rule, WallClock

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACE_ID, SPAN_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def receiver(**limits: int) -> tuple[Receiver, list[EventLine]]:
    lines: list[EventLine] = []
    rules = [
        Rule(True, "s", "", "done", "Default", "${attributes.id}"),
        Rule(False, "stored", "", "stored", "Default", "${attributes.id}"),
    ]
    clock = WallClock()
    clock.measured(0, 1000, 0)

    def find_sender(resource: dict[str, Any]) -> tuple[str, int]:
        return ("shop" if resource.get("service.name") == "shop" else ""), 1

    made = Receiver(Collector(rules, clock), find_sender, lines.extend, ReceiverLimits(**limits))
    return made, lines


def as_json(**fields: Any) -> dict[str, Any]:
    """A request as the specification's examples write it: hexadecimal ids, numbers as texts."""
    span = {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "name": "s",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "attributes": [{"key": "id", "value": {"intValue": "7"}}],
        "unheardOf": {"x": 1},
        **fields,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def as_protobuf() -> bytes:
    request = trace_service.ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    span = resource.scope_spans.add().spans.add(name="s")
    span.trace_id, span.span_id = bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID)
    span.attributes.add(key="id").value.int_value = 7
    body: bytes = request.SerializeToString()
    return body


def ask(
    made: Receiver, body: bytes, kind: str = PROTOBUF, encoding: str = "", **other: str
) -> tuple[int, dict[str, str], bytes]:
    return made.answer(
        other.get("method", "POST"), other.get("path", "/v1/traces"), kind, encoding, body
    )


@pytest.mark.parametrize(
    ("body", "kind", "encoding"),
    [
        (as_protobuf(), PROTOBUF, ""),
        (gzip.compress(as_protobuf(), mtime=0), PROTOBUF, "gzip"),
        (
            gzip.compress(as_protobuf()[:9], mtime=0) + gzip.compress(as_protobuf()[9:], mtime=0),
            PROTOBUF,
            "gzip",
        ),
        (json.dumps(as_json()).encode(), JSON, ""),
        (json.dumps(as_json()).encode(), "Application/JSON; charset=utf-8", ""),
    ],
)
def test_body_becomes_an_event(body: bytes, kind: str, encoding: str) -> None:
    made, lines = receiver()
    status, headers, _ = ask(made, body, kind, encoding)
    assert status == 200
    assert headers["Content-Type"] == kind.partition(";")[0].lower()
    assert [(line.unit, line.fields["step"], line.fields["key"]) for line in lines] == [
        ("shop", "done", "7")
    ]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"body": b"\xff\xff\xff"}, 400),
        ({"body": b"{", "kind": JSON}, 400),
        ({"body": b"[]", "kind": JSON}, 400),
        ({"body": b'{"resourceSpans": 3}', "kind": JSON}, 400),
        ({"body": json.dumps(as_json(traceId="xyz")).encode(), "kind": JSON}, 400),
        ({"body": b'{"a": ' * 5000, "kind": JSON}, 400),
        ({"body": b"[" * 100_000, "kind": JSON}, 400),
        ({"body": json.dumps(as_json(name="\ud800")).encode(), "kind": JSON}, 400),
        ({"body": b"no gzip", "encoding": "gzip"}, 400),
        ({"body": gzip.compress(as_protobuf(), mtime=0)[:-9], "encoding": "gzip"}, 400),
        ({"body": gzip.compress(b"", mtime=0) * 1001, "encoding": "gzip"}, 400),
        ({"encoding": "br"}, 415),
        ({"kind": "text/plain"}, 415),
        ({"kind": ""}, 415),
        ({"path": "/v1/profiles"}, 404),
        ({"method": "GET"}, 405),
        ({"body": gzip.compress(bytes(2_000_000), mtime=0), "encoding": "gzip"}, 413),
    ],
)
def test_refusal_has_the_status_of_the_specification(change: dict[str, Any], status: int) -> None:
    made, lines = receiver(unpacked=1_000_000)
    body = change.pop("body", as_protobuf())
    got, _, told = ask(made, body, **change)
    assert got == status
    assert told
    assert not lines
    assert sum(made.refused.values()) == 1
    assert ask(made, as_protobuf())[0] == 200  # and it goes on


def test_refusal_in_protobuf_is_a_status_message() -> None:
    made, _ = receiver()
    _, headers, told = ask(made, b"\xff")
    assert headers["Content-Type"] == PROTOBUF
    assert told[:1] == b"\x12"  # the field `message` of google.rpc.Status
    assert b"is not OTLP traces" in told


def test_too_many_records_may_be_sent_again() -> None:
    made, _ = receiver(per_s=1, at_once=1)
    assert ask(made, as_protobuf())[0] == 200
    status, headers, _ = ask(made, as_protobuf())
    assert (status, headers["Retry-After"]) == (429, "1")


def test_span_without_ids_is_rejected_alone() -> None:
    request = trace_service.ExportTraceServiceRequest.FromString(as_protobuf())
    request.resource_spans[0].scope_spans[0].spans.add(name="s")
    made, lines = receiver()
    status, _, told = ask(made, request.SerializeToString())
    answer = trace_service.ExportTraceServiceResponse.FromString(told)
    assert (status, answer.partial_success.rejected_spans, len(lines)) == (200, 1, 1)
    assert "trace_id" in answer.partial_success.error_message


def test_log_records_are_read_and_metrics_taken() -> None:
    request = logs_service.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    record = resource.scope_logs.add().log_records.add(observed_time_unix_nano=5)
    record.body.string_value = "stored it"
    record.attributes.add(key="id").value.string_value = "o-1"
    made, lines = receiver()
    status, _, _ = made.answer("POST", "/v1/logs", PROTOBUF, "", request.SerializeToString())
    assert (status, [line.fields["key"] for line in lines]) == (200, ["o-1"])
    assert made.answer("POST", "/v1/metrics", PROTOBUF, "", b"")[0] == 200


@pytest.mark.parametrize(
    ("state", "sampled"),
    [("", False), ("ot=th:0", False), ("a=b,ot=rv:1;th:8", True), ("ot=th:c", True)],
)
def test_trace_state_tells_that_a_unit_samples(state: str, sampled: bool) -> None:
    made, _ = receiver()
    ask(made, json.dumps(as_json(traceState=state)).encode(), JSON)
    assert (made.sampled == {"shop"}) is sampled


# Whatever a client sends -----------------------------------------------------------------------

STATUSES = {200, 400, 404, 405, 413, 415, 429}


@st.composite
def spoiled(draw: st.DrawFn, body: bytes) -> bytes:
    """A body with some bytes changed, left out or put in."""
    spoiled = bytearray(body)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(spoiled)))
        cut = draw(st.integers(0, 4))
        spoiled[place : place + cut] = draw(st.binary(max_size=4))
    return bytes(spoiled)


@given(
    body=st.one_of(
        st.binary(max_size=60),
        spoiled(as_protobuf()),
        spoiled(gzip.compress(as_protobuf(), mtime=0)),
        spoiled(json.dumps(as_json()).encode()),
    ),
    kind=st.sampled_from((PROTOBUF, JSON, "")),
    encoding=st.sampled_from(("", "gzip", "br")),
    path=st.sampled_from(("/v1/traces", "/v1/logs", "/v1/metrics", "/")),
)
@settings(max_examples=150)
def test_no_body_takes_the_receiver_down(body: bytes, kind: str, encoding: str, path: str) -> None:
    made, lines = receiver()
    assert ask(made, body, kind, encoding, path=path)[0] in STATUSES
    assert all(json.dumps(line.fields, default=str) for line in [*lines, *made._collector.rest()])
    assert ask(made, as_protobuf())[0] == 200


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    (
                        *("resourceSpans", "resource", "attributes", "scopeSpans", "scope", "key"),
                        *("spans", "traceId", "spanId", "kind", "value", "intValue", "arrayValue"),
                        *("values", "startTimeUnixNano", "links", "status", "kvlistValue"),
                    )
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=150)
def test_no_json_takes_the_receiver_down(value: Any) -> None:
    made, _ = receiver()
    body = json.dumps({"resourceSpans": [value]}).encode()
    assert ask(made, body, JSON)[0] in STATUSES


def test_body_that_takes_too_long_is_refused_and_the_receiver_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_process, "_BODY_S", 0.05)
    rule = {"is_span": True, "pattern": "(a+)+b", "unit": "shop", "step": "x", "type": "Default"}
    told: list[str] = []
    writer = cast("Any", SimpleNamespace(write=told.append))
    opened = {"folders": {"shop": str(tmp_path)}, "rules": [rule], "clocks": []}
    process = receiver_process._Process(opened, writer)
    for name, expected in (("a" * 40, 413), ("c", 200)):
        body = json.dumps(as_json(name=name, spanId=f"{expected:016x}")).encode()
        asked = partial(process._receiver.answer, "POST", "/v1/traces", JSON, "", body)
        status, _, answer = process._in_time(asked, JSON)
        assert status == expected, answer
    assert process._seen()["refused"] == {
        "HTTP 413: the body took more than 0.05 s of CPU time, with the patterns of [otlp]": 1
    }
    assert not told


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
BODY = as_protobuf()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
REQUEST = HEAD + LENGTH + b"\r\n" + BODY


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (REQUEST, [200]),
        (REQUEST * 3, [200, 200, 200]),
        (HEAD + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n" + BODY, [200]),
        (
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY)
            + BODY
            + b"\r\n0\r\n\r\n",
            [200],
        ),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", [413]),
        (HEAD + b"Content-Length: -1\r\n\r\n", [400]),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", [400]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", [400]),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [404]),
        (HEAD + b"A: b\r\n" * 20_000, [431]),
        (HEAD + LENGTH + b"\r\n" + BODY[:5], []),  # and hangs up
    ],
)
def test_http_is_answered_and_what_is_none_refused(
    sent: bytes, statuses: list[int], tmp_path: Path
) -> None:
    async def talk() -> tuple[list[int], list[str]]:
        told: list[str] = []
        writer = cast("Any", SimpleNamespace(write=lambda line: told.append(line.decode())))
        rules = [{"is_span": True, "pattern": "s", "unit": "", "step": "done", "type": "Default"}]
        (tmp_path / "shop").mkdir()
        opened = {"folders": {"shop": str(tmp_path / "shop")}, "rules": rules, "clocks": []}
        process = receiver_process._Process(opened, writer)
        await process.open(1)
        reader, client = await asyncio.open_connection(
            "127.0.0.1", json.loads(told[0])["ports"][""]
        )
        client.write(sent)
        client.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        client.close()
        process.obey({"op": "finish", "id": 2})
        assert process._ticking is not None
        process._ticking.cancel()
        await asyncio.sleep(0)
        found = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answer)]
        return [status for status in found if status != 100], told[1:]

    found, told = asyncio.run(talk())
    assert found[: len(statuses)] == statuses
    assert [json.loads(line)["id"] for line in told] == [2]
