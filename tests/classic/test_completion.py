"""`classic = true`: the rule of 0.3.0 for units that do not end, and what its callbacks get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

WAITING = """
import signal
def a():
    testrium.unit().probe("up")
    signal.pause()
"""
UNIT = 'entrypoint = "test_case:a"\nevents = ["up"]\ngrace = 0.1'


@pytest.mark.parametrize(
    ("configs", "keys"),
    [
        ("timeout = 20", UNIT),  # stopped once the group is complete
        ("timeout = 0.4", UNIT),  # at the deadline
        ("timeout = 20", f"{UNIT}\ntimeout = 0.4"),  # at its own
    ],
)
def test_a_unit_whose_events_are_in_is_stopped(
    workplace: Workplace, configs: str, keys: str
) -> None:
    workplace.group({"a": keys}, WAITING, configs=f"classic = true\n{configs}")
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (0, [])
    assert [(note["code"], note["where"]) for note in outcome.group["notes"]] == [("hang", "a")]
    assert "notice: group: a had not ended, and was stopped" in outcome.stdout
    assert outcome.unit("a")["state"] == "stopped"
    assert outcome.group["duration_s"] < 5


def test_one_with_a_missing_event_hangs_nevertheless(workplace: Workplace) -> None:
    keys = UNIT.replace('["up"]', '["up", "never"]')
    workplace.group({"a": keys}, WAITING, configs="classic = true\ntimeout = 0.3")
    assert workplace.run().codes == ["hang a", "missing a:never"]


def test_what_it_does_after_its_events_is_not_cut_off(workplace: Workplace) -> None:
    code = """
    import pathlib, time
    def a():
        testrium.unit().probe("up")
        time.sleep(0.3)
        pathlib.Path("done").touch()
    """
    group = workplace.group({"a": UNIT}, code, configs="classic = true\ntimeout = 20")
    outcome = workplace.run()
    assert (outcome.codes, outcome.group["notes"]) == ([], [])
    assert (group / "done").exists()


def test_callbacks_get_how_the_processes_of_the_units_ended(workplace: Workplace) -> None:
    code = """
    import json, pathlib, sys, time
    def fine():
        testrium.unit().probe("up")
    def bad():
        testrium.unit().probe("up")
        sys.exit(3)
    def service():
        testrium.unit().probe("up")
        time.sleep(60)
    def test_one():
        pass
    def tests_results(data):
        pathlib.Path("data").write_text(json.dumps(data))
    """
    group = workplace.group(
        {
            "fine": 'entrypoint = "test_case:fine"',
            "bad": 'entrypoint = "test_case:bad"\nin-except = "Resume"',
            "service": 'entrypoint = "test_case:service"\nstop = "runner"',
        },
        code,
    )
    workplace.run()
    data = json.loads((group / "data").read_text())
    first, test = data["tests_results"]
    assert (first["name"], first["passed"], test["name"]) == ("unit_processes", False, "test_one")
    assert 0 < first["total_time"] < data["duration"]
    assert first["details"] == [
        {"name": "fine", "passed": True, "status": "finished", "exitcode": 0},
        {"name": "bad", "passed": False, "status": "failed", "exitcode": 3},
        {"name": "service", "passed": True, "status": "stopped", "exitcode": -15},
    ]
