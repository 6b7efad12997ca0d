"""Bodies of OTLP, as protobuf or JSON, into spans and log records.

The messages are those of `opentelemetry-proto`. JSON writes ids in hexadecimal, where protobuf's
own mapping has base64. Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service

from testrium.run.telemetry.spans import LogRecord, Record, Sender, SpanRecord

_REQUESTS: Final[Mapping[str, Any]] = {
    "traces": trace_service.ExportTraceServiceRequest,
    "logs": logs_service.ExportLogsServiceRequest,
    "metrics": metrics_service.ExportMetricsServiceRequest,
}
_RESPONSES: Final[Mapping[str, Any]] = {
    "traces": trace_service.ExportTraceServiceResponse,
    "logs": logs_service.ExportLogsServiceResponse,
    "metrics": metrics_service.ExportMetricsServiceResponse,
}
_KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")
_IDS: Final = frozenset(
    ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
)
#: SQLite's largest integer: no time is later.
_LATEST: Final = (1 << 63) - 1
#: Links of one span that are looked at.
_MOST_LINKS: Final = 128
#: How deep bodies are nested at most, as protobuf has it.
_DEEPEST: Final = 100

#: Who sent a resource: the unit and its start.
FindSender = Callable[[dict[str, Any]], tuple[str, int]]


class BadBodyError(ValueError):
    """The body is not OTLP; the message says why."""


class Decoded(NamedTuple):
    """What a body holds: `rejected` of its records are none, and `reason` says why one is none."""

    records: list[Record]
    units: set[str]
    sampled: set[str]
    rejected: int = 0
    reason: str = ""


def decoded(signal: str, kind: str, body: bytes, find_sender: FindSender) -> Decoded:
    """Read a body.

    Args:
        signal: `traces`, `logs` or `metrics`; of metrics only the senders are of interest.
        kind: its content type.
        body: unpacked.
        find_sender: tells the unit of a resource.

    Raises:
        BadBodyError: it is not what it says it is.
    """
    request = _REQUESTS[signal]()
    try:
        if kind == "application/json":
            json_format.ParseDict(_with_base64(_parsed(body)), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise BadBodyError(str(error)[:300] or type(error).__name__) from error
    found = Decoded([], set(), set())
    if signal == "traces":
        return _spans(request, find_sender, found)
    if signal == "logs":
        return _logs(request, find_sender, found)
    for each in request.resource_metrics:
        found.units.add(find_sender(_values(each.resource.attributes))[0])
    return found._replace(units=found.units - {""})


def response(signal: str, kind: str, found: Decoded) -> bytes:
    """The body of the answer to a request that was taken, at least in part."""
    message = _RESPONSES[signal]()
    if found.rejected:
        partial = message.partial_success
        name = "rejected_spans" if signal == "traces" else "rejected_log_records"
        setattr(partial, name, found.rejected)
        partial.error_message = found.reason
    if kind == "application/json":
        return str(json_format.MessageToJson(message, indent=None)).encode()
    return bytes(message.SerializeToString())


def _parsed(body: bytes) -> Any:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise BadBodyError("not a JSON object")
    return value


def _with_base64(value: Any, depth: int = 0) -> Any:
    """The same with ids as protobuf's own mapping to JSON has them."""
    if depth > 2 * _DEEPEST:
        raise BadBodyError("nested too deeply")
    if isinstance(value, list):
        return [_with_base64(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(inner)).decode()
        if name in _IDS and isinstance(inner, str)
        else _with_base64(inner, depth + 1)
        for name, inner in value.items()
    }


def _spans(request: Any, find_sender: FindSender, found: Decoded) -> Decoded:
    rejected, reason = 0, ""
    for resource, scopes in _resources(request.resource_spans, "scope_spans", find_sender, found):
        for scope in scopes:
            for span in scope.spans:
                if why := _wrong_span(span):
                    rejected, reason = rejected + 1, why
                    continue
                if resource.unit and _is_sampled(span.trace_state):
                    found.sampled.add(resource.unit)
                found.records.append(_span(span, scope.scope.name, resource))
    return found._replace(rejected=rejected, reason=reason)


def _logs(request: Any, find_sender: FindSender, found: Decoded) -> Decoded:
    rejected, reason = 0, ""
    for resource, scopes in _resources(request.resource_logs, "scope_logs", find_sender, found):
        for scope in scopes:
            for record in scope.log_records:
                time_ns = record.time_unix_nano or record.observed_time_unix_nano
                if time_ns > _LATEST:
                    rejected, reason = rejected + 1, "a time of a log record is out of range"
                    continue
                has_span = len(record.trace_id) == 16 and len(record.span_id) == 8
                found.records.append(
                    LogRecord(
                        resource,
                        scope.scope.name,
                        record.trace_id.hex(),
                        record.span_id.hex() if has_span else "",
                        time_ns,
                        record.severity_text or _severity(record.severity_number),
                        record.event_name,
                        _value(record.body),
                        _values(record.attributes),
                    )
                )
    return found._replace(rejected=rejected, reason=reason)


def _resources(
    several: Iterable[Any], inner: str, find_sender: FindSender, found: Decoded
) -> Iterable[tuple[Sender, Any]]:
    """Each resource as a sender, with its scopes."""
    for each in several:
        resource = _values(each.resource.attributes)
        unit, start = find_sender(resource)
        if unit:
            found.units.add(unit)
        service = resource.get("service.name", "")
        yield Sender(unit, start, str(service), resource), getattr(each, inner)


def _wrong_span(span: Any) -> str:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "a span has no valid trace_id (16 bytes)"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "a span has no valid span_id (8 bytes)"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) > _LATEST:
        return "a time of a span is out of range"
    return ""


def _span(span: Any, scope: str, sender: Sender) -> SpanRecord:
    kind, status = span.kind, span.status.code
    parent = span.parent_span_id if any(span.parent_span_id) else b""
    links = [
        (link.trace_id.hex(), link.span_id.hex())
        for link in span.links[:_MOST_LINKS]
        if len(link.trace_id) == 16 and len(link.span_id) == 8
    ]
    return SpanRecord(
        sender,
        scope,
        span.trace_id.hex(),
        span.span_id.hex(),
        parent.hex(),
        span.name,
        _KINDS[kind] if 0 <= kind < len(_KINDS) else "",
        span.start_time_unix_nano,
        span.end_time_unix_nano or span.start_time_unix_nano,
        _STATUSES[status] if 0 <= status < len(_STATUSES) else "unset",
        _values(span.attributes),
        tuple(links),
    )


def _is_sampled(trace_state: str) -> bool:
    """Whether a span represents others that were not sent: `ot=th:8` of its trace state.

    Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
    """
    for entry in trace_state.split(","):
        name, _, value = entry.strip().partition("=")
        if name != "ot":
            continue
        for field in value.split(";"):
            sub, _, threshold = field.partition(":")
            if sub == "th" and threshold.strip("0"):
                return True
    return False


def _severity(number: int) -> str:
    names = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    return names[(number - 1) // 4] if 1 <= number <= 24 else ""


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            number = value.double_value
            return number if number - number == 0 else str(number)  # JSON has no infinity
        case "array_value":
            return [_value(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: _value(each.value) for each in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return None
