"""`[metrics]`: what is read, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.declared.checks import Metric

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

ROUTE = """
[[circuits]]
name = "command"
route = ["client:sent", "host:received+"]
"""


def read(workspace: Workspace, *lines: str) -> dict[str, Metric]:
    workspace.group("\n".join((ROUTE, "[metrics]", *lines)), client="", host="")
    return {metric.name: metric for metric in workspace.loaded().metrics}


def problems(workspace: Workspace, *lines: str) -> list[str]:
    """What is wrong, without the file and the line."""
    workspace.group("\n".join((ROUTE, "[metrics]", *lines)), client="", host="enabled = false")
    return [problem.partition(": ")[2] for problem in workspace.problems()]


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        (
            'throughput = {min = 1000, unit = "1/s"}',
            Metric("throughput", "reported", least=1000.0, unit="1/s"),
        ),
        ("throughput = {}", Metric("throughput", "reported")),
        ('"cache.hits" = {max = -1}', Metric("cache.hits", "reported", most=-1.0)),
        (
            '"command.p95" = {max = "80ms", min = "1us"}',
            Metric("command.p95", "circuit", "command", 80.0, 0.001, "ms"),
        ),
        (
            '"command.max" = {max = "1s"}',
            Metric("command.max", "circuit", "command", 1000.0, unit="ms"),
        ),
        (
            '"command.host:received.p50" = {max = "2ms"}',
            Metric("command.host:received.p50", "hop", "command", 2.0, unit="ms"),
        ),
        ('duration = {max = "2m"}', Metric("duration", "group", "", 120.0, unit="s")),
        ('"host.rss" = {max = "200MB"}', Metric("host.rss", "unit", "host", 2e8, unit="B")),
        ('"host.cpu" = {max = "500ms"}', Metric("host.cpu", "unit", "host", 0.5, unit="s")),
        ('"host.peak-cpu" = {max = 80}', Metric("host.peak-cpu", "unit", "host", 80.0, unit="%")),
    ],
)
def test_each_kind_of_figure(workspace: Workspace, line: str, metric: Metric) -> None:
    assert read(workspace, line) == {metric.name: metric}


@pytest.mark.parametrize(
    "line",
    [
        'command.p95 = {max = "80ms"}',
        'command.p95.max = "80ms"',
        '[metrics.command.p95]\nmax = "80ms"',
        '[metrics."command.p95"]\nmax = "80ms"',
    ],
)
def test_quotes_are_not_needed(workspace: Workspace, line: str) -> None:
    (metric,) = read(workspace, line).values()
    assert (metric.name, metric.most) == ("command.p95", 80.0)


def test_a_circuit_s_max_without_quotes(workspace: Workspace) -> None:
    (metric,) = read(workspace, 'command.max = {max = "80ms"}').values()
    assert (metric.name, metric.most) == ("command.max", 80.0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x = 3", 'metrics.x: must be a table, such as {max = "80ms"}'),
        ("x = {mx = 3}", "metrics.x.mx: unknown key; did you mean 'max'?"),
        ('x = {max = "80ms"}', "metrics.x.max: must be a number"),
        ("x = {max = nan}", "metrics.x.max: must be a number"),
        ("x = {max = 1, min = 2}", "metrics.x.min: is more than max"),
        ('x = {unit = ""}', "metrics.x.unit: must be a non-empty string without"),
        ("command.p95 = {max = true}", "metrics.command.p95.max: invalid duration true"),
        ('client.rss = {max = "3"}', "metrics.client.rss.max: must be a size"),
        (
            'duration = {unit = "s"}',
            "metrics.duration.unit: duration is measured by Testrium, in s",
        ),
        (
            '"comand.p95" = {}',
            (
                "metrics.'comand.p95': 'comand' is neither a circuit nor a hop of one;"
                " did you mean 'command.p95'?"
            ),
        ),
        (
            '"command.p90" = {}',
            (
                "metrics.'command.p90': a circuit has p50, p95, p99, max;"
                " did you mean 'command.p99'?"
            ),
        ),
        (
            '"client.p95" = {}',
            ("metrics.'client.p95': a unit has cpu, peak-cpu, rss; did you mean 'client.cpu'?"),
        ),
        ('"host.rss" = {}', "metrics.'host.rss': 'host' is not an enabled unit"),
        (
            '"command.host:receivd.p50" = {}',
            (
                "metrics.'command.host:receivd.p50': 'command.host:receivd' is neither a circuit"
                " nor a hop of one; did you mean 'command.host:received.p50'?"
            ),
        ),
        (
            '"command.p95" = {}\ncommand.p95 = {}',
            "metrics.command.p95: 'command.p95' is given twice",
        ),
    ],
)
def test_what_is_refused(workspace: Workspace, line: str, problem: str) -> None:
    (told,) = problems(workspace, line)
    assert told.startswith(problem)


def test_it_is_a_table(workspace: Workspace) -> None:
    workspace.group("timeout = 3", a="")
    config = workspace.folder / "g" / "config.toml"
    config.write_text(f"metrics = 3\n{config.read_text()}")
    assert workspace.problems() == ["g/config.toml:1: metrics: must be a table, got 3"]
