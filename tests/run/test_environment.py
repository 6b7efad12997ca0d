from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.declared.telemetry import SpanRule, Telemetry
from testrium.declared.units import Unit
from testrium.run.environment import Surroundings, traceparent, variable_name
from testrium.run.folder import RunFolder
from testrium.variables import substitute
from testrium.words import Place


def surroundings(tmp_path: Path, **group: object) -> Surroundings:
    units = (Unit("api", 0, "units/api.toml", ports=("http",)), Unit("db-1", 1, "units/db-1.toml"))
    declared = Group("shop", tmp_path / "shop", units, **group)  # type: ignore[arg-type]
    scenario = Scenario(
        "shop", declared, units, mode="INFO", params={"size": "2"}, values={"param.size": "2"}
    )
    folder = RunFolder(tmp_path / "run")
    ports = {"api": {"http": 20001}, "db-1": {"sql": 20002}}
    return Surroundings(scenario, "r1", folder, ports, "/tmp/s", "domain")


def test_every_process_knows_the_run_and_all_ports(tmp_path: Path) -> None:
    env = surroundings(tmp_path).environment("api", 2)
    assert env["TESTRIUM_RUN"] == "r1"
    assert env["TESTRIUM_UNIT"] == "api"
    assert env["TESTRIUM_MODE"] == "INFO"
    assert env["TESTRIUM_PARAM_SIZE"] == "2"
    assert env["TESTRIUM_PROBES"].endswith("units/api/probes-2.jsonl")
    assert env["TESTRIUM_PORT_HTTP"] == env["TESTRIUM_PORT_API_HTTP"] == "20001"
    assert env["TESTRIUM_PORT_DB_1_SQL"] == "20002"


def test_only_the_minimum_is_inherited_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("HOME", "/home/me")
    assert surroundings(tmp_path).environment("api", 1)["SECRET"] == "s"
    bare = surroundings(tmp_path, inherit_env=False).environment("api", 1)
    assert "SECRET" not in bare
    assert bare["HOME"] == "/home/me"


def test_the_table_env_is_filled_in(tmp_path: Path) -> None:
    group = surroundings(tmp_path, env={"URL": "http://x:${unit.api.port.http}"})
    env = group.environment("db-1", 1)
    assert env["URL"] == "http://x:20001"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${port.http}", "20001"),
        ("${unit.db-1.port.sql}", "20002"),
        ("${param.size}", "2"),
        ("${mode}", "INFO"),
        ("${env.HOME}", "/h"),
        ("$$5", "$5"),
        ("plain", "plain"),
    ],
)
def test_references(tmp_path: Path, text: str, value: str) -> None:
    lookup = surroundings(tmp_path).lookup("api", {"HOME": "/h"})
    assert substitute(text, lookup) == value


def test_units_find_testrium_wherever_the_runner_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    path = surroundings(tmp_path).environment("api", 1)["PATH"]
    assert path == f"/nowhere:{Path(sys.executable).parent}"


def test_names_of_variables() -> None:
    assert variable_name("db-1.main") == "DB_1_MAIN"


def test_trace_contexts_share_the_trace_and_differ_by_span() -> None:
    first, second = traceparent("r", "a/1"), traceparent("r", "a/2")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first)
    assert first.split("-")[1] == second.split("-")[1]
    assert first != second


INCOMING = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.parametrize(
    ("incoming", "continues"),
    [
        (f"00-{INCOMING}-01", True),
        (f"00-{INCOMING}-00", True),
        (f"cc-{INCOMING}-01-of-a-later-version", True),
        (f"ff-{INCOMING}-01", False),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", False),
        ("nonsense", False),
    ],
)
def test_a_valid_incoming_trace_continues(incoming: str, continues: bool) -> None:
    own = traceparent("r", "a/1").split("-")
    version, trace, span, flags = traceparent("r", "a/1", incoming).split("-")
    assert (version, span) == ("00", own[2])
    if continues:
        assert (trace, flags) == (INCOMING[:32], incoming[53:55])
    else:
        assert (trace, flags) == (own[1], "01")


def with_telemetry(tmp_path: Path, key: str = "${attributes.id}", **group: object) -> Surroundings:
    rule = SpanRule("s", at=Place("", "x"), key=key)
    around = surroundings(tmp_path, otlp=Telemetry(spans=(rule,)), **group)
    return around._replace(otlp="http://127.0.0.1:1")


def test_exporters_of_a_process_find_the_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://elsewhere")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://elsewhere")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a,")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    own = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://chosen"}
    env = with_telemetry(tmp_path, env=own).environment("api", 2)
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1"
    assert env["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert env["OTEL_SERVICE_NAME"] == "api"
    assert env["OTEL_RESOURCE_ATTRIBUTES"] == "team=a,testrium.unit=api,testrium.start=2"
    assert env["OTEL_BSP_SCHEDULE_DELAY"] == "50"  # the user set it
    assert env["OTEL_BLRP_SCHEDULE_DELAY"] == "200"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" not in env  # it would win
    assert env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] == "http://chosen"
    assert "TRACEPARENT" in env


def test_keys_by_trace_ask_for_traces_of_their_own(tmp_path: Path) -> None:
    assert "TRACEPARENT" not in with_telemetry(tmp_path, "${trace_id}").environment("api", 1)
