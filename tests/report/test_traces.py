"""A run as traces: what is sent, and to whom."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from testrium.declared.circuits import Circuit, parse_hop
from testrium.errors import ExitCode, InfraError, UsageError
from testrium.evidence import Finding
from testrium.report import traces
from testrium.report.traces import TraceWriter, endpoint, requests, send
from testrium.results import CircuitPaths, Judgement, KeyPath, RunDetail, RunResult
from testrium.run.environment import traceparent
from testrium.words import Code, Verdict
from tests.report.conftest import RUN, make_end, make_event, make_result, make_scenario

ROUTE = ((parse_hop("client:sent"),), (parse_hop("host:received"),))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://x.example/otlp", "https://x.example/otlp/v1/traces"),
        ("http://x/v1/traces", "http://x/v1/traces"),
    ],
)
def test_traces_go_below_the_url(url: str, expected: str) -> None:
    assert endpoint(url) == expected


@pytest.mark.parametrize("url", ["", "collector", "ftp://x", "http://", "http://x:abc"])
def test_target_that_is_not_a_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="expected a URL such as"):
        TraceWriter(url, Path())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> dict[str, ProtoSpan]:
    """The spans of a run with one lost key, by name; those of a key by its name and the key."""
    monkeypatch.delenv("TRACEPARENT", raising=False)
    events = (
        make_event(1, "client", "sent", 1, key="k1", wall_ns=10**18),
        make_event(2, "host", "received", 3),
    )
    paths = (KeyPath("k7", (events[0]._replace(key="k7"), events[1])), KeyPath("k1", events[:1]))
    details = RunDetail(events, circuits=(CircuitPaths(Circuit("command", ROUTE), paths),))
    monkeypatch.setattr(traces, "details_of", lambda group: details)
    lost = Finding(Code.LOST, "host:received", "k1 never", "command", "k1", ("k1",))
    judged = Judgement(Verdict.FAIL, findings=(lost,))
    ends = (make_end("host"), make_end("client"))
    scenario = make_scenario("checkout", "host", "client")
    group = make_result(scenario, Verdict.FAIL, judgement=judged, ends=ends)
    run = RunResult(RUN, Verdict.FAIL, ExitCode.FAILURE, 1.0, (group,), started_wall=1e9)
    (body,) = requests(run)
    request = service.ExportTraceServiceRequest.FromString(body)
    found = {}
    for span in request.resource_spans[0].scope_spans[0].spans:
        texts = {each.key: each.value.string_value for each in span.attributes}
        key = texts.get("testrium.key")
        found[f"{span.name} {key}" if key else span.name] = span
    return found


def test_run_is_a_tree_of_groups_units_keys_and_hops(spans: dict[str, ProtoSpan]) -> None:
    names = {span.span_id: name for name, span in spans.items()}
    tree = {name: names.get(span.parent_span_id, "") for name, span in spans.items()}
    group = next(name for name, above in tree.items() if above == "testrium run")
    assert tree == {
        "testrium run": "",
        group: "testrium run",
        "host": group,
        "client": group,
        "command k1": group,
        "client:sent k1": "command k1",
        "command k7": group,
        "client:sent k7": "command k7",
        "host:received k7": "command k7",
    }


def test_ids_are_valid_and_one_trace_is_that_of_the_units(spans: dict[str, ProtoSpan]) -> None:
    trace = traceparent(RUN, "").split("-")[1]
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert {len(span.span_id) for span in spans.values()} == {8}
    assert len({span.span_id for span in spans.values()}) == len(spans)
    assert all(0 < s.start_time_unix_nano <= s.end_time_unix_nano for s in spans.values())


def test_finding_is_an_event_of_its_group_and_its_key(spans: dict[str, ProtoSpan]) -> None:
    told = {name: [each.name for each in span.events] for name, span in spans.items()}
    wrong = {name for name, events in told.items() if events == ["lost host:received"]}
    assert "command k1" in wrong
    assert len(wrong) == 2
    assert spans["command k1"].status.code == 2
    assert spans["command k7"].status.code == 0


# Sending ----------------------------------------------------------------------------------------


@contextmanager
def collector(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """An endpoint that answers so, one after the other; its URL, and the bodies that it got."""
    bodies: list[bytes] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            bodies.append(gzip.decompress(self.rfile.read(size)))
            status, told = left.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("X-Key", self.headers.get("api-key", ""))
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
        finally:
            server.shutdown()
            thread.join()


def test_endpoint_that_asks_for_patience_is_asked_again() -> None:
    with collector((503, b""), (200, b"")) as (url, bodies):
        send(url, b"x")
    assert bodies == [b"x", b"x"]


@pytest.mark.parametrize(
    ("status", "told", "message"),
    [
        (400, b"", "cannot send traces to .*: HTTP 400"),
        (
            200,
            service.ExportTraceServiceResponse(
                partial_success=service.ExportTracePartialSuccess(
                    rejected_spans=3, error_message="no room"
                )
            ).SerializeToString(),
            "rejected 3 spans: no room",
        ),
    ],
)
def test_spans_that_are_not_taken_are_an_error(status: int, told: bytes, message: str) -> None:
    with collector((status, told)) as (url, _), pytest.raises(InfraError, match=message):
        send(url, b"x")


def test_endpoint_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InfraError, match="cannot send traces to"):
        send(f"http://127.0.0.1:{port}/v1/traces", b"x")


def test_port_of_grpc_is_hinted_at() -> None:
    assert "4317 is for gRPC" in traces._hint("http://x:4317/v1/traces")
    assert traces._hint("http://x:4318/v1/traces") == ""


def test_headers_come_from_the_environment() -> None:
    assert traces._headers("api-key=a%20b, x = y,bad,=z") == {"api-key": "a b", "x": "y"}
