"""Groups whose events come from spans of the OpenTelemetry SDK."""

from __future__ import annotations

import sys

from tests.conftest import Workplace

#: Two programs without a word about Testrium.
CODE = """
    import os, pathlib, time
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.trace.propagation import tracecontext

    context = tracecontext.TraceContextTextMapPropagator()

    def tracer():
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        return trace.get_tracer("app")

    def mail():
        return pathlib.Path(os.environ.get("MAIL") or f"{os.environ['TESTRIUM_RUN_DIR']}/mail")

    def shop():
        with tracer().start_as_current_span("publish orders") as span:
            span.set_attribute("order.id", "o-1")
            span.set_attribute("size", 3)
            carrier = {}
            context.inject(carrier)
            mail().write_text(carrier["traceparent"])

    def worker():
        parent = context.extract({"traceparent": mail().read_text()})
        if os.environ.get("IDLE"):
            return
        with tracer().start_as_current_span("handle order", context=parent) as span:
            span.set_attribute("job", "j-1")
"""
UNITS = {
    "shop": 'entrypoint = "test_case:shop"\nready = { ended = true }',
    "worker": 'entrypoint = "test_case:worker"\nunit_dependencies = ["shop"]\nquiet = true',
}
TABLES = """
    [otlp]
    key = "${attributes.order.id}"

    [[otlp.spans]]
    span = "publish orders"
    at = "shop:ordered"
    type = "Send"
    meta = { size = "${attributes.size}" }

    [[otlp.spans]]
    span = "handle .*"
    at = "handled"
    key = "${attributes.job}"

    [[circuits]]
    name = "orders"
    route = ["shop:ordered", "worker:handled"]
    keys = "1"
"""


def test_spans_are_events_and_their_parents_causes(workplace: Workplace) -> None:
    workplace.group(UNITS, CODE, tables=TABLES)
    outcome = workplace.run(".")
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout
    assert outcome.group["circuits"][0]["instances"] == 1


def test_span_that_is_missing_is_lost(workplace: Workplace) -> None:
    workplace.group(UNITS, CODE, tables=TABLES)
    workplace.env["IDLE"] = "1"
    outcome = workplace.run(".")
    assert (outcome.exit_code, outcome.codes) == (1, ["lost worker:handled"])
    assert "no span matched span = 'handle .*'" in outcome.group["notes"][0]["message"]


def test_spans_of_a_unit_on_a_host_of_this_kernel_are_received(workplace: Workplace) -> None:
    far = f"""
    [env]
    MAIL = "{workplace.folder / "mail"}"

    [hosts.far]
    connect = ["sh", "-c"]
    python = "{sys.executable}"
    """
    units = {**UNITS, "worker": f'{UNITS["worker"]}\nhost = "far"'}
    workplace.group(units, CODE, configs="timeout = 30", tables=TABLES + far)
    outcome = workplace.run(".")
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout
