"""What test files of the classic API import, besides its decorator."""

from __future__ import annotations

import sys

import pytest

from testrium.common.utils import log_test_time, print_banner, suppress_output
from testrium.tools.benchmark import normalize_duration


def test_the_time_of_a_call_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    @log_test_time
    def add(one: int, other: int) -> int:
        return one + other

    assert (add(1, other=2), add.__name__) == (3, "add")
    assert capsys.readouterr().out.startswith("add took 0.0")


def test_a_banner_has_no_colour_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_banner("ready")
    [line] = capsys.readouterr().out.splitlines()
    assert (len(line), line.strip("=")) == (80, "ready")


def test_output_is_suppressed_inside_only(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress_output():
        sys.stdout.write("hidden")
        sys.stderr.write("hidden")
    sys.stdout.write("shown")
    assert capsys.readouterr() == ("shown", "")


def test_durations_are_normalised_by_keyword() -> None:
    assert normalize_duration(duration=2.0, machine_score=100.0, baseline_score=50.0) > 0
