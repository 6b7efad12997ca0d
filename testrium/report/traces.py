"""A run as traces, sent to an OTLP endpoint: groups, units, keys with their hops, faults.

One trace for each run: the one that units find in TRACEPARENT, so what they send to the same
place stands below the span of their unit.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testrium import __version__
from testrium.errors import InfraError, UsageError
from testrium.evidence import End, Event, Finding
from testrium.record.reader import wall_offset_ns
from testrium.report import wording
from testrium.report.stored import details_of
from testrium.report.writer import Writer
from testrium.results import CircuitPaths, GroupResult, KeyPath, RunResult
from testrium.run.environment import traceparent
from testrium.words import EMPTY, Verdict

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

#: Keys of one circuit that are sent; those with findings come first.
MOST_KEYS: Final = 1000
#: Spans in one request.
MOST_AT_ONCE: Final = 5000

_PATH: Final = "/v1/traces"
_TRIES: Final = 3
_AGAIN: Final = (429, 502, 503, 504)
_LONGEST_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_BAD: Final = (Verdict.FAIL, Verdict.ERROR)

Attributes = Mapping[str, str | int | float | bool | Sequence[str] | None]


class TraceWriter(Writer):
    """Sends the run as traces when it has ended; its target is a URL."""

    needs_target = True

    def __init__(self, target: str | None, cwd: Path) -> None:
        """Raises UsageError where the URL is invalid or a package is missing."""
        super().__init__(target, cwd)
        self._url = "" if target is None else endpoint(target)
        if find_spec("google") is None or find_spec("opentelemetry") is None:
            raise UsageError("--otlp needs more packages: pip install 'testrium[otlp]'")

    def run_ended(self, result: RunResult) -> None:
        """Send it; a run that was not started is not. Raises InfraError where that fails."""
        for body in () if result.errors else requests(result):
            send(self._url, body)


def endpoint(url: str) -> str:
    """Where traces go: `/v1/traces` below a URL that does not say it itself. Raises UsageError."""
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"--otlp: expected a URL such as http://127.0.0.1:4318, got {url!r}")
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_PATH) else path + _PATH).geturl()


def requests(result: RunResult) -> Iterator[bytes]:
    """The bodies of the requests that tell a run, as protobuf."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    spans = list(_RunTrace(result).spans())
    for first in range(0, len(spans), MOST_AT_ONCE):
        request = service.ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        _set(resource.resource.attributes, _resource(result))
        scope = resource.scope_spans.add()
        scope.scope.name, scope.scope.version = "testrium", __version__
        scope.spans.extend(spans[first : first + MOST_AT_ONCE])
        yield request.SerializeToString()


def send(url: str, body: bytes) -> None:
    """Send one request; what asks for patience is asked again. Raises InfraError."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    headers = {
        **_headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
    }
    packed = gzip.compress(body)
    for left in reversed(range(_TRIES)):
        request = urllib.request.Request(url, packed, headers)  # noqa: S310 - http or https only
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                told = service.ExportTraceServiceResponse.FromString(answer.read(1 << 20))
        except urllib.error.HTTPError as error:
            if error.code in _AGAIN and left:
                time.sleep(_pause_s(error.headers.get("Retry-After")))
                continue
            raise InfraError(f"cannot send traces to {url}: HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise InfraError(f"cannot send traces to {url}: {reason}{_hint(url)}") from error
        except DecodeError:  # it was taken; what the answer says besides is not known
            return
        if told.partial_success.rejected_spans:
            raise InfraError(
                f"{url} rejected {told.partial_success.rejected_spans} spans:"
                f" {told.partial_success.error_message[:300]}"
            )
        return


def _pause_s(retry_after: str | None) -> float:
    text = (retry_after or "").strip()
    return min(float(text), _LONGEST_PAUSE_S) if text.isdecimal() and len(text) < 9 else 1.0


def _hint(url: str) -> str:
    is_grpc = urllib.parse.urlsplit(url).port == 4317
    return " (port 4317 is for gRPC: OTLP over HTTP has mostly 4318)" if is_grpc else ""


def _headers(text: str) -> dict[str, str]:
    """What `OTEL_EXPORTER_OTLP_HEADERS` says: `api-key=x,other=y`, percent-encoded."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {
        urllib.parse.unquote(name.strip()): urllib.parse.unquote(value.strip())
        for name, equals, value in pairs
        if equals and name.strip()
    }


def _resource(result: RunResult) -> Attributes:
    origin = result.origin
    return {
        "service.name": "testrium",
        "service.version": __version__,
        "testrium.run": result.run,
        "testrium.project": origin.project or None,
        "vcs.ref.head.revision": origin.revision or None,
        "host.name": origin.host or None,
    }


class _RunTrace:
    """The spans of a run."""

    def __init__(self, result: RunResult) -> None:
        self._result = result
        incoming = os.environ.get("TRACEPARENT", "")
        _, self._trace, self._root, _ = traceparent(result.run, "", incoming).split("-")
        self._above = incoming.split("-")[2] if self._trace in incoming else ""

    def spans(self) -> Iterator[ProtoSpan]:
        result = self._result
        start_ns = int(result.started_wall * 1e9)
        yield self._span(
            self._root,
            self._above,
            "testrium run",
            (start_ns, start_ns + int(result.duration_s * 1e9)),
            {"testrium.run": result.run, "testrium.verdict": str(result.verdict)},
            failed=result.verdict in _BAD,
            passed=result.verdict is Verdict.PASS,
        )
        for group in result.groups:
            yield from self._group(group)

    def _group(self, group: GroupResult) -> Iterator[ProtoSpan]:
        scenario, details = group.scenario, details_of(group)
        offset_ns = None if group.files is None else wall_offset_ns(group.files / "Data.db")
        clock = _Wall(offset_ns, details.events, group.started_ns, self._result.started_wall)
        place = f"{self._result.run}/{scenario.folder_name or wording.label(scenario)}"
        own = _id(place)
        start_ns = clock.of(group.started_ns)
        end_ns = start_ns + int(group.duration_s * 1e9)
        span = self._span(
            own,
            self._root,
            wording.label(scenario),
            (start_ns, end_ns),
            {
                "testrium.group": scenario.id,
                "testrium.mode": scenario.mode,
                "testrium.verdict": str(group.verdict),
                "testrium.reason": wording.reason(group) or None,
                **{f"testrium.param.{name}": value for name, value in scenario.params.items()},
            },
            failed=group.verdict in _BAD,
            passed=group.verdict is Verdict.PASS,
        )
        for finding in group.judgement.findings:
            _add_finding(span, finding, clock.of(finding.t_ns, end_ns))
        yield span
        units = {end.unit: self._unit_id(group, end) for end in group.ends}
        for end in group.ends:
            yield self._unit(own, units[end.unit], end, clock)
        yield from self._faults(place, own, group.faults, clock)
        for paths in details.circuits:
            yield from self._circuit(place, own, paths, group.judgement.findings, units, clock)

    def _unit_id(self, group: GroupResult, end: End) -> str:
        """The id that the last process of the unit found in its TRACEPARENT."""
        place = f"{group.scenario.folder_name}/{end.unit}/{max(1, end.starts)}"
        return traceparent(self._result.run, place).split("-")[2]

    def _unit(self, above: str, own: str, end: End, clock: _Wall) -> ProtoSpan:
        start_ns = clock.of(end.started_ns)
        return self._span(
            own,
            above,
            end.unit,
            (start_ns, max(start_ns, clock.of(end.ended_ns, start_ns))),
            {
                "testrium.unit": end.unit,
                "testrium.state": str(end.state),
                "testrium.starts": end.starts,
                "testrium.signal": end.signal,
                "process.pid": end.pid,
                "process.exit.code": end.exit_code,
            },
            failed=end.state == "failed",
        )

    def _faults(
        self, place: str, above: str, faults: Sequence[Event], clock: _Wall
    ) -> Iterator[ProtoSpan]:
        healed = {event.step: event.t_ns for event in faults if event.meta.get("phase") == "end"}
        for number, event in enumerate(faults):
            if event.meta.get("phase") == "end":
                continue
            lasted_ns = event.meta.get("for_ns")
            end_ns = event.t_ns + (lasted_ns if isinstance(lasted_ns, int) else 0)
            yield self._span(
                _id(f"{place}/fault/{number}"),
                above,
                event.step,
                (clock.at(event), clock.of(healed.get(event.step, end_ns))),
                {
                    "testrium.fault": str(event.meta.get("do", "")),
                    "testrium.unit": str(event.meta.get("unit", "")),
                    "testrium.key": event.key,
                },
            )

    def _circuit(
        self,
        place: str,
        above: str,
        paths: CircuitPaths,
        findings: Sequence[Finding],
        units: Mapping[str, str],
        clock: _Wall,
    ) -> Iterator[ProtoSpan]:
        name = paths.circuit.name
        own = [finding for finding in findings if finding.circuit == name]
        wrong = {key for finding in own for key in finding.keys}
        found = [path for path in paths.paths if path.events]
        found.sort(key=lambda path: path.name not in wrong)
        for path in found[:MOST_KEYS]:
            said = [finding for finding in own if path.name in finding.keys]
            yield from self._key(
                f"{place}/{name}/{path.name}", above, name, path, said, units, clock
            )

    def _key(
        self,
        place: str,
        above: str,
        circuit: str,
        path: KeyPath,
        findings: Sequence[Finding],
        units: Mapping[str, str],
        clock: _Wall,
    ) -> Iterator[ProtoSpan]:
        """A key's path through a circuit: a span for each hop, from the event before it."""
        times = [clock.at(event) for event in path.events]
        own = _id(place)
        key = {"testrium.circuit": circuit, "testrium.key": path.name}
        bounds = (min(times), max(times))
        span = self._span(own, above, circuit, bounds, key, failed=bool(findings))
        for finding in findings:
            _add_finding(span, finding, clock.of(finding.t_ns, bounds[1]))
        yield span
        before_ns = bounds[0]
        for number, (event, t_ns) in enumerate(
            sorted(zip(path.events, times, strict=True), key=itemgetter(1))
        ):
            hop = self._span(
                _id(f"{place}/{number}"),
                own,
                event.place,
                (min(before_ns, t_ns), t_ns),
                {
                    **key,
                    "testrium.unit": event.unit,
                    "testrium.step": event.step,
                    "testrium.type": event.type,
                    **{f"testrium.meta.{name}": _plain(v) for name, v in event.meta.items()},
                },
            )
            if event.unit in units:
                hop.links.add(
                    trace_id=bytes.fromhex(self._trace), span_id=bytes.fromhex(units[event.unit])
                )
            yield hop
            before_ns = t_ns

    def _span(
        self,
        own: str,
        above: str,
        name: str,
        bounds_ns: tuple[int, int],
        attributes: Attributes = EMPTY,
        *,
        failed: bool = False,
        passed: bool = False,
    ) -> ProtoSpan:
        from opentelemetry.proto.trace.v1 import trace_pb2

        span = trace_pb2.Span(
            trace_id=bytes.fromhex(self._trace),
            span_id=bytes.fromhex(own),
            parent_span_id=bytes.fromhex(above),
            name=name,
            kind=trace_pb2.Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=max(0, bounds_ns[0]),
            end_time_unix_nano=max(0, *bounds_ns),
        )
        if failed or passed:
            codes = trace_pb2.Status.StatusCode
            span.status.code = codes.STATUS_CODE_ERROR if failed else codes.STATUS_CODE_OK
        _set(span.attributes, attributes)
        return span


class _Wall:
    """Times of CLOCK_MONOTONIC as those of the wall clock, as far as it was not set meanwhile."""

    def __init__(
        self,
        offset_ns: int | None,
        events: Sequence[Event],
        started_ns: int | None,
        started_wall: float,
    ) -> None:
        if offset_ns is None and events:
            offset_ns = events[0].wall_ns - events[0].t_ns
        self._began_ns = int(started_wall * 1e9)
        if offset_ns is None and started_ns is not None:
            offset_ns = self._began_ns - started_ns
        self._offset_ns = offset_ns
        self._domain = events[0].domain if events else ""

    def of(self, t_ns: int | None, unknown_ns: int | None = None) -> int:
        """That time; `unknown_ns`, or the start of the run, where it is not known."""
        if t_ns is None or self._offset_ns is None:
            return self._began_ns if unknown_ns is None else unknown_ns
        return t_ns + self._offset_ns

    def at(self, event: Event) -> int:
        """The time of an event; one of another clock has only that which its wall clock said."""
        foreign = self._domain and event.domain != self._domain
        return event.wall_ns if foreign else self.of(event.t_ns, event.wall_ns)


def _id(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _add_finding(span: ProtoSpan, finding: Finding, t_ns: int) -> None:
    event = span.events.add(name=f"{finding.code} {finding.where}", time_unix_nano=max(0, t_ns))
    attributes: Attributes = {
        "testrium.finding.code": str(finding.code),
        "testrium.finding.where": finding.where,
        "testrium.finding.message": finding.message,
        "testrium.finding.explained_by": finding.explained_by,
        "testrium.circuit": finding.circuit,
        "testrium.keys": finding.keys[:100] or None,
    }
    _set(event.attributes, attributes)
    if finding.explained_by is None and not span.status.message:
        span.status.message = f"{finding.title}: {finding.message}"[:500]


def _plain(value: Any) -> str | int | float | bool:
    is_plain = isinstance(value, bool | float | str) or (
        isinstance(value, int) and -(1 << 63) <= value < 1 << 63
    )
    return value if is_plain else str(value)


def _set(attributes: Any, values: Attributes) -> None:
    for name, value in values.items():
        if value is None:
            continue
        target = attributes.add(key=name).value
        if isinstance(value, bool):
            target.bool_value = value
        elif isinstance(value, int):
            target.int_value = value
        elif isinstance(value, float):
            target.double_value = value
        elif isinstance(value, str):
            target.string_value = _clean(value)
        else:
            for each in value:
                target.array_value.values.add(string_value=_clean(each))


def _clean(text: str) -> str:
    """A text that protobuf takes: a lone surrogate becomes its escape."""
    return text.encode(errors="backslashreplace").decode()
