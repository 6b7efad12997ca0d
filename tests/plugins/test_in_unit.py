"""Plugins that are asked whether a unit is ready, and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testrium.declared.units import Readiness, Unit
from testrium.plugins.in_unit import RAISED, wait_ready
from testrium.run.folder import RunFolder
from testrium.run.readiness import not_ready

SLOW = """
asked = []
def is_ready(settings):
    asked.append(settings)
    if len(asked) == 1:
        raise KeyError("text")
    return asked == [{"file": "a=b"}] * 2
"""


def test_what_it_raised_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_know.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = json.dumps(["readiness", "slow", "slow_to_know:is_ready", "testrium.toml"])
    told = tmp_path / RAISED
    wait_ready([plugin, str(told), "file=a=b"])
    assert told.read_text() == f"KeyError: 'text' ({tmp_path / 'slow_to_know.py'}:6)"


def test_what_was_not_run_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "asked = []\ndef steps(): yield\ndef is_ready(_):\n    asked.append(0)\n"
    module += "    return steps() if len(asked) == 1 else True\n"
    (tmp_path / "steps_to_know.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    plugin = json.dumps(["readiness", "steps", "steps_to_know:is_ready", "testrium.toml"])
    wait_ready([plugin, str(tmp_path / RAISED)])
    assert (tmp_path / RAISED).read_text() == (
        "steps (steps_to_know.py:2) is a generator (it contains `yield`): its body was not run"
    )


def test_what_is_told_when_the_time_is_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    unit = Unit("api", 0, "api.toml", ready=(Readiness(command=("x",), plugin="line-in"),))
    folder.unit("api").mkdir(parents=True)
    assert not_ready(unit, folder) == "no line-in"
    (folder.unit("api") / RAISED).write_text("KeyError: 'text' (a.py:6)")
    assert not_ready(unit, folder) == "line-in raised KeyError: 'text' (a.py:6)"
