"""A recorder with probe files that tests write by hand, and runs for the history."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode
from testrium.evidence import Finding
from testrium.results import CircuitResult, GroupResult, Judgement, Measure, RunResult
from testrium.words import Code, Verdict

DOMAIN = "this-clock"

#: The figures of each result.
MEASURES = (
    Measure("command.p50", 1.5, "ms", "circuit"),
    Measure("throughput", 12.5, "1/s", "reported", "larger", 3, 12.0, 0.5),
)

#: Appends lines to a probe file: dictionaries as JSON, bytes and text as they are.
Append = Callable[..., None]


@pytest.fixture
def append(tmp_path: Path) -> Append:
    def work(name: str, *lines: dict[str, Any] | str | bytes) -> None:
        with (tmp_path / name).open("ab") as file:
            for line in lines:
                if isinstance(line, dict):
                    file.write(json.dumps(line).encode() + b"\n")
                else:
                    file.write(line.encode() if isinstance(line, str) else line)

    return work


def checkout_result(
    id_: str = "checkout",
    verdict: Verdict = Verdict.PASS,
    *,
    duration_s: float = 1.0,
    **group: object,
) -> GroupResult:
    """A result of the group `id_`, with two findings where it failed."""
    declared = Group(id_, Path("/home/ada/shop/groups") / id_, (), **group)  # type: ignore[arg-type]
    scenario = Scenario(id_, declared, (), mode="INFO", params={"size": "2"}, repeat=1)
    findings: tuple[Finding, ...] = ()
    if verdict is Verdict.FAIL:
        findings = (Finding(Code.LOST, "host:received", "x"), Finding(Code.MISSING, "a:b", "y"))
    circuits = (CircuitResult("command", 3, verdict, p50_ms=1.5, max_ms=2.0),)
    return GroupResult(
        scenario,
        verdict,
        duration_s=duration_s,
        judgement=Judgement(verdict, findings, circuits=circuits, measures=MEASURES),
        average_latency_s=0.0015,
    )


def stored_run(id_: str, *groups: GroupResult, started: float = 1000.0) -> RunResult:
    """A run of these results."""
    worst = Verdict.FAIL if any(g.verdict is Verdict.FAIL for g in groups) else Verdict.PASS
    code = ExitCode.FAILURE if worst is Verdict.FAIL else ExitCode.SUCCESS
    return RunResult(id_, worst, code, 2.5, groups or (checkout_result(),), started_wall=started)
