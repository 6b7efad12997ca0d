from __future__ import annotations

from typing import Any

import pytest

from testrium import phrases
from testrium.declared.groups import Group, Scenario
from testrium.evidence import End, EndCause, UnitState
from testrium.report import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.314, "0.31 s"),
        (12.44, "12.4 s"),
        (59.99, "60.0 s"),
        (185.2, "3 min 05 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert phrases.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "largest", "text"),
    [
        (0.0, None, "0.000 ms"),
        (0.0421, None, "0.042 ms"),
        (1.25, None, "1.250 ms"),
        (-81.54, None, "-81.5 ms"),
        (1234.5, None, "1234 ms"),
        (0.0421, 81.5, "0.0 ms"),
    ],
)
def test_milliseconds(value: float, largest: float | None, text: str) -> None:
    assert phrases.milliseconds(value, largest) == text


@pytest.mark.parametrize(
    ("modes", "repeat", "text"),
    [
        (("DEBUG",), 0, "checkout"),
        (("DEBUG", "INFO"), 0, "checkout@INFO"),
        (("DEBUG",), 2, "checkout+2"),
        (("DEBUG", "INFO"), 1, "checkout@INFO+1"),
    ],
)
def test_labels_tell_results_of_a_group_apart(
    modes: tuple[Any, ...], repeat: int, text: str, tmp_path: object
) -> None:
    from pathlib import Path

    group = Group("checkout", Path(), (), test_modes=modes)
    assert wording.label(Scenario("checkout", group, (), mode="INFO", repeat=repeat)) == text


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (End("u", EndCause.SELF, UnitState.FAILED, exit_code=3), "ended with exit code 3"),
        (End("u", EndCause.SELF, UnitState.FAILED, signal="SIGSEGV"), "ended by SIGSEGV"),
        (
            End("u", EndCause.SELF, UnitState.FAILED, exit_code=1, starts=3),
            "ended with exit code 1, after 3 starts",
        ),
        (
            End("u", EndCause.STOPPED, UnitState.STOPPED, signal="SIGTERM"),
            "ran to the end of the group and was then stopped (SIGTERM)",
        ),
        (
            End("u", EndCause.OVERDUE, UnitState.FAILED, signal="SIGKILL"),
            "was still alive at the deadline (SIGKILL)",
        ),
        (
            End("u", EndCause.UNREADY, UnitState.FAILED, message="no probe 'ready' within 3 s"),
            "did not become ready: no probe 'ready' within 3 s",
        ),
        (
            End("u", EndCause.NOTRUN, UnitState.CREATED, blocked_by="db"),
            "was never started, because of db",
        ),
        (End("u", EndCause.SELF, UnitState.CREATED), "has no process of its own"),
    ],
)
def test_how_a_unit_ended(end: End, text: str) -> None:
    assert wording.how_ended(end) == text


def test_every_cause_has_words() -> None:
    for cause in EndCause:
        assert wording.how_ended(End("u", cause, UnitState.FAILED))
