"""Scenarios come back from their file as they were: those of every group that is around."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.load import Project, load_groups
from testrium.plan.scenarios import plan_scenarios
from testrium.plan.selection import Selection
from testrium.record.scenario import restored_scenario, write_scenario

ROOT = Path(__file__).resolve().parents[2]


def scenarios(*folders: Path) -> tuple[Scenario, ...]:
    groups = load_groups(folders, cwd=ROOT, project=Project(ROOT / ".testrium"))
    return plan_scenarios(groups, Selection(all_modes=True), repeat=0)


def test_every_scenario_comes_back(tmp_path: Path) -> None:
    planned = scenarios(ROOT / "tests" / "corpus" / "cases", ROOT / "example_groups")
    assert len(planned) > 50
    for scenario in planned:
        write_scenario(scenario, tmp_path / "scenario.toml")
        back = restored_scenario(tmp_path / "scenario.toml")
        group = replace(scenario.group, units=scenario.units, notices=())

        assert back == scenario._replace(group=group)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    write_scenario(scenarios(ROOT / "example_groups" / "hello")[0], file)
    text = file.read_text()
    for broken in (
        text.replace("[scenario]\n", "[scenario]\nfuture = 1\n"),
        text.replace('mode = "', "mode = 7 # "),
        "[group]",
        "no TOML",
    ):
        assert broken != text
        file.write_text(broken)
        with pytest.raises(InfraError, match=r"cannot read the rules in .*scenario\.toml"):
            restored_scenario(file)
