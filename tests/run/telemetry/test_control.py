"""What spans may be missing of a unit, by how its processes ended and what exporters wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from testrium.declared.faults import Fault
from testrium.declared.groups import Group, Scenario
from testrium.declared.telemetry import SpanRule, Telemetry
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, UnitState
from testrium.run.environment import Surroundings
from testrium.run.folder import RunFolder
from testrium.run.telemetry.control import TelemetryReceiver
from testrium.words import Place

SAY_WHERE = 'write at = "UNIT:STEP" to name the unit of the event'


def receiver(tmp_path: Path, rules: tuple[SpanRule, ...] = (), **group: Any) -> TelemetryReceiver:
    units = (
        Unit("shop", file="units/shop.toml", entrypoint="m:f"),
        Unit("db", file="units/db.toml"),
    )
    telemetry = Telemetry(spans=rules or (SpanRule("s", at=Place("", "done"), service="shop"),))
    declared = Group("g", tmp_path, units, otlp=telemetry, **group)
    folder = RunFolder(tmp_path / "run")
    folder.create(("shop", "db"))
    around = Surroundings(Scenario("g", declared, units), "r", folder, {}, "s", "d")
    nothing = cast("Any", None)
    return TelemetryReceiver(around, nothing, nothing, tmp_path, nothing)


def end(cause: EndCause = EndCause.SELF, **fields: Any) -> End:
    return End("shop", cause, UnitState.FINISHED, **fields)


def reasons(made: TelemetryReceiver) -> list[str]:
    return [f"{each.unit}: {each.reason}" for each in made.unrecorded()]


@pytest.mark.parametrize(
    ("ends", "missing"),
    [
        ([end(exit_code=0)], False),
        ([end(exit_code=1)], False),  # an exporter sends its last batch at the exit
        ([end(signal="SIGKILL")], True),
        ([end(EndCause.STOPPED, signal="SIGTERM")], False),  # it had time to send
        ([end(EndCause.STOPPED, signal="SIGTERM"), end(exit_code=0)], True),  # a rolling restart
        ([end(EndCause.ABANDONED, signal="SIGTERM")], True),
    ],
)
def test_killed_process_takes_its_last_batch_with_it(
    tmp_path: Path, ends: list[End], missing: bool
) -> None:
    made = receiver(tmp_path)
    for each in ends:
        made.ended(each, 1)
    assert (reasons(made) != []) is missing


def test_ends_of_earlier_attempts_do_not_count(tmp_path: Path) -> None:
    made = receiver(tmp_path)
    made.ended(end(signal="SIGKILL"), 1)
    made.ended(end(exit_code=0), 2)
    assert reasons(made) == []


def test_planned_exit_sends_nothing_more(tmp_path: Path) -> None:
    fault = Fault("f", "exit", "shop", at=Place("shop", "x"))
    made = receiver(tmp_path, faults=(fault,))
    made.ended(end(exit_code=1), 1)
    assert "as a planned fault says" in reasons(made)[0]


def test_only_places_that_a_rule_speaks_for_are_concerned(tmp_path: Path) -> None:
    made = receiver(tmp_path, (SpanRule("s", at=Place("db", "stored")),))
    made.ended(end(signal="SIGKILL"), 1)
    assert made.unrecorded() == []
    made = receiver(tmp_path, (SpanRule("s", at=Place("db", "stored"), service="shop"),))
    made.ended(end(signal="SIGKILL"), 1)
    assert made.unrecorded()[0].places == (("db", "stored"),)


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("Failed to export spans batch code: 500, reason: x", True),
        ("Transient error Connection refused encountered while exporting spans batch", True),
        ("Exception while exporting Span.", True),
        ("Queue full, dropping Span.", True),
        ('{"stack":"OTLPExporterError: Bad Request\\n  at export (otlp)"}', True),
        ("Failed to export metrics batch code: 500", False),
        ("export of the catalogue failed", False),
        ("exported 3 spans", False),
    ],
)
def test_output_tells_that_an_exporter_failed(tmp_path: Path, line: str, failed: bool) -> None:
    made = receiver(tmp_path)
    (tmp_path / "run" / "units" / "shop" / "stderr.log").write_text(f"hello\n{line}\n")
    assert (reasons(made) != []) is failed


@pytest.mark.parametrize(
    ("env", "samples"),
    [
        ({}, False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, False),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"}, False),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, True),
    ],
)
def test_sampler_is_taken_from_the_environment(
    tmp_path: Path, env: dict[str, str], samples: bool
) -> None:
    made = receiver(tmp_path)
    made._env["shop"] = env
    assert (reasons(made) != []) is samples


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"senders": {"0": ["shop"]}}, []),
        ({}, [("done", "no span matched span = 's'")]),
        (
            {"unwanted": ["publish", "x"]},
            [("done", "no span matched span = 's'; others were named publish and x")],
        ),
        (
            {"strangers": ["cart"]},
            [("done", "no span matched span = 's'; the service cart is not a unit: " + SAY_WHERE)],
        ),
    ],
)
def test_rule_that_was_about_nothing_is_told(
    tmp_path: Path, seen: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    made = receiver(tmp_path)
    made._seen = seen
    assert made.unmatched() == told


def test_wildcard_in_the_name_of_a_span_is_told_as_an_expression(tmp_path: Path) -> None:
    made = receiver(tmp_path, (SpanRule("process*", at=Place("", "done"), service="shop"),))
    made._seen = {"unwanted": ["process o1"]}
    said = "no span matched span = 'process*': it is a regular expression; write 'process.*'"
    assert made.unmatched() == [("done", said)]
