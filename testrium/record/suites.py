"""The tests of suites, read back from the probes in which they were told."""

from __future__ import annotations

from typing import Any

from testrium.declared.groups import Scenario
from testrium.evidence import Event, Evidence, Finding, TestResult
from testrium.words import Code


def with_suites(scenario: Scenario, evidence: Evidence) -> Evidence:
    """The evidence with a result for each test of each suite, and what could not be asked.

    Of a suite that was started again the last result of each test counts.
    """
    told: dict[str, dict[str, Event]] = {unit.name: {} for unit in scenario.units if unit.kind}
    if not told:
        return evidence
    for event in evidence.events:
        if event.unit not in told or event.attempt != evidence.attempt:
            continue
        test = event.meta.get("test")
        if isinstance(test, str) and "outcome" in event.meta:
            told[event.unit][test] = event
    tests = [_result(unit, event) for unit, events in told.items() for event in events.values()]
    findings = [
        finding
        for unit, events in told.items()
        if (finding := _undecided(unit, list(events.values()))) is not None
    ]
    return evidence._replace(
        tests=(*evidence.tests, *tests), findings=(*evidence.findings, *findings)
    )


def _result(unit: str, event: Event) -> TestResult:
    meta = event.meta
    outcome, test = meta["outcome"], meta["test"]
    message = _text(meta.get("message"))
    if outcome in ("skipped", "unknown"):
        message = f"{outcome}: {message}" if message else str(outcome)
    duration = meta.get("duration_s")
    return TestResult(
        name=f"{unit}::{test}" if test else unit,
        passed=outcome != "failed",
        duration_s=float(duration) if isinstance(duration, int | float) else 0.0,
        message=message,
        traceback=_text(meta.get("traceback")),
        unit=unit,
    )


def _undecided(unit: str, events: list[Event]) -> Finding | None:
    """What was not answered is not known; where everything was skipped, nothing is."""
    unknown = [event for event in events if event.meta["outcome"] == "unknown"]
    if unknown:
        reasons = dict.fromkeys(_text(event.meta.get("message")) for event in unknown)
        verb = "has" if len(unknown) == 1 else "have"
        message = f"{len(unknown)} of {len(events)} steps of {unit} {verb} no answer"
        return _gap(unit, f"{message}: {'; '.join(reasons)}", unknown)
    if events and all(event.meta["outcome"] == "skipped" for event in events):
        return _gap(unit, f"every test of {unit} was skipped: nothing was proved", events)
    return None


def _gap(unit: str, message: str, events: list[Event]) -> Finding:
    return Finding(
        Code.GAP, unit, message, events=tuple(event.id for event in events[:3]), unit=unit
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
