"""`testrium generate` runs a group with drawn arguments, and keeps the smallest that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

CODE = """
    from hypothesis import strategies as st
    from testrium import testing

    @testing.generate(st.just(7))
    def client(number):
        testrium.unit().probe("began", number=number)
        assert number < 7
"""
CLIENT = 'entrypoint = "test_case:client"'


def generate(workplace: Workplace, *arguments: str) -> Outcome:
    return workplace.finish(workplace.start("generate", "--plain", *arguments), limit_s=100)


def test_the_smallest_example_is_told_kept_and_replayed(workplace: Workplace) -> None:
    workplace.group({"client": CLIENT}, CODE)
    report = workplace.folder / "report.json"
    outcome = generate(workplace, "group", "--examples", "1", "--seed", "1", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    told = json.loads(report.read_text())
    assert told["smallest"]["arguments"] == {"client": "7"}
    assert told["smallest"]["finding"]["where"] == "client:AssertionError"
    assert "    client: 7\n" in outcome.stdout
    again = workplace.finish(workplace.start("replay", "--plain", told["run"]), limit_s=60)
    assert again.exit_code == 1, again.stdout
    assert "exception at client:AssertionError" in again.stdout


def test_a_group_without_a_strategy_is_refused(workplace: Workplace) -> None:
    workplace.group({"client": CLIENT}, "def client(): pass")
    outcome = generate(workplace, "group")
    assert outcome.exit_code == 3
    assert "nothing to generate: no entrypoint of its units has" in outcome.stderr
