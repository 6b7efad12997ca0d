"""Units that are suites: which keys they have, and what their group gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from testrium.declared.units import ManualStep

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

Problems = Callable[..., list[str]]

STEP = "steps = [{do = 'Open it', expect = 'It is there'}]"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "kind = 'pytst'",
            "kind: must be one of: pytest, unittest, doctest, manual; got 'pytst'; did you mean",
        ),
        (
            "kind = 'pytst'\npaths = ['.']\nargs = ['x']",
            "kind: must be one of: pytest, unittest, doctest, manual; got 'pytst'; did you mean",
        ),
        ("kind = 'pytest'", "kind: a unit of kind 'pytest' needs 'paths'"),
        ("kind = 'manual'", "kind: a unit of kind 'manual' needs 'steps'"),
        ("paths = ['g']", "paths: belongs to a unit of kind 'pytest' or 'unittest' or 'doctest'"),
        (
            "kind = 'doctest'\npaths = ['.']\nargs = ['x']",
            "args: belongs to a unit of kind 'pytest'",
        ),
        (f"kind = 'unittest'\npaths = ['.']\n{STEP}", "steps: belongs to a unit of kind 'manual'"),
        ("kind = 'pytest'\npaths = ['tsts']", "paths: 'tsts': no such file or folder"),
        ("kind = 'pytest'\npaths = ['${env.NOPE}']", "paths: ${env.NOPE}: NOPE is not set"),
        (
            "kind = 'pytest'\ncommand = ['x']\npaths = ['.']",
            "kind: conflicts with 'command': remove one of them",
        ),
        ("kind = 'manual'\nsteps = [{do = 'x'}]", "steps[1].expect: is required"),
        (
            "kind = 'manual'\nsteps = [{do = '${port.x}', expect = 'y'}]",
            "steps[1].do: unknown variable ${port.x}",
        ),
        (
            (
                "kind = 'manual'\nsteps = ["
                "{do = 'x', expect = 'y', name = 'a'}, {do = 'x', expect = 'y', name = 'a'}]"
            ),
            "steps: contains duplicate names: a",
        ),
    ],
)
def test_what_is_wrong(problems_of: Problems, text: str, problem: str) -> None:
    (found,) = problems_of(a=text)
    assert found.startswith("g/units/a.toml:")
    assert found.partition(": ")[2].startswith(problem)


def test_a_pytest_suite_requires_pytest(workspace: Workspace) -> None:
    workspace.write({"g/tests/test_x.py": ""})
    suite = "kind = 'pytest'\npaths = ['tests/test_x.py::test_y']\nargs = ['-k', 'z']"
    workspace.group("requires = ['sh']", a=suite)
    group = workspace.loaded()
    assert group.requires == ("sh", "python:pytest")
    (unit,) = group.units
    assert unit.has_process
    assert (unit.quiet, unit.stop, unit.args) == (False, "self", ("-k", "z"))
    assert group.timeout_s == 30


def test_a_check_by_hand_has_time_and_the_terminal_for_itself(workspace: Workspace) -> None:
    steps = "[{do = '${group.dir}', expect = 'x', name = 'look'}, {do = 'y', expect = 'z'}]"
    workspace.group("", a=f"kind = 'manual'\nsteps = {steps}")
    group = workspace.loaded()
    assert (group.timeout_s, group.exclusive) == (3600, True)
    assert group.units[0].steps == (
        ManualStep("look", "${group.dir}", "x"),
        ManualStep("step-2", "y", "z"),
    )


@pytest.mark.parametrize("place", ["group", "project"])
def test_a_timeout_that_is_given_counts(workspace: Workspace, place: str) -> None:
    workspace.write({"testrium.toml": "[Configs]\ntimeout = 60" if place == "project" else ""})
    workspace.group("timeout = 60" if place == "group" else "", a=f"kind = 'manual'\n{STEP}")
    assert workspace.loaded().timeout_s == 60


def test_suites_that_are_not_run_change_nothing(workspace: Workspace) -> None:
    workspace.group("", a=f"kind = 'manual'\nenabled = false\n{STEP}")
    assert (workspace.loaded().timeout_s, workspace.loaded().exclusive) == (30, False)
