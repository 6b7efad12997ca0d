from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import testrium
from testrium.cli.probe import command
from testrium.errors import UsageError
from testrium.record.probe_file import MetricLine, parse_line
from testrium.words import is_measured

Lines = Callable[[], list[dict[str, Any]]]


def test_a_metric_is_one_line_without_a_number(lines: Lines) -> None:
    before_ns = time.monotonic_ns()
    testrium.unit().probe("ready")
    testrium.metric("throughput", 12.5, "1/s", better="larger")
    testrium.metric("queue", 3, details={"full": False})
    testrium.unit().probe("done")
    ready, throughput, queue, done = lines()
    assert before_ns <= throughput.pop("t_ns") <= time.monotonic_ns()
    assert throughput == {
        "metric": "throughput",
        "value": 12.5,
        "unit": "1/s",
        "better": "larger",
        "pid": os.getpid(),
    }
    assert (queue["value"], queue["unit"], queue["better"]) == (3.0, "", "smaller")
    assert queue["details"] == {"full": False}
    assert done["seq"] == ready["seq"] + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200),
    value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300),
    unit=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=32),
)
def test_what_may_be_reported_is_read_back(
    probes: Path, name: str, value: float, unit: str
) -> None:
    assume(not is_measured(name))
    testrium.metric(name, value, unit)
    line = parse_line(probes.read_bytes().splitlines()[-1])
    assert isinstance(line, MetricLine)
    assert (line.name, line.value, line.unit) == (name, float(value), unit)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (("", 1), ValueError, "name is empty"),
        (("x" * 201, 1), ValueError, "201 characters"),
        (("a\nb", 1), ValueError, "control"),
        (("a\ud800", 1), ValueError, "surrogate"),
        ((7, 1), TypeError, "name is text"),
        (("rate", "1"), TypeError, "value is a number, not str"),
        (("rate", True), TypeError, "value is a number, not bool"),
        (("rate", None), TypeError, "value is a number"),
        (("rate", float("nan")), ValueError, "finite"),
        (("rate", float("-inf")), ValueError, "finite"),
        (("rate", 10**400), ValueError, "finite"),
        (("rate", 1, 5), TypeError, "unit is text"),
        (("rate", 1, "u" * 33), ValueError, "33 characters"),
        (("rate", 1, "", "lower"), ValueError, "'smaller' or 'larger'"),
        (("duration", 1), ValueError, "measures itself"),
        (("rate", 1, "", "larger", [1]), TypeError, "details are a dictionary, not list"),
        (("rate", 1, "", "larger", {"a": {1}}), TypeError, "not JSON serializable"),
        (("rate", 1, "", "larger", {"a": "x" * 2**20}), ValueError, "longer than"),
        (("command.p95", 1), ValueError, "measures itself"),
        (("host.rss", 1), ValueError, "measures itself"),
    ],
)
def test_an_invalid_metric_is_refused(
    lines: Lines, probes: Path, arguments: tuple[Any, ...], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        testrium.metric(*arguments)
    assert not probes.exists()


def test_names_with_dots_are_free_but_for_measures(lines: Lines) -> None:
    testrium.metric("cache.hits", 1)
    testrium.metric("p95", 1)
    assert [line["metric"] for line in lines()] == ["cache.hits", "p95"]


@pytest.mark.usefixtures("no_run")
def test_outside_a_run_nothing_happens(tmp_path: Path) -> None:
    testrium.metric("", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_threads_never_mix_their_lines(lines: Lines) -> None:
    def report() -> None:
        for number in range(200):
            testrium.metric("rate", number)
            testrium.unit().probe("step")

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines()) == 4 * 400
    assert sorted(line["seq"] for line in lines() if "seq" in line) == list(range(1, 801))


def test_it_imports_no_json(probes: Path) -> None:
    code = (
        "import sys, testrium; before = 'json' in sys.modules;"
        " testrium.metric('rate', 1); print(before, 'json' in sys.modules)"
    )
    import subprocess

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    before, after = answer.stdout.split()
    assert before == after


# From a shell ------------------------------------------------------------------------------------


def probe(*arguments: str) -> None:
    CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)


def test_a_shell_reports_a_metric(lines: Lines) -> None:
    of_throughput = ("--metric", "throughput", "12.5", "--unit", "1/s", "--better", "larger")
    probe(*of_throughput, "--meta", "rows=100", "--meta", "who=me")
    (line,) = lines()
    assert (line["metric"], line["value"], line["unit"]) == ("throughput", 12.5, "1/s")
    assert line["better"] == "larger"
    assert line["details"] == {"rows": 100, "who": "me"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "expected a STEP or --metric"),
        (("ready", "--metric", "rate", "1"), "expected a STEP or --metric"),
        (("ready", "--unit", "ms"), "belong to --metric"),
        (("--metric", "rate", "nan"), "finite"),
        (("--metric", "rate", "1", "--key", "k"), "--key belongs to a STEP"),
        (("--metric", "rate", "1", "--type", "Send"), "--type belongs to a STEP"),
    ],
)
def test_what_a_shell_cannot_report(
    lines: Lines, probes: Path, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        probe(*arguments)
    assert not probes.exists()


def test_a_line_is_json(probes: Path) -> None:
    testrium.metric('qu"ote\\', 1e-300, "µs")
    line = json.loads(probes.read_bytes())
    assert (line["metric"], line["value"], line["unit"]) == ('qu"ote\\', 1e-300, "µs")
