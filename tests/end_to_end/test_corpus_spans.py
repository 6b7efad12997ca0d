"""Cases of the corpus whose programs send spans instead of probes: they get the same findings."""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[1] / "corpus" / "cases"
IMPORT = "from testrium.modules.events import Events_Manager"

REWRITTEN = (
    *("F01_lost_message", "F02_lost_3_of_100", "F03_partial_fan_out", "F04_skipped_hop"),
    *("F05_orphan_send_no_circuit", "F06_phantom_receive"),
    *("F10_wrong_recipient", "F11_leaked_copy", "F19_key_collision", "F20_payload_altered"),
    *("F21_forbidden_event", "F22_missing_probe", "H01_round_trip", "H02_broadcast"),
    *("H03_four_hops", "H09_optional_hop_skipped"),
)
#: The others of these, which take as long, are left to the long form.
SHORT = ("F01_lost_message",)

#: What a program of a case imports in the place of the classic API.
SPANS = """
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


class Events_Manager:
    def __init__(self, Unit, path):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("case")

    def Set_Event(self, step, event_type="Default", event_key=None, metadata=None):
        span = self._tracer.start_span(step)
        span.set_attribute("type", event_type)
        if event_key is not None:
            span.set_attribute("key", event_key)
        for name, value in (metadata or {}).items():
            span.set_attribute(f"meta.{name}", value)
        span.end()
"""


def rewritten(case: Path, folder: Path) -> Path:
    """A copy of a case whose programs send spans, and whose rules make events of them."""
    copy = folder / case.name
    shutil.copytree(case, copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = (copy / "test_case.py").read_text()
    assert IMPORT in code
    (copy / "test_case.py").write_text(code.replace(IMPORT, "from spans import Events_Manager"))
    (copy / "spans.py").write_text(SPANS)
    steps = {
        node.args[0].value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "Set_Event"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    config = (copy / "config.toml").read_text()
    circuits = tomllib.loads(config).get("circuits", [])
    same = [name for circuit in circuits for name in circuit.get("same", [])]
    rules = ['\n[otlp]\nkey = "${attributes.key}"\n']
    for step in sorted(map(str, steps)):
        for kind in ("Default", "Send", "Receive"):
            meta = ", ".join(f'{name} = "${{attributes.meta.{name}}}"' for name in same)
            rules.append(
                f"[[otlp.spans]]\nspan = {json.dumps(step)}\nat = {json.dumps(step)}\n"
                f'type = "{kind}"\nattributes = {{ type = "{kind}" }}\nmeta = {{ {meta} }}\n'
            )
    (copy / "config.toml").write_text(config + "\n".join(rules))
    return copy


@pytest.mark.parametrize(
    "name",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.soak) for name in REWRITTEN],
)
def test_spans_get_the_verdict_of_probes(
    name: str, judge: Any, testrium: str, tmp_path: Path
) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(rewritten(CASES / name, tmp_path), options)
    expected = outcome.expected.text()
    assert not outcome.problems, f"expected {expected}; got {outcome.got} {outcome.problems}"
